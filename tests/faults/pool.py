"""Rows run by several gateway machines at a time, each in a process with a hard time limit.

A row that does not end, or whose process dies, costs that row only: the process is killed, the
guard of the lab removes what it made, and the next row gets a new one.  What the lab itself failed
to do is tried once more.
"""

from __future__ import annotations

import contextlib
import json
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.live import ROOT
from tests.faults.results import Record
from tests.faults.rows import Row
from tests.faults.work import blank
from tests.lab.clean import leftovers

PROGRAM = (sys.executable, "-m", "tests.faults.work")


@dataclass(frozen=True, slots=True)
class Orders:
    """How every row is to be run."""

    captures: bool = True
    reference: bool = False
    keep: str | None = None
    limit: float = 240.0
    """Seconds for one row with set-up; after that its process is killed."""


class Pool:
    """``jobs`` machines that share the rows.  A gateway with much left gets a second machine."""

    def __init__(self, rows: Mapping[str, list[Row]], orders: Orders, jobs: int) -> None:
        self.total = sum(map(len, rows.values()))
        self._orders = orders
        self._left = {name: deque(todo) for name, todo in rows.items() if todo}
        self._busy: dict[str, int] = dict.fromkeys(self._left, 0)
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._jobs = max(1, min(jobs, self.total))
        self._stopped = False
        self._results: queue.Queue[Record | None] = queue.Queue()

    def run(self) -> Iterator[Record]:
        """Records as they come."""
        for _ in range(self._jobs):
            threading.Thread(target=self._slot, daemon=True).start()
        ended = 0
        while ended < self._jobs:
            record = self._results.get()
            if record is None:
                ended += 1
            else:
                yield record

    def stop(self) -> None:
        """Kill every machine and wait until all that they made is gone."""
        self._stopped = True
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait_for_guard()

    def _slot(self) -> None:
        worker: _Worker | None = None
        name: str | None = None
        try:
            while not self._stopped:
                with self._lock:
                    name, row = self._next(name)
                if row is None:
                    return
                assert name is not None
                record: Record | None = None
                for attempt in (1, 2):
                    worker = self._worker(name, worker)
                    record = worker.run(row, self._orders)
                    if self._stopped:
                        return
                    if record.score != "no result":
                        if attempt == 2:
                            record.notes.append("at the second attempt")
                        break
                assert record is not None
                self._results.put(record)
        finally:
            if worker is not None:
                worker.end()
            self._results.put(None)

    def _next(self, name: str | None) -> tuple[str | None, Row | None]:
        """A row for a slot whose machine is ``name``: of the same gateway while there are any, then
        of the one with most to do for each machine that works at it."""
        if name is not None and not self._left[name]:
            self._busy[name] -= 1
            name = None
        if name is None:
            waiting = [n for n, todo in self._left.items() if todo]
            if not waiting:
                return None, None
            name = max(waiting, key=lambda n: len(self._left[n]) / (1 + self._busy[n]))
            self._busy[name] += 1
        return name, self._left[name].popleft()

    def _worker(self, name: str, worker: _Worker | None) -> _Worker:
        if worker is not None and (worker.gateway != name or not worker.alive):
            worker.end()
            worker = None
        if worker is None:
            worker = _Worker(name)
            with self._lock:
                self._workers.append(worker)
            if self._stopped:
                worker.kill()
        return worker


class _Worker:
    """A process of work.py."""

    def __init__(self, gateway: str) -> None:
        self.gateway = gateway
        self._process = subprocess.Popen(
            [*PROGRAM, gateway],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for us alone
        )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, row: Row, orders: Orders) -> Record:
        begun = time.monotonic()
        order = {"row": row.id, "captures": orders.captures, "reference": orders.reference,
                 "keep": orders.keep}  # fmt: skip
        assert self._process.stdout is not None
        try:
            self._say(order)
        except OSError:
            return blank(row, self.gateway, "the machine's process has died")
        if not select.select([self._process.stdout], [], [], orders.limit)[0]:
            self.kill()
            self.wait_for_guard()
            return blank(row, self.gateway, f"not finished within {orders.limit:.0f} s, killed")
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            return blank(row, self.gateway, "the machine's process has died")
        record = Record.from_json(json.loads(line))
        record.whole_seconds = time.monotonic() - begun
        return record

    def _say(self, order: dict[str, Any] | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Ask it to go, in good order."""
        with contextlib.suppress(OSError):
            self._say(None)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def wait_for_guard(self, limit: float = 20.0) -> None:
        """Until the lab's guard has removed what the killed process left behind."""
        end = time.monotonic() + limit
        while leftovers(self._process.pid) and time.monotonic() < end:
            time.sleep(0.05)
