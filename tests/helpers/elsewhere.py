"""Runs ``vpndiag`` as if this were Windows or macOS, as far as that can be pretended on Linux.

    python -m tests.helpers.elsewhere win32|darwin COMMAND [ARGUMENT ...] [-- COMMAND ...]

Of the standard library that is missing which the system does not have: fork and its relatives,
signals, socket options, ``/proc``, ``add_reader`` of the event loop. Files are opened with an
encoding, or that is an error. Helping processes are started anew, and captures are long early, so
that there are some. The exit codes are printed in the end.
"""

from __future__ import annotations

import asyncio
import builtins
import io
import os
import platform
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import Any

# What looks at the system when it is loaded does so before anything is changed.
import dns.asyncresolver
import rich.live
import typer.core

assert dns.asyncresolver and rich.live and typer.core

_OS = [
    "fork",
    "forkpty",
    "wait",
    "wait3",
    "wait4",
    "waitid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getgroups",
    "uname",
    "killpg",
    "setsid",
    "getsid",
    "getpgid",
    "setpgid",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_yield",
    "pread",
    "pwrite",
    "preadv",
    "pwritev",
    "sendfile",
    "posix_spawn",
    "posix_fadvise",
    "fchmod",
    "fchown",
    "chown",
    "mkfifo",
    "statvfs",
    "nice",
    "getloadavg",
    "sysconf",
    "openpty",
    "pidfd_open",
    "memfd_create",
    "O_NONBLOCK",
    "O_CLOEXEC",
    "O_NOFOLLOW",
    "O_DIRECTORY",
    "O_NOCTTY",
    "register_at_fork",
]
_SIGNALS = [
    "SIGHUP",
    "SIGKILL",
    "SIGSTOP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGCHLD",
    "SIGPIPE",
    "SIGALRM",
    "SIGQUIT",
    "SIGTSTP",
    "SIGWINCH",
    "SIGCONT",
    "pthread_sigmask",
    "pthread_kill",
    "alarm",
    "setitimer",
    "sigwait",
    "sigpending",
    "siginterrupt",
    "SIG_BLOCK",
    "SIG_SETMASK",
    "SIG_UNBLOCK",
]
_LINUX_SOCKETS = [
    "AF_NETLINK",
    "AF_PACKET",
    "MSG_ERRQUEUE",
    "IP_RECVERR",
    "IP_MTU",
    "IP_MTU_DISCOVER",
    "SO_BINDTODEVICE",
]
_SOCKETS = [
    *_LINUX_SOCKETS,
    *["SO_REUSEPORT", "AF_UNIX", "MSG_DONTWAIT", "SCM_RIGHTS", "CMSG_SPACE"],
]
_MODULES = ["fcntl", "termios", "pwd", "grp", "resource", "tty", "pty", "syslog"]


def _without(module: Any, names: Sequence[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


class _Proactor(asyncio.SelectorEventLoop):
    """What the loop of Windows lacks."""

    def add_reader(self, *_: Any) -> Any:
        raise NotImplementedError

    add_writer = add_signal_handler = remove_signal_handler = add_reader


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _Proactor()


class _Socket(socket.socket):
    def __getattribute__(self, name: str) -> Any:
        if name in ("recvmsg", "sendmsg", "recvmsg_into"):
            raise AttributeError(name)
        return super().__getattribute__(name)


def _windows() -> None:
    sys.platform = "win32"
    platform.system = lambda: "Windows"
    platform.release = lambda: "11"
    pair, unix = socket.socketpair, socket.AF_UNIX
    socket.socketpair = lambda *_a, **_k: pair(unix)  # type: ignore[assignment]
    socket.SO_EXCLUSIVEADDRUSE = socket.SO_BROADCAST  # type: ignore[attr-defined]
    socket.socket = _Socket  # type: ignore[misc]
    kill = os.kill
    subprocess.Popen.kill = lambda self: kill(self.pid, 9)  # type: ignore[method-assign]
    _without(os, _OS)
    _without(signal, _SIGNALS)
    _without(socket, _SOCKETS)
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    asyncio.set_event_loop_policy(_Policy())


def _macos() -> None:
    sys.platform = "darwin"
    platform.system = lambda: "Darwin"
    platform.mac_ver = lambda *_: ("14.5", ("", "", ""), "arm64")  # type: ignore[assignment]
    _without(os, ["sched_getaffinity", "sched_setaffinity", "pidfd_open", "posix_fadvise"])
    _without(socket, _LINUX_SOCKETS)


def _without_proc() -> None:
    real = io.open

    def opened(file: Any, *given: Any, **named: Any) -> Any:
        if isinstance(file, str | os.PathLike) and os.fspath(file).startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "No such file or directory", file)
        return real(file, *given, **named)

    builtins.open = io.open = opened


def pretend(system: str) -> None:
    """From here on."""
    {"win32": _windows, "darwin": _macos}[system]()
    _without_proc()
    warnings.filterwarnings("error", category=EncodingWarning, module=r"vpndiag\b")


def divide_early() -> None:
    """Small captures are read by three processes."""
    from vpndiag.capture import analyze
    from vpndiag.cli import shares

    shares.processors = lambda: 3
    analyze.LONG, analyze.LOOK, analyze.SMALL = 0, 200, 0
    started: list[shares.Helper] = []
    first = shares.Helper.__init__

    def noted(self: shares.Helper, *given: Any) -> None:
        first(self, *given)
        started.append(self)
        print(f"helper {len(started)}", file=sys.stderr)

    shares.Helper.__init__ = noted  # type: ignore[method-assign]


def carry_out(arguments: Sequence[str]) -> int:
    from vpndiag.cli.main import main

    sys.argv = ["vpndiag", *arguments]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    pretend(sys.argv[1])
    divide_early()
    commands: list[list[str]] = [[]]
    for word in sys.argv[2:]:
        if word == "--":
            commands.append([])
        else:
            commands[-1].append(word)
    codes = [carry_out(command) for command in commands]
    sys.stdout.flush()
    print("codes", *codes)
