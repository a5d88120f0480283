"""Counting ESP many packets at a time.

Nearly all packets of a bulk capture are ESP of a few flows, in frames that all look alike. The only
loop over single packets here is the walk from record to record; it takes the headers of each frame
as one piece of bytes. The pieces of a window, joined, are records of one length, so that every
header byte is a column: a slice with a stride. Columns are compared and counted at the speed of C.
A frame of which any byte that matters differs from what is known goes the slow way, which judges
it in full, in its turn."""

from __future__ import annotations

import re
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from itertools import compress
from typing import Any

from vpndiag.capture import columns
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.layout import Layout, frame_bytes
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, PcapngReader
from vpndiag.records import record

_BILLION = 1_000_000_000
#: Fewer packets of a flow in a window go the slow way: less work than their columns.
_FEW = 4
_NATT = (4500).to_bytes(2, "big")
#: A column with more values is split by a dictionary.
_MAX_SPLIT = 8
#: After a walk that brought less than this, so many frames go the slow way at once.
_SHORT_WALK, _PAUSE = 16, 64


@cache
def _others(allowed: bytes) -> re.Pattern[bytes]:
    return re.compile(b"(?s)[^" + re.escape(allowed) + b"]")


@record(slots=True)
class _Stretch:
    """Packets of one flow in this walk: their places in it, IP lengths and sequence numbers;
    ``done`` are counted. ``flow`` is None until its first packet has gone the slow way."""

    flow: EspFlow | None
    places: Sequence[int]
    lengths: Sequence[int]
    sequences: Sequence[int]
    times: Any = None
    done: int = 0


