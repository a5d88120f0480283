"""Counting ESP at the speed of a loop over ``struct.unpack_from``.

Nearly all packets of a bulk capture are ESP of a few flows, in frames that all look alike. A
:class:`Layout` reads the constant places of such a frame, record header included, with one
precompiled struct; what matches a flow already known is only appended to that flow's columns, and
the columns are counted once per window (:meth:`EspFlow.add_many`). Whatever does not match goes
the slow way, which judges it in full."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from typing import Any

from vpndiag.capture.flows import EspFlow
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import PcapngReader

_BILLION = 1_000_000_000
_MAX_FLOWS = 1024
# (ends, mark, the four columns), loosely typed for the loop's sake.
Entry = tuple[bytes | None, int, Any, Any, Any, Any]
_NO_ENTRY: Entry = (None, -1, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Layout:
    """Frames whose IP header, without options, starts ``at`` bytes into the frame."""

    at: int
    version: int
    udp: bool

    @property
    def headers(self) -> int:
        """Bytes that the IP header's length counts and that are not ESP."""
        return (20 if self.version == 4 else 0) + (8 if self.udp else 0)

    @property
    def span(self) -> int:
        """Bytes of a frame up to and with the ESP sequence number."""
        return self.at + (20 if self.version == 4 else 40) + (8 if self.udp else 0) + 8

    def fields(self) -> str:
        """struct codes for: length, mark, ends, SPI, sequence number.

        The mark is what a flow's frames have in common in the IP header besides the addresses:
        fragment word, time to live and protocol, or next header and hop limit.
        """
        ports = 4 if self.udp else 0
        skip = "4x" if self.udp else ""
        if self.version == 4:
            return f"{self.at}x2xH2xI2x{8 + ports}s{skip}II"
        return f"{self.at}x4xHH{32 + ports}s{skip}II"


@dataclass(slots=True)
class _Columns:
    """Of the packets of one flow in this window: frame number, record offset, length, sequence
    number (both as the struct read them)."""

    flow: EspFlow
    frames: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)


def interfaces_alike(reader: PcapReader | PcapngReader) -> bool:
    """Whether all interfaces of the section keep time in the same way."""
    if isinstance(reader, PcapReader):
        return True
    mine = reader.interfaces[reader.first :]
    return len({(i.units, i.offset) for i in mine}) == 1


class BulkCounter:
    """The fast way through a reader's window for one layout at a time."""

    def __init__(self, reader: PcapReader | PcapngReader, layout: Layout) -> None:
        self._reader = reader
        self.layout = layout
        self._entries: dict[int, Entry] = {}
        self._columns: dict[int, _Columns] = {}
        self._order = reader.order
        little = reader.order == "<"
        self._swap = little
        body = layout.fields()
        # Only the step to the next record is read of its header; times are looked up when needed.
        if isinstance(reader, PcapReader):
            head, self._extra = "8xI4x" + ("8x" if reader.header == 24 else ""), reader.header
        else:
            head, self._extra = "4xI20x", 0
        self._struct = struct.Struct(reader.order + head + body)
        self._body = reader.header if isinstance(reader, PcapReader) else 28
        self._mark = struct.Struct(reader.order + ("I" if layout.version == 4 else "H"))
        self._words = struct.Struct(reader.order + "II").unpack_from

    @property
    def stale(self) -> bool:
        """Whether the reader has moved to a section of the other byte order."""
        return self._reader.order != self._order

    def learn(self, ends: bytes, spi: int, flow: EspFlow, data: bytes) -> None:
        """Count this flow here from now on, when its frames look like ``data``. Of two flows with
        one SPI the first stays."""
        raw = int.from_bytes(spi.to_bytes(4, "big"), "little") if self._swap else spi
        known = self._columns.get(raw)
        if known is None:
            if len(self._columns) >= _MAX_FLOWS:
                return
            known = self._columns[raw] = _Columns(flow)
        elif known.flow is not flow:
            return
        (mark,) = self._mark.unpack_from(data, self.layout.at + 6)
        self._entries[raw] = (
            ends,
            mark,
            known.frames,
            known.offsets,
            known.lengths,
            known.sequences,
        )

    def run(self) -> None:
        """Count from the window's offset on until a record that is not ours, or needs a refill."""
        window, number, extra = self._reader.window, self._reader.number, self._extra
        buf, off, end = window.buf, window.off, window.end
        unpack, get, none = self._struct.unpack_from, self._entries.get, _NO_ENTRY
        smallest = self._struct.size - extra
        limit = end - self._struct.size
        step = 0
        put1: Any = None
        put2: Any = None
        put3: Any = None
        put4: Any = None
        while off <= limit:
            step, length, mark, ends, spi, sequence = unpack(buf, off)
            want, alike, put1, put2, put3, put4 = get(spi, none)
            # A step that is too short is damage, and zero would never end.
            if want != ends or mark != alike or step < smallest:
                break
            number += 1
            put1.append(number)
            put2.append(off)
            put3.append(length)
            put4.append(sequence)
            off += step + extra
        if off > end:
            # The last one reaches beyond the window: read again, with all its checks.
            for put in (put1, put2, put3, put4):
                put.pop()
            number -= 1
            off -= step + extra
        window.off, self._reader.number = off, number

    def flush(self) -> None:
        """Hand the columns to the flows; must be done before the window moves."""
        for columns in self._columns.values():
            if columns.frames:
                self._flush(columns)

    def flush_flow(self, flow: EspFlow) -> None:
        """Hand over one flow's columns, before the flow counts something the slow way."""
        for columns in self._columns.values():
            if columns.flow is flow and columns.frames:
                self._flush(columns)

    def _time(self, off: int) -> int:
        reader = self._reader
        if isinstance(reader, PcapReader):
            seconds, fraction = self._words(reader.window.buf, off)
            return int(seconds * _BILLION + fraction * reader.scale)
        high, low = self._words(reader.window.buf, off + 12)
        interface = reader.interfaces[reader.first]
        ticks = high << 32 | low
        return int(ticks * _BILLION // interface.units + interface.offset * _BILLION)

    def _flush(self, columns: _Columns) -> None:
        offsets = columns.offsets
        sizes, sequences = array("H", columns.lengths), array("I", columns.sequences)
        if self._swap:
            sizes.byteswap()
            sequences.byteswap()
        time = self._time
        columns.flow.add_many(
            columns.frames,
            lambda index: time(offsets[index]),
            sizes,
            sequences,
            self.layout.headers,
        )
        columns.frames.clear()
        offsets.clear()
        columns.lengths.clear()
        columns.sequences.clear()
