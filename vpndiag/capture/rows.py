"""The headers of all records in a window, as rows of one width, by numpy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.lockstep import Lockstep
from vpndiag.capture.pcap import PcapReader
from vpndiag.capture.pcapng import EPB, IDB, PB, SHB, SPB, PcapngReader

if TYPE_CHECKING:
    from types import ModuleType

#: Bytes that are walked at least; more than a record can have.
_SPAN = 512 * 1024
_BILLION = 1_000_000_000


class Walked(NamedTuple):
    """Offsets of records in a window, their headers as rows, where what follows begins, and whether
    that is all there was room for."""

    offsets: Any
    rows: Any
    stop: int
    whole: bool


class Rows:
    """Walks a reader's window. A row has the first ``width`` bytes of a record, its own header
    first, or of what is behind it."""

    def __init__(self, np: ModuleType, reader: PcapReader | PcapngReader, width: int) -> None:
        self._np: Any = np
        self._reader = reader
        self._lockstep = Lockstep(np, reader)
        self.word = reader.order + "u4"
        """How a number of the record header is kept."""
        self.pcapng = isinstance(reader, PcapngReader)
        self.captured = 20 if self.pcapng else 8
        """Where in a row the captured length is."""
        self.width = width + -width % 8
        self._span = sys.maxsize
        buf = reader.window.buf
        # A row starts at every byte; gathering is one copy a row.
        self._rows = np.ndarray((len(buf) - self.width + 1,), f"V{self.width}", buf, strides=(1,))

    def walk(self, off: int, end: int) -> Walked:
        """The records wholly before ``end``, as far as all is sound and of one section.

        Where one thing stops it there may be more of it: the next walk does not look far beyond.
        """
        walked = self._walked(off, min(end, off + self._span))
        self._span = max(_SPAN, 2 * (self._span if walked.whole else walked.stop - off))
        return walked

    def _walked(self, off: int, end: int) -> Walked:
        found, stop = self._lockstep.walk(off, end - self.width)
        if stop > end:
            # The last one reaches beyond the window: read again, with all its checks.
            stop = int(found[-1])
            found = found[:-1]
        rows = self._rows[found]
        if not len(rows):
            return Walked(found, rows, stop, True)
        if self.pcapng:
            return self._packets(found, rows, stop)
        return self._sound(found, rows, stop, self.column(rows, 8, self.word) > MAX_FRAME)

    @staticmethod
    def _sound(found: Any, rows: Any, stop: int, broken: Any) -> Walked:
        if not broken.any():
            return Walked(found, rows, stop, True)
        count = int(broken.argmax())
        return Walked(found[:count], rows[:count], int(found[count]), False)

    def _packets(self, found: Any, rows: Any, stop: int) -> Walked:
        """Without the blocks that are no packets, and without all from the first one on that is
        damaged, or changes what those behind it mean."""
        np = self._np
        kinds, sizes = self.column(rows, 0, self.word), self.column(rows, 4, self.word)
        captured, packet = self.column(rows, 20, self.word), kinds == EPB
        # Below 32 this is a very large number.
        room = sizes - np.uint32(32)
        broken = (captured > room) | (room > MAX_FRAME)
        if packet.all():
            return self._sound(found, rows, stop, broken | ((sizes & 3) != 0))
        broken &= packet
        broken |= (sizes & 3 != 0) | (sizes < 12) | (kinds == SHB) | (kinds == IDB)
        walked = self._sound(found, rows, stop, broken)
        packet |= (kinds == PB) | (kinds == SPB)
        packet = packet[: len(walked.offsets)]
        return walked._replace(offsets=walked.offsets[packet], rows=walked.rows[packet])

    def column(self, rows: Any, at: int, kind: str) -> Any:
        return self._np.ndarray((len(rows),), kind, rows, at, (self.width,))

    def times(self, rows: Any) -> Any:
        """Nanoseconds, None where 64 bits might not do."""
        np, reader = self._np, self._reader
        if isinstance(reader, PcapReader):
            seconds = self.column(rows, 0, self.word).astype(np.int64)
            fractions = self.column(rows, 4, self.word).astype(np.int64)
            seconds *= _BILLION
            fractions *= reader.scale
            seconds += fractions
            return seconds
        mine = reader.interfaces[reader.first :]
        numbers = self.column(rows, 8, self.word)
        if int(numbers.max()) >= len(mine):
            return None
        clocks = {(mine[n].units, mine[n].offset) for n in np.flatnonzero(np.bincount(numbers))}
        if len(clocks) > 1:
            return None
        units, offset = clocks.pop()
        high = self.column(rows, 12, self.word)
        scale = _BILLION // units if units else 0
        if not scale or scale * units != _BILLION or abs(offset) >= 1 << 32:
            return None
        if int(high.max()) >= _BILLION // scale:
            return None
        ticks = high.astype(np.int64)
        ticks <<= 32
        ticks |= self.column(rows, 16, self.word)
        ticks *= scale
        ticks += offset * _BILLION
        return ticks
