"""Captures of a part of an attempt: what must have been before it is not called a failure."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.variants import save, source
from tests.unit.analyze.scene import GATEWAY, Pair, Wire, played
from vpndiag.cli.analysis import analyze


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


@pytest.mark.parametrize("nat", [True, False])
def test_a_client_that_goes_on_inside_esp_gets_answers_seen_or_not(
    nat: bool, tmp_path: Path
) -> None:
    """Asymmetric routes: what the gateway sends in ESP takes another way."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire, nat=nat)
        pair.main_mode()
        pair.quick_mode()
        pair.only = True
        pair.inside()

    verdict = played(scene, tmp_path).verdict
    assert verdict.outcome == "inconclusive"
    assert "another way" in verdict.headline


@pytest.mark.parametrize("nat", [True, False])
def test_one_request_again_and_again_and_a_farewell_do_not(nat: bool, tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire, nat=nat)
        pair.main_mode()
        pair.quick_mode()
        pair.sccrq_in_vain()
        pair.control(True, 4, (1, b"\0\6"), (9, b"\0\x11"))

    assert played(scene, tmp_path).verdict.outcome == "failed"


def test_an_attempt_of_which_message_3_is_the_last_is_not_healthy(tmp_path: Path) -> None:
    verdict = played(lambda wire: Pair(wire).main_mode(upto=3), tmp_path).verdict
    assert verdict.outcome == "inconclusive"


def test_who_does_not_know_the_sa_on_4500_is_another_machine(tmp_path: Path) -> None:
    """UDP 500 and 4500 are forwarded to two machines: INVALID-COOKIE at once, to each try."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode(upto=4)
        proof = pair.random.randbytes(68)
        for wait in (1, 2, 4, 8):
            pair.proof(True, body=proof)
            pair.notify(False, 4, natt=True, wait=wait)

    found = played(scene, tmp_path).findings[0]
    assert found.code == "auth.unanswered"
    assert "does not know the IKE SA" in found.detail
    assert "two different machines" in found.causes[0].text


@pytest.mark.parametrize("count", [*range(1, 8), *range(15, 28)])
def test_a_capture_that_ends_while_a_session_is_set_up_is_not_healthy(
    count: int, tmp_path: Path
) -> None:
    wire = Wire()
    Pair(wire).session()
    del wire.shots[count:]
    assert wire.report(tmp_path).verdict.outcome == "inconclusive"


def test_and_healthy_once_nobody_has_hung_up_for_a_while(tmp_path: Path) -> None:
    """Nothing more is sent, but a keepalive (RFC 3948 section 4)."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.session()
        del wire.shots[28:]
        wire.at += 20
        pair.put(True, b"\xff", natt=True)

    assert played(scene, tmp_path).verdict.outcome == "healthy"


@pytest.mark.parametrize("wrong_key", [True, False])
def test_a_file_turned_round_is_as_long_as_it_was(wrong_key: bool, tmp_path: Path) -> None:
    """Frames in another order than their time stamps: the time between them is what it is."""
    wire = Wire()
    pair = Pair(wire)
    if wrong_key:
        pair.main_mode(upto=4)
    proof = pair.random.randbytes(68)
    for wait in (1, 1, 2, 4, 8):
        if wrong_key:
            pair.proof(True, wait=wait, body=proof)
        else:
            pair.mm1(wait=wait)
    save(wire.shots[::-1], tmp_path / "turned.pcapng")
    verdict = analyze([tmp_path / "turned.pcapng"]).verdict
    assert verdict.finding == ("auth.unanswered" if wrong_key else "path.silent")
