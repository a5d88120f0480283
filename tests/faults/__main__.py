"""``python -m tests.faults``: run the fault matrix, or make the recordings again.

run [--rows GLOB] [--gateway NAME] [--fast] [--jobs N] [--reference] [--no-captures] [--json FILE]
record [DIRECTORY]
list
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path

from tests.faults.bench import Bench, Outcome
from tests.faults.rows import Row, load
from tests.faults.table import Table, line
from tests.lab.gateways import GATEWAYS, missing_parts
from tests.lab.process import LabError, close_all


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run rows and print the score")
    run.add_argument("--rows", action="append", metavar="GLOB", help="only these rows (repeatable)")
    run.add_argument("--gateway", action="append", choices=GATEWAYS, help="only on this gateway")
    run.add_argument("--fast", action="store_true", help="only the part that CI runs")
    run.add_argument("--jobs", type=int, default=2, help="gateways at a time (default 2)")
    run.add_argument("--reference", action="store_true", help="the real Linux client as well")
    run.add_argument("--no-captures", action="store_true", help="live runs only")
    run.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    run.add_argument("--keep", type=Path, metavar="DIR", help="keep captures, keys and reports")
    record = commands.add_parser("record", help="make the recordings of captures/ again")
    record.add_argument("directory", type=Path, nargs="?")
    commands.add_parser("list", help="print the rows")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return {"run": _run, "record": _record, "list": _list}[args.command](args)
    except LabError as error:
        print(f"tests.faults: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # threads may be in the middle of something: what they made goes, and then all at once
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        close_all()
        sys.stdout.flush()
        os._exit(130)


def chosen(args: argparse.Namespace) -> dict[str, list[Row]]:
    """Rows by gateway."""
    found: dict[str, list[Row]] = {name: [] for name in args.gateway or GATEWAYS}
    for name, by_gateway in load().items():
        if args.rows and not any(fnmatch(name, pattern) for pattern in args.rows):
            continue
        for gateway, row in by_gateway.items():
            if gateway in found and (row.fast or not args.fast):
                found[gateway].append(row)
    return found


def _run(args: argparse.Namespace) -> int:
    if reason := missing_parts():
        raise LabError(reason)
    work: queue.Queue[tuple[str, list[Row]]] = queue.Queue()
    results: queue.Queue[Outcome | None] = queue.Queue()
    for name, rows in chosen(args).items():
        if rows:
            work.put((name, rows))
    count = min(args.jobs, work.qsize())
    for _ in range(count):
        threading.Thread(target=_worker, args=(args, work, results), daemon=True).start()
    table = Table()
    while count:
        done = results.get()
        if done is None:
            count -= 1
            continue
        table.add(done)
        print(line(done), flush=True)
        if args.json:
            args.json.write_text(json.dumps([o.as_json() for o in table.outcomes], indent=1))
    print(table.text())
    return 1 if table.failures else 0


def _worker(
    args: argparse.Namespace,
    work: queue.Queue[tuple[str, list[Row]]],
    results: queue.Queue[Outcome | None],
) -> None:
    try:
        while True:
            name, rows = work.get_nowait()
            with Bench(name) as bench:
                for row in rows:
                    keep = args.keep / row.id / name if args.keep else None
                    done = bench.run(row, captures=not args.no_captures, keep=keep)
                    if args.keep and done.live:
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / "report.json").write_text(json.dumps(done.live.report, indent=1))
                        (keep / "said.txt").write_text(done.live.text)
                        (keep / "gateway.log").write_text(bench.gateway.log())
                    if args.reference:
                        try:
                            done.reference = bench.refer(row)
                        except LabError as error:
                            done.notes.append(f"the real client: {error}")
                    results.put(done)
    except queue.Empty:
        pass
    except BaseException as error:
        print(f"tests.faults: {error!r}", file=sys.stderr)
    finally:
        results.put(None)


def _record(args: argparse.Namespace) -> int:
    from tests.faults.record import record

    return record(args.directory)


def _list(_args: argparse.Namespace) -> int:
    for name, by_gateway in load().items():
        for gateway, row in by_gateway.items():
            print(f"{name:30} {gateway:11} {' | '.join(row.finding):40} {row.what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