class BulkCounter:
    """The fast way through a reader's window for one layout; ``data`` is a frame in it."""

    def __init__(self, reader: PcapReader | PcapngReader, layout: Layout, data: bytes) -> None:
        self._reader = reader
        self.layout = layout
        self._flows: dict[bytes, EspFlow] = {}
        self._order = reader.order
        self._words = struct.Struct(reader.order + "II").unpack_from
        span = layout.esp + 8
        self._pcapng = isinstance(reader, PcapngReader)
        if isinstance(reader, PcapReader):
            # The piece starts behind the captured length.
            before, self._extra, self._low = reader.header - 12, reader.header, span
            self._struct = struct.Struct(f"{reader.order}8xI{before + span}s")
        else:
            # The piece starts with the length on the wire; interface and captured length are read.
            before, self._extra, self._low = 4, 0, span
            self._struct = struct.Struct(f"{reader.order}III8xI{before + span}s")
        self._width = before + span
        self._blank = bytes(self._width)
        self._checks = [(before + at, allowed) for at, allowed in frame_bytes(layout, data)]
        ip = before + layout.at
        self._length = ip + (2 if layout.version == 4 else 4)
        esp = before + layout.esp
        self._udp_length = esp - 4 if layout.udp else 0
        ends = (ip + 12, ip + 20) if layout.version == 4 else (ip + 8, ip + 40)
        # Addresses and ports follow each other, as the flows' keys have them.
        self._ends = ends[0], ends[1] + (4 if layout.udp else 0)
        self._esp = esp
        self._key = [*range(esp, esp + 4), *range(*self._ends)]
        self._least = layout.headers + 8
        self._columns: columns.Columns | None = None
        self._asked = False
        # The present walk.
        self._offsets: Sequence[int] = ()
        self._base = 0
        self._stop = 0
        self._slow: list[int] = []
        self._slow_at = 0
        self._walking = False
        self._pause = 0
        self._stretches: list[_Stretch] = []
        #: Stretches of flows not met before, by key.
        self._new: dict[bytes, _Stretch] = {}
        self._heads: dict[int, bytes] = {}

    @property
    def stale(self) -> bool:
        """Whether the reader has moved to a section of the other byte order."""
        return self._reader.order != self._order

    def learn(self, ends: bytes, spi: int, flow: EspFlow) -> None:
        """Count this flow here from now on."""
        key = spi.to_bytes(4, "big") + ends
        self._flows[key] = flow
        stretch = self._new.pop(key, None)
        if stretch is not None:
            stretch.flow = flow

    def run(self) -> None:
        """Move the reader to the next record that must go the slow way, or needs a refill."""
        if self._new and self._slow_at and self._slow[self._slow_at - 1] in self._heads:
            self._first_seen(self._slow[self._slow_at - 1])
        if not self._walking:
            if self._pause or self.stale:
                self._pause = max(0, self._pause - 1)
                return
            self._walk()
        if self._slow_at < len(self._slow):
            place = self._slow[self._slow_at]
            self._slow_at += 1
            self._reader.window.off = self._offsets[place]
            self._reader.number = self._base + place
        else:
            self._reader.window.off = self._stop
            self._reader.number = self._base + len(self._offsets)
            self.flush()

    def flush(self) -> None:
        """Hand what is counted to the flows; must be done before the window moves."""
        if self._walking:
            self._walking = False
            done = self._reader.number - self._base
            for stretch in self._stretches:
                self._count(stretch, done)
            self._stretches.clear()
            self._new.clear()
            self._heads.clear()

    def flush_flow(self, flow: EspFlow) -> None:
        """Hand over one flow's packets so far, before the flow counts something the slow way."""
        if self._walking:
            # The packet that goes the slow way is numbered already.
            done = self._reader.number - 1 - self._base
            for stretch in self._stretches:
                if stretch.flow is flow:
                    self._count(stretch, done)

    def _open(
        self,
        key: bytes,
        places: Sequence[int],
        lengths: Sequence[int],
        sequences: Sequence[int],
        times: Any = None,
    ) -> bool:
        """Count the packets of a key here; False: they must go the slow way. The first packet of a
        flow not met before does so, and makes the flow known (:meth:`learn`)."""
        flow = self._flows.get(key)
        if flow is not None:
            self._stretches.append(_Stretch(flow, places, lengths, sequences, times))
            return True
        ports = key[-4:-2], key[-2:]
        if len(places) < _FEW or (self.layout.udp and (_NATT not in ports or key[:4] == bytes(4))):
            return False
        self._new[key] = stretch = _Stretch(None, places, lengths, sequences, times, 1)
        self._stretches.append(stretch)
        self._heads[places[0]] = key
        return True

    def _first_seen(self, place: int) -> None:
        """The first packet of a new key went the slow way. If it was no ESP after all, or there
        are too many flows, all new keys of this walk go that way."""
        if self._heads.pop(place) not in self._new:
            return
        rest = [p for stretch in self._new.values() for p in stretch.places[1:]]
        self._stretches = [s for s in self._stretches if s.flow is not None]
        self._slow = sorted({*self._slow, *rest})
        self._slow_at = bisect_left(self._slow, place) + 1
        self._new.clear()
        self._heads.clear()

    def _numpy(self) -> columns.Columns | None:
        """The faster way for a long capture, where numpy is."""
        reader = self._reader
        if self._asked or not columns.large(reader):
            return self._columns
        self._asked = True
        # There a row starts with the record, here behind what is read apart.
        shift = 24 if self._pcapng else 12
        fields = columns.Fields(
            checks=[(at + shift, allowed) for at, allowed in self._checks],
            key=[at + shift for at in self._key],
            length=self._length + shift,
            udp_length=self._udp_length + shift if self._udp_length else None,
            skip=self.layout.headers - 8,
            least=self._least,
            sequence=self._esp + 4 + shift,
            low=self._low,
        )
        np = columns.library()
        if np is not None and columns.possible(fields):
            self._columns = columns.Columns(np, reader, fields)
        return self._columns

    def _walk(self) -> None:
        with_columns = self._numpy()
        if with_columns is not None:
            self._walk_columns(with_columns)
            return
        reader = self._reader
        window = reader.window
        buf, off, end = window.buf, window.off, window.end
        rows: list[bytes] = []
        offsets: list[int] = []
        put, mark = rows.append, offsets.append
        unpack, extra, low, blank = self._struct.unpack_from, self._extra, self._low, self._blank
        limit = end - self._struct.size
        ours, most = self._ours(), MAX_FRAME
        if self._pcapng:
            while off <= limit:
                kind, step, interface, captured, piece = unpack(buf, off)
                if kind != EPB or not captured <= step - 32 <= most or step & 3:
                    break
                put(piece if captured >= low and interface in ours else blank)
                mark(off)
                off += step
        else:
            while off <= limit:
                step, piece = unpack(buf, off)
                if low <= step:
                    if step > MAX_FRAME:
                        break
                    put(piece)
                else:
                    put(blank)
                mark(off)
                off += step + extra
        if off > end:
            # The last one reaches beyond the window: read again, with all its checks.
            off = offsets.pop()
            rows.pop()
        self._begin(offsets, off)
        if rows:
            self._sort(rows)

    def _walk_columns(self, fast: columns.Columns) -> None:
        window = self._reader.window
        walked = fast.walk(window.off, window.end)
        slow, groups = fast.sort(walked, self._ours())
        count = len(slow)
        for group in groups:
            if not self._open(*group):
                slow += group.places
        if len(slow) > count:
            slow.sort()
        self._begin(memoryview(walked.offsets), walked.stop)
        self._take_slow(slow)

    def _begin(self, offsets: Sequence[int], stop: int) -> None:
        self._offsets, self._base, self._stop = offsets, self._reader.number, stop
        self._slow, self._slow_at, self._walking = [], 0, True
        if len(offsets) < _SHORT_WALK:
            self._pause = _PAUSE

    def _take_slow(self, places: list[int]) -> None:
        """These go the slow way, and the first of each new key."""
        self._slow = sorted([*places, *self._heads]) if self._heads else places

    def _sort(self, rows: list[bytes]) -> None:
        """Tell the flows' packets from what goes the slow way."""
        joined, width = b"".join(rows), self._width
        bad: set[int] = set()
        for at, allowed in self._checks:
            column = joined[at::width]
            if column.translate(None, allowed):
                bad.update(found.start() for found in _others(allowed).finditer(column))
        self._lengths(joined, bad)
        places: Sequence[int] = range(len(rows))
        if bad:
            places = [place for place in places if place not in bad]
            rows = [rows[place] for place in places]
            joined = b"".join(rows)
        if rows:
            self._split(rows, joined, places, 0, bad)
        self._take_slow(sorted(bad))

    def _ours(self) -> frozenset[int]:
        """Interfaces of this section with the layout's link type."""
        reader = self._reader
        first = reader.first if isinstance(reader, PcapngReader) else 0
        mine = reader.interfaces[first:]
        return frozenset(n for n, i in enumerate(mine) if i.linktype == self.layout.linktype)

    def _words_of(self, joined: bytes, at: int, size: int) -> bytes:
        """A big-endian column of ``size`` bytes an entry."""
        column = bytearray(size * (len(joined) // self._width))
        for place in range(size):
            column[place::size] = joined[at + place :: self._width]
        return bytes(column)

    def _lengths(self, joined: bytes, bad: set[int]) -> None:
        """The IP and UDP lengths must agree, and leave room for a sequence number."""
        lengths = _numbers("H", self._words_of(joined, self._length, 2))
        least = self._least
        if min(lengths) < least:
            bad.update(place for place, length in enumerate(lengths) if length < least)
        if self._udp_length:
            skip = self.layout.headers - 8
            theirs = _numbers("H", self._words_of(joined, self._udp_length, 2))
            if skip:
                # All at once, as the digits of one long number.
                count = len(theirs)
                ours = int.from_bytes(lengths.tobytes(), sys.byteorder)
                less = int.from_bytes(theirs.tobytes(), sys.byteorder)
                agree = ours - less == skip * _ones(count)
            else:
                agree = lengths == theirs
            if not agree:
                pairs = enumerate(zip(lengths, theirs, strict=True))
                bad.update(place for place, (one, two) in pairs if one - two != skip)

    def _split(
        self, rows: list[bytes], joined: bytes, places: Sequence[int], at: int, bad: set[int]
    ) -> None:
        """Part rows of several flows by the columns of the key from the one at ``at`` on."""
        width, count = self._width, len(rows)
        for index in range(at, len(self._key)):
            column = joined[self._key[index] :: width]
            if column.count(column[0]) == count:
                continue
            values = set(column)
            if len(values) > _MAX_SPLIT:
                self._split_by_key(rows, places, bad)
                return
            for value in values:
                chosen = column.translate(_only(value))
                part = list(compress(rows, chosen))
                mine = list(compress(places, chosen))
                self._split(part, b"".join(part), mine, index + 1, bad)
            return
        self._found(rows[0], joined, places, bad)

    def _split_by_key(self, rows: list[bytes], places: Sequence[int], bad: set[int]) -> None:
        (start, stop), esp = self._ends, self._esp
        parts: dict[bytes, tuple[list[bytes], list[int]]] = {}
        for row, place in zip(rows, places, strict=True):
            key = row[esp : esp + 4] + row[start:stop]
            part = parts.get(key)
            if part is None:
                part = parts[key] = [], []
            part[0].append(row)
            part[1].append(place)
        for mine, theirs in parts.values():
            if len(mine) < _FEW:
                bad.update(theirs)
            else:
                self._found(mine[0], b"".join(mine), theirs, bad)

    def _found(self, row: bytes, joined: bytes, places: Sequence[int], bad: set[int]) -> None:
        """Rows with one key."""
        (start, stop), esp = self._ends, self._esp
        lengths = _numbers("H", self._words_of(joined, self._length, 2))
        sequences = _numbers("I", self._words_of(joined, esp + 4, 4))
        if not self._open(row[esp : esp + 4] + row[start:stop], places, lengths, sequences):
            bad.update(places)

    def _time(self, off: int) -> int:
        reader = self._reader
        if isinstance(reader, PcapReader):
            seconds, fraction = self._words(reader.window.buf, off)
            return int(seconds * _BILLION + fraction * reader.scale)
        number, high = self._words(reader.window.buf, off + 8)
        low = self._words(reader.window.buf, off + 16)[0]
        interface = reader.interfaces[reader.first + number]
        ticks = high << 32 | low
        return int(ticks * _BILLION // interface.units + interface.offset * _BILLION)

    def _count(self, stretch: _Stretch, done: int) -> None:
        """Count a stretch's packets before place ``done``."""
        flow, places, start = stretch.flow, stretch.places, stretch.done
        stop = bisect_left(places, done, start)
        if stop == start or flow is None:
            return
        stretch.done = stop
        lengths, sequences, times = stretch.lengths, stretch.sequences, stretch.times
        if start or stop < len(places):
            places = places[start:stop]
            lengths, sequences = lengths[start:stop], sequences[start:stop]
            times = None if times is None else times[start:stop]
        offsets, time, base = self._offsets, self._time, self._base + 1
        flow.add_many(
            lambda index: base + places[index],
            lambda index: time(offsets[places[index]]),
            lengths,
            sequences,
            self.layout.headers,
            self._columns.seen(lengths, sequences, times) if self._columns is not None else None,
        )


def _numbers(kind: str, column: bytes) -> array[int]:
    numbers = array(kind, column)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


@cache
def _only(value: int) -> bytes:
    return bytes(byte == value for byte in range(256))


def _ones(count: int) -> int:
    return int.from_bytes(array("H", (1,)).tobytes() * count, sys.byteorder)
