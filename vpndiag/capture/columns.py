"""The column work of :mod:`vpndiag.capture.bulk` by numpy, where it is installed: for millions of
packets a third less time (pcap), or half (pcapng). What it finds is what the plain Python finds.

The headers of a window's frames, record headers first, are gathered into rows of 8-byte words.
Every test of header bytes is then a mask on a word, for all rows at once."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, PcapngReader
from vpndiag.capture.stream import PAD

if TYPE_CHECKING:
    from types import ModuleType

#: Bytes of capture from which importing numpy (0.1 s, 15 MiB) pays.
LARGE = 128 * 1024 * 1024
#: Rows of fewer packets are not worth the calls.
FEW = 64
#: Flows told apart by one comparison of all rows each; more of them by sorting.
_PEELED = 6


@cache
def library() -> ModuleType | None:
    """numpy, None where it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def large(reader: PcapReader | PcapngReader) -> bool:
    """Whether the file is, or has turned out to be, long enough for numpy."""
    return max(reader.window.total, reader.window.base) >= LARGE


class Fields(NamedTuple):
    """Where in a row things are: ``checks`` are (offset, allowed values); ``key`` the offsets of
    the bytes that tell flows apart; ``length`` and ``udp_length`` (None without UDP) those of the
    16-bit lengths, ``skip`` how much less the second one is; ``least`` the smallest IP length;
    ``sequence`` that of the sequence number; ``low`` the fewest captured bytes."""

    checks: Sequence[tuple[int, bytes]]
    key: Sequence[int]
    length: int
    udp_length: int | None
    skip: int
    least: int
    sequence: int
    low: int


def possible(fields: Fields) -> bool:
    """Whether the rows fit behind a window's end, and the checks into masks."""
    return fields.sequence + 16 <= PAD and all(_mask(each)[0] >= 0 for _, each in fields.checks)


class Group(NamedTuple):
    """Rows with one key: its bytes, their numbers, IP lengths and sequence numbers."""

    key: bytes
    places: Sequence[int]
    lengths: array[int]
    sequences: array[int]


