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
from mmap import mmap
from typing import NamedTuple

from vpndiag.capture import ip
from vpndiag.capture.flow_table import EspFlows
from vpndiag.capture.flow_values import FlowKey
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.packets import Datagram, Kept
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, PcapngReader
from vpndiag.capture.ports import EXCHANGES
from vpndiag.capture.share import Share

_BILLION = 1_000_000_000
_ETHERNET = 1
_HEADERS = 42
"""Bytes of the Ethernet, IPv4 and UDP headers."""
_PACKET = struct.Struct("!12xIH2xI2x12sH2xII16xI").unpack_from
"""Ethernet type, version and header length, type of service; total length; fragment bits, TTL,
protocol; addresses and ports; UDP length; of what is behind it, the first two words and the one
that is the length in an ISAKMP header."""
_USUAL, _ALL_BUT_TOS = 0x08004500, 0xFFFFFF00
"""IPv4 without options in Ethernet."""
_WHOLE, _ALL_BUT_TTL = ip.UDP, 0x3FFF00FF
"""No fragment, of UDP."""
_WORD = struct.Struct("!I").unpack_from
_LEAST = 80
"""Bytes of the shortest record that is looked at; the window may be read a little beyond (PAD)."""
_MOST_ENDS = 65_536
_MOST_ROWS = 64
"""Packets of a flow that are gathered."""
_MOST_GATHERED = 65_536
_CONTROL = 0x80000000
"""The T bit of L2TP's header (RFC 2661 section 3.1)."""
_DATA = 2
"""Flags and version of a data message without any field that may be left out."""

_LEAVE, _SKIP, _IKE, _NATT, _L2TP, _OTHERS_L2TP = range(6)


_Row = tuple[int, int, int, int]
"""Frame number, nanoseconds, bytes of ESP, sequence number."""


class _Ends(NamedTuple):
    """Two ends in one direction, and what goes between them. ``flows``: packets not yet counted, by
    SPI."""

    way: int
    src: str
    sport: int
    dst: str
    dport: int
    flows: dict[int, list[_Row]]


def _count(flow: EspFlow, rows: list[_Row]) -> None:
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
    if way == _IKE:
        # As looks_like_ike has it.
        sound = shaped and word and buf[at + 17] == 0x10 and buf[at + 18] in EXCHANGES
        return "ike" if sound else None
    if shaped or not word or way == _LEAVE:
        return None
    if way == _L2TP:
        return "l2tp"
    if word & _CONTROL:
        return ""
    # Users' data is looked into whosever it is, control packets of PPP are not.
    at += 8 if buf[at + 6] == 0xFF and buf[at + 7] == 0x03 else 6
    return "" if word >> 16 == _DATA and buf[at] & 0x81 == 0x80 else None


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
        self._share = share
        self._ends: dict[bytes, _Ends] = {}
        self._pending: dict[int, tuple[EspFlow, list[_Row]]] = {}
        """By identity of the flow."""
        self._gathered = 0
        self.odd_pairs = False
        """IKE was seen between ports of which nothing is known: ESP may be at any port."""

    def count(self) -> None:
        """Hand all that was gathered to the flows."""
        for flow, rows in self._pending.values():
            _count(flow, rows)
        self._gathered = 0

    def count_flow(self, flow: EspFlow) -> None:
        """The same for one flow, before it counts a packet in another way."""
        if id(flow) in self._pending:
            _count(*self._pending[id(flow)])

    def run(self, last_ns: int) -> int:
        """Move the reader to the next record that is not usual, or not in the window as a whole.
        The latest time seen, ``last_ns`` or later."""
        reader = self._reader
        window, number = reader.window, reader.number
        if self.odd_pairs or window.off + _LEAST > window.end:
            return last_ns
        if self._gathered > _MOST_GATHERED:
            self.count()
        buf, off, end = window.buf, window.off, window.end
        known, put = self._ends, self._out.append
        clocks: dict[int, tuple[int, int]] = {}
        header, scale, index, first, order = 28, 1, 0, 0, reader.order
        pcapng = isinstance(reader, PcapngReader)
        if isinstance(reader, PcapngReader):
            clocks, first = _clocks(reader), reader.first
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
                or kind & _ALL_BUT_TOS != _USUAL
                or fragment & _ALL_BUT_TTL != _WHOLE
                or total != length + 20
                or captured < total + 14
                or length < 16
            ):
                break
            found = known.get(ends)
            if found is None:
                found = self._met(ends)
            way = found[0]
            if way == _NATT and word:
                size = length - 8
                if isakmp == size >= 28:
                    break  # perhaps IKE without a marker
                rows = found[5].get(word)
                if rows is None:
                    rows = self._flow(ends, word, found)
                rows.append((number + 1, time_ns, size, second))
                if len(rows) >= _MOST_ROWS:
                    self._full(ends, word)
            elif way != _SKIP:
                size, at = length - 8, at + _HEADERS
                name = "ike-natt" if way == _NATT else _kind(way, buf, at, size, word)
                if name is None:
                    break
                if name:
                    put(
                        Datagram(
                            (number + 1,), time_ns, found[1], found[2], found[3], found[4],
                            buf[at : at + size], 0, name, fragment >> 8 & 255, first + index, "",
                        )
                    )  # fmt: skip
            number += 1
            off = stop
            if time_ns > last_ns:
                last_ns = time_ns
        self._gathered += number - reader.number
        window.off, reader.number = off, number
        return last_ns

    def _met(self, ends: bytes) -> _Ends:
        """Two ends seen for the first time."""
        src, dst = ip.address(ends[:4]), ip.address(ends[4:8])
        sport, dport = int.from_bytes(ends[8:10], "big"), int.from_bytes(ends[10:], "big")
        ports = sport, dport
        way = _LEAVE
        if 4500 in ports:
            way = _NATT
        elif 500 in ports:
            way = _IKE
        elif 1701 in ports:
            way = _L2TP
        if way != _LEAVE and self._share is not None and not self._share.has(src, dst):
            way = _OTHERS_L2TP if way == _L2TP else _SKIP
        if len(self._ends) >= _MOST_ENDS:
            self._ends.clear()
        found = self._ends[ends] = _Ends(way, src, sport, dst, dport, {})
        return found

    def _flow(self, ends: bytes, spi: int, found: _Ends) -> list[_Row]:
        """Where packets of this flow are gathered; there may be too many flows."""
        flow = self._flows.get(ends, spi)
        if flow is None:
            key = FlowKey(found.src, found.sport, found.dst, found.dport, spi)
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
