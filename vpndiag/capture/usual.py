"""The quick way through a capture that is full of control packets.

Nearly all of these are UDP over IPv4 without options, whole, in plain Ethernet, between ends that
were seen before. Here one look tells that: two reads of fixed fields, and one look-up of addresses
and ports. ESP is gathered by flow and counted many packets at a time. Whatever differs in any way
is left to the :class:`~vpndiag.capture.prefilter.Prefilter`'s own way, which judges it in full, in
its turn. A capture that is nearly all ESP goes another way (:mod:`vpndiag.capture.bulk`).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from mmap import mmap

from vpndiag.capture import columns
from vpndiag.capture.flow_table import EspFlows
from vpndiag.capture.flow_values import FlowKey
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.packets import Kept, Message
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, PcapngReader
from vpndiag.capture.ports import EXCHANGES
from vpndiag.capture.share import Share
from vpndiag.capture.usual_columns import UsualColumns
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
    SKIP,
    USUAL,
    WHOLE,
    Ends,
    Met,
    Row,
)

_BILLION = 1_000_000_000
_ETHERNET = 1
_PACKET = struct.Struct("!12xIH2xI2x12sH2xII16xI").unpack_from
"""Ethernet type, version and header length, type of service; total length; fragment bits, TTL,
protocol; addresses and ports; UDP length; of what is behind it, the first two words and the one
that is the length in an ISAKMP header."""
_WORD = struct.Struct("!I").unpack_from
_LEAST = 80
"""Bytes of the shortest record that is looked at; the window may be read a little beyond (PAD)."""
_MOST_ROWS = 64
"""Packets of a flow that are gathered."""
_MOST_GATHERED = 65_536
_MANY = 65_536
"""Bytes of a window for which columns are worth it."""
_FEW, _PAUSE = 64, 64
"""After a look at fewer records the plain way is taken so many times."""


def _count(flow: EspFlow, rows: list[Row]) -> None:
    if rows:
        frames, times, sizes, sequences = zip(*rows, strict=True)
        rows.clear()
        flow.add_many(frames.__getitem__, times.__getitem__, sizes, array("I", sequences))


def _clocks(reader: PcapngReader) -> dict[int, tuple[int, int]]:
    """Units a second and nanoseconds to add, of this section's Ethernet interfaces."""
    mine = enumerate(reader.interfaces[reader.first :])
    return {n: (i.units, i.offset * _BILLION) for n, i in mine if i.linktype == _ETHERNET}


def _kind(way: int, buf: mmap, at: int, size: int, word: int) -> str | None:
    """What a datagram is, as the Prefilter has it; empty: nothing that matters here; None: it is
    for the Prefilter to say."""
    shaped = size >= 28 and _WORD(buf, at + 24)[0] == size
    if way == IKE:
        # As looks_like_ike has it.
        sound = shaped and word and buf[at + 17] == 0x10 and buf[at + 18] in EXCHANGES
        return "ike" if sound else None
    if shaped or not word or way == LEAVE:
        return None
    if way == L2TP:
        return "l2tp"
    if word & CONTROL:
        return ""
    # Users' data is looked into whosever it is, control packets of PPP are not.
    at += 8 if buf[at + 6] == 0xFF and buf[at + 7] == 0x03 else 6
    return "" if word >> 16 == DATA and buf[at] & 0x81 == 0x80 else None


