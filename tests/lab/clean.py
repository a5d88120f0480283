"""Removing what a killed run left behind: namespaces, their processes, directories.

``clean_up(owner=PID)`` removes what that process made, ``clean_up()`` what dead processes made,
``clean_up(all_owners=True)`` everything with the lab's prefix.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.lab.process import is_running, owner_of, run

NETNS_DIR = Path("/run/netns")
NETNS_ETC = Path("/etc/netns")


def leftovers(owner: int | None = None, *, all_owners: bool = False) -> list[Path]:
    """Files that stand for the lab's resources and whose owner is gone (or is ``owner``)."""
    found = []
    for folder in (NETNS_DIR, NETNS_ETC, Path(tempfile.gettempdir())):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            pid = owner_of(path.name)
            if pid is None:
                continue
            if all_owners or pid == owner or (owner is None and not is_running(pid)):
                found.append(path)
    return found


def namespace_pids(name: str) -> list[int]:
    return [int(word) for word in run(["ip", "netns", "pids", name], check=False).stdout.split()]


def remove_namespace(name: str) -> None:
    """End every process in a network namespace, then delete it."""
    deadline = time.monotonic() + 5
    while (pids := [p for p in namespace_pids(name) if is_running(p)]) and (
        time.monotonic() < deadline
    ):
        # leave the unshare parents: they reap their children and then end
        parents = [pid for pid in pids if _command(pid) == "unshare"]
        for pid in [p for p in pids if p not in parents] or parents:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    run(["ip", "netns", "delete", name], check=False)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def clean_up(owner: int | None = None, *, all_owners: bool = False) -> list[str]:
    """Remove leftovers; returns the names of what was removed."""
    removed = []
    for path in leftovers(owner, all_owners=all_owners):
        if path.parent == NETNS_DIR:
            remove_namespace(path.name)
        else:
            shutil.rmtree(path, ignore_errors=True)
        removed.append(str(path))
    with contextlib.suppress(OSError):
        NETNS_ETC.rmdir()  # only when it is empty
    return removed


def _guard(owner: int) -> None:
    """Wait until the owner has gone (its end of our standard input closes), then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    clean_up(owner)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--guard"]:
        _guard(int(sys.argv[2]))
    else:
        print("\n".join(clean_up(all_owners="--all" in sys.argv)))
