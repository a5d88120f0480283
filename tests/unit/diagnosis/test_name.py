"""What the look-up of the gateway's name means."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.test_way import silent
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import Ended, NameAnswer, Observation, Scope
from vpndiag.report.model import Diagnosis

SCOPE = Scope(t=0.0, credentials=True, user=True, plain_l2tp=False, certificate=False)


def answer(outcome: str, *addresses: str, resolver: str = "192.0.2.53", name: str = "vpn.example"):  # type: ignore[no-untyped-def]
    return NameAnswer(t=0.1, name=name, rrtype="A", resolver=resolver, outcome=outcome,  # type: ignore[arg-type]
                      addresses=addresses)  # fmt: skip


def judged(*seen: Observation) -> Diagnosis:
    return diagnose([SCOPE, *seen, Ended(t=4.0, why="stopped")])


def test_a_silent_resolver_is_not_one_that_answers_with_an_error() -> None:
    """The system asks the same servers, and then has nothing to say either."""
    found = judged(answer("timeout"), answer("error", resolver="system"))
    assert found.verdict.finding == "name.resolver-silent"
    found = judged(answer("servfail"), answer("error", resolver="system"))
    assert found.verdict.finding == "name.resolver-failed"


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::"])
def test_a_name_that_is_blocked_by_a_dns_filter_fails_at_the_name(address: str) -> None:
    found = diagnose([answer("answered", address), *silent()])
    assert (found.verdict.layer, found.verdict.finding) == ("name", "name.private-address")
    assert found.findings[0].owner == "network"


def test_a_gateway_on_this_computer_may_be_tested() -> None:
    heard = diagnose([answer("answered", "127.0.0.1"), *silent(ports=())])
    assert heard.layers[0].status == "warning"
    named = diagnose([answer("answered", "127.0.0.1", name="localhost"), *silent()])
    assert named.verdict.layer == "path"


def test_several_private_addresses_are_told_together() -> None:
    found = diagnose([answer("answered", "10.0.0.1", "10.0.0.2", "100.64.0.1"), *silent()])
    (told,) = [f.detail for f in found.findings if f.code == "name.private-address"]
    assert told == (
        "10.0.0.1 and 10.0.0.2 are addresses of a private network; 100.64.0.1 is an address of a "
        "provider's carrier-grade NAT: they cannot be reached from the Internet."
    )


def test_what_is_wrong_with_a_name_is_told() -> None:
    detail = "looks like an IPv4 address but is none"
    wrong = [
        NameAnswer(t=0.0, name="300.1.2.3", rrtype=kind, resolver="", outcome="invalid",
                   detail=detail) for kind in ("A", "AAAA")
    ]  # fmt: skip
    found = judged(*wrong)
    assert found.verdict.finding == "name.invalid"
    assert found.verdict.headline == f"'300.1.2.3' is not a legal host name: {detail}."
