"""Large captures read by other processes while this one is still loading the rest.

It joins in once it has. Nothing depends on the others: what they cannot say is read here.
"""

from __future__ import annotations

import contextlib
import pickle
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import IO, TYPE_CHECKING, Self

from vpndiag.capture.errors import CaptureError
from vpndiag.capture.heap import growing
from vpndiag.capture.seams import Piece, divide
from vpndiag.cli.process import Process, ProcessGone, possible, processors, receive, send

if TYPE_CHECKING:
    from vpndiag.capture.pieces import Scanned
    from vpndiag.capture.window import Progress

LEAST = 256 * 1024 * 1024
"""Bytes of all large files together for which this pays."""
PIECE = 128 * 1024 * 1024
"""Bytes of a piece, at least: each costs some milliseconds, and those left over are waited for."""
MOST = 3
"""Processes, this one among them: with more it would be waited for, and each takes 40 MiB."""
_LOOK = 0.1
"""Seconds until the progress is looked at."""
_TOLD, _DONE = b"p", b"d"


class _Reader:
    """A process, and a thread that hands it the first of the pieces that nobody has taken yet."""

    def __init__(self, ahead: Ahead) -> None:
        """:raises ProcessGone: it cannot be started."""
        self._ahead = ahead
        self.process = Process(serve)
        self._thread = Thread(target=self._work, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        ahead, piece = self._ahead, None
        try:
            while ahead.todo:
                piece = ahead.todo.popleft()
                self.process.say(pickle.dumps(piece))
                while (data := self.process.hear())[:1] == _TOLD:
                    ahead.read[piece] = int(data[1:])
                ahead.keep(piece, pickle.loads(data[1:]))
                piece = None
        except (ProcessGone, IndexError, ValueError, OSError):
            pass  # it has ended, or is to, or there are no more
        finally:
            if piece is not None:
                ahead.keep(piece, None)

    def stop(self) -> None:
        self.process.stop()
        if self._thread.ident is not None:
            self._thread.join()


class Ahead:
    """A context manager around the analysis of these files: begins to read the large ones."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._readers: list[_Reader] = []
        self._pieces: dict[Path, list[Piece]] = {}
        self._found: dict[Piece, Scanned | None] = {}
        self._more = Condition()
        self.todo: deque[Piece] = deque()
        """Pieces that nobody has taken: others take the first, this process the last."""
        self.read: dict[Piece, int] = {}
        """Bytes read of each."""

    def __enter__(self) -> Self:
        count = min(processors(), MOST)
        if count > 1 and possible():
            with contextlib.suppress(OSError, ValueError, ProcessGone):
                self._start(count - 1)
        return self

    def _start(self, others: int) -> None:
        files = [p for p in self._paths if p.is_file() and p.stat().st_size >= PIECE]
        if sum(p.stat().st_size for p in files) < LEAST:
            return
        for path in files:
            self._pieces[path] = divide(path, path.stat().st_size // PIECE)
        self.todo.extend(piece for pieces in self._pieces.values() for piece in pieces)
        for _ in range(min(others, len(self.todo) - 1)):
            self._readers.append(_Reader(self))
        # Only now: with threads it is not safe to copy this process.
        for reader in self._readers:
            reader.begin()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """What they read is not needed."""
        self.todo.clear()
        while self._readers:
            self._readers.pop().stop()

    def keep(self, piece: Piece, scanned: Scanned | None) -> None:
        """What was found; None: it is not known."""
        with self._more:
            self._found[piece] = scanned
            self._more.notify_all()

    def __call__(self, path: Path, progress: Progress | None) -> Scanned | None:
        """What the prefilter finds in a file; None: it must be read. Reads what others have not
        begun, and waits for them."""
        pieces = self._pieces.get(path, [])
        if not self._readers or not pieces:
            return None
        from vpndiag.capture.pieces import join, scan_piece

        def tell() -> None:
            if progress is not None:
                progress(sum(self.read.get(p, 0) for p in pieces), pieces[-1].stop)

        def scan(piece: Piece) -> Scanned | None:
            def told(done: int, _total: int) -> None:
                self.read[piece] = done
                tell()

            try:
                return scan_piece(piece, told)
            except CaptureError:
                return None

        while any(p not in self._found for p in pieces):
            try:
                piece = self.todo.pop()
            except IndexError:
                with self._more:
                    self._more.wait(_LOOK)
                tell()
            else:
                self.keep(piece, scan(piece))
        parts = [part for p in pieces if (part := self._found.pop(p)) is not None]
        return join(parts) if len(parts) == len(pieces) else None


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """The main program of a process that reads pieces."""

    def tell(done: int, _total: int) -> None:
        send(target, _TOLD + str(done).encode())

    with contextlib.suppress(ProcessGone, OSError, CaptureError), growing():
        from vpndiag.capture.pieces import scan_piece

        while True:
            scanned = scan_piece(pickle.loads(receive(source)), tell)
            send(target, _DONE + pickle.dumps(scanned, pickle.HIGHEST_PROTOCOL))
