"""Both directions of one conversation, under addresses that do not fit each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.variants import source
from tests.unit.analyze.scene import GATEWAY, Pair, Wire, played
from vpndiag.report.document import Report

INSIDE = "10.0.0.5"


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _from_inside(play: Callable[[Wire], object], place: Path) -> Report:
    """As recorded on all interfaces of a firewall that forwards a public address: questions before
    the address is translated, and answers as well."""

    def scene(wire: Wire) -> None:
        play(wire)
        for n, s in enumerate(wire.shots):
            if source(s) == _packed(GATEWAY):
                data = s.data[:12] + _packed(INSIDE) + s.data[16:]
                wire.shots[n] = replace(s, data=data)

    return played(scene, place)


@pytest.mark.parametrize("null", [False, True])
def test_answers_that_the_client_takes_are_its_gateway_s(null: bool, tmp_path: Path) -> None:
    report = _from_inside(lambda wire: Pair(wire, null=null).session(), tmp_path)
    assert report.verdict.outcome == "healthy"
    assert len(report.sessions) == 1
    assert report.sessions[0].gateway == GATEWAY
    assert any(f"answered by {INSIDE}, which it takes" in note for note in report.notes)


def test_and_a_failure_behind_them_is_the_one_that_it_is(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire, null=True)
        pair.main_mode()
        pair.quick_mode()
        pair.tunnel()
        pair.lcp()
        pair.mschap(4, b"E=691 R=0 C=00 V=3 M=no")

    assert _from_inside(scene, tmp_path).verdict.finding == "login.wrong-password"


def test_answers_that_the_client_does_not_take_are_no_use_to_it(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        for wait in (1, 1, 2, 4, 8):
            pair.mm1()
            pair.mm2(wait=wait)

    assert _from_inside(scene, tmp_path).verdict.finding == "path.answer-from-elsewhere"


def test_two_gateways_that_are_both_asked_stay_two(tmp_path: Path) -> None:
    """A cluster: the first address is answered by the second, which is asked afterwards."""

    def scene(wire: Wire) -> None:
        first = Pair(wire)
        first.mm1()
        first.mm2(source="198.51.100.21")
        first.key_exchange(True)
        wire.at += 30
        Pair(wire, gateway="198.51.100.21", seed=2).session()

    report = played(scene, tmp_path)
    assert {s.gateway for s in report.sessions} == {GATEWAY, "198.51.100.21"}
    assert report.sessions[-1].verdict.outcome == "healthy"
