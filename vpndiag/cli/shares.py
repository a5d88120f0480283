"""A long capture full of control packets, judged by several processes.

A helper is this Python again, with a pipe each way, and some shares of the work. It holds no
terminal and no signal of ours reaches it: it ends when it is told to, or with its pipes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vpndiag.capture.analyze import FileProgress, divisible
from vpndiag.capture.asked import Asked
from vpndiag.capture.share import Share
from vpndiag.cli.examine import Examined, Seen
from vpndiag.cli.packing import pack, unpack
from vpndiag.cli.work import Outline, Place, Work

MOST = 8
"""Processes; more would mostly read past what is not theirs."""
SIZE = 64 * 1024 * 1024
"""Bytes of capture for each share: what memory is needed at a time, however long the capture."""
BATCH = 256
_SIZE = struct.Struct("!Q")


class HelperGone(Exception):
    """A helper could not be started, or ended before it had said all."""


class Helper:
    """:class:`Work` in a process of its own."""

    def __init__(self, paths: Sequence[Path], asked: Asked | None, shares: Sequence[Share]) -> None:
        """:raises HelperGone: it cannot be started."""
        path = os.pathsep.join(str(Path(p).absolute()) for p in sys.path)
        command = [sys.executable, "-P", "-c", "from vpndiag.cli.shares import serve; serve()"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            raise HelperGone(str(error)) from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._say((paths, asked, shares))

    def _say(self, what: object) -> None:
        try:
            _send(self._in, what)
        except OSError as error:
            raise HelperGone(str(error)) from None

    def results(self) -> Iterator[tuple[Outline, list[Examined]]]:
        """Waits for them. :raises HelperGone: it ended before it had said all."""
        while (seen := _receive(self._out)) is not None:
            found: list[Examined] = []
            while batch := _receive(self._out):
                found += batch
            yield seen, found

    def observations(self, places: Sequence[Place]) -> Iterator[Seen]:
        """What was seen of these attempts of its, after all results.

        :raises HelperGone: it ended before it had said all.
        """
        self._say(places)
        for _ in places:
            yield _receive(self._out)

    def stop(self) -> None:
        """Whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()


@contextmanager
def workers(
    paths: Sequence[str | Path], asked: Asked | None, progress: FileProgress | None
) -> Iterator[tuple[Work, list[Helper]] | None]:
    """The work of this process, and helpers for the rest; None: read the capture as a whole."""
    helpers: list[Helper] = []
    turns = _turns(paths)
    try:
        if not turns:
            yield None
            return
        files, count = [Path(p).absolute() for p in paths], len(turns) * len(turns[0])
        shares = [[Share(number, count) for number in turn] for turn in turns]
        try:
            helpers += [Helper(files, asked, theirs) for theirs in shares[1:]]
        except HelperGone:
            yield None
            return
        yield Work([Path(p) for p in paths], asked, shares[0], progress), helpers
    finally:
        for helper in helpers:
            helper.stop()


def _turns(paths: Sequence[str | Path]) -> list[list[int]]:
    """Which shares each process works through; none: one process reads it as a whole."""
    if not divisible(paths):
        return []
    processes = min(_processors(), MOST)
    if getattr(sys, "frozen", False) or not sys.executable:
        processes = 1
    size = sum(Path(p).stat().st_size for p in paths)
    turns = -(-size // (processes * SIZE))
    if processes * turns == 1:
        return []
    return [list(range(k * turns, (k + 1) * turns)) for k in range(processes)]


def _processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve() -> None:
    """The main program of a helper."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(HelperGone, OSError):
        work = Work(*_receive(source))
        said: list[bytes] = []  # nobody listens before all is done
        for seen, examined in work.results():
            said.append(_message(seen))
            for start in range(0, len(examined), BATCH):
                said.append(_message(examined[start : start + BATCH]))
            said.append(_message([]))
        target.writelines((*said, _message(None)))
        target.flush()
        for observed in work.observations(_receive(source)):
            _send(target, observed)


def _message(what: object) -> bytes:
    data = pack(what)
    return _SIZE.pack(len(data)) + data


def _send(pipe: IO[bytes], what: object) -> None:
    pipe.write(_message(what))
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """What the other end of a pipe, one of our own processes, said.

    :raises HelperGone: nothing, or not all of it.
    """
    head = pipe.read(_SIZE.size)
    size = _SIZE.unpack(head)[0] if len(head) == _SIZE.size else -1
    data = pipe.read(size) if size >= 0 else b""
    if len(data) != size:
        raise HelperGone("a helper ended early")
    return unpack(data)
