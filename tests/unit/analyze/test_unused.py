"""IPsec that is set up and in which nothing is sent, as far as the capture goes: what is said."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.unit.analyze.scene import (
    CLIENT,
    GATEWAY,
    MACOS_VENDORS,
    ROUTER,
    WINDOWS,
    WINDOWS_VENDORS,
    Pair,
    Scene,
    Wire,
    played,
)
from vpndiag.report.document import Report
from vpndiag.report.model import Finding

INSIDE = "10.0.0.4"


def phase_1(pair: Pair, vendors: Iterable[str], gateway: str) -> None:
    """``gateway``: its own address, which it hashes in message 4."""
    pair.mm1(WINDOWS, vendors)
    pair.mm2()
    for mine, hashed in (
        (True, ((GATEWAY, 500), (CLIENT, 500))),
        (False, ((ROUTER, 500), (gateway, 500))),
    ):
        payloads = [(4, pair.random.randbytes(256)), (10, pair.random.randbytes(48))]
        pair.ike(mine, 2, [*payloads, *((20, pair._hash(*end)) for end in hashed)])
    pair.proof(True)
    pair.proof(False)


def again_and_again(
    times: int, vendors: Iterable[str] = WINDOWS_VENDORS, gateway: str = INSIDE
) -> Scene:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        phase_1(pair, vendors, gateway)
        for wait in (1.0, 2.0, 4.0, 8.0, 8.0)[:times]:
            pair.quick_mode()
            wire.at += wait
            pair.info(True)
        pair.info(True)

    return scene


def main_finding(report: Report) -> Finding:
    return next(f for f in report.findings if f.code == report.verdict.finding)


def test_windows_that_may_not_use_a_gateway_behind_nat(tmp_path: Path) -> None:
    report = played(again_and_again(5), tmp_path)
    found = main_finding(report)
    assert (report.verdict.layer, found.code) == ("ipsec", "ipsec.client-stops")
    assert found.confidence == "high"
    assert "AssumeUDPEncapsulationContextOnSendRule" in found.causes[0].fix
    assert found.causes[0].owner == "helpdesk"


@pytest.mark.parametrize(
    ("vendors", "gateway"), [(MACOS_VENDORS, INSIDE), (WINDOWS_VENDORS, GATEWAY)]
)
def test_others_need_no_such_setting(vendors: Iterable[str], gateway: str, tmp_path: Path) -> None:
    report = played(again_and_again(5, vendors, gateway), tmp_path)
    found = main_finding(report)
    assert (found.code, found.confidence) == ("ipsec.client-stops", "medium")
    assert not any("AssumeUDP" in cause.fix for cause in found.causes)


def test_once_or_twice_may_be_a_capture_without_esp(tmp_path: Path) -> None:
    for times in (1, 2):
        verdict = played(again_and_again(times), tmp_path).verdict
        assert (verdict.outcome, verdict.layer) == ("inconclusive", "esp")
    assert "left out of this capture" in verdict.headline or "at once" in verdict.headline


def test_with_esp_it_is_another_matter(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        phase_1(pair, WINDOWS_VENDORS, INSIDE)
        for wait in (1.0, 2.0, 4.0, 8.0):
            pair.quick_mode()
            pair.sccrq()
            wire.at += wait
            pair.info(True)

    assert played(scene, tmp_path).verdict.finding == "l2tp.no-answer"
