"""The quick way through a capture full of control packets (:mod:`vpndiag.capture.usual`), for all
records of a window at once, by numpy: where it is installed, and the file is long.

Whatever differs in any way is left to the slow way, in its turn; so what is found is what the plain
Python finds."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vpndiag.capture.flow_table import EspFlows
from vpndiag.capture.flow_values import FlowKey, Seen
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.packets import Message
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, PcapngReader
from vpndiag.capture.ports import EXCHANGES
from vpndiag.capture.rows import Rows
from vpndiag.capture.usual_shape import (
    ALL_BUT_TOS,
    ALL_BUT_TTL,
    CONTROL,
    DATA,
    HEADERS,
    IKE,
    L2TP,
    LEAST_UDP,
    LEAVE,
    NATT,
    OTHERS_L2TP,
    USUAL,
    WHOLE,
    Ends,
    Met,
)
from vpndiag.records import record

if TYPE_CHECKING:
    from types import ModuleType

_ETHERNET = 1
#: Bytes of UDP payload that are looked at: an ISAKMP header.
_LOOK = 28
_KINDS = {IKE: "ike", NATT: "ike-natt", L2TP: "l2tp"}
#: Less than any pause.
_NEVER = -(1 << 62)


class _Window(NamedTuple):
    """What was found of the records of a window, by their places among them. ``slow``: those that
    must go the slow way. ``usual`` and ``latest``: the others, and the latest time so far at each.
    ``control``: places of control packets, and of each what is needed to make it. Of ESP, flow by
    flow: ``places``, ``times``, ``sizes`` and ``sequences``."""

    base: int
    offsets: list[int]
    stop: int
    slow: list[int]
    usual: Any
    latest: Any
    control: list[int]
    packets: list[tuple[Ends, int, int, int, int]]
    places: list[int]
    times: list[int]
    sizes: list[int]
    sequences: list[int]


@record(slots=True)
class _Stretch:
    """ESP packets of one flow, from ``start`` to ``stop`` among all, those before ``done``
    counted. ``flow`` is None before its first packet's turn, and of one too many."""

    packed: bytes
    ends: Ends
    spi: int
    start: int
    stop: int
    done: int
    seen: Seen
    flow: EspFlow | None = None


