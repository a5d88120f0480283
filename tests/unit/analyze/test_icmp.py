"""What routers and gateways say in ICMP about the packets of an attempt, and who says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analyze.scene import GATEWAY, ROUTER, Pair, Wire, played
from vpndiag.report.document import Report

HOP = "192.168.7.1"


def _proofs(wire: Wire, count: int, reporter: str, code: int) -> Pair:
    pair = Pair(wire)
    pair.main_mode(upto=4)
    for n in range(count):
        packet = pair.proof(True, body=pair.proved if n else b"")
        if reporter:
            pair.refuse(packet, code=code, reporter=reporter)
        else:
            wire.at += 1
    return pair


@pytest.mark.parametrize(("reporter", "code"), [(GATEWAY, 3), (HOP, 13)])
def test_a_refused_change_of_port_needs_no_long_silence(
    reporter: str, code: int, tmp_path: Path
) -> None:
    found = played(lambda wire: _proofs(wire, 2, reporter, code), tmp_path)
    assert found.verdict.finding == "path.float-blocked"
    said = next(f for f in found.findings if f.code == "path.float-blocked")
    assert any(reporter in e.text and e.frames == (6, 8) for e in said.evidence)


def test_without_that_two_tries_in_two_seconds_tell_nothing(tmp_path: Path) -> None:
    found = played(lambda wire: _proofs(wire, 2, "", 0), tmp_path)
    assert found.verdict.outcome == "inconclusive"


def test_a_host_that_is_unreachable_altogether_is_not_a_blocked_port(tmp_path: Path) -> None:
    """The router says the same of UDP 500: the gateway is gone since message 4."""

    def scene(wire: Wire) -> None:
        pair = _proofs(wire, 2, HOP, 1)
        again = Pair(wire)
        pair.refuse(again.mm1(), code=1, reporter=HOP)

    assert played(scene, tmp_path).verdict.finding != "path.float-blocked"


def test_nor_does_an_error_when_message_5_is_answered(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = _proofs(wire, 1, GATEWAY, 3)
        pair.info(False, wait=5.0)

    assert played(scene, tmp_path).verdict.finding == "auth.psk-mismatch"


def _esp(wire: Wire, *, nat: bool, code: int, reporter: str) -> None:
    pair = Pair(wire, nat=nat)
    pair.main_mode()
    pair.quick_mode()
    for _ in range(2):
        pair.refuse(pair.esp(True, bytes(60)), code=code, reporter=reporter)


@pytest.mark.parametrize(
    ("nat", "code", "reporter", "finding"),
    [
        (False, 13, HOP, "path.esp-blocked"),
        (False, 2, GATEWAY, "path.esp-blocked"),
        (True, 3, GATEWAY, "path.port-unreachable"),
        (True, 10, HOP, "path.prohibited"),
    ],
)
def test_esp_that_is_refused(
    nat: bool, code: int, reporter: str, finding: str, tmp_path: Path
) -> None:
    found = played(lambda w: _esp(w, nat=nat, code=code, reporter=reporter), tmp_path)
    assert found.verdict.finding == finding
    assert any(reporter in e.text for f in found.findings for e in f.evidence)


def _large(place: Path, told: int, every: float) -> Report:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode()
        pair.quick_mode()
        pair.users(10)
        for _ in range(told):
            packet = pair.esp(True, bytes(1400))
            pair.refuse(packet, 3, 4, wait=every, reporter=ROUTER, mtu=1400)
        pair.users(20)

    return played(scene, place)


@pytest.mark.parametrize(("told", "every", "severity"), [(2, 0.1, "info"), (5, 1.0, "warning")])
def test_who_says_that_packets_are_too_large(
    told: int, every: float, severity: str, tmp_path: Path
) -> None:
    found = _large(tmp_path, told, every)
    (said,) = (f for f in found.findings if f.code == "path.small-mtu")
    assert found.verdict.outcome == "healthy" and said.severity == severity
    assert ROUTER in said.detail and "1400" in said.detail
    assert len(said.evidence[0].frames) == told


def test_fragments_that_the_gateway_waited_for_in_vain(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode(upto=4)
        pair.refuse(pair.proof(True, body=bytes(2000)), 11, 1, wait=30.0)

    assert played(scene, tmp_path).verdict.finding == "path.fragments-lost"


@pytest.mark.parametrize(("tries", "finding"), [(4, "path.fragments-lost"), (1, "auth.unanswered")])
def test_a_large_message_5_that_no_link_takes(tries: int, finding: str, tmp_path: Path) -> None:
    """IPv6: routers do not fragment (RFC 8200 section 5). Told once, the client adapts."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire, client="2001:db8:7::33", gateway="2001:db8:1::20", nat=False)
        pair.main_mode(upto=4)
        pair.nat = True  # the change of port all the same
        for n in range(4):
            packet = pair.proof(True, body=pair.proved if n else bytes(1400))
            if n < tries:
                pair.refuse(packet, 2, 0, reporter="2001:db8:7::1", mtu=1280)
            wire.at += 2

    assert played(scene, tmp_path).verdict.finding == finding


