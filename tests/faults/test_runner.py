"""The runner's own conduct, with a stand-in for the machines: rows that hang, die or fail."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from tests.faults import pool
from tests.faults.__main__ import chosen
from tests.faults.pool import Orders, Pool
from tests.faults.results import Capture, Real, Record, read, save
from tests.faults.rows import Row
from tests.faults.table import Table, closing_line, line
from tests.faults.times import times_document

STAND_IN = r"""
import json, os, sys, time
for text in sys.stdin:
    order = json.loads(text)
    if order is None:
        break
    name = order["row"]
    if name == "hangs":
        time.sleep(600)
    if name == "dies":
        os._exit(3)
    again = os.path.join(sys.argv[1], name)
    tried = os.path.exists(again)
    open(again, "w").close()
    score = "no result" if name == "at-second" and not tried else "right"
    print(json.dumps({"row": name, "gateway": sys.argv[2], "what": "", "layer": "path",
                      "expected": ["path.silent"], "score": score}), flush=True)
"""


def row(name: str) -> Row:
    return Row(name, "a fault", ("path.silent",))


def test_a_row_that_hangs_or_dies_costs_that_row_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool, "PROGRAM", (sys.executable, "-c", STAND_IN, str(tmp_path)))
    names = ("fine", "hangs", "dies", "at-second", "last")
    rows = {"softether": [row(name) for name in names], "libreswan": [row("other")]}
    found = {r.row: r for r in Pool(rows, Orders(limit=1.0), jobs=2).run()}
    assert set(found) == {*names, "other"}
    assert {name for name, r in found.items() if r.score == "right"} == {
        "fine", "at-second", "last", "other",
    }  # fmt: skip
    assert found["at-second"].notes == ["at the second attempt"]
    assert "not finished within 1 s" in found["hangs"].notes[0]
    assert found["dies"].notes == ["the machine's process has died"]


def test_stopping_ends_every_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pool, "PROGRAM", (sys.executable, "-c", STAND_IN, str(tmp_path)))
    running = Pool({"softether": [row("fine"), row("hangs"), row("never")]}, Orders(), jobs=1)
    first = next(running.run())
    assert first.row == "fine"
    running.stop()
    assert not any(worker.alive for worker in running._workers)


def record(name: str, score: str = "right", **more: object) -> Record:
    values: dict[str, object] = {
        "outcome": "failed", "finding": "path.silent", "seconds": 5.0, "what": "a fault",
        "layer": "path", "expected": ["path.silent"],
    }  # fmt: skip
    return Record(name, "softether", score=score, **(values | more))  # type: ignore[arg-type]


def test_a_later_pass_replaces_what_an_earlier_one_found(tmp_path: Path) -> None:
    real = Real("ike", 165.0, True, "giving up")
    save(tmp_path / "1", [record("a", "WRONG LAYER"), record("b", real=real), record("c")])
    save(tmp_path / "2", [record("a"), record("b")])
    both = read([tmp_path / "1", tmp_path / "2"])
    assert [r.score for r in both.values()] == ["right"] * 3
    assert both["b", "softether"].real == real, "a pass without the real client forgets nothing"


def test_again_and_missing_choose_what_is_left_to_do(tmp_path: Path) -> None:
    wrong = Capture("gateway", False, "wrong", "failed", "path", "path.prohibited")
    blocked = record("no-route", captures=[wrong])
    save(tmp_path / "pass", [record("healthy", "FALSE HEALTHY"), record("wrong-psk"), blocked])

    def picked(**options: object) -> set[str]:
        given: dict[str, object] = {
            "rows": None, "gateway": ["softether"], "fast": False, "again": None, "missing": None,
        }  # fmt: skip
        return {r.id for r in chosen(argparse.Namespace(**(given | options)))["softether"]}

    assert picked(again=[tmp_path / "pass"]) == {"healthy", "no-route"}
    left = picked(missing=[tmp_path / "pass", tmp_path / "not there"])
    assert "wrong-password" in left
    assert not left & {"healthy", "wrong-psk", "no-route"}


def test_a_capture_that_says_another_thing_is_a_failure_unless_the_row_says_why() -> None:
    other = Capture("client", True, "right", "inconclusive", "path", None)
    table = Table()
    table.add(record("alike", captures=[Capture("client", True, "right", "failed", "path",
                                                "path.silent")]))  # fmt: skip
    table.add(record("explained", captures=[other], differs="nothing is sent"))
    table.add(record("not explained", captures=[other]))
    assert [r.row for r in table.failures] == ["not explained"]
    text = table.text()
    assert "1 of 3 agree, 1 differ for a reason, 1 differ and must not" in text
    assert "nothing is sent" in text


def test_the_last_line_counts_the_live_verdicts() -> None:
    scores = ["right", "right", "wrong", "inconclusive", "FALSE HEALTHY", "WRONG LAYER"]
    text = "2 right, 1 wrong, 1 inconclusive, 1 false healthy, 1 wrong layer"
    assert closing_line(scores) == text
    assert closing_line([*scores, "no result"]) == f"{text}, 1 without a result"
    table = Table()
    for number, score in enumerate(scores):
        table.add(record(str(number), score))
    assert table.text().splitlines()[-1] == text


def test_the_table_of_times_has_what_both_have_met() -> None:
    quick = record("a", real=Real("ike", 165.3, True, "giving up | after 5 retransmits"))
    trying = record("b", real=Real("ppp", 200.0, False, ""))
    text = times_document([quick, trying, record("c")])
    assert "| a fault (`a`) | softether | 5.0 s | path.silent | 165.3 s | IKE |" in text
    assert "giving up \\| after 5 retransmits" in text
    assert "still trying at 200 s" in text
    assert "(`c`)" not in text
    assert line(quick).count("\n") == 1
