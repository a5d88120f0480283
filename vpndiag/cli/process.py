"""This Python again, as a process of its own, with a pipe each way.

It holds no terminal and no signal of ours reaches it: it ends when it is told to, or with its
pipes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO

_SIZE = struct.Struct("!Q")


class ProcessGone(Exception):
    """It could not be started, or ended before it had said all."""


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def possible() -> bool:
    """Whether this Python can be started again."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class Process:
    """Runs ``serve`` of a module of ours, which begins with :func:`pipes`."""

    def __init__(self, module: str) -> None:
        """:raises ProcessGone: it cannot be started."""
        path = os.pathsep.join(str(Path(p).absolute()) for p in sys.path)
        command = [sys.executable, "-P", "-c", f"from {module} import serve; serve()"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            raise ProcessGone(str(error)) from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def say(self, data: bytes) -> None:
        """:raises ProcessGone: it ended."""
        try:
            send(self._in, data)
        except OSError as error:
            raise ProcessGone(str(error)) from None

    def hear(self) -> bytes:
        """What it says next; waits for it. :raises ProcessGone: it ended."""
        return receive(self._out)

    def stop(self) -> None:
        """Whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()


def pipes() -> tuple[IO[bytes], IO[bytes]]:
    """To hear from who started this process, and to say something. Ctrl-C is theirs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return sys.stdin.buffer, sys.stdout.buffer


def message(data: bytes) -> bytes:
    """As it goes through a pipe."""
    return _SIZE.pack(len(data)) + data


def send(pipe: IO[bytes], data: bytes) -> None:
    """:raises OSError: the other end is gone."""
    pipe.write(message(data))
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    """What the other end of a pipe, one of our own processes, said.

    :raises ProcessGone: nothing, or not all of it.
    """
    head = pipe.read(_SIZE.size)
    size = _SIZE.unpack(head)[0] if len(head) == _SIZE.size else -1
    data = pipe.read(size) if size >= 0 else b""
    if len(data) != size:
        raise ProcessGone("it ended early")
    return data
