"""The column work of :mod:`vpndiag.capture.bulk` by numpy, where it is installed: less than
half of the time for millions of packets, start-up apart. What it finds is what the plain Python
finds.

The headers of a window's frames, record headers first, are gathered into rows of 8-byte words.
Every test of header bytes is then a mask on a word, for all rows at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from vpndiag.capture.flow_values import Seen
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, PcapngReader
from vpndiag.capture.rows import Rows, Walked
from vpndiag.capture.window import PAD

if TYPE_CHECKING:
    from types import ModuleType

#: Bytes of capture from which importing numpy (0.1 s, 15 MiB) pays.
LARGE = 64 * 1024 * 1024
#: Bytes to read at a time then: its calls cost the same for few packets and for many.
CHUNK = 8 * 1024 * 1024
#: Flows told apart by one comparison of all rows each; more of them by sorting.
_PEELED = 6


@cache
def library() -> ModuleType | None:
    """numpy, None where it is not installed."""
    # Its linear algebra, which is not used here, would start a thread for each processor.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def large(reader: PcapReader | PcapngReader) -> bool:
    """Whether the file is, or has turned out to be, long enough for numpy."""
    return max(reader.window.total, reader.window.base) >= LARGE


def wanted(total: int) -> bool:
    """Whether a file of this length is for numpy from the beginning."""
    return total >= LARGE and library() is not None


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
    """Rows with one key: its bytes, their numbers, IP lengths, sequence numbers and, if they can be
    told, times."""

    key: bytes
    places: Sequence[int]
    lengths: Sequence[int]
    sequences: Sequence[int]
    times: Any


class Columns(Rows):
    """Walks and sorts a reader's window for one layout."""

    def __init__(self, np: ModuleType, reader: PcapReader | PcapngReader, fields: Fields) -> None:
        super().__init__(np, reader, fields.sequence + 4)
        self._fields = fields
        masks, wanted = bytearray(self.width), bytearray(self.width)
        for at, allowed in fields.checks:
            masks[at], wanted[at] = _mask(allowed)
        self._masks = [
            (index, mask, want)
            for index, (mask, want) in enumerate(
                zip(np.frombuffer(masks, "u8"), np.frombuffer(wanted, "u8"), strict=True)
            )
            if mask
        ]
        keys = bytearray(self.width)
        for at in fields.key:
            keys[at] = 255
        self._keys = [(index, mask) for index, mask in enumerate(np.frombuffer(keys, "u8")) if mask]

    def sort(self, walked: Walked, interfaces: Collection[int]) -> tuple[list[int], list[Group]]:
        """Which of the records must go the slow way, and the others by key."""
        np, fields, rows = self._np, self._fields, walked.rows
        count = len(rows)
        if not count:
            return [], []
        words = rows.view(np.uint64).reshape(count, self.width // 8)
        differ = np.zeros(count, np.uint64)
        for index, mask, want in self._masks:
            differ |= (words[:, index] & mask) ^ want
        bad = differ != 0
        bad |= self.column(rows, self.captured, self.word) < fields.low
        if self.pcapng:
            bad |= self.column(rows, 0, self.word) != EPB
            numbers = self.column(rows, 8, self.word)
            if (numbers != numbers[0]).any() or int(numbers[0]) not in interfaces:
                bad |= ~np.isin(numbers, list(interfaces))
        lengths = self.column(rows, fields.length, ">u2").astype(np.uint16)
        bad |= lengths < fields.least
        if fields.udp_length is not None:
            bad |= lengths - self.column(rows, fields.udp_length, ">u2") != fields.skip
        sequences = self.column(rows, fields.sequence, ">u4").astype(np.uint32)
        times = self.times(rows)
        keys = [words[:, index] & mask for index, mask in self._keys]
        groups: list[Group] = []
        for chosen in self._alike(keys, ~bad):
            first = rows[int(chosen[0])].tobytes()
            groups.append(
                Group(
                    bytes([first[at] for at in fields.key]),
                    memoryview(chosen),
                    memoryview(lengths[chosen]),
                    memoryview(sequences[chosen]),
                    None if times is None else times[chosen],
                )
            )
        return np.flatnonzero(bad).tolist(), groups

    def seen(self, lengths: Sequence[int], sequences: Sequence[int], times: Any) -> Seen:
        """What can be told of these packets all at once."""
        np = self._np
        found = np.bincount(np.asarray(lengths))
        values = np.flatnonzero(found)
        counts = dict(zip(values.tolist(), found[values].tolist(), strict=True))
        numbers = np.asarray(sequences)
        after = numbers[1:]
        breaks = after - numbers[:-1] != 1
        # Behind the highest number comes none.
        breaks |= after == 0
        pause = None
        if times is not None:
            pauses = np.diff(times)
            at = int(pauses.argmax()) if len(pauses) else 0
            pause = (at + 1, int(pauses[at])) if len(pauses) else (0, 0)
        return Seen(counts, (np.flatnonzero(breaks) + 1).tolist(), pause)

    def _alike(self, keys: list[Any], left: Any) -> Iterator[Any]:
        """Numbers of the rows that are ``left``, in groups with one key, in order."""
        np = self._np
        for _ in range(_PEELED):
            first = int(left.argmax())
            if not left[first]:
                return
            differ = keys[0] ^ keys[0][first]
            for key in keys[1:]:
                differ |= key ^ key[first]
            alike = differ == 0
            alike &= left
            yield np.flatnonzero(alike)
            left ^= alike
        rest = np.flatnonzero(left)
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
