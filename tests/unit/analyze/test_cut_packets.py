"""Captures with a snap length: what is left of a packet says what it is, or that it is cut off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.variants import Shot, save
from tests.unit.analyze.scene import Pair, Wire
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import Report

ETHERNET = b"\2\0\0\0\0\2\2\0\0\0\0\1\x08\0"


def _cut(wire: Wire, size: int, place: Path) -> Report:
    """The frames as Ethernet, ``size`` bytes of each kept."""
    shots: list[Shot] = []
    for s in wire.shots:
        data = ETHERNET + s.data
        shots.append(replace(s, linktype=1, data=data[:size], length=len(data)))
    save(shots, place / "cut.pcapng")
    return analyze([place / "cut.pcapng"])


def _asked(wire: Wire) -> Pair:
    pair = Pair(wire)
    for wait in (1, 1, 2, 4, 8):
        pair.mm1(wait=wait)
    return pair


@pytest.mark.parametrize("size", [62, 64, 68, 96])
def test_questions_without_an_answer_are_seen_by_their_headers(size: int, tmp_path: Path) -> None:
    wire = Wire()
    _asked(wire)
    assert _cut(wire, size, tmp_path).verdict.finding == "path.silent"


@pytest.mark.parametrize("size", [54, 60])
def test_ike_of_which_next_to_nothing_is_left_is_not_nothing(size: int, tmp_path: Path) -> None:
    wire = Wire()
    _asked(wire)
    found = _cut(wire, size, tmp_path)
    assert found.verdict.outcome == "inconclusive"
    assert "snap length" in found.verdict.headline
    assert any("5 IKE messages are cut off" in note for note in found.notes)


@pytest.mark.parametrize("size", range(43, 100))
def test_a_session_cut_anywhere_in_its_headers_is_judged(size: int, tmp_path: Path) -> None:
    wire = Wire()
    Pair(wire).session()
    assert _cut(wire, size, tmp_path).verdict.outcome in ("healthy", "inconclusive")


def test_a_session_recorded_from_its_authentication_on_may_have_failed_inside_as_well(
    tmp_path: Path,
) -> None:
    """A filter for port 4500 alone. The client leaves after a dozen packets of ESP."""
    wire = Wire()
    pair = Pair(wire)
    pair.main_mode()
    wire.shots = wire.shots[4:]
    pair.quick_mode()
    pair.tunnel()
    pair.lcp()
    pair.mschap()
    pair.info(True)
    wire.at += 10
    report = wire.report(tmp_path)
    assert report.verdict.outcome == "inconclusive"
    assert "the client ends the session" in report.verdict.headline
