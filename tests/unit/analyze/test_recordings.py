"""The recordings in captures/ say what their README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vpndiag.capture.keys import read_keys
from vpndiag.cli.analysis import analyze

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
ROW = re.compile(r"^\| `(\S+\.pcapng)` \|.*\| (\S+) \|$", re.MULTILINE)
ROWS = ROW.findall((CAPTURES / "README.md").read_text(encoding="utf-8"))


def test_every_recording_has_its_line() -> None:
    assert sorted(name for name, _ in ROWS) == sorted(p.name for p in CAPTURES.glob("*.pcapng"))


@pytest.mark.parametrize(("name", "expected"), ROWS)
def test_with_keys_it_says_what_the_table_says(name: str, expected: str) -> None:
    path = CAPTURES / name
    keys = path.with_suffix(".keys")
    verdict = analyze([path], read_keys(keys) if keys.exists() else None).verdict
    assert (verdict.finding or verdict.outcome) == expected


@pytest.mark.parametrize(("name", "expected"), ROWS)
def test_without_keys_it_is_never_called_healthy_when_it_failed(name: str, expected: str) -> None:
    outcome = analyze([CAPTURES / name]).verdict.outcome
    assert expected == "healthy" or outcome != "healthy"
