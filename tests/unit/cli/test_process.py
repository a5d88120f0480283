"""Processes of our own: a copy of this one where that is safe, else this Python anew."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import pytest

from vpndiag.cli import process
from vpndiag.cli.process import Process, ProcessGone, receive, send

ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")


def echo(source: IO[bytes], target: IO[bytes]) -> None:
    """Says what it hears, and the process it is in."""
    while True:
        send(target, receive(source) + b" " + str(os.getpid()).encode())


def broken(_source: IO[bytes], _target: IO[bytes]) -> None:
    raise ValueError("a mistake of ours")


SCRIPT = """
import os, signal, sys
from tests.unit.cli.test_process import echo, broken
from vpndiag.cli.process import Process, ProcessGone, copyable
signal.signal(signal.SIGTERM, lambda *_: print("never in the copy"))
print("told once", end="")
assert copyable()
{body}
"""


def script(body: str) -> subprocess.CompletedProcess[str]:
    """Run where there are no other threads."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).parents[3],
    )


def runs(number: int) -> bool:
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"  # ended, if not yet asked about


def test_one_that_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "copyable", lambda: False)
    started = Process(echo)
    started.say(b"hello")
    said, _, number = started.hear().partition(b" ")
    assert said == b"hello" and int(number) != os.getpid() and not started.ended
    started.stop()
    assert started.ended


def test_with_another_thread_there_is_no_copy() -> None:
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        assert not process.copyable()
    finally:
        done.set()
        other.join()


@ONLY_LINUX
def test_a_copy_says_what_it_is_asked_and_nothing_of_ours() -> None:
    ran = script(
        "one = Process(echo); one.say(b'hello'); said, _, number = one.hear().partition(b' ')\n"
        "assert said == b'hello' and int(number) != os.getpid()\n"
        "one.stop(); assert one.ended"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "told once", "")


@ONLY_LINUX
def test_a_copy_ends_by_what_ends_any_process() -> None:
    ran = script(
        "one = Process(echo); one.say(b'x'); number = int(one.hear()[2:])\n"
        "os.kill(number, signal.SIGINT); one.say(b'y'); assert one.hear()[:1] == b'y'\n"
        "os.kill(number, signal.SIGTERM)\n"
        "try: one.hear()\n"
        "except ProcessGone: print(' and gone', end='')"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "told once and gone", "")


@ONLY_LINUX
def test_a_mistake_in_a_copy_stays_there() -> None:
    ran = script(
        "try: Process(broken).hear()\nexcept ProcessGone: print(' and gone', end='')",
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "told once and gone", "")


@ONLY_LINUX
def test_copies_end_with_the_process_that_made_them() -> None:
    ran = script(
        "all = [Process(echo) for _ in range(3)]\n"
        "for one in all: one.say(b'x'); print('', int(one.hear()[2:]), end='')\n"
        "sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    numbers = [int(n) for n in ran.stdout.split()[2:]]
    assert len(numbers) == 3
    until = time.monotonic() + 10
    while any(map(runs, numbers)) and time.monotonic() < until:
        os.sched_yield()
    assert not any(map(runs, numbers))


@ONLY_LINUX
def test_no_more_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> int:
        raise OSError("no more processes")

    monkeypatch.setattr(process, "copyable", lambda: True)
    monkeypatch.setattr(os, "fork", none)
    with pytest.raises(ProcessGone, match="no more"):
        Process(echo)
