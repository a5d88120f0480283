"""This Python again, as a process of its own, with a pipe each way.

It holds no terminal and no signal of ours reaches it: it ends when it is told to, or with its
pipes. On Linux it is a copy of this process, which has nothing to load any more; where that is not
safe (other systems, or other threads, whose locks would stay locked in a copy) it is started anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn
from weakref import WeakSet

_SIZE = struct.Struct("!Q")

Serve = Callable[[IO[bytes], IO[bytes]], None]
"""The main program of such a process: what it hears from, and what it speaks to."""


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
    """Runs ``serve``, a function at the top of a module of ours."""

    def __init__(self, serve: Serve) -> None:
        """:raises ProcessGone: it cannot be started."""
        self._process: subprocess.Popen[bytes] | _Copy
        try:
            self._process = _Copy(serve) if copyable() else _anew(serve)
        except OSError as error:
            raise ProcessGone(str(error)) from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    def say(self, data: bytes) -> None:
        """:raises ProcessGone: it ended."""
        try:
            send(self._in, data)
        except OSError as error:
            raise ProcessGone(str(error)) from None

    def hear(self) -> bytes:
        """What it says next; waits for it. :raises ProcessGone: it ended."""
        return receive(self._out)

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()

    def stop(self) -> None:
        """Whatever it does."""
        self.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()


def _anew(serve: Serve) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(str(Path(p).absolute()) for p in sys.path)
    code = (
        f"from {serve.__module__} import {serve.__name__} as serve; "
        f"from {__name__} import pipes; serve(*pipes())"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def pipes() -> tuple[IO[bytes], IO[bytes]]:
    """To hear from who started this process, and to say something. Ctrl-C is theirs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return sys.stdin.buffer, sys.stdout.buffer


def copyable() -> bool:
    """Whether a copy of this process is safe: it has one thread, and that runs this."""
    alone = threading.active_count() == 1 and threading.current_thread() is threading.main_thread()
    return sys.platform == "linux" and alone


class _Copy:
    """A copy of this process; as much of :class:`subprocess.Popen` as is used here."""

    def __init__(self, serve: Serve) -> None:
        """:raises OSError: no more pipes, or no more processes."""
        self.returncode: int | None = None
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self.stdin, self.stdout = os.fdopen(ours_out, "wb"), os.fdopen(ours_in, "rb")
        _copies.add(self)
        # No signal may find the copy with the handlers of this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _serve(serve, theirs_in, theirs_out)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(theirs_in)
            os.close(theirs_out)

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> None:
        if self.returncode is None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self.returncode = -signal.SIGKILL


_copies: WeakSet[_Copy] = WeakSet()


def _serve(serve: Serve, heard: int, said: int) -> NoReturn:
    """The life of a copy. Nothing of what this process would do at its end is done there."""
    code = 1
    try:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        # Our ends of pipes that were left open here would keep others alive, and this one.
        for copy in _copies:
            for pipe in (copy.stdin, copy.stdout):
                if not pipe.closed:
                    os.close(pipe.fileno())
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        with os.fdopen(heard, "rb") as source, os.fdopen(said, "wb") as target:
            serve(source, target)
        code = 0
    finally:
        os._exit(code)


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
