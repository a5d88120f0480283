"""Which quick way suits the part of a capture that is being read: many control packets of a usual
form (:mod:`~vpndiag.capture.usual`), nearly all ESP (:mod:`~vpndiag.capture.bulk`), or none."""

from __future__ import annotations

from collections.abc import Iterator

from vpndiag.capture.bulk import BulkCounter
from vpndiag.capture.flow_table import EspFlows
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.layout import Layout
from vpndiag.capture.packets import Kept, Message
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import PcapngReader
from vpndiag.capture.share import Share
from vpndiag.capture.usual import UsualReader

_ENOUGH = 16
"""ESP packets in one layout before the way for ESP is taken."""
_CONTROL = 24
"""One packet in so many is kept: more than the way for ESP is made for."""
_MANY = 500
"""ESP packets of a window in another layout that are worth a change to that one."""
_MOST_LAYOUTS = 64


class Ways:
    """Reads on for a :class:`~vpndiag.capture.prefilter.Prefilter`, which judges in full what it
    leaves. Control packets go to ``out``, ESP to ``flows``."""

    def __init__(
        self,
        reader: PcapReader | PcapngReader,
        flows: EspFlows,
        out: list[Kept],
        share: Share | None,
        *,
        fast: bool,
    ) -> None:
        """``fast`` False: none is ever taken, unless there is a ``share``."""
        self._reader = reader
        self._flows = flows
        self._out = out
        self._share = share
        self._fast = fast
        self._bulk: BulkCounter | None = None
        self._votes: dict[Layout, int] = {}
        self._usual = None if share is None else UsualReader(reader, flows, out, share)
        self._kept = self._kept_before = self._read_before = 0
        self._odd = False

    def kept(self, packets: int) -> None:
        """So many more were kept."""
        self._kept += packets

    def odd_pairs(self) -> None:
        """IKE was seen between ports of which nothing is known."""
        self._odd = True
        if self._usual is not None:
            self._usual.odd_pairs = True

    def run_usual(self, last_ns: int | None) -> int | None:
        """Read on, if that way is taken; the latest time seen."""
        return last_ns if self._usual is None else self._usual.run(last_ns or 0)

    def packets(self) -> Iterator[Message]:
        """Control packets that were passed, and are not in ``out``."""
        if self._usual is None:
            return iter(())
        count, packets = self._usual.packets()
        self._kept += count
        return packets

    def run_bulk(self) -> None:
        """Read on, if that way is taken."""
        if self._bulk is not None:
            self._bulk.run()

    def flush(self, last_ns: int | None) -> int | None:
        """Count what was gathered before the window moves; the latest time seen."""
        if self._bulk is not None:
            self._bulk.flush()
            times = [f.last_ns for f in self._flows if f.last]
            last_ns = max(last_ns or 0, *times) if times else last_ns
        return last_ns

    def end(self) -> None:
        """All was read."""
        if self._usual is not None:
            self._usual.count()

    def refilled(self) -> None:
        """Once a window, behind :meth:`flush`: choose anew, and for ESP the layout of the most."""
        if not self._fast or self._many_control():
            return
        if self._bulk is not None and self._bulk.stale:
            self._bulk = None
        if self._votes:
            best = max(self._votes, key=lambda layout: self._votes[layout])
            current = self._bulk
            if current is not None and best != current.layout and self._votes[best] > _MANY:
                # The next packet in that layout takes it up.
                self._bulk = None
                self._votes = {best: _ENOUGH}
            else:
                self._votes.clear()

    def _many_control(self) -> bool:
        """Whether the next window is read in the way that suits many control packets, as the one
        before shows."""
        kept, read = self._kept - self._kept_before, self._reader.number - self._read_before
        self._kept_before, self._read_before = self._kept, self._reader.number
        if self._share is None and kept * _CONTROL <= read:
            if self._usual is not None:
                self._usual.count()
                self._usual = None
            return False
        if self._usual is None:
            self._usual = UsualReader(self._reader, self._flows, self._out, self._share)
            self._usual.odd_pairs = self._odd
            self._bulk = None
            self._votes.clear()
        return True

    def before(self, flow: EspFlow) -> None:
        """Count what was gathered of a flow, before it counts a packet in the slow way."""
        if self._bulk is not None:
            self._bulk.flush_flow(flow)
        if self._usual is not None:
            self._usual.count_flow(flow)

    @property
    def wants_votes(self) -> bool:
        """Whether the way for ESP may be taken."""
        return self._fast and self._usual is None

    def vote(self, layout: Layout, ends: bytes, flow: EspFlow, data: bytes) -> None:
        """A frame with ESP in a plain layout went the slow way: it is for the quick one."""
        bulk = self._bulk
        if bulk is not None and bulk.layout == layout:
            bulk.learn(ends, flow.key.spi, flow)
        if layout in self._votes or len(self._votes) < _MOST_LAYOUTS:
            self._votes[layout] = self._votes.get(layout, 0) + 1
        if bulk is None and self._votes.get(layout, 0) >= _ENOUGH:
            self._bulk = BulkCounter(self._reader, layout, data)
