"""A sliding window over a byte stream, for parsers."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Protocol

#: Bytes read into a window at a time, fit for the processor's cache.
CHUNK = 768 * 1024
#: What may be left over of one chunk when the next is read: more than the longest record.
ROOM = 384 * 1024
#: Zero bytes behind the end of the data, so that a fixed-size look-ahead never runs out of buffer.
PAD = 256

Progress = Callable[[int, int], None]


class ByteSource(Protocol):
    """Where a window gets its bytes: ``consumed`` counts bytes of the file itself."""

    consumed: int

    def readinto(self, target: memoryview) -> int: ...


class Window:
    """``buf[off:end]`` is what is there and not yet parsed; ``buf`` stays the same object for life.
    ``off`` may be set beyond ``end`` to skip. Behind ``end`` at least PAD bytes can be read.

    What is read is always put where its offset in the file has the same remainder by the page size
    as its address: copying out of the system's cache to an odd address takes four times as long on
    some processors. What is left of a chunk moves to in front of the next."""

    __slots__ = (
        "base",
        "before_refill",
        "buf",
        "end",
        "eof",
        "limit",
        "off",
        "progress",
        "source",
        "total",
        "view",
    )

    def __init__(
        self,
        source: ByteSource,
        total: int = 0,
        progress: Progress | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self.source = source
        #: Where a chunk ends.
        self.limit = ROOM + chunk
        # Not a bytearray, for its address.
        self.buf = mmap.mmap(-1, self.limit + PAD)
        self.view = memoryview(self.buf)
        self.off = self.end = ROOM
        self.base = -ROOM
        self.eof = False
        self.total = total
        self.progress = progress
        #: Called before the bytes in ``buf`` move.
        self.before_refill: Callable[[], None] | None = None

    @property
    def position(self) -> int:
        """Offset of ``off`` in the whole (decompressed) stream."""
        return self.base + self.off

    def refill(self) -> bool:
        """Read on, after dropping what was parsed if the chunk is full. False when the stream gave
        nothing new, or nothing can be dropped."""
        if self.eof:
            return False
        if self.before_refill is not None:
            self.before_refill()
        if self.end == self.limit and not self._moved():
            return False
        got = self.source.readinto(self.view[self.end : self.limit])
        if self.progress is not None:
            self.progress(self.source.consumed, self.total)
        if not got:
            self.eof = True
            # Stale bytes behind the end must not look like a record.
            self.buf[self.end :] = bytes(len(self.buf) - self.end)
            return False
        self.end += got
        return True

    def _moved(self) -> bool:
        off, end = self.off, self.end
        kept = max(0, end - off)
        if kept > ROOM:
            return False
        if kept:
            self.buf[ROOM - kept : ROOM] = self.buf[off:end]
        self.off, self.end = off - end + ROOM, ROOM
        self.base += end - ROOM
        return True

    def need(self, size: int) -> bool:
        """Make ``size`` bytes from ``off`` available; False when the stream is too short for it."""
        while self.off + size > self.end:
            if not self.refill():
                return False
        return True