class Columns:
    """Walks and sorts a reader's window for one layout."""

    def __init__(self, np: ModuleType, reader: PcapReader | PcapngReader, fields: Fields) -> None:
        self._np: Any = np
        self._reader = reader
        self._fields = fields
        self._order = reader.order
        self._pcapng = isinstance(reader, PcapngReader)
        if isinstance(reader, PcapReader):
            self._extra, self._captured, where = reader.header, 8, 8
        else:
            self._extra, self._captured, where = 0, 20, 4
        self._size = struct.Struct(f"{reader.order}{where}xI").unpack_from
        self._width = fields.sequence + 4 + -(fields.sequence + 4) % 8
        buf = reader.window.buf
        # A row starts at every byte; gathering is one copy a row.
        self._rows = np.ndarray((len(buf) - self._width + 1,), f"V{self._width}", buf, strides=(1,))
        masks, wanted = bytearray(self._width), bytearray(self._width)
        for at, allowed in fields.checks:
            masks[at], wanted[at] = _mask(allowed)
        self._masks = [
            (index, mask, want)
            for index, (mask, want) in enumerate(
                zip(np.frombuffer(masks, "u8"), np.frombuffer(wanted, "u8"), strict=True)
            )
            if mask
        ]
        keys = bytearray(self._width)
        for at in fields.key:
            keys[at] = 255
        self._keys = [(index, mask) for index, mask in enumerate(np.frombuffer(keys, "u8")) if mask]

    def walk(self, off: int, end: int) -> tuple[Sequence[int], int]:
        """Offsets of the records wholly before ``end``, and of where that stops."""
        np, buf, unpack, extra = self._np, self._reader.window.buf, self._size, self._extra
        limit = end - self._width
        found = np.zeros(0, np.int64)
        if self._pcapng and limit > off:
            found, off = self._packet_blocks(off, limit)
        offsets: list[int] = []
        mark = offsets.append
        while off <= limit:
            mark(off)
            step = unpack(buf, off)[0] + extra
            if step < 12:
                # Damage, which would hold us here.
                break
            off += step
        if offsets:
            found = np.concatenate((found, np.array(offsets, np.int64)))
        if off > end:
            # The last one reaches beyond the window: read again, with all its checks.
            off = int(found[-1])
            found = found[:-1]
        return memoryview(found), off

    def _packet_blocks(self, off: int, limit: int) -> tuple[Any, int]:
        """Packet blocks in a row from ``off`` on, and where the last one ends: words that could be
        their type, as far as each is where the one before ends."""
        np, buf = self._np, self._reader.window.buf
        words = np.frombuffer(buf, self._order + "u4", (limit - off) // 4 + 1, off)
        found = np.flatnonzero(words == EPB)
        if not len(found) or found[0]:
            return found[:0], off
        # The type of the last one may be the last word looked at; its size is still in the buffer.
        sizes = np.frombuffer(buf, self._order + "u4", len(words) + 1, off)[found + 1]
        found = found * 4 + off
        ends = found + sizes
        apart = ends[:-1] != found[1:]
        if apart.any():
            count = int(apart.argmax()) + 1
            found, ends = found[:count], ends[:count]
        return found, int(ends[-1])

    def sort(
        self, offsets: Sequence[int], interfaces: Collection[int]
    ) -> tuple[int, list[int], list[Group]]:
        """How many of the records are sound (behind them nothing was looked at), which of those
        must go the slow way, and the others by key."""
        np, fields = self._np, self._fields
        rows = self._rows[np.asarray(offsets)]
        captured = self._column(rows, self._captured, self._order + "u4")
        if self._pcapng:
            # Below 32 this is a very large number.
            room = self._column(rows, 4, self._order + "u4") - np.uint32(32)
            broken = (captured > room) | (room > MAX_FRAME) | ((room & 3) != 0)
            broken |= self._column(rows, 0, self._order + "u4") != EPB
        else:
            broken = captured > MAX_FRAME
        if broken.any():
            count = int(broken.argmax())
            rows, captured = rows[:count], captured[:count]
        count = len(rows)
        if not count:
            return 0, [], []
        bad = captured < fields.low
        if self._pcapng:
            numbers = self._column(rows, 8, self._order + "u4")
            if (numbers != numbers[0]).any() or int(numbers[0]) not in interfaces:
                bad |= ~np.isin(numbers, list(interfaces))
        words = rows.view(np.uint64).reshape(count, self._width // 8)
        differ = np.zeros(count, np.uint64)
        for index, mask, want in self._masks:
            differ |= (words[:, index] & mask) ^ want
        bad |= differ != 0
        lengths = self._column(rows, fields.length, ">u2").astype(np.uint16)
        bad |= lengths < fields.least
        if fields.udp_length is not None:
            bad |= lengths - self._column(rows, fields.udp_length, ">u2") != fields.skip
        sequences = self._column(rows, fields.sequence, ">u4").astype(np.uint32)
        keys = [words[:, index] & mask for index, mask in self._keys]
        groups: list[Group] = []
        some = bool(bad.any())
        for chosen in self._alike(keys, np.flatnonzero(~bad) if some else np.arange(count)):
            first = rows[int(chosen[0])].tobytes()
            groups.append(
                Group(
                    bytes([first[at] for at in fields.key]),
                    memoryview(chosen),
                    array("H", lengths[chosen].tobytes()),
                    array("I", sequences[chosen].tobytes()),
                )
            )
        return count, np.flatnonzero(bad).tolist() if some else [], groups

    def counts(self, sizes: array[int]) -> dict[int, int]:
        """How often each value is there."""
        np = self._np
        found = np.bincount(np.frombuffer(sizes, np.uint16))
        values = np.flatnonzero(found)
        return dict(zip(values.tolist(), found[values].tolist(), strict=True))

    def breaks(self, sequences: array[int]) -> list[int]:
        """Indices of the numbers that do not follow the one before."""
        np = self._np
        numbers = np.frombuffer(sequences, np.uint32).astype(np.int64)
        found: list[int] = (np.flatnonzero(np.diff(numbers) != 1) + 1).tolist()
        return found

    def _column(self, rows: Any, at: int, kind: str) -> Any:
        return self._np.ndarray((len(rows),), kind, rows, at, (self._width,))

    def _alike(self, keys: list[Any], rest: Any) -> Iterator[Any]:
        """The rows of ``rest`` in groups with one key, in order."""
        np = self._np
        for _ in range(_PEELED):
            if not len(rest):
                return
            first = rest[0]
            differ = keys[0] ^ keys[0][first]
            for key in keys[1:]:
                differ |= key ^ key[first]
            differ = differ[rest]
            if not differ.any():
                yield rest
                return
            yield rest[differ == 0]
            rest = rest[differ != 0]
        if len(rest):
            keys = [key[rest] for key in keys]
            order = np.lexsort(keys)
            steps = np.zeros(len(rest) - 1, bool)
            for key in keys:
                ordered = key[order]
                steps |= ordered[1:] != ordered[:-1]
            yield from np.split(rest[order], np.flatnonzero(steps) + 1)


def _mask(allowed: bytes) -> tuple[int, int]:
    """(mask, value) for a byte that has one of these values; the mask -1 if there is none."""
    mask = 255
    for value in allowed:
        mask &= ~(value ^ allowed[0])
    if len(set(allowed)) != 1 << (255 - mask).bit_count():
        return -1, 0
    return mask, allowed[0] & mask
