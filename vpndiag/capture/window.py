"""A sliding window over a byte stream, for parsers."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

#: Bytes read into a window at a time, fit for the processor's cache.
CHUNK = 768 * 1024
#: What may be left over of one chunk when the next is read: more than the longest record.
ROOM = 384 * 1024
#: Bytes behind the end of the data, so that a fixed-size look-ahead never runs out of buffer.
PAD = 256

Progress = Callable[[int, int], None]


class ByteSource(Protocol):
    """Where a window gets its bytes: ``consumed`` counts bytes of the file itself."""

    consumed: int

    def readinto(self, target: memoryview) -> int: ...


class _Ahead:
    """Reads one piece ahead in a thread."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._wanted: SimpleQueue[memoryview | None] = SimpleQueue()
        self._done: SimpleQueue[int | BaseException] = SimpleQueue()
        self._asked = False
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while (target := self._wanted.get()) is not None:
            try:
                self._done.put(self._source.readinto(target))
            except BaseException as error:  # is raised where it is waited for
                self._done.put(error)

    def ask(self, target: memoryview) -> None:
        """Begin to read."""
        self._asked = True
        self._wanted.put(target)

    def answer(self) -> int | None:
        """How many bytes there were, once they are there; None: nothing was asked for.

        :raises OSError: as reading does.
        """
        if not self._asked:
            return None
        got = self._done.get()
        self._asked = False
        if isinstance(got, BaseException):
            raise got
        return got

    def close(self) -> None:
        """End the thread; the source is left alone afterwards."""
        self._wanted.put(None)
        self._thread.join()


class Window:
    """``buf[off:end]`` is what is there and not yet parsed; ``buf`` stays the same object for life.
    ``off`` may be set beyond ``end`` to skip. Behind ``end`` at least PAD bytes can be read.

    What is read is always put where its offset in the file has the same remainder by the page size
    as its address: copying out of the system's cache to an odd address takes four times as long on
    some processors. What is left of a chunk moves to in front of the next.

    With ``ahead`` there is room for two chunks, and one is read while the other is parsed."""

    __slots__ = (
        "_ahead",
        "_chunk",
        "_starts",
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
        ahead: bool = False,
        skew: int = 0,
    ) -> None:
        """``skew``: how much further on, by the page size, the stream's bytes are in the file."""
        self.source = source
        self._chunk = chunk
        # Where chunks are put: the next one where the first of these says.
        self._starts = [ROOM]
        if ahead:
            self._starts.insert(0, 2 * ROOM + chunk + mmap.PAGESIZE - chunk % mmap.PAGESIZE)
        self._ahead: _Ahead | None = None
        #: Where the present chunk ends.
        self.limit = ROOM + chunk
        # Not a bytearray, for its address.
        self.buf = mmap.mmap(-1, self._starts[0] + chunk + PAD)
        self.view = memoryview(self.buf)
        self.off = self.end = ROOM + skew % mmap.PAGESIZE
        self.base = -self.off
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
        got: int | None = None
        if self.end == self.limit:
            if not self._moved():
                return False
            if self._ahead is not None:
                got = self._ahead.answer()
        if got is None:
            got = self.source.readinto(self.view[self.end : self.limit])
        if self.progress is not None:
            self.progress(self.source.consumed, self.total)
        if not got:
            self.eof = True
            # Stale bytes behind the end must not look like a record.
            self.buf[self.end : self.limit + PAD] = bytes(self.limit + PAD - self.end)
            return False
        self.end += got
        # Those who look at the beginning only need no thread.
        if self.end == self.limit and len(self._starts) > 1 and self.base + self.end > self._chunk:
            if self._ahead is None:
                self._ahead = _Ahead(self.source)
            start = self._starts[0]
            self._ahead.ask(self.view[start : start + self._chunk])
        return True

    def _moved(self) -> bool:
        off, end = self.off, self.end
        kept = max(0, end - off)
        if kept > ROOM:
            return False
        start = self._starts[0]
        self._starts.append(self._starts.pop(0))
        if kept:
            self.buf[start - kept : start] = self.buf[off:end]
        self.off, self.end, self.limit = off - end + start, start, start + self._chunk
        self.base += end - start
        return True

    def close(self) -> None:
        """Read no more; to be called before the source is closed."""
        self.eof = True
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def need(self, size: int) -> bool:
        """Make ``size`` bytes from ``off`` available; False when the stream is too short for it."""
        while self.off + size > self.end:
            if not self.refill():
                return False
        return True
