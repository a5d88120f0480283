"""Address translation on either side, several clients at once, addresses that change."""

from __future__ import annotations

import pytest

from tests.sim.network import (
    CLIENT_NAT,
    Network,
    Result,
    Simulation,
    client_options,
    simulate,
)
from vpndiag.gateway import GatewayConfig
from vpndiag.tunnel.options import Flow


def nat_of(result: Result) -> str:
    layer = next(x for x in result.diagnosis.layers if x.id == "ipsec")
    return layer.facts["nat"]


@pytest.mark.parametrize(
    ("client", "gateway", "told"),
    [
        (False, False, "no NAT"),
        (True, False, "NAT on the client's side"),
        (False, True, "NAT on the gateway's side"),
        (True, True, "NAT on both sides"),
    ],
)
def test_the_side_of_the_nat_is_told(client: bool, gateway: bool, told: str) -> None:
    result = simulate(network=Network(client_nat=client, gateway_nat=gateway))
    assert result.outcome == "healthy"
    assert nat_of(result).startswith(told)


def test_a_client_that_could_send_plain_esp_is_led_to_udp() -> None:
    """The gateway has UDP sockets only: it claims a NAT on its side, by an address nobody has."""
    result = simulate(client_options(plain_esp_possible=True))
    assert result.outcome == "healthy"
    assert nat_of(result).startswith("the gateway pretends NAT")
    assert not [f for f in result.diagnosis.findings if f.severity == "warning"]


@pytest.mark.parametrize("nat", [False, True])
def test_several_clients_at_once_get_addresses_of_their_own(nat: bool) -> None:
    network = Network(client_nat=nat)
    clients = [client_options(n, nat=nat) for n in range(4)]
    simulation = Simulation(clients, GatewayConfig(), network, seed=1)
    results = simulation.run()
    assert [r.outcome for r in results] == ["healthy"] * 4
    addresses = {
        next(x for x in r.diagnosis.layers if x.id == "address").facts["address"] for r in results
    }
    assert len(addresses) == 4
    if nat:
        assert {a[0] for a in simulation._back} == {CLIENT_NAT}


def test_clients_leave_nothing_behind() -> None:
    simulation = Simulation([client_options(n) for n in range(3)], GatewayConfig(), Network())
    simulation.run()
    for _ in range(50):
        if not simulation.step(simulation.now + 5.0):
            break
    assert (simulation.gateway.clients, simulation.gateway.tunnels) == (0, 0)


def test_a_mapping_that_changes_does_not_cut_the_client_off() -> None:
    simulation = Simulation(
        [client_options(nat=True)], GatewayConfig(), Network(client_nat=True), seed=3
    )
    seen: list[int] = []

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        if way == "up" and flow is Flow.NATT and data[:4] != bytes(4):
            seen.append(len(data))
            if len(seen) == 5:
                sim.remap()

    simulation.taps.append(tap)
    assert simulation.run()[0].outcome == "healthy"


@pytest.mark.parametrize(
    ("icmp", "code"),
    [
        ("port-unreachable", "path.port-unreachable"),
        ("prohibited", "path.prohibited"),
        ("host-unreachable", "path.host-unreachable"),
        ("net-unreachable", "path.net-unreachable"),
    ],
)
def test_icmp_errors_are_told_apart(icmp: str, code: str) -> None:
    network = Network(reject=frozenset({500, 4500, 1701}), icmp=icmp)
    result = simulate(network=network)
    assert (result.outcome, result.finding) == ("failed", code)


@pytest.mark.parametrize(
    ("blocked", "code"),
    [
        ({500, 4500}, "path.silent"),
        ({500}, "path.500-silent"),
        ({4500}, "path.float-blocked"),
    ],
)
def test_filters_on_the_way_are_found(blocked: set[int], code: str) -> None:
    result = simulate(network=Network(block=frozenset(blocked)))
    assert (result.outcome, result.finding) == ("failed", code)
