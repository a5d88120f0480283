"""Interrupted at any moment, the runner leaves no process, namespace, mount or file behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.live import ROOT
from tests.lab.clean import NETNS_ETC, leftovers
from tests.lab.gateways import ALL_GATEWAYS, PLAIN_GATEWAYS, missing_parts

ATTEMPTS = int(os.environ.get("VPNDIAG_KILLS", "1"))
LONGEST = 9.0  # seconds until the kill; a row takes about as long


def _family(pid: int) -> dict[int, str]:
    """A process and its descendants: when each was started, by process id."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        found[pid] = _started(pid)
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= _family(int(child))
    return found


def _started(pid: int) -> str:
    """Identifies a process together with its id.  Raises OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        raise FileNotFoundError(pid)
    return fields[19]


def _alive(family: dict[int, str]) -> list[str]:
    found = []
    for pid, started in family.items():
        with contextlib.suppress(OSError):
            if _started(pid) == started:
                found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return found


def _traces(family: dict[int, str]) -> list[str]:
    """What is left of these processes and of all that they made: its names bear their ids."""
    names = [f"vd-{pid}-" for pid in family]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *_alive(family),
        *(str(path) for pid in family for path in leftovers(pid)),
        *(line for line in mounts if any(name in line for name in names)),
        *(str(p) for p in NETNS_ETC.glob("*") if p.name.startswith(tuple(names))),
    ]


@pytest.mark.lab
@pytest.mark.parametrize("attempt", range(ATTEMPTS))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_pass_that_was_ended(
    number: signal.Signals, attempt: int, tmp_path: Path
) -> None:
    if reason := missing_parts():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"lab: {reason}")
    results = tmp_path / "results.json"
    gateway = random.choice(ALL_GATEWAYS)
    row = "plain-healthy" if gateway in PLAIN_GATEWAYS else "healthy"
    runner = subprocess.Popen(
        [sys.executable, "-m", "tests.faults", "run", "--rows", row, "--gateway",
         gateway, "--json", str(results)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    family: dict[int, str] = {}
    delay = random.uniform(0.2, LONGEST)
    end = time.monotonic() + delay
    while time.monotonic() < end and runner.poll() is None:
        family |= _family(runner.pid)
        time.sleep(0.03)
    family |= _family(runner.pid)
    runner.send_signal(number)
    runner.wait(60)
    limit = time.monotonic() + 30
    while (traces := _traces(family)) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not traces, f"{gateway}, {number.name} after {delay:.2f} s: {traces}"
    assert len(family) > 1 or delay < 2, "there was something to leave behind"