@pytest.mark.parametrize(
    ("routers", "loop"), [((HOP, HOP, HOP, HOP), True), ((HOP, "10.0.0.1", ROUTER, GATEWAY), False)]
)
def test_packets_that_go_round_in_circles(
    routers: tuple[str, ...], loop: bool, tmp_path: Path
) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        for router in routers:
            pair.refuse(pair.mm1(), 11, 0, reporter=router, wait=2.0)

    found = played(scene, tmp_path)
    assert found.verdict.finding == "path.silent"
    assert ("routing loop" in found.verdict.headline) == loop


def test_esp_that_is_too_large_is_no_ike_message(tmp_path: Path) -> None:
    """Of a session that is older than the capture."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        for _ in range(6):
            pair.refuse(pair.esp(True, bytes(1400)), 3, 4, reporter=ROUTER, mtu=1400)
            pair.esp(False, bytes(60))
        pair.info(True)

    found = played(scene, tmp_path)
    assert found.verdict.outcome != "failed"
    assert "path.small-mtu" in {f.code for f in found.findings}


@pytest.mark.parametrize(
    ("code", "reporter", "finding"),
    [
        (13, HOP, "path.prohibited"),
        (1, HOP, "path.host-unreachable"),
        (3, GATEWAY, "path.500-silent"),
        (None, HOP, "path.500-silent"),
    ],
)
@pytest.mark.parametrize("port", [500, 4500])
def test_one_port_is_refused_and_the_other_answers(
    port: int, code: int | None, reporter: str, finding: str, tmp_path: Path
) -> None:
    """A closed port is a silent one: the VPN service does run."""

    def scene(wire: Wire) -> None:
        for _ in range(4):
            asked = Pair(wire)
            packet = asked.mm1(natt=port == 4500)
            if code is None:
                wire.at += 2.0
            else:
                asked.refuse(packet, code=code, reporter=reporter, wait=2.0)
        other = Pair(wire, seed=2)
        other.mm1(natt=port == 500)
        other.mm2(natt=port == 500)

    found = played(scene, tmp_path)
    assert found.verdict.finding == finding.replace("500-silent", f"{port}-silent")
    said = next(f for f in found.findings if f.code == found.verdict.finding)
    assert any("ICMP" in e.text for e in said.evidence) == (code is not None)
    assert any(f"UDP {5000 - port} answers" in e.text for e in said.evidence)


@pytest.mark.parametrize(
    ("used", "times", "finding"),
    [(60, 8, "path.dpd-timeout"), (60, 2, None), (5, 8, None)],
)
def test_a_session_that_is_refused_from_one_moment_on(
    used: int, times: int, finding: str | None, tmp_path: Path
) -> None:
    """The gateway's VPN service ends, and its host says so. What ends soon may have failed inside,
    where nobody can look."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode()
        pair.quick_mode()
        pair.users(used)
        for _ in range(times):
            pair.refuse(pair.esp(True, bytes(100), 0.1), wait=2.0)

    verdict = played(scene, tmp_path).verdict
    assert verdict.finding == finding
    assert finding is None or "was up" in verdict.headline


def test_a_gateway_that_forgets_what_it_has_just_begun_may_be_several(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode(upto=3)
        pair.notify(False, 4)

    found = played(scene, tmp_path)
    main = next(f for f in found.findings if f.code == found.verdict.finding)
    assert main.code == "ike.refused" and "different machines" in main.causes[0].text
