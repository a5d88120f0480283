"""Large captures read by other processes while this one is still loading the rest.

The last piece is read here. Nothing depends on the others: what they cannot say is read here too.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vpndiag.capture.errors import CaptureError
from vpndiag.capture.heap import growing
from vpndiag.capture.seams import Piece, divide
from vpndiag.cli.process import Process, ProcessGone, pipes, possible, processors, receive, send

if TYPE_CHECKING:
    from vpndiag.capture.pieces import Scanned
    from vpndiag.capture.window import Progress

LEAST = 64 * 1024 * 1024
"""Bytes of a piece at least."""
MOST = 3
"""Processes, this one among them: with more it would be waited for, and each takes 40 MiB."""
OURS = 0.5
"""How much of a file is read here, where the others read 1 each: there is more to do."""
_LOOK = 0.1
"""Seconds until the progress is looked at."""
_TOLD, _DONE = b"p", b"d"


class _Reader:
    """A process with some pieces, and a thread that listens to it."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        """:raises ProcessGone: it cannot be started."""
        self.pieces = pieces
        self.found: dict[Piece, SimpleQueue[Scanned | None]] = {p: SimpleQueue() for p in pieces}
        self.read = dict.fromkeys(pieces, 0)
        self.process = Process(__name__)
        try:
            self.process.say(pickle.dumps(pieces))
        except ProcessGone:
            self.process.stop()
            raise
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        left = list(self.pieces)
        try:
            while left:
                data = self.process.hear()
                if data[:1] == _TOLD:
                    self.read[left[0]] = int(data[1:])
                else:
                    scanned = pickle.loads(data[1:])
                    self.found[left.pop(0)].put(scanned)
        except (ProcessGone, ValueError, OSError):
            pass  # it has ended, or is to
        finally:
            for piece in left:
                self.found[piece].put(None)

    def stop(self) -> None:
        self.process.stop()
        self._thread.join()


class Ahead:
    """A context manager around the analysis of these files: begins to read the large ones."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._readers: list[_Reader] = []
        self._pieces: dict[Path, list[Piece]] = {}

    def __enter__(self) -> Self:
        count = min(processors(), MOST)
        if count > 1 and possible():
            with contextlib.suppress(OSError, ValueError, ProcessGone):
                self._start(count)
        return self

    def _start(self, count: int) -> None:
        files = [p for p in self._paths if p.is_file() and p.stat().st_size >= LEAST]
        for path in files:
            most = max(1, min(count // len(files), path.stat().st_size // LEAST))
            weights = [1.0] * most
            if path is files[-1]:
                weights[-1] = OURS
            self._pieces[path] = divide(path, weights)
        theirs = [piece for pieces in self._pieces.values() for piece in pieces][:-1]
        others = min(count - 1, len(theirs))
        for number in range(others):
            self._readers.append(_Reader(theirs[number::others]))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """What they read is not needed."""
        while self._readers:
            self._readers.pop().stop()

    def __call__(self, path: Path, progress: Progress | None) -> Scanned | None:
        """What the prefilter finds in a file; None: it must be read. Waits for it."""
        pieces = self._pieces.get(path, [])
        if not self._readers or not pieces:
            return None
        from vpndiag.capture.pieces import join, scan_piece

        readers = {piece: r for r in self._readers for piece in r.pieces}
        read = 0

        def tell(done: int, _total: int) -> None:
            nonlocal read
            read = done
            if progress is not None:
                theirs = sum(readers[p].read[p] for p in pieces if p in readers)
                progress(read + theirs, pieces[-1].stop)

        found: dict[Piece, Scanned | None] = {}
        for piece in pieces:
            if piece not in readers:
                try:
                    found[piece] = scan_piece(piece, tell)
                except CaptureError:
                    return None  # who reads it in one go will say so
        for piece in pieces:
            while piece not in found:
                try:
                    found[piece] = readers[piece].found[piece].get(timeout=_LOOK)
                except Empty:
                    tell(read, 0)
        parts = [part for piece in pieces if (part := found[piece]) is not None]
        return join(parts) if len(parts) == len(pieces) else None


def serve() -> None:
    """The main program of a process that reads pieces."""
    source, target = pipes()

    def tell(done: int, _total: int) -> None:
        send(target, _TOLD + str(done).encode())

    with contextlib.suppress(ProcessGone, OSError, CaptureError), growing():
        from vpndiag.capture.pieces import scan_piece

        for piece in pickle.loads(receive(source)):
            scanned = scan_piece(piece, tell)
            send(target, _DONE + pickle.dumps(scanned, pickle.HIGHEST_PROTOCOL))
