"""A long capture full of control packets, judged by several processes.

Conversations of different hosts have nothing to do with each other, but for a few things that
:class:`Outline` is there to notice. So each process reads the files by itself, looks only at the
conversations in its share, and hands over what it found. The first share is this process's own.

A helper is this Python again, with a pipe each way. It holds no terminal and no signal reaches it:
it ends when it is told to, or with its pipes.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

from vpndiag.capture.analyze import Analysis, divisible, read
from vpndiag.capture.asked import Asked
from vpndiag.capture.heap import growing
from vpndiag.capture.sessions import strays
from vpndiag.capture.share import Share
from vpndiag.cli.examine import Examined, examine
from vpndiag.diagnosis.together import Judged
from vpndiag.observations import Observation
from vpndiag.report.model import Cause, Diagnosis, Evidence, Finding, Layer, Verdict

MOST = 8
"""Processes; more would mostly read past what is not theirs."""
BATCH = 256
_SIZE = struct.Struct("!Q")


class HelperGone(Exception):
    """A helper could not be started, or ended before it had said all."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What of one share may concern the others: the cookies of its IKE SAs (an answer from
    elsewhere, or one through a NAT, has a cookie of another conversation), and how many attempts
    lack ESP, and ESP an attempt. ``left_out`` packets were too many."""

    cookies: frozenset[bytes]
    bare: int
    orphans: int
    left_out: int


def outline(found: Analysis) -> Outline:
    """The outline of a share that was read."""
    bare, orphans = strays(found.attempts)
    cookies = frozenset(track.cookie for track in found.material.ike)
    return Outline(cookies, len(bare), len(orphans), found.material.left_out)


def independent(outlines: Sequence[Outline]) -> bool:
    """Whether the shares say together what the capture read as a whole would say."""
    cookies = sum(len(o.cookies) for o in outlines)
    if cookies != len(frozenset().union(*(o.cookies for o in outlines))):
        return False
    alone = sum(o.bare for o in outlines), sum(o.orphans for o in outlines)
    return alone != (1, 1) and not any(o.left_out for o in outlines)


class Helper:
    """A process with one share of the work."""

    def __init__(self, paths: Sequence[Path], asked: Asked | None, share: Share) -> None:
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
        self._say((paths, asked, share))

    def _say(self, what: object) -> None:
        try:
            _send(self._in, what)
        except OSError as error:
            raise HelperGone(str(error)) from None

    def results(self) -> tuple[Outline, list[Examined]]:
        """Waits for all that it found, without observations.

        :raises HelperGone: it ended before it had said all.
        """
        seen: Outline = _receive(self._out)
        found: list[Examined] = []
        while batch := _receive(self._out):
            found += batch
        return seen, found

    def observations(self, numbers: list[int]) -> list[tuple[Observation, ...]]:
        """What was seen of these attempts of its.

        :raises HelperGone: it ended before it had said all.
        """
        self._say(numbers)
        return [observed for _ in numbers for observed in _receive(self._out)]

    def stop(self) -> None:
        """Whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()


@contextmanager
def helpers(paths: Sequence[str | Path], asked: Asked | None) -> Iterator[list[Helper]]:
    """Helpers for all shares but the first; none where one process does as well, or has to."""
    started: list[Helper] = []
    count = min(_processors(), MOST)
    try:
        if count > 1 and not getattr(sys, "frozen", False) and sys.executable and divisible(paths):
            files = [Path(p).absolute() for p in paths]
            with contextlib.suppress(HelperGone):
                for number in range(1, count):
                    started.append(Helper(files, asked, Share(number, count)))
        yield started if len(started) == count - 1 else []
    finally:
        for helper in started:
            helper.stop()


def _processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve() -> None:
    """The main program of a helper."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(HelperGone, OSError), growing():
        paths, asked, share = _receive(source)
        found = read(paths, asked=asked, share=share)
        _send(target, outline(found))
        for start in range(0, len(found.attempts), BATCH):
            numbers = range(start, min(start + BATCH, len(found.attempts)))
            _send(target, [examine(number, found, whole=False) for number in numbers])
        _send(target, [])
        for number in _receive(source):
            _send(target, [found.observe(found.attempts[number])])


# Values made by the ten thousand go as a call of their class: half the time of pickle's own way.


def _positional(kind: type) -> Any:
    names = [f.name for f in fields(kind)]
    return lambda value: (kind, tuple(getattr(value, name) for name in names))


_REDUCE = copyreg.dispatch_table | {
    kind: _positional(kind)
    for kind in (Cause, Diagnosis, Evidence, Examined, Finding, Judged, Layer, Verdict)
}


def _send(pipe: IO[bytes], what: object) -> None:
    with io.BytesIO() as packed:
        pickler = pickle.Pickler(packed, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = _REDUCE
        pickler.dump(what)
        data = packed.getbuffer()
        pipe.write(_SIZE.pack(len(data)))
        pipe.write(data)
        pipe.flush()
        data.release()


def _receive(pipe: IO[bytes]) -> Any:
    """What the other end of a pipe, one of our own processes, said.

    :raises HelperGone: nothing, or not all of it.
    """
    head = pipe.read(_SIZE.size)
    size = _SIZE.unpack(head)[0] if len(head) == _SIZE.size else -1
    data = pipe.read(size) if size >= 0 else b""
    if len(data) != size:
        raise HelperGone("a helper ended early")
    return pickle.loads(data)
