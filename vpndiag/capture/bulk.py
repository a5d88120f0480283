"""Counting ESP at the speed of a loop over ``struct.unpack_from``.

Nearly all packets of a bulk capture are ESP of a few flows, in frames that all look alike. A
:class:`Layout` reads the constant places of such a frame, record header included, with one
precompiled struct; what matches a flow already known is only appended to that flow's columns, and
the columns are counted once per window (:meth:`EspFlow.add_many`). Whatever does not match goes
the slow way, which judges it in full."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vpndiag.capture.flows import EspFlow
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import PcapngReader

_BILLION = 1_000_000_000
Row = tuple[Any, ...]
Entry = tuple[bytes | None, Callable[[Row], None] | None, Callable[[int], None] | None]
_NO_ENTRY: Entry = (None, None, None)


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
        """struct codes for: length, fragment word or next header, ends, SPI, sequence number."""
        ports = 4 if self.udp else 0
        skip = "4x" if self.udp else ""
        if self.version == 4:
            return f"{self.at}x2xH2xH4x{8 + ports}s{skip}II"
        return f"{self.at}x4xHBx{32 + ports}s{skip}II"


@dataclass(slots=True)
class _Columns:
    flow: EspFlow
    rows: list[Row] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)


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
        if isinstance(reader, PcapReader):
            head = "III4x" + ("8x" if reader.header == 24 else "")
        else:
            head = "4xI4xII8x"
        self._struct = struct.Struct(reader.order + head + body)
        if layout.version == 4:
            # Neither offset nor more-fragments bit; with or without don't-fragment.
            self._marks = (0, 0x0040 if little else 0x4000)
        else:
            self._marks = (17, 17) if layout.udp else (50, 50)

    @property
    def stale(self) -> bool:
        """Whether the reader has moved to a section of the other byte order."""
        return self._reader.order != self._order

    def learn(self, ends: bytes, spi: int, flow: EspFlow) -> None:
        """Count this flow here from now on. Of two flows with one SPI the first stays."""
        raw = int.from_bytes(spi.to_bytes(4, "big"), "little") if self._swap else spi
        if raw not in self._entries and len(self._entries) < 1024:
            columns = self._columns[raw] = _Columns(flow)
            self._entries[raw] = (ends, columns.rows.append, columns.frames.append)

    def run(self) -> None:
        """Count from the window's offset on until a record that is not ours, or needs a refill."""
        if isinstance(self._reader, PcapReader):
            self._run_pcap(self._reader)
        else:
            self._run_pcapng(self._reader)

    def _run_pcap(self, reader: PcapReader) -> None:
        window, head = reader.window, reader.header
        buf, off, end, number = window.buf, window.off, window.end, reader.number
        unpack, get, none = self._struct.unpack_from, self._entries.get, _NO_ENTRY
        mark1, mark2 = self._marks
        limit = end - self._struct.size
        captured = 0
        put: Any = None
        while off <= limit:
            _, _, captured, _, mark, ends, spi, _ = row = unpack(buf, off)
            want, put, frame = get(spi, none)
            if want != ends or (mark != mark1 and mark != mark2):
                break
            number += 1
            put(row)
            frame(number)
            off += captured + head
        if off > end:
            # The last one reaches beyond the window: read again, with all its checks.
            put.__self__.pop()
            frame.__self__.pop()
            number -= 1
            off -= captured + head
        window.off, reader.number = off, number

    def _run_pcapng(self, reader: PcapngReader) -> None:
        window = reader.window
        buf, off, end, number = window.buf, window.off, window.end, reader.number
        unpack, get, none = self._struct.unpack_from, self._entries.get, _NO_ENTRY
        mark1, mark2 = self._marks
        smallest = self._struct.size
        limit = end - smallest
        size = 0
        put: Any = None
        while off <= limit:
            size, _, _, _, mark, ends, spi, _ = row = unpack(buf, off)
            want, put, frame = get(spi, none)
            if want != ends or (mark != mark1 and mark != mark2) or size < smallest:
                break
            number += 1
            put(row)
            frame(number)
            off += size
        if off > end:
            put.__self__.pop()
            frame.__self__.pop()
            number -= 1
            off -= size
        window.off, reader.number = off, number

    def flush(self) -> None:
        """Hand the columns to the flows."""
        for columns in self._columns.values():
            if columns.rows:
                self._flush(columns)

    def flush_flow(self, flow: EspFlow) -> None:
        """Hand over one flow's columns, before the flow counts something the slow way."""
        for columns in self._columns.values():
            if columns.flow is flow and columns.rows:
                self._flush(columns)

    def _flush(self, columns: _Columns) -> None:
        rows, frames = columns.rows, columns.frames
        first, second, third, lengths, _, _, _, raw = zip(*rows, strict=True)
        reader = self._reader
        if isinstance(reader, PcapReader):
            scale = reader.scale
            times = [s * _BILLION + f * scale for s, f in zip(first, second, strict=True)]
        else:
            interface = reader.interfaces[reader.first]
            units, offset = interface.units, interface.offset * _BILLION
            times = [
                (h << 32 | low) * _BILLION // units + offset
                for h, low in zip(second, third, strict=True)
            ]
        sizes, sequences = array("H", lengths), array("I", raw)
        if self._swap:
            sizes.byteswap()
            sequences.byteswap()
        columns.flow.add_many(frames, times, sizes, sequences, self.layout.headers)
        rows.clear()
        frames.clear()
