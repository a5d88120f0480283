"""A long capture full of control packets, judged by several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO

from vpndiag.capture.analyze import FileProgress, divisible
from vpndiag.capture.asked import Asked
from vpndiag.capture.share import Share
from vpndiag.cli.examine import Examined, Seen
from vpndiag.cli.packing import pack, unpack
from vpndiag.cli.process import (
    Process,
    ProcessGone,
    copyable,
    message,
    possible,
    processors,
    receive,
    send,
)
from vpndiag.cli.work import Outline, Place, Work

MOST = 8
"""Processes; more would mostly read past what is not theirs."""
SIZE = 64 * 1024 * 1024
"""Bytes of capture for each share: what memory is needed at a time, however long the capture."""
HEAD = 7 * 1024 * 1024
"""Bytes of capture that this process is through with while a helper starts and hands over."""
HEAD_OF_COPY = 2 * 1024 * 1024
"""The same of a copy of this process, which has nothing to load."""
BATCH = 256


class Helper(Process):
    """:class:`Work` in a process of its own."""

    def __init__(self, paths: Sequence[Path], asked: Asked | None, shares: Sequence[Share]) -> None:
        """:raises ProcessGone: it cannot be started."""
        super().__init__(serve)
        self.say(pack((paths, asked, shares)))

    def results(self) -> Iterator[tuple[Outline, list[Examined]]]:
        """Waits for them. :raises ProcessGone: it ended before it had said all."""
        while (seen := unpack(self.hear())) is not None:
            found: list[Examined] = []
            while batch := unpack(self.hear()):
                found += batch
            yield seen, found

    def observations(self, places: Sequence[Place]) -> Iterator[Seen]:
        """What was seen of these attempts of its, after all results.

        :raises ProcessGone: it ended before it had said all.
        """
        self.say(pack(places))
        return (unpack(self.hear()) for _ in places)


@contextmanager
def workers(
    paths: Sequence[str | Path], asked: Asked | None, progress: FileProgress | None
) -> Iterator[tuple[Work, list[Helper]] | None]:
    """The work of this process, and helpers for the rest; None: read the capture as a whole."""
    helpers: list[Helper] = []
    shares = _shares(paths)
    try:
        if not shares:
            yield None
            return
        files = [Path(p).absolute() for p in paths]
        try:
            helpers += [Helper(files, asked, theirs) for theirs in shares[1:]]
        except ProcessGone:
            yield None
            return
        yield Work([Path(p) for p in paths], asked, shares[0], progress), helpers
    finally:
        for helper in helpers:
            helper.stop()


def _shares(paths: Sequence[str | Path]) -> list[list[Share]]:
    """The shares that each process works through; none: one process reads it as a whole."""
    if not divisible(paths):
        return []
    processes = min(processors(), MOST) if possible() else 1
    size = sum(Path(p).stat().st_size for p in paths)
    turns = -(-size // (processes * SIZE))
    if processes * turns == 1:
        return []
    head = HEAD_OF_COPY if copyable() else HEAD
    theirs = (1 - min(head / size, 0.5)) / processes
    ends = [0.0, *(1 - theirs * k for k in range(processes - 1, -1, -1))]
    return [_divided(begin, end, turns) for begin, end in pairwise(ends)]


def _divided(begin: float, end: float, turns: int) -> list[Share]:
    points = [*(begin + (end - begin) * k / turns for k in range(turns)), end]
    return [Share.of(*each) for each in pairwise(points)]


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """The main program of a helper."""
    with contextlib.suppress(ProcessGone, OSError):
        work = Work(*unpack(receive(source)))
        said: list[bytes] = []  # nobody listens before all is done
        for seen, examined in work.results():
            said.append(message(pack(seen)))
            for start in range(0, len(examined), BATCH):
                said.append(message(pack(examined[start : start + BATCH])))
            said.append(message(pack([])))
        target.writelines((*said, message(pack(None))))
        target.flush()
        for observed in work.observations(unpack(receive(source))):
            send(target, pack(observed))
