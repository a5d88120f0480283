"""One gateway machine in a process of its own: rows in, records out, a line each.

``python -m tests.faults.work GATEWAY``, started by pool.py.  A process of its own can be killed
when a row does not end: the lab's guard then removes what it made.  It ends when its owner does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.bench import Bench
from tests.faults.results import Record
from tests.faults.rows import Row, load
from tests.lab.process import LabError


def main() -> int:
    name = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no record
    orders: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    rows = load()
    bench: Bench | None = None
    while (order := orders.get()) is not None:
        row = rows[order["row"]][name]
        try:
            bench = bench or Bench(name)
            record = _run(bench, row, order)
        except LabError as error:
            record = blank(row, name, f"the lab failed: {error}")
        if record.score == "no result" and bench is not None:
            bench.close()  # who knows in what state it is
            bench = None
        answers.write(json.dumps(asdict(record)) + "\n")
        answers.flush()
    if bench is not None:
        bench.close()
    return 0


def _read(orders: queue.Queue[dict[str, Any] | None]) -> None:
    for line in sys.stdin:
        order = json.loads(line)
        orders.put(order)
        if order is None:
            return
    # the owner has died: no time for good manners, the guard cleans up
    os._exit(1)


def _run(bench: Bench, row: Row, order: dict[str, Any]) -> Record:
    keep = Path(order["keep"]) / row.id / bench.name if order["keep"] else None
    done = bench.run(row, captures=order["captures"], keep=keep)
    if keep is not None and done.live:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / "report.json").write_text(json.dumps(done.live.report, indent=1))
        (keep / "said.txt").write_text(done.live.text)
        (keep / "gateway.log").write_text(bench.gateway.log())
    record = done.record()
    if order["reference"] and record.score != "no result":
        try:
            record.real = bench.refer(row)
        except LabError as error:
            record.notes.append(f"the real client: {error}")
    return record


def blank(row: Row, gateway: str, note: str) -> Record:
    """A row without a result, and why."""
    return Record(row.id, gateway, row.what, row.layer, list(row.finding), notes=[note])


if __name__ == "__main__":
    sys.exit(main())
