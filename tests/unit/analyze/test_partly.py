"""Captures of a part of an attempt: what must have been before it is not called a failure."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.variants import source
from tests.unit.analyze.scene import GATEWAY, Pair, Wire, played


def _quick_mode_refused(wire: Wire) -> Pair:
    """Phase 1 is complete; each try of quick mode is answered by an encrypted notification."""
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode(answered=False)
    pair.info(False, wait=1)
    for wait in (1, 2, 4, 8):
        pair.ask_again(wait)
        pair.info(False)
    return pair


@pytest.mark.parametrize("start", range(5, 9))
def test_a_refusal_behind_quick_mode_is_not_about_the_key(start: int, tmp_path: Path) -> None:
    """Begun in the middle: message 6 is not in the capture, quick mode shows that it came."""
    wire = Wire()
    _quick_mode_refused(wire)
    del wire.shots[:start]
    assert wire.report(tmp_path).verdict.finding == "ipsec.refused"


@pytest.mark.parametrize("seed", range(8))
def test_nor_where_the_recorder_missed_packets(seed: int, tmp_path: Path) -> None:
    wire = Wire()
    _quick_mode_refused(wire)
    chance = random.Random(seed)
    wire.shots = [s for s in wire.shots if chance.random() > 0.3]
    verdict = wire.report(tmp_path).verdict
    assert verdict.finding in (None, "ipsec.refused"), verdict.headline


def test_nor_where_only_the_gateway_was_recorded(tmp_path: Path) -> None:
    wire = Wire()
    _quick_mode_refused(wire)
    gateway = bytes(map(int, GATEWAY.split(".")))
    wire.shots = [s for s in wire.shots if source(s) == gateway]
    verdict = wire.report(tmp_path).verdict
    assert verdict.outcome == "inconclusive"
    assert "one direction" in verdict.headline


def test_a_gateway_that_has_proved_itself_refuses_no_key(tmp_path: Path) -> None:
    """INITIAL-CONTACT, or a Delete, right behind message 6."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode()
        pair.info(False)
        wire.at += 10
        pair.info(False)

    assert played(scene, tmp_path).verdict.finding is None
