"""The one way to ask this computer: programs with bounded time and output, files with bounded size.

Everything that looks at the system is handed a :class:`Machine`, so that a test can hand over
recorded answers instead. Nothing here changes anything or sends a packet. What cannot be had is
None; nothing raises.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

MAX_OUTPUT = 1 << 20
"""Bytes taken from one program or file; what goes on longer is not ours to read."""

MAX_NAMES = 4096
SYSTEM_PATH = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/local/sbin"))
"""Where ordinary users often do not look for programs."""


class Machine:
    """This computer. ``clock``: seconds, for the times of observations; ``budget``: seconds that
    all programs together may take."""

    def __init__(self, clock: Callable[[], float] | None = None, *, budget: float = 40.0) -> None:
        start = time.monotonic()
        self._clock = clock or (lambda: time.monotonic() - start)
        self._until = self._clock() + budget

    def now(self) -> float:
        return self._clock()

    def program(self, name: str) -> str | None:
        """Path of a program, or None."""
        return shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)

    def run(self, *command: str, timeout: float = 3.0) -> str | None:
        """What a program printed, in its untranslated wording; None when it is not there, failed,
        printed too much or took longer than ``timeout`` seconds."""
        program = self.program(command[0])
        left = self._until - self._clock()
        if program is None or left <= 0:
            return None
        return _output([program, *command[1:]], min(timeout, left))

    def read_bytes(self, path: str) -> bytes | None:
        """A file's first :data:`MAX_OUTPUT` bytes."""
        try:
            with Path(path).open("rb") as file:
                return file.read(MAX_OUTPUT)
        except (OSError, ValueError):
            return None

    def read(self, path: str) -> str | None:
        raw = self.read_bytes(path)
        return None if raw is None else raw.decode("utf-8", "replace")

    def names(self, directory: str) -> list[str] | None:
        """What lies in a directory, sorted."""
        try:
            with os.scandir(directory) as entries:
                found = [entry.name for _, entry in zip(range(MAX_NAMES), entries, strict=False)]
        except OSError:
            return None
        return sorted(found)

    def exists(self, path: str) -> bool:
        try:
            return Path(path).exists()
        except (OSError, ValueError):
            return False

    def environment(self, name: str) -> str:
        return os.environ.get(name, "")

    def kernel(self) -> str:
        """The kernel's release (``uname -r``)."""
        return os.uname().release if hasattr(os, "uname") else ""

    def source_towards(self, address: str) -> str | None:
        """The local address that a packet to ``address`` would carry: the system chooses a route
        when a UDP socket is connected, and sends nothing. None: there is no route."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((address, 9))
                return str(sock.getsockname()[0]).partition("%")[0]
        except (OSError, ValueError):
            return None


def _output(command: list[str], timeout: float) -> str | None:
    # LC_ALL: parsers want the untranslated words.
    environment = {**os.environ, "LC_ALL": "C", "LANG": "C"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, ValueError):
        return None
    assert process.stdout is not None
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(timeout, stop)
    timer.start()
    try:
        raw = process.stdout.read(MAX_OUTPUT + 1)
        if len(raw) > MAX_OUTPUT:
            _kill(process)
        process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:  # interrupted by the user
            _kill(process)
        process.stdout.close()
    if late.is_set() or len(raw) > MAX_OUTPUT or process.returncode != 0:
        return None
    return raw.decode("utf-8", "replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The program and what it started: a child that keeps the pipe open would hold us up."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
