"""Owning what the lab starts: processes, files and namespaces, gone however the test ends.

Every resource carries the prefix ``vd-<owner pid>-`` in its name, so that leftovers of a killed run
can be told from those of a living one.  Three nets lie under each other: the context managers, then
``atexit`` and the handlers for SIGTERM and SIGHUP, then a *reaper*, a child process which notices
that its owner is gone (SIGKILL included) because a pipe closes, and cleans up after it.

Daemons run in a PID namespace of their own: ending its first process ends all of them, and the
kernel reaps them, also where PID 1 of the machine does not.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

PREFIX = "vd-"
_counter = itertools.count()
_live: list[Owned] = []
_guard: subprocess.Popen[bytes] | None = None
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The lab itself failed: a command, a start, a time limit.  Never a verdict on a gateway."""


class Unsupported(LabError):
    """A gateway was given a setting that its software cannot do."""


def run(
    argv: Sequence[str | Path], *, check: bool = True, stdin: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a short command, output captured.  Raises LabError with its output when it fails."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
            errors="replace",
            stdin=None if stdin is not None else subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]}: not installed (tests/lab/install.sh)") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(words)}: no end within {timeout} s") from error
    if check and done.returncode:
        raise LabError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def unique_name(role: str) -> str:
    """``vd-<pid>-<n>-<role>``: unique among all runs on this machine."""
    return f"{PREFIX}{os.getpid()}-{next(_counter)}-{role}"


def owner_of(name: str) -> int | None:
    """The process id in a lab name, or None when the name is not one of the lab's."""
    if not name.startswith(PREFIX):
        return None
    number = name[len(PREFIX) :].split("-", 1)[0]
    return int(number) if number.isdigit() else None


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


class Owned:
    """Something that must be gone at the end.  ``close`` may be called often and never raises."""

    def __init__(self) -> None:
        _start_guard()
        self._closed = False
        _live.append(self)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self in _live:
            _live.remove(self)
        try:
            self._close()
        except Exception as error:
            print(f"tests.lab: while cleaning up: {error}", file=sys.stderr)

    def _close(self) -> None:
        raise NotImplementedError

    def __enter__(self):  # type: ignore[no-untyped-def]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class StateDir(Owned):
    """A private directory, removed at the end."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.path = Path(tempfile.gettempdir()) / unique_name(role)
        self.path.mkdir(mode=0o755)

    def _close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class Daemon(Owned):
    """A process, with everything that it starts, in a PID and mount namespace of its own.

    ``prefix`` is put before the ``unshare`` (``ip netns exec NAME``).  Mounts made inside are seen
    inside only.  Output goes to ``log``.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        prefix: Sequence[str] = (),
        env: dict[str, str] | None = None,
        stdin: int | IO[bytes] | None = None,
    ) -> None:
        super().__init__()
        self.log_path = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*prefix, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--",
                 *[str(word) for word in argv]],
                stdin=stdin if stdin is not None else subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **(env or {}), "VD_OWNER": str(os.getpid())},
            )  # fmt: skip

    @property
    def pid(self) -> int | None:
        """Process id, seen from outside, of the first process inside, once it is there."""
        outer = self._process.pid
        with contextlib.suppress(OSError):
            inner = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            return int(inner[0]) if inner else None
        return None

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the first process inside (SIGSTOP freezes only that one)."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    def members(self) -> list[int]:
        """Process ids, seen from outside, of all that runs inside."""
        first = self.pid
        return [] if first is None else [first, *_descendants(first)]

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait(self, timeout: float) -> int:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"still running after {timeout} s: {self._process.args}") from error

    def _close(self) -> None:
        # the inner process first: its parent, unshare, then reaps it and ends by itself
        deadline = time.monotonic() + 5
        while self._process.poll() is None:
            pid = self.pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid if pid is not None else self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
            if time.monotonic() > deadline:
                raise LabError(f"would not end: {self._process.args}")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def in_namespace(path: Path):  # type: ignore[no-untyped-def]
    """Decorator factory: run a function in a thread that has entered a network namespace.

    Only the thread moves, so sockets made inside stay there while the test goes on outside.
    """

    def call(function, *args):  # type: ignore[no-untyped-def]
        box: list[object] = []

        def body() -> None:
            try:
                with path.open() as handle:
                    if _libc.setns(handle.fileno(), 0x40000000):  # CLONE_NEWNET
                        number = ctypes.get_errno()
                        raise OSError(number, os.strerror(number))
                box.append(function(*args))
            except BaseException as error:
                box.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if isinstance(box[0], BaseException):
            raise box[0]
        return box[0]

    return call


def close_all() -> None:
    """Close everything that is still open in this process, youngest first."""
    while _live:
        _live[-1].close()


def _on_signal(number: int, _frame: FrameType | None) -> None:
    close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _start_guard() -> None:
    global _guard
    if _guard is not None and _guard.poll() is None:
        return
    if _guard is None:
        atexit.register(close_all)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _on_signal)
    # Popen closes our end of the pipe in every other child: only our death closes it
    _guard = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.clean", "--guard", str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    atexit.register(_end_guard, _guard)


def _end_guard(guard: subprocess.Popen[bytes]) -> None:
    if guard.stdin is not None:
        guard.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        guard.wait(10)
