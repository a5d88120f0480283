"""``python -m tests.faults``: run the fault matrix, add up what was run, make the recordings again.

run [--rows GLOB] [--gateway NAME] [--fast] [--again FILE] [--missing FILE] [--jobs N] [--limit N]
    [--reference] [--no-captures] [--json FILE] [--keep DIR]
score FILE... [--times FILE.md]
record [DIRECTORY]
list
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

from tests.faults.bench import REFERENCE_LIMIT
from tests.faults.pool import Orders, Pool
from tests.faults.results import Key, read, save
from tests.faults.rows import Row, load
from tests.faults.table import Table, closing_line, line
from tests.faults.times import times_document
from tests.lab.gateways import ALL_GATEWAYS, missing_parts
from tests.lab.process import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run rows and print the score")
    run.add_argument("--rows", action="append", metavar="GLOB", help="only these rows (repeatable)")
    run.add_argument("--gateway", action="append", choices=ALL_GATEWAYS, help="only on this one")
    run.add_argument("--fast", action="store_true", help="only the part that CI runs")
    run.add_argument("--again", type=Path, action="append", metavar="FILE",
                     help="only what was not right in these results")  # fmt: skip
    run.add_argument("--missing", type=Path, action="append", metavar="FILE",
                     help="only what has no result in these: goes on with a pass")  # fmt: skip
    run.add_argument("--jobs", type=int, default=2, help="machines at a time (default 2)")
    run.add_argument("--limit", type=float, default=240, help="seconds a row may take (240)")
    run.add_argument("--reference", action="store_true", help="the real Linux client as well")
    run.add_argument("--no-captures", action="store_true", help="live runs only")
    run.add_argument("--json", type=Path, metavar="FILE", help="results, written as they come")
    run.add_argument("--keep", type=Path, metavar="DIR", help="keep captures, keys and reports")
    score = commands.add_parser("score", help="the score of results put together")
    score.add_argument("files", type=Path, nargs="+", help="a later result replaces an earlier one")
    score.add_argument("--times", type=Path, metavar="FILE", help="write the table of times")
    record = commands.add_parser("record", help="make the recordings of captures/ again")
    record.add_argument("directory", type=Path, nargs="?")
    commands.add_parser("list", help="print the rows")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        return {"run": _run, "score": _score, "record": _record, "list": _list}[args.command](args)
    except (LabError, OSError, ValueError) as error:
        print(f"tests.faults: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def chosen(args: argparse.Namespace) -> dict[str, list[Row]]:
    """Rows by gateway."""
    found: dict[str, list[Row]] = {name: [] for name in args.gateway or ALL_GATEWAYS}
    again: set[Key] | None = None
    if args.again:
        again = {key for key, record in read(args.again).items() if record.failed}
    done = set(read([file for file in args.missing or () if file.exists()]))
    for name, by_gateway in load().items():
        if args.rows and not any(fnmatch(name, pattern) for pattern in args.rows):
            continue
        for gateway, row in by_gateway.items():
            key = (name, gateway)
            if gateway not in found or (args.fast and not row.fast):
                continue
            if key not in done and (again is None or key in again):
                found[gateway].append(row)
    return found


def _run(args: argparse.Namespace) -> int:
    if reason := missing_parts():
        raise LabError(reason)
    limit = args.limit + (REFERENCE_LIMIT + 60 if args.reference else 0)
    orders = Orders(captures=not args.no_captures, reference=args.reference, limit=limit,
                    keep=str(args.keep.resolve()) if args.keep else None)  # fmt: skip
    pool = Pool(chosen(args), orders, args.jobs)
    table = Table()
    begun = time.monotonic()
    try:
        for record in pool.run():
            table.add(record)
            minutes, seconds = divmod(int(time.monotonic() - begun), 60)
            print(f"{len(table.records):3}/{pool.total} {minutes:2}:{seconds:02}  {line(record)}",
                  flush=True)  # fmt: skip
            if args.json:
                save(args.json, table.records.values())
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        pool.stop()
        done = closing_line(r.score for r in table.records.values())
        print(f"interrupted after {len(table.records)} of {pool.total} rows: {done}")
        raise
    print(table.text())
    return 1 if table.failures or len(table.records) < pool.total else 0


def _score(args: argparse.Namespace) -> int:
    table = Table(read(args.files))
    every = {(name, gateway) for name, by_gateway in load().items() for gateway in by_gateway}
    for key in [key for key in table.records if key not in every]:
        del table.records[key]  # a row that there is no more
    print(table.text())
    if left := len(every) - len(table.records):
        print(f"{left} of {len(every)} rows have no result here")
    if args.times:
        args.times.write_text(times_document(table.records.values()))
    return 1 if table.failures or left else 0


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