class UsualReader:
    """Reads on from where ``reader`` stands. Control packets go to ``out``, ESP to ``flows``."""

    def __init__(
        self,
        reader: PcapReader | PcapngReader,
        flows: EspFlows,
        out: list[Kept],
        share: Share | None = None,
    ) -> None:
        self._reader = reader
        self._flows = flows
        self._out = out
        self._met = Met(share)
        self._fast: UsualColumns | None = None
        self._plain = 0
        """So many times the plain way is taken, and always in the window that begins at:"""
        self._unfit = -1
        self._pending: dict[int, tuple[EspFlow, list[Row]]] = {}
        """By identity of the flow."""
        self._gathered = 0
        self.odd_pairs = False
        """IKE was seen between ports of which nothing is known: ESP may be at any port."""

    def count(self) -> None:
        """Hand all that was gathered to the flows."""
        if self._fast is not None:
            self._fast.stop()
        for flow, rows in self._pending.values():
            _count(flow, rows)
        self._gathered = 0

    def count_flow(self, flow: EspFlow) -> None:
        """The same for one flow, before it counts a packet in another way."""
        if id(flow) in self._pending:
            _count(*self._pending[id(flow)])
        if self._fast is not None:
            self._fast.count_flow(flow)

    def run(self, last_ns: int) -> int:
        """Move the reader to the next record that is not usual, or not in the window as a whole.
        The latest time seen, ``last_ns`` or later."""
        if self.odd_pairs:
            if self._fast is not None:
                self._fast.stop()
            return last_ns
        if self._columns():
            assert self._fast is not None
            return self._fast.run(last_ns)
        return self._one_by_one(last_ns)

    def packets(self) -> tuple[int, Iterator[Message]]:
        """Control packets that were passed last and are not in ``out``: how many, and each."""
        if self._fast is None or not self._fast.passed:
            return 0, iter(())
        count, self._fast.passed = self._fast.passed, 0
        return count, self._fast.packets

    def _columns(self) -> bool:
        """Whether many records were looked at by columns, now or before."""
        fast, reader = self._fast, self._reader
        if fast is not None and fast.walking:
            return True
        if self._unfit == reader.window.base or reader.window.end - reader.window.off < _MANY:
            return False
        if self._plain:
            self._plain -= 1
            return False
        if fast is None or fast.order != reader.order:
            np = columns.library() if columns.large(reader) else None
            if np is None:
                self._unfit = reader.window.base
                return False
            fast = self._fast = UsualColumns(np, reader, self._flows, self._met)
        self.count()
        count = fast.look()
        if count is None:
            self._unfit = reader.window.base
        elif count < _FEW:
            # Something stops it, of which there may be more.
            self._plain = _PAUSE
        return fast.walking

    def _one_by_one(self, last_ns: int) -> int:
        reader = self._reader
        window, number = reader.window, reader.number
        if window.off + _LEAST > window.end:
            return last_ns
        if self._gathered > _MOST_GATHERED:
            self.count()
        buf, off, end = window.buf, window.off, window.end
        known, put = self._met.known, self._out.append
        clocks: dict[int, tuple[int, int]] = {}
        header, scale, order = 28, 1, reader.order
        pcapng = isinstance(reader, PcapngReader)
        if isinstance(reader, PcapngReader):
            clocks = _clocks(reader)
            head = struct.Struct(order + "IIIIII").unpack_from
        else:
            header, scale = reader.header, reader.scale
            head = struct.Struct(order + "III").unpack_from
            end = end if reader.linktype == _ETHERNET else 0
        while off + _LEAST <= end:
            if pcapng:
                block, step, index, high, low, captured = head(buf, off)
                stop = off + step
                if block != EPB or captured + 32 > step or step & 3 or index not in clocks:
                    break
                units, offset = clocks[index]
                time_ns = (high << 32 | low) * _BILLION // units + offset
            else:
                seconds, fraction, captured = head(buf, off)
                stop = off + header + captured
                time_ns = seconds * _BILLION + fraction * scale
            at = off + header
            kind, total, fragment, ends, length, word, second, isakmp = _PACKET(buf, at)
            if (
                stop > end
                or captured > MAX_FRAME
                or kind & ALL_BUT_TOS != USUAL
                or fragment & ALL_BUT_TTL != WHOLE
                or total != length + 20
                or captured < total + 14
                or length < LEAST_UDP
            ):
                break
            found = known.get(ends)
            if found is None:
                found = self._met.meet(ends)
            way = found[0]
            if way == NATT and word:
                size = length - 8
                if isakmp == size >= 28:
                    break  # perhaps IKE without a marker
                rows = found[3].get(word)
                if rows is None:
                    rows = self._flow(ends, word, found)
                rows.append((number + 1, time_ns, size, second))
                if len(rows) >= _MOST_ROWS:
                    self._full(ends, word)
            elif way != SKIP:
                size, at = length - 8, at + HEADERS
                name = "ike-natt" if way == NATT else _kind(way, buf, at, size, word)
                if name is None:
                    break
                if name:
                    put(
                        Message(
                            (number + 1,), time_ns, found[1], found[2], buf[at : at + size],
                            False, 0, fragment >> 8 & 255, name,
                        )
                    )  # fmt: skip
            number += 1
            off = stop
            if time_ns > last_ns:
                last_ns = time_ns
        self._gathered += number - reader.number
        window.off, reader.number = off, number
        return last_ns

    def _flow(self, ends: bytes, spi: int, found: Ends) -> list[Row]:
        """Where packets of this flow are gathered; there may be too many flows."""
        flow = self._flows.get(ends, spi)
        if flow is None:
            key = FlowKey(*found.src, *found.dst, spi)
            flow = self._flows.create(ends, spi, key)
            if flow is None:
                return []
        rows = self._pending.setdefault(id(flow), (flow, []))[1]
        found.flows[spi] = rows
        return rows

    def _full(self, ends: bytes, spi: int) -> None:
        flow = self._flows.get(ends, spi)
        if flow is not None:
            self.count_flow(flow)
