"""Every break of the gateway gives its own finding, on a clean network and on a bad one."""

from __future__ import annotations

import pytest

from tests.sim.network import (
    VERIFY_TIME,
    Network,
    Result,
    Simulation,
    client_options,
    rough,
    simulate,
)
from vpndiag import catalogue
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS, CannotProvoke, find_break
from vpndiag.probes.soak import SoakPlan
from vpndiag.tunnel.options import Flow


def broken(name: str, network: Network | None = None, seed: int = 0) -> Result:
    config, options = BREAKS[name].apply(GatewayConfig(), client_options(), VERIFY_TIME)
    soak = SoakPlan(BREAKS[name].soak) if BREAKS[name].soak else None
    return simulate(options, config, network, seed, soak=soak)


def problem(name: str, result: Result, *, loses_packets: bool = False) -> str:
    """What is wrong with the verdict on a break; empty when it is right."""
    wanted, verdict = BREAKS[name], result.diagnosis.verdict
    if wanted.outcome == "failed":
        layer = catalogue.entry(wanted.code).layer
        if (verdict.outcome, verdict.layer, verdict.finding) != ("failed", layer, wanted.code):
            return f"{verdict.outcome}: {verdict.finding} ({verdict.layer})"
        return ""
    if verdict.outcome != "healthy":
        return f"{verdict.outcome}: {verdict.finding} ({verdict.layer})"
    # L2TP in the clear is asked beside the run, which does not wait for an answer.
    may_be_missed = loses_packets and wanted.code == "path.l2tp-in-clear"
    return "" if wanted.code in result.codes or may_be_missed else f"only {result.codes}"


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_gives_its_finding(name: str) -> None:
    result = broken(name)
    assert problem(name, result) == ""
    errors = {f.code for f in result.diagnosis.findings if f.severity == "error"}
    assert errors <= {BREAKS[name].code}, "and no other error is claimed"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", BREAKS)
def test_and_the_same_with_a_third_of_all_packets_lost(name: str, seed: int) -> None:
    if name == "path.lossy":
        pytest.skip("loses packets by itself")
    if name == "session.hung-up:delete-later":
        pytest.skip("a Delete is sent once: when it is lost the gateway has vanished")
    assert problem(name, broken(name, rough(), seed), loses_packets=True) == ""


@pytest.mark.parametrize("seed", range(8))
def test_a_healthy_run_is_healthy_on_a_bad_network(seed: int) -> None:
    result = simulate(network=rough(), seed=seed)
    assert result.outcome == "healthy"
    told = {"path.lossy", "esp.replayed", "esp.out-of-order"}
    assert result.codes <= {"esp.forced-encapsulation", *told}


@pytest.mark.parametrize("seed", range(8))
def test_a_look_from_outside_is_healthy_on_a_bad_network(seed: int) -> None:
    outside = client_options(psk=None, user=None, password=None)
    result = simulate(outside, network=rough(), seed=seed)
    assert result.outcome == "healthy"


def test_a_port_given_up_before_the_other_answers_is_silent() -> None:
    """Here UDP 500 answers in the fifth second only, when 4500 has been given up already."""
    assert problem("path.4500-silent", broken("path.4500-silent", rough(), 1091)) == ""


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = simulate(network=rough(), seed=5), simulate(network=rough(), seed=5)
    assert first.observations == second.observations


@pytest.mark.parametrize(
    "name",
    ["name.not-found", "path.no-route", "ike.expired-at-once"],
)
def test_what_no_gateway_can_provoke_is_said_in_one_line(name: str) -> None:
    with pytest.raises(CannotProvoke) as caught:
        find_break(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_finding_has_a_break_or_a_reason_why_not() -> None:
    for entry in catalogue.all_entries():
        try:
            assert find_break(entry.code).code == entry.code
        except CannotProvoke as error:
            assert str(error)


def test_every_break_is_of_a_finding_in_the_catalogue() -> None:
    known = {entry.code for entry in catalogue.all_entries()}
    assert {b.code for b in BREAKS.values()} <= known


@pytest.mark.parametrize("name", [n for n in BREAKS if n.startswith("login.")])
def test_breaks_of_the_login_do_not_depend_on_who_logs_in(name: str) -> None:
    config = GatewayConfig(users={"alice": "wonderland"})
    options = client_options(user="alice", password="wonderland")
    config, options = BREAKS[name].apply(config, options, VERIFY_TIME)
    assert problem(name, simulate(options, config)) == ""


def test_an_unknown_break_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        find_break("path.no-such-thing")
    assert find_break("auth.psk-mismatch:silent").code == "auth.psk-mismatch"


def test_a_gateway_silent_on_both_ports_is_judged_within_six_seconds() -> None:
    assert broken("path.silent").seconds < 6.0


def test_an_answer_to_ikev2_alone_does_not_prolong_the_wait_for_one_to_ikev1() -> None:
    result = broken("ike.ikev2-only")
    assert result.finding == "ike.ikev2-only"
    assert max(o.t for o in result.observations) < 6.0


def test_a_gateway_that_misses_the_first_request_of_l2tp_is_not_taken_for_a_lossy_path() -> None:
    """Its SA is not in place yet. What fails later has its verdict as soon as elsewhere."""
    config, options = BREAKS["lcp.no-answer"].apply(GatewayConfig(), client_options(), VERIFY_TIME)
    simulation = Simulation([options], config, Network())
    to_gateway, missed = simulation.to_gateway, [0]

    def deaf(client: int, flow: Flow, data: bytes) -> None:
        esp = flow is Flow.NATT and data[:4] != bytes(4) and len(data) > 1
        missed[0] += esp
        if not esp or missed[0] > 2:
            to_gateway(client, flow, data)

    simulation.to_gateway = deaf  # type: ignore[method-assign]
    result = simulation.run()[0]
    assert missed[0] > 2 and result.finding == "lcp.no-answer"
    assert result.seconds < broken("lcp.no-answer").seconds + 3.0


def test_silence_after_our_refusal_of_its_eap_method_is_about_the_method() -> None:
    """EAP's Failure is sent once. That the RADIUS server is there its own question has shown."""
    config, options = BREAKS["login.eap-method"].apply(
        GatewayConfig(plain_l2tp=True), client_options(plain_l2tp=True), VERIFY_TIME
    )
    simulation = Simulation([options], config, Network())
    to_gateway, to_client, refused = simulation.to_gateway, simulation.to_client, [False]

    def heard(client: int, flow: Flow, data: bytes) -> None:
        at = data.find(b"\xc2\x27\x02")
        refused[0] = refused[0] or (at > 0 and data[at + 6] == 3)
        to_gateway(client, flow, data)

    def silent(port: int, destination: tuple[str, int], data: bytes) -> None:
        if not refused[0]:
            to_client(port, destination, data)

    simulation.to_gateway, simulation.to_client = heard, silent  # type: ignore[method-assign]
    result = simulation.run()[0]
    assert refused[0] and result.finding == "login.eap-method"
    assert result.diagnosis.verdict.confidence == "medium"
