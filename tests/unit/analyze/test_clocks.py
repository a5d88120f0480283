"""Captures merged of two recorders, one for each direction, whose clocks differ."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

import pytest

from tests.fuzz.variants import save
from tests.unit.analyze.scene import CLIENT, GATEWAY, Pair, Wire
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import Report

HOUR = 3600.0


def _recorded(wire: Wire, ahead: float, place: Path, *, by_time: bool) -> Report:
    """``ahead``: seconds by which the clock is, that the gateway's packets were recorded with."""
    client = ipaddress.ip_address(CLIENT).packed
    shots = [
        shot if shot.data[12:16] == client
        else dataclasses.replace(shot, time_ns=shot.time_ns + int(ahead * 1e9))
        for shot in wire.shots
    ]  # fmt: skip
    save(sorted(shots, key=lambda s: s.time_ns) if by_time else shots, place / "two.pcapng")
    return analyze([place / "two.pcapng"])


@pytest.mark.parametrize("by_time", [True, False])
@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 45.0, -45.0])
def test_a_session_is_healthy_whatever_the_clocks(
    ahead: float, by_time: bool, tmp_path: Path
) -> None:
    wire = Wire()
    Pair(wire).session()
    report = _recorded(wire, ahead, tmp_path, by_time=by_time)
    assert report.verdict.outcome == "healthy", report.verdict.headline
    assert len(report.sessions) == 1
    how = "ahead of" if ahead > 0 else "behind"
    assert any(f"{GATEWAY} sends" in n and f"{abs(ahead):.0f} s {how}" in n for n in report.notes)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_how_long_was_waited_is_told_by_the_one_clock(ahead: float, tmp_path: Path) -> None:
    wire = Wire()
    pair = Pair(wire)
    pair.main_mode(upto=4)
    for wait in (1, 2, 4, 8):
        pair.proof(True, wait=wait, body=b"z" * 68)
    report = _recorded(wire, ahead, tmp_path, by_time=True)
    assert report.verdict.layer == "auth"
    assert "message 5 sent 4 times in 7" in " ".join(
        e.text for f in report.findings for e in f.evidence
    )


def test_a_clock_that_was_set_back_is_one_clock(tmp_path: Path) -> None:
    wire = Wire()
    pair = Pair(wire)
    pair.main_mode(upto=2)
    wire.at -= 90
    for play, mine in ((pair.key_exchange, True), (pair.key_exchange, False), (pair.proof, True),
                       (pair.proof, False)):  # fmt: skip
        play(mine)  # type: ignore[operator]
    pair.quick_mode()
    pair.inside()
    save(wire.shots, tmp_path / "back.pcapng")
    report = analyze([tmp_path / "back.pcapng"])
    assert report.verdict.outcome == "healthy", report.verdict.headline
    assert not any("clock" in n for n in report.notes)


def test_a_late_repeat_of_an_answer_is_no_matter_of_clocks(tmp_path: Path) -> None:
    wire = Wire()
    pair = Pair(wire)
    pair.mm1()
    wire.at += 10
    pair.mm2()
    pair.key_exchange(True)
    wire.at += 5
    pair.mm2()
    report = wire.report(tmp_path)
    assert not any("clock" in n for n in report.notes)
