"""The gateway's own state: who it knows, for how long, and what it does with strangers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.network import Draw, Network, Simulation, client_options
from vpndiag.gateway import Gateway, GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.gateway.inside import ICMP, checksum, ip_packet
from vpndiag.probes.run import LadderRun
from vpndiag.protocols.ike.config import InitiatorConfig
from vpndiag.protocols.ike.initiator import IkeInitiator
from vpndiag.protocols.ike.transforms import parse_esp, parse_ike
from vpndiag.tunnel.stack import IpPacketIn, Stack

SOURCE = ("192.0.2.10", 40500)


def message_1(name: str) -> bytes:
    engine = IkeInitiator(
        InitiatorConfig(
            transforms=(parse_ike("aes256-sha256-modp2048"),),
            esp_transforms=(parse_esp("aes256-sha256"),),
            psk=b"vpndiag-demo",
        ),
        Draw(name),
    )
    engine.start(0.0)
    return engine.datagrams_to_send(0.0)[0].data


def test_half_open_sas_are_bounded_and_expire() -> None:
    gateway = Gateway(GatewayConfig(max_clients=8), Draw("gateway"))
    for n in range(40):
        gateway.receive(500, message_1(f"client {n}"), (f"192.0.2.{n}", 500), float(n) / 100)
    assert gateway.clients == 8
    assert len(gateway.packets_to_send(0.4)) >= 40, "each was answered"
    now = 0.4
    while (due := gateway.get_timer()) is not None and now < 600:
        now = max(now, due)
        gateway.handle_timer(now)
    assert gateway.clients == 0
    assert now < 120


def test_message_1_repeated_gets_the_same_answer_and_no_second_sa() -> None:
    gateway = Gateway(GatewayConfig(), Draw("gateway"))
    first = message_1("client")
    answers = []
    for n in range(3):
        gateway.receive(500, first, SOURCE, float(n))
        answers += gateway.packets_to_send(float(n))
    assert gateway.clients == 1
    assert len({a.data for a in answers}) == 1
    assert {(a.port, a.destination) for a in answers} == {(500, SOURCE)}


def test_a_refused_client_leaves_nothing_behind() -> None:
    config, _ = BREAKS["ike.no-proposal-chosen"].apply(GatewayConfig(), client_options(), 0.0)
    gateway = Gateway(config, Draw("gateway"))
    for n in range(3):
        gateway.receive(500, message_1("client"), SOURCE, float(n))
        assert len(gateway.packets_to_send(float(n))) == 1, "told so every time"
    assert gateway.clients == 0


def test_l2tp_in_clear_is_silent_unless_it_is_asked_for() -> None:
    closed = Gateway(GatewayConfig(), Draw("gateway"))
    opened = Gateway(GatewayConfig(plain_l2tp=True), Draw("gateway"))
    simulation = Simulation([client_options()], GatewayConfig(), Network())
    sent: list[bytes] = []
    simulation.taps.append(
        lambda sim, way, flow, data, n: sent.append(data) if flow.value == "l2tp" else None
    )
    simulation.run()
    for gateway in (closed, opened):
        gateway.receive(1701, sent[0], SOURCE, 0.0)
    assert closed.packets_to_send(0.0) == []
    assert [p.port for p in opened.packets_to_send(0.0)] == [1701]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([500, 4500, 1701]),
            st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: message_1("x")[:40] + b),
        ),
        max_size=20,
    )
)
@settings(max_examples=60, deadline=None)
def test_garbage_never_raises(datagrams: list[tuple[int, bytes]]) -> None:
    gateway = Gateway(GatewayConfig(plain_l2tp=True, max_clients=4), Draw("gateway"))
    for n, (port, data) in enumerate(datagrams):
        gateway.receive(port, data, SOURCE, float(n))
        gateway.packets_to_send(float(n))
        gateway.handle_timer(float(n))
    assert gateway.clients <= 8


def up(simulation: Simulation) -> Stack:
    """Run the first client until its addresses are up, and no further."""
    run = simulation.runs[0]
    run.start(simulation.now)
    run._decisions._mppe = True  # it then waits a moment with the link up
    simulation._touched.add(0)
    for _ in range(500):
        stack = run.stack
        assert stack is not None
        if stack.stage.value == "up":
            return stack
        simulation.step(simulation.now + 10)
    raise AssertionError("never up")


def test_ip_packets_pass_through_the_tunnel() -> None:
    simulation = Simulation([client_options()], GatewayConfig(), Network())
    stack = up(simulation)
    body = b"\x08\0\0\0\0\x07\0\x01ping"
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    packet = ip_packet(IPv4Address("10.99.1.1"), IPv4Address("10.99.0.53"), ICMP, body)
    gateway = simulation.gateway
    stack.send_ip(packet, simulation.now)
    for out in stack.packets_to_send(simulation.now):
        port = 4500 if out.flow.value == "natt" else 500
        gateway.receive(port, out.data, simulation._source(0, out.flow), simulation.now)
    for reply in gateway.packets_to_send(simulation.now):
        stack.receive_esp(reply.data, out.flow, 0, simulation.now)
    stack.packets_to_send(simulation.now)
    inside = [e.data for e in stack.events if isinstance(e, IpPacketIn)]
    assert [(p[12:16], p[20]) for p in inside] == [(bytes((10, 99, 0, 53)), 0)]


def test_a_client_that_comes_back_replaces_its_old_self() -> None:
    """INITIAL-CONTACT from the same address and port: the old SAs and their address are freed."""
    config = GatewayConfig(pool_size=1)
    simulation = Simulation([client_options()], config, Network())
    up(simulation)
    gateway = simulation.gateway
    assert (gateway.clients, gateway.tunnels) == (1, 1)
    # The client's power fails; it starts anew from the same ports.
    again = Simulation([client_options()], config, Network())
    again.gateway = gateway
    again.now = simulation.now
    again.runs[0] = LadderRun(client_options(), Draw("after the failure"), start=again.now)
    assert again.run()[0].outcome == "healthy"


@pytest.mark.parametrize("idle", [40.0])
def test_a_client_that_falls_silent_is_forgotten(idle: float) -> None:
    config = replace(GatewayConfig(), idle_seconds=idle)
    simulation = Simulation([client_options()], config, Network())
    up(simulation)
    gateway, now = simulation.gateway, simulation.now
    while gateway.clients and now < simulation.now + 400:
        due = gateway.get_timer()
        assert due is not None
        now = max(now, due)
        gateway.handle_timer(now)
        gateway.packets_to_send(now)
    assert (gateway.clients, gateway.tunnels) == (0, 0)
    assert now <= simulation.now + idle + 1
