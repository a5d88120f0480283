"""The rungs inside the tunnel, through the whole stack, on a clean network and on a bad one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.sim.network import Network, Result, Simulation, client_options, rough, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks.inside import INSIDE_BREAKS
from vpndiag.gateway.inside import Inside
from vpndiag.observations import InsideApp, InsidePing, InsideScope
from vpndiag.probes.inside import InsidePlan, parse_app


def plan(**asked: object) -> InsidePlan:
    """A plan; ``apps`` as text."""
    apps = tuple(parse_app(a) for a in asked.pop("apps", ()))  # type: ignore[attr-defined]
    return InsidePlan(apps=apps, **asked)  # type: ignore[arg-type]


def broken(code: str, network: Network | None = None, seed: int = 0) -> Result:
    wanted = INSIDE_BREAKS[code]
    config = wanted.apply(GatewayConfig())
    return simulate(config=config, network=network, seed=seed, inside=plan(**wanted.ask))


def status(result: Result) -> dict[str, str]:
    return {layer.id: layer.status for layer in result.diagnosis.layers}


def check(code: str, result: Result) -> None:
    verdict = result.diagnosis.verdict
    if INSIDE_BREAKS[code].outcome == "failed":
        assert (verdict.outcome, verdict.finding) == ("failed", code)
        assert verdict.layer == code.partition(".")[0]
    else:
        assert verdict.outcome == "healthy" and code in result.codes


@pytest.mark.parametrize("code", INSIDE_BREAKS)
def test_a_break_inside_gives_its_finding(code: str) -> None:
    result = broken(code)
    check(code, result)
    assert result.seconds < 6.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("code", INSIDE_BREAKS)
def test_and_the_same_with_a_third_of_all_packets_lost(code: str, seed: int) -> None:
    check(code, broken(code, rough(), seed))


def test_a_healthy_run_passes_every_rung_within_a_second() -> None:
    inside = plan(
        apps=["http://files.corp.example"],
        internal_hosts=("10.99.0.80",),
        internal_names=("intranet.corp.example",),
        internal_networks=("10.99.0.0/24",),
        expected_addresses=("10.99.1.0/24",),
        expected_dns=("10.99.0.53",),
        local_networks=("lo 127.0.0.0/8", "eth0 192.168.1.0/24"),
    )
    result = simulate(inside=inside)
    assert result.outcome == "healthy"
    assert {status(result)[i] for i in ("routes", "mtu", "dns", "app")} == {"passed"}
    assert result.seconds < 1.0


@pytest.mark.parametrize("seed", range(12))
def test_a_healthy_network_is_called_healthy_whatever_is_lost(seed: int) -> None:
    inside = plan(apps=["http://10.99.0.80"], internal_names=("files.corp.example",))
    result = simulate(network=rough(), seed=seed, inside=inside)
    assert result.outcome == "healthy", result.diagnosis.verdict


def test_the_questions_inside_cost_no_round_trips_one_after_the_other() -> None:
    result = simulate()
    start = next(o for o in result.observations if isinstance(o, InsideScope)).t
    assert result.seconds - start < 0.1, "thirty pings in a row, and all else beside them"


def test_pings_before_the_link_is_ready_are_no_losses() -> None:
    """As on Linux gateways: what comes in the first 300 ms after IPCP is dropped."""
    simulation = Simulation([client_options()], GatewayConfig(), Network())
    answer = Inside.answer
    first: list[float] = []

    def late(self: Inside, packet: bytes, client: IPv4Address | None) -> list[bytes]:
        first.append(simulation.now)
        return answer(self, packet, client) if simulation.now >= first[0] + 0.3 else []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inside, "answer", late)
        result = simulation.run()[0]
    assert result.outcome == "healthy" and "routes.peer-silent" not in result.codes
    pings = [o for o in result.observations if isinstance(o, InsidePing)]
    assert {(p.received, p.sent - p.lost_first) for p in pings} == {(3, 3), (30, 30)}
    assert {p.lost_first for p in pings} == {4, 31}
    routes = next(x for x in result.diagnosis.layers if x.id == "routes")
    assert " lost" not in routes.summary


@pytest.mark.parametrize(
    ("local", "asked", "outcome", "severity"),
    [
        ("wlan0 10.99.0.0/24", {}, "failed", "error"),
        ("wlan0 10.99.1.0/24", {}, "healthy", "warning"),
        ("wlan0 10.20.0.0/16", {"internal_networks": ("10.20.4.0/24",)}, "failed", "error"),
        (
            "wlan0 via 192.168.1.254 10.20.0.0/16",
            {"internal_networks": ("10.20.4.0/24",)},
            "failed",
            "error",
        ),
    ],
)
def test_overlaps_are_told_by_what_they_break(
    local: str, asked: dict[str, tuple[str, ...]], outcome: str, severity: str
) -> None:
    result = simulate(inside=plan(local_networks=(local,), **asked))
    assert result.outcome == outcome
    found = [f for f in result.diagnosis.findings if f.code == "routes.overlap"]
    assert [f.severity for f in found] == [severity]


@pytest.mark.parametrize("local", ["ppp0 10.99.1.0/24", "wg0 10.99.0.0/16", "eth0 10.99.0.53/32"])
def test_tunnels_and_single_addresses_are_no_networks_of_this_computer(local: str) -> None:
    assert "routes.overlap" not in simulate(inside=plan(local_networks=(local,))).codes


def test_what_is_expected_and_not_found_is_a_finding() -> None:
    inside = plan(expected_addresses=("10.1.0.0/16",), expected_dns=("10.1.0.53",))
    result = simulate(inside=inside)
    assert {"routes.unexpected-address", "dns.unexpected-servers"} <= result.codes
    assert result.outcome == "healthy"


def test_without_dns_the_rung_is_not_reached_with_its_reason() -> None:
    result = simulate(config=GatewayConfig(dns=()))
    layer = next(x for x in result.diagnosis.layers if x.id == "dns")
    assert (layer.status, layer.reason) == ("not_reached", "no DNS server was assigned")
    assert result.outcome == "healthy"


def test_expected_servers_that_are_not_pushed_at_all_are_told() -> None:
    result = simulate(config=GatewayConfig(dns=()), inside=plan(expected_dns=("10.1.0.53",)))
    assert "dns.unexpected-servers" in result.codes


def test_what_was_asked_for_and_not_tested_to_the_end_is_not_healthy() -> None:
    """The run itself ended before the application was: nothing is known of it."""
    app = ("http://10.99.0.80",)
    result = simulate(inside=plan(apps=app))
    seen = [o for o in result.observations if not isinstance(o, InsideApp)]
    verdict = diagnose(seen).verdict
    assert (verdict.outcome, verdict.layer) == ("inconclusive", "app")


def test_the_arithmetic_of_the_encapsulation_is_that_of_the_packets() -> None:
    """AES-CBC-256 with SHA2-256 in UDP over 1500 bytes: 1402 inside (three headers and padding)."""
    scope = next(o for o in simulate().observations if isinstance(o, InsideScope))
    assert (scope.mru_out, scope.mru_in, scope.link_mtu) == (1400, 1400, 1402)


def test_an_interrupted_run_claims_nothing_of_the_inside() -> None:
    config = GatewayConfig()
    config = replace(config, faults=replace(config.faults, inside_dns="silent"))
    simulation = Simulation([client_options()], config, Network())
    simulation.at(simulation.now + 1.2, simulation.runs[0].interrupt)
    diagnosis = simulation.run()[0].diagnosis
    assert diagnosis.verdict.outcome == "inconclusive"
    assert next(x for x in diagnosis.layers if x.id == "dns").status == "not_reached"
