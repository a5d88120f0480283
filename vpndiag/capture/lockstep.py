"""From record to record through a window, many chains at a time.

Where a record starts is told only by the one before it, so that a walk is one step after the other.
Here the bytes are divided into parts. In each the start of some record is guessed, and from all
these starts numpy takes each step at once. A part counts only where the walk through the part
before it ends exactly on its start; else the plain walk goes on until it meets a start. So what is
found is what the plain walk finds, always: a wrong guess, or a payload made to look like records,
costs time and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, PcapngReader

if TYPE_CHECKING:
    from types import ModuleType

#: Bytes of a part at least, and how many there are at most.
PART, PARTS = 32_768, 512
#: Fewer parts are not worth it.
FEW = 8
#: Bytes of a part in which the start of a record is sought, and so many places are looked at.
_REACH, _TRIES = 8_192, 4
#: Steps until it is looked whether all parts are through.
_STRIDE = 8
#: The shortest record.
_SHORTEST = 12


class Lockstep:
    """Walks a reader's window."""

    def __init__(self, np: ModuleType, reader: PcapReader | PcapngReader) -> None:
        self._np: Any = np
        self._window = reader.window
        self._word = reader.order + "u4"
        self._pcapng = isinstance(reader, PcapngReader)
        if isinstance(reader, PcapReader):
            #: Where a record has its length, and how much longer it is than that says.
            self._at, self._extra = 8, reader.header
            # The high half of the seconds, which is the same for eighteen hours.
            self._mark = 2 if reader.order == "<" else 0
        else:
            self._at, self._extra, self._mark = 4, 0, 0
        self._length = struct.Struct(f"{reader.order}I").unpack_from
        self._type = struct.pack(f"{reader.order}I", EPB)
        # A word starts at every byte.
        self._words = self._every(4, 0)
        self._lengths = self._every(4, self._at)
        self._halves = self._every(2, self._mark)

    def _every(self, size: int, at: int) -> Any:
        """An array of the ``size`` bytes that are ``at`` bytes behind each byte of the window."""
        buf = self._window.buf
        return self._np.ndarray((len(buf) - size - at + 1,), f"V{size}", buf, at, (1,))

    def walk(self, off: int, limit: int) -> tuple[Any, int]:
        """Offsets of the records from ``off`` on that start at ``limit`` or before, in an array,
        and where the walk stopped: behind the last of them, or on one that is damaged.

        A record with a length that it cannot have may be followed by more that is none."""
        np = self._np
        starts = self._starts(off, limit)
        if len(starts) < FEW:
            found, stop = self._plain(off, limit, ())
            return np.array(found, np.int64), stop
        ends = np.append(starts[1:], limit + 1)
        chains = self._chains(starts, ends)
        return self._joined(chains, starts, ends, limit)

    def _plain(self, off: int, limit: int, known: Collection[int]) -> tuple[list[int], int]:
        """The walk as it would be without parts, as far as one of the ``known`` starts."""
        buf, length, at, extra = self._window.buf, self._length, self._at, self._extra
        found: list[int] = []
        mark = found.append
        while off <= limit and off not in known:
            mark(off)
            step = length(buf, off + at)[0] + extra
            if step < _SHORTEST:
                break
            off += step
        return found, off

    def _starts(self, off: int, limit: int) -> Any:
        """``off``, and guesses of where a record starts, one a part, in ascending order."""
        np, find, mark = self._np, self._window.buf.find, self._mark
        part = max(PART, (limit - off) // PARTS)
        if self._pcapng:
            pattern = self._type
        else:
            pattern = self._window.buf[off + mark : off + mark + 2]
        guesses = np.zeros(0, np.int64)
        seek = range(off + part + mark, limit + mark, part)
        reach = min(_REACH, part)
        for _ in range(_TRIES):
            places = [(at, at + reach) for at in seek]
            found = np.array([find(pattern, *place) for place in places], np.int64) - mark
            found = found[(found >= 0) & (found <= limit)]
            good = self._plausible(found, off, limit, pattern)
            guesses = np.append(guesses, found[good])
            seek = (found[~good] + mark + 1).tolist()
            if not seek:
                break
        # np.unique would take as long as all the rest.
        guesses = np.sort(np.append(off, guesses[guesses > off]))
        return guesses[np.append(True, guesses[1:] != guesses[:-1])]

    def _plausible(self, at: Any, off: int, limit: int, pattern: bytes) -> Any:
        """Whether a record may start there, and another one behind it."""
        np = self._np
        size = self._lengths[at].view(self._word).astype(np.int64) + self._extra
        after = np.minimum(at + size, limit)
        if self._pcapng:
            good = (size >= 32) & (size <= MAX_FRAME) & (size & 3 == 0) & ((at - off) & 3 == 0)
            return good & (self._read(after - 4) == size) | (good & (after == limit))
        captured, length = size - self._extra, self._read(at + 12)
        good = (captured > 0) & (captured <= length) & (length <= MAX_FRAME)
        half = int.from_bytes(pattern, "little")
        return good & ((self._halves[after].view("<u2") == half) | (after == limit))

    def _read(self, at: Any) -> Any:
        """The words there."""
        return self._words[at].view(self._word).astype(self._np.int64)

    def _chains(self, starts: Any, ends: Any) -> Any:
        """A row for each start: the offsets of the records that follow. Rows end when they all, or
        nearly all, have reached their end."""
        np, lengths, word, extra = self._np, self._lengths, self._word, self._extra
        count, top = len(starts), self._window.end + 1
        chains = np.empty((count, 128), np.int64)
        chains[:, 0] = place = starts.copy()
        # Arrays, because numbers would be made into such ones each time.
        longer, bound = np.full_like(place, extra), np.full_like(place, top)
        step, stop = 1, int((ends - starts).max()) // _SHORTEST
        while step < stop:
            if step + _STRIDE > chains.shape[1]:
                chains = np.concatenate((chains, np.empty_like(chains)), axis=1)
            for column in range(step, step + _STRIDE):
                np.add(lengths[place].view(word), place, out=place)
                if extra:
                    place += longer
                np.minimum(place, bound, out=place)
                chains[:, column] = place
            step += _STRIDE
            under = int(np.count_nonzero(place < ends))
            if under <= count >> 6:
                break
            if under <= count >> 1:
                # The others are long, or stuck.
                stop = min(stop, 3 * step)
        return chains[:, :step]

    def _joined(self, chains: Any, starts: Any, ends: Any, limit: int) -> tuple[Any, int]:
        np = self._np
        inside = chains < ends[:, None]
        counts = np.count_nonzero(inside, axis=1)
        width = chains.shape[1]
        # Where each chain ends; one that did not get there has its last record to be walked again.
        lands = chains[np.arange(len(starts)), np.minimum(counts, width - 1)]
        inside[:, -1] = False
        apart = np.flatnonzero(lands[:-1] != starts[1:])
        if not len(apart) and counts[-1] < width:
            return chains[inside], int(lands[-1])
        return self._mended(chains, inside, lands, starts, limit)

    def _mended(
        self, chains: Any, inside: Any, lands: Any, starts: Any, limit: int
    ) -> tuple[Any, int]:
        """The same where some chains do not end on the next one's start."""
        np = self._np
        known = {int(start): index for index, start in enumerate(starts) if index}
        good = np.append(lands[:-1] == starts[1:], False)
        pieces, off = [], limit
        index: int | None = 0
        while index is not None:
            last = index + int(np.argmin(good[index:]))
            pieces.append(chains[index : last + 1][inside[index : last + 1]])
            found, off = self._plain(int(lands[last]), limit, known)
            pieces.append(np.array(found, np.int64))
            index = known.get(off)
        return np.concatenate(pieces), off
