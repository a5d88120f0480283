"""A name with several addresses, of which one was tested."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.test_way import GATEWAY, HOPS, both, check, reached, silent
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import ControlCheck, IcmpError
from vpndiag.report.model import Finding, Layer

OTHER = "198.51.100.77"


def other(outcome: str, address: str = OTHER) -> ControlCheck:
    return ControlCheck(
        t=2.0, role="other-address", what="ike", target="vpn.example.com", address=address,
        port=500, outcome=outcome,  # type: ignore[arg-type]
    )  # fmt: skip


def path(*more, ports: tuple[int, ...] = (500, 4500)) -> tuple[Layer, list[Finding]]:  # type: ignore[no-untyped-def]
    diagnosis = diagnose(silent(*more, ports=ports))
    found = [f for f in diagnosis.findings if f.layer == "path"]
    return next(x for x in diagnosis.layers if x.id == "path"), found


def test_the_tested_one_is_silent_and_another_answers() -> None:
    layer, (finding,) = path(other("answered"), check("gateway", "tcp", "silent", 443))
    assert finding.code == "path.silent" and finding.owner == "gateway-admin"
    assert finding.detail.startswith(
        f"{GATEWAY} does not answer, but {OTHER}, another address of vpn.example.com, does."
    )
    assert OTHER in finding.fix[1]
    assert layer.facts["its addresses"] == f"{GATEWAY} silent, {OTHER} answers"
    told = [e.text for e in finding.evidence if OTHER in e.text]
    assert told == [f"its other address {OTHER}, IKE: answered"]


def test_the_same_where_the_tested_one_refuses() -> None:
    refused = IcmpError(t=0.3, what="port-unreachable", icmp_type=3, icmp_code=3, reporter=GATEWAY,
                        from_gateway=True, port=500, direction="in")  # fmt: skip
    _layer, (finding,) = path(refused, other("answered"))
    assert finding.code == "path.port-unreachable"
    assert f"{OTHER}, another address of vpn.example.com, does" in finding.detail


def test_all_are_silent() -> None:
    layer, (finding,) = path(other("silent"))
    assert "another address" not in finding.detail
    assert layer.facts["its addresses"] == f"{GATEWAY} silent, {OTHER} silent"


def test_a_router_that_drops_ike_to_the_tested_one_is_still_named() -> None:
    _layer, (finding,) = path(other("answered"), *both(*HOPS[:2]), reached("udp"))
    assert "stop after hop 2" in finding.detail and finding.owner == "network"


def test_one_port_of_the_tested_one_is_its_own_matter() -> None:
    _layer, (finding,) = path(other("answered"), ports=(4500,))
    assert finding.code == "path.4500-silent" and OTHER not in finding.detail


@pytest.mark.parametrize("outcome", ["silent", "refused", "unreachable"])
def test_the_tested_one_answers_and_another_does_not(outcome: str) -> None:
    layer, (finding,) = path(other(outcome), ports=())
    assert (finding.code, finding.severity) == ("path.other-address-silent", "warning")
    assert layer.status == "warning" and OTHER in finding.detail


@pytest.mark.parametrize("outcome", ["answered", "cannot-tell"])
def test_nothing_is_said_of_one_that_answers_or_cannot_be_asked(outcome: str) -> None:
    layer, found = path(other(outcome), ports=())
    assert not found and layer.status == "passed"


def test_ipv6_that_serves_no_vpn_is_the_likeliest_cause_there() -> None:
    _layer, (finding,) = path(other("silent", "2001:db8::7"), ports=())
    assert "serves no VPN over IPv6" in finding.causes[0].text