class UsualColumns:
    """Reads on from where ``reader`` stands, as :class:`~vpndiag.capture.usual.UsualReader`."""

    def __init__(
        self,
        np: ModuleType,
        reader: PcapReader | PcapngReader,
        flows: EspFlows,
        met: Met,
    ) -> None:
        self._np: Any = np
        self._reader = reader
        self._flows = flows
        self._met = met
        self.order = reader.order
        """The byte order for which this was made."""
        self._head = reader.header if isinstance(reader, PcapReader) else 28
        self._rows = Rows(np, reader, self._head + HEADERS + _LOOK)
        self._exchanges = np.zeros(256, bool)
        self._exchanges[list(EXCHANGES)] = True
        self._now: _Window | None = None
        self._slow_at = self._control_at = self._opened = 0
        self._stretches: list[_Stretch] = []
        self._open: dict[int, _Stretch] = {}
        """By identity of the flow."""
        self._dropped: list[_Stretch] = []
        """Of flows that are too many."""
        self.passed = 0
        self.packets: Iterator[Message] = iter(())
        """What was passed last: how many control packets, each made when it is asked for (many at
        once would be out of a processor's cache before they are looked at). To be taken before the
        window is filled again."""

    @property
    def walking(self) -> bool:
        """Whether there is more of what was looked at."""
        return self._now is not None

    def look(self) -> int | None:
        """Look at all that is in the window from its offset on. How many records that are; None if
        none of them is usual, or their times can't be told here."""
        window = self._reader.window
        walked = self._rows.walk(window.off, window.end)
        self._slow_at = self._control_at = self._opened = 0
        if not len(walked.offsets):
            return 0
        self._now = self._sorted(walked.offsets, walked.rows, walked.stop)
        return len(walked.offsets) if self._now is not None else None

    def run(self, last_ns: int) -> int:
        """Move the reader to the next record that must go the slow way, or behind all that was
        looked at. The latest time seen, ``last_ns`` or later."""
        now, reader = self._now, self._reader
        assert now is not None
        if self._slow_at < len(now.slow):
            place = now.slow[self._slow_at]
            self._slow_at += 1
            reader.window.off = now.offsets[place]
        else:
            place = len(now.offsets)
            reader.window.off = now.stop
        reader.number = now.base + place
        self._hand_on(now, place)
        before = int(now.usual.searchsorted(place))
        if before:
            last_ns = max(last_ns, int(now.latest[before - 1]))
        if place == len(now.offsets):
            self.stop()
        return last_ns

    def stop(self) -> None:
        """Count what is in front of where the reader stands, and forget the rest."""
        if self._now is not None:
            for stretch in (*self._open.values(), *self._dropped):
                self._count(stretch, self._reader.number - self._now.base)
            self._now = None
            self._stretches.clear()
            self._open.clear()
            self._dropped.clear()

    def count_flow(self, flow: EspFlow) -> None:
        """Hand over one flow's packets so far, before it counts the one that the reader has just
        read in another way."""
        stretch = self._open.get(id(flow))
        if stretch is not None and self._now is not None:
            self._count(stretch, self._reader.number - 1 - self._now.base)

    def _hand_on(self, now: _Window, place: int) -> None:
        """Control packets in front of this place, and flows that begin there."""
        start = self._control_at
        stop = self._control_at = bisect_left(now.control, place, start)
        self.passed, self.packets = stop - start, self._made(now, start, stop)
        while self._opened < len(self._stretches):
            stretch = self._stretches[self._opened]
            if now.places[stretch.start] >= place:
                break
            self._opened += 1
            self._begin(stretch)

    def _made(self, now: _Window, start: int, stop: int) -> Iterator[Message]:
        buf, first = self._reader.window.buf, now.base + 1
        for number, (ends, time_ns, at, size, ttl) in zip(
            now.control[start:stop], now.packets[start:stop], strict=True
        ):
            way, src, dst, _ = ends
            data = buf[at : at + size]
            yield Message((first + number,), time_ns, src, dst, data, False, 0, ttl, _KINDS[way])

    def _begin(self, stretch: _Stretch) -> None:
        """A flow whose turn has come; there may be too many."""
        flow = self._flows.get(stretch.packed, stretch.spi)
        if flow is None:
            ends = stretch.ends
            key = FlowKey(*ends.src, *ends.dst, stretch.spi)
            flow = self._flows.create(stretch.packed, stretch.spi, key)
        if flow is None:
            stretch.done += 1  # is counted already
            self._dropped.append(stretch)
            return
        stretch.flow = flow
        self._open[id(flow)] = stretch

    def _count(self, stretch: _Stretch, place: int) -> None:
        """Those of a flow that are in front of this place."""
        now, flow, start = self._now, stretch.flow, stretch.done
        assert now is not None
        stop = stretch.done = bisect_left(now.places, place, start, stretch.stop)
        if flow is None:
            self._flows.dropped += stop - start
        if flow is None or stop == start:
            return
        places, times, sizes = now.places[start:stop], now.times[start:stop], now.sizes[start:stop]
        sequences, first = now.sequences[start:stop], now.base + 1
        whole = stop - start == stretch.stop - stretch.start
        flow.add_many(
            lambda index: first + places[index],
            times.__getitem__,
            sizes,
            sequences if whole else array("I", sequences),
            0,
            stretch.seen if whole else None,
        )

    def _sorted(self, offsets: Any, rows: Any, stop: int) -> _Window | None:
        """What these records are; None if there is nothing that can be told here."""
        np, column, head = self._np, self._rows.column, self._head
        count = len(rows)
        usual = np.flatnonzero(self._usual(rows))
        if len(usual) < count:
            rows = rows[usual]
        times = self._rows.times(rows) if len(usual) else None
        if times is None:
            return None
        kept = self._kept(rows)
        ours, slow, own_times = usual, np.zeros(len(usual), bool), times
        if kept is not None:
            rows, ours, own_times = rows[kept], usual[kept], times[kept]
        word, isakmp = column(rows, head + 42, ">u4"), column(rows, head + 66, ">u4")
        size = column(rows, head + 38, ">u2").astype(np.int64) - 8
        shaped = (size >= 28) & (isakmp == size)
        hosts = column(rows, head + 26, ">u8").astype(np.uint64)
        ports = column(rows, head + 34, ">u4").astype(np.uint32)
        spi = word.astype(np.uint32)
        # A group: one pair of ends, and at port 4500 one SPI.
        at_natt = (ports >> 16 == 4500) | (ports & 0xFFFF == 4500)
        order = np.lexsort((np.where(at_natt, spi, 0), ports, hosts))
        between, ends, packed = self._ends(rows, order, hosts, ports)
        way = np.array([each.way for each in ends], np.uint8)[between]
        slow[slice(None) if kept is None else kept], wanted, esp = self._ways(
            rows, way, shaped, word
        )
        chosen = np.flatnonzero(wanted)
        starts = offsets[ours]
        found = zip(
            [ends[n] for n in between[chosen].tolist()],
            own_times[chosen].tolist(),
            (starts[chosen] + (head + HEADERS)).tolist(),
            size[chosen].tolist(),
            column(rows, head + 22, "u1")[chosen].tolist(),
            strict=True,
        )
        order = order[esp[order]]
        mine = (spi[order], between[order], ours[order], own_times[order], size[order])
        sequences = column(rows, head + 46, ">u4")[order].astype(np.uint32)
        self._stretches = self._split(*mine, sequences, ends, packed)
        all_slow = np.ones(count, bool)
        all_slow[usual] = slow
        return _Window(
            self._reader.number,
            offsets.tolist(),
            stop,
            np.flatnonzero(all_slow).tolist(),
            usual,
            np.maximum.accumulate(np.where(slow, _NEVER, times)),
            ours[chosen].tolist(),
            list(found),
            mine[2].tolist(),
            mine[3].tolist(),
            mine[4].tolist(),
            sequences.tolist(),
        )

    def _usual(self, rows: Any) -> Any:
        """Whether each is a whole UDP packet in IPv4 without options, in plain Ethernet."""
        np, column, head = self._np, self._rows.column, self._head
        captured = column(rows, self._rows.captured, self._rows.word).astype(np.int64)
        total = column(rows, head + 16, ">u2").astype(np.int64)
        length = column(rows, head + 38, ">u2").astype(np.int64)
        usual = column(rows, head + 12, ">u4") & ALL_BUT_TOS == USUAL
        usual &= column(rows, head + 20, ">u4") & ALL_BUT_TTL == WHOLE
        usual &= (total == length + 20) & (captured >= total + 14) & (length >= LEAST_UDP)
        reader = self._reader
        if isinstance(reader, PcapReader):
            return usual if reader.linktype == _ETHERNET else np.zeros(len(rows), bool)
        number = column(rows, 8, self._rows.word)
        usual &= column(rows, 0, self._rows.word) == EPB
        first = int(number[usual.argmax()])
        mine = reader.interfaces[reader.first :]
        if first < len(mine):
            # Interfaces with one clock: the first one's.
            clock = mine[first].units, mine[first].offset
            ours = [i.linktype == _ETHERNET and (i.units, i.offset) == clock for i in mine]
            usual &= np.array([*ours, False], bool)[np.minimum(number, len(mine))]
        return usual

    def _kept(self, rows: Any) -> Any:
        """The places of all but those to skip, IKE and ESP of other shares; None: all."""
        share, np, head = self._met.share, self._np, self._head
        if share is None:
            return None
        kept = share.have(self._rows.column(rows, head + 26, ">u8").astype(np.uint64))
        ports = self._rows.column(rows, head + 34, ">u4")
        one, two = ports >> 16, ports & 0xFFFF
        kept |= (one != 4500) & (two != 4500) & (one != 500) & (two != 500)
        kept[:1] = True  # so that there is one
        return np.flatnonzero(kept)

    def _ends(
        self, rows: Any, order: Any, hosts: Any, ports: Any
    ) -> tuple[Any, list[Ends], list[bytes]]:
        """For each row the number of its ends; those ends, and as they are packed."""
        np, at = self._np, self._head + 26
        hosts, ports = hosts[order], ports[order]
        steps = np.append(False, (hosts[1:] != hosts[:-1]) | (ports[1:] != ports[:-1]))
        between = np.empty(len(order), np.int64)
        between[order] = np.cumsum(steps)
        steps[:1] = True
        octets = rows[order[steps]].view(np.uint8).reshape(-1, self._rows.width)
        joined = octets[:, at : at + 12].tobytes()
        packed = [joined[n : n + 12] for n in range(0, len(joined), 12)]
        return between, [self._met.ends(each) for each in packed], packed

    def _ways(self, rows: Any, way: Any, shaped: Any, word: Any) -> tuple[Any, Any, Any]:
        """Which are for the slow way, control packets to be kept, and ESP."""
        np, column, at = self._np, self._rows.column, self._head + HEADERS
        marked = word == 0
        natt, ike, l2tp, theirs = (way == each for each in (NATT, IKE, L2TP, OTHERS_L2TP))
        esp = natt & ~marked
        # Perhaps IKE without a marker.
        slow = esp & shaped
        esp &= ~shaped
        # As looks_like_ike has it.
        sound = shaped & ~marked & (column(rows, at + 17, "u1") == 0x10)
        sound &= self._exchanges[column(rows, at + 18, "u1")]
        slow |= ike & ~sound
        slow |= (way == LEAVE) | ((l2tp | theirs) & (shaped | marked))
        # Users' data is looked into whosever it is, control packets of PPP are not.
        spelled = (column(rows, at + 6, "u1") == 0xFF) & (column(rows, at + 7, "u1") == 0x03)
        protocol = np.where(spelled, column(rows, at + 8, "u1"), column(rows, at + 6, "u1"))
        idle = (word & CONTROL != 0) | ((word >> 16 == DATA) & (protocol & 0x81 == 0x80))
        slow |= theirs & ~idle
        return slow, (natt & marked | ike | l2tp) & ~slow, esp

    def _split(
        self,
        spi: Any,
        between: Any,
        places: Any,
        times: Any,
        sizes: Any,
        sequences: Any,
        ends: list[Ends],
        packed: list[bytes],
    ) -> list[_Stretch]:
        """ESP by flow, in the order in which the flows begin."""
        np = self._np
        count = len(places)
        if not count:
            return []
        new = np.append(True, (between[1:] != between[:-1]) | (spi[1:] != spi[:-1]))
        starts = np.flatnonzero(new)
        pauses = np.append(_NEVER, np.diff(times))
        pauses[starts] = _NEVER
        longest = np.maximum.reduceat(pauses, starts).tolist()
        after = np.append(np.uint32(0), sequences[1:] - sequences[:-1]) != 1
        # Behind the highest number comes none.
        breaks = np.flatnonzero((after | (sequences == 0)) & ~new)
        breaks_from = [*breaks.searchsorted(starts).tolist(), len(breaks)]
        breaks = breaks.tolist()
        stops = [*starts[1:].tolist(), count]
        sized = sizes.tolist()
        stretches: list[_Stretch] = []
        for n, (start, stop, way, key) in enumerate(
            zip(starts.tolist(), stops, between[starts].tolist(), spi[starts].tolist(), strict=True)
        ):
            broken = [at - start for at in breaks[breaks_from[n] : breaks_from[n + 1]]]
            behind = int(pauses[start:stop].argmax()) if longest[n] > 0 else 1
            seen = Seen(Counter(sized[start:stop]), broken, (behind, longest[n]))
            stretches.append(_Stretch(packed[way], ends[way], key, start, stop, start, seen))
        firsts = places[starts].argsort().tolist()
        return [stretches[n] for n in firsts]
