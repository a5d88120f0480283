"""Staying connected: quality inside, keys renewed by both sides, and how a session ends."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.sim.network import Draw, Line, Network, Result, Simulation, client_options, simulate
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import (
    IkeEstablished,
    IkeMessage,
    InsideScope,
    IpsecSa,
    Observation,
    Rekey,
    Soak,
    SoakSample,
)
from vpndiag.probes.inside.check import Link
from vpndiag.probes.soak import SoakPlan, parse_duration
from vpndiag.probes.soak.meter import Meter
from vpndiag.probes.soak.numbers import Jitter, quantile, spread
from vpndiag.protocols.inner.ip import IpPacket, build_ip, checksum, parse_ip

ME, PEER = IPv4Address("10.99.1.1"), IPv4Address("10.99.0.1")
UP = ("path", "ike", "auth", "ipsec", "esp", "l2tp", "lcp", "login", "address")


def soak(seconds: float = 30.0, config: GatewayConfig | None = None, **given: object) -> Result:
    return simulate(config=config, soak=SoakPlan(seconds), limit=100_000.0, **given)  # type: ignore[arg-type]


def only(result: Result, kind: type) -> list:  # type: ignore[type-arg]
    return [o for o in result.observations if type(o) is kind]


def test_both_keys_are_renewed_once_and_nothing_stalls() -> None:
    result = soak()
    assert result.outcome == "healthy"
    told = [(r.what, r.begun_by, r.outcome, r.stall) for r in only(result, Rekey)]
    assert told == [("ipsec", "client", "renewed", 0.0), ("ike", "client", "renewed", 0.0)]
    assert len({e.initiator_cookie for e in only(result, IkeEstablished)}) == 2
    assert len(only(result, IpsecSa)) == 3
    assert result.codes <= {"esp.forced-encapsulation"}


def test_the_old_sas_are_deleted_when_the_new_ones_are_in_use() -> None:
    sent = [m for m in only(soak(), IkeMessage) if m.direction == "out" and m.deletes]
    deleted = [text for m in sent for text in m.deletes]
    assert [d.partition(" ")[0] for d in deleted] == ["ESP", "ESP", "ISAKMP"]


def test_a_new_main_mode_does_not_say_initial_contact_and_stays_on_4500() -> None:
    result = soak()
    first, second = (e.initiator_cookie for e in only(result, IkeEstablished))
    messages = only(result, IkeMessage)
    renewed = [m for m in messages if m.initiator_cookie == second]
    assert {m.port for m in renewed} == {4500}
    names = {n.name for m in renewed for n in m.notifies}
    assert names == set()
    assert "INITIAL-CONTACT" in {
        n.name for m in messages if m.initiator_cookie == first for n in m.notifies
    }


def test_every_key_of_the_run_is_kept() -> None:
    keys = soak().run.keys()
    assert len(keys.ike) == 2 and len(keys.children) == 3


def test_what_is_measured_is_what_the_network_does() -> None:
    whole = only(soak(60.0), Soak)[0]
    assert (whole.role, whole.target, whole.sent - whole.received) == ("peer", "10.99.0.1", 0)
    assert whole.median == pytest.approx(0.04, abs=0.001), "20 ms each way"
    assert whole.jitter == pytest.approx(0.0, abs=0.002)
    assert whole.trains >= 2 and whole.throughput == pytest.approx(32 * 1228 * 8 / 0.04, rel=0.01)


@pytest.mark.parametrize("hours", [0.5, 1.5])
def test_samples_are_bounded_whatever_the_time(hours: float) -> None:
    """And each answer is counted once."""
    told: list[Observation] = []
    link = Link(
        address=ME, peer=PEER, dns=(), mru_out=1400, mru_in=1400, random=Draw("meter"),
        emit=told.append, t=lambda now: now,
    )  # fmt: skip
    meter = Meter(link, "peer", PEER, hours * 3600.0, lambda _now: False)
    now = 0.0
    meter.start(now)
    while now < hours * 3600.0:
        for packet in [parse_ip(p) for p in meter.out]:
            if len(packet.payload) < 100:
                meter.receive(answer(packet), now + 0.02)
        meter.out.clear()
        now = meter.get_timer()
        meter.handle_timer(now)
    meter.finish(now)
    samples = [o for o in told if isinstance(o, SoakSample)]
    whole = told[-1]
    assert isinstance(whole, Soak) and 99 <= len(samples) <= 101
    assert sum(s.sent for s in samples) == whole.sent == whole.received
    assert whole.sent == pytest.approx(hours * 3600, abs=2)


def answer(packet: IpPacket) -> IpPacket:
    """The reply to an echo request."""
    body = bytes(4) + packet.payload[4:]
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    return parse_ip(build_ip(packet.destination, packet.source, 1, body))


def test_jitter_of_an_uneven_line_is_told() -> None:
    uneven = Line(jitter=0.03)
    whole = only(soak(60.0, network=Network(uneven, uneven)), Soak)[0]
    assert 0.005 < whole.jitter < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_loss_is_a_warning_and_no_failure(seed: int) -> None:
    line = Line(loss=0.05)
    result = soak(60.0, network=Network(line, line), seed=seed)
    assert result.outcome == "healthy"
    assert "path.lossy" in result.codes
    path = next(x for x in result.diagnosis.layers if x.id == "path")
    assert path.status == "warning"
    assert not {c for c in result.codes if "rekey" in c}


def test_a_gateway_that_answers_no_pings_is_measured_by_lcp() -> None:
    config = GatewayConfig()
    config = replace(config, dns=(), faults=replace(config.faults, inside_mtu=20))
    whole = only(soak(20.0, config), Soak)[0]
    assert (whole.role, whole.target) == ("lcp", "")
    assert whole.received >= 15 and whole.median == pytest.approx(0.04, abs=0.001)
    assert whole.throughput is None


def test_renewals_that_the_gateway_begins_are_answered() -> None:
    result = soak(40.0, GatewayConfig(renew_seconds=4.0))
    theirs = [r for r in only(result, Rekey) if r.begun_by == "gateway"]
    assert len(theirs) >= 3 and {r.outcome for r in theirs} == {"renewed"}
    assert result.outcome == "healthy"
    assert not {f.code for f in result.diagnosis.findings if f.severity == "error"}


def test_dead_peer_detection_of_the_gateway_is_answered() -> None:
    result = soak(30.0, GatewayConfig(dpd_seconds=3.0))
    answers = [
        m
        for m in only(result, IkeMessage)
        if m.direction == "out" and any(n.name == "R-U-THERE-ACK" for n in m.notifies)
    ]
    assert result.outcome == "healthy" and len(answers) >= 8


def test_the_last_message_of_quick_mode_is_sent_twice_before_the_old_sa_is_deleted() -> None:
    """Libreswan sends on the new SA before it has that message, and ends the session when the old
    one is deleted without it."""
    sent = [m for m in only(soak(), IkeMessage) if m.direction == "out"]
    gone = next(m.t for m in sent if m.deletes)
    renewal = [m for m in sent if m.step == "QM3" and m.t < gone][1:]
    assert [m.repeat for m in renewal] == [False, True]
    assert len({m.message_id for m in renewal}) == 1


def test_a_lost_last_message_of_quick_mode_is_sent_again() -> None:
    """Without it the gateway would drop what comes on the new SA."""
    simulation = Simulation([client_options()], GatewayConfig(), Network(), soak=SoakPlan(15.0))
    dropped: list[float] = []
    to_gateway = simulation.to_gateway

    def lossy(client: int, flow, data: bytes) -> None:  # type: ignore[no-untyped-def]
        ike = data[4:] if data[:4] == bytes(4) else b""
        short = ike[18:19] == b"\x20" and len(ike) < 100
        if short and simulation.now > 1004.0 and len(dropped) < 1:
            dropped.append(simulation.now)
            return
        to_gateway(client, flow, data)

    simulation.to_gateway = lossy  # type: ignore[method-assign]
    result = simulation.run()[0]
    assert dropped and result.outcome == "healthy"
    first = only(result, Rekey)[0]
    assert first.outcome == "renewed" and 0.4 <= first.stall <= 0.7


def test_an_interrupted_soak_has_a_full_report_and_says_goodbye() -> None:
    simulation = Simulation([client_options()], GatewayConfig(), Network(), soak=SoakPlan(600.0))
    simulation.at(simulation.now + 20.0, simulation.runs[0].interrupt)
    result = simulation.run()[0]
    while simulation.step(simulation.now + 1.0):
        pass
    whole = only(result, Soak)[0]
    assert 15 < whole.seconds < 20 and whole.received >= 15
    assert result.gateway.tunnels == 0 and result.gateway.clients == 0
    status = {x.id: x.status for x in result.diagnosis.layers}
    assert {status[i] for i in UP} <= {"passed", "warning"}


def test_without_soak_nothing_is_renewed() -> None:
    result = simulate()
    assert only(result, Soak) == only(result, Rekey) == []
    start = next(o for o in result.observations if isinstance(o, InsideScope)).t
    assert result.seconds - start < 0.45


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("30", 30), ("1.5m", 90)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5s", "2s", "25h", "1d", "10 minutes", "1e3", "٣s"])
def test_what_is_no_duration_is_said_in_one_line(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert "\n" not in str(caught.value)


def test_quantiles_are_nearest_ranks() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [quantile(values, s) for s in (0.0, 0.5, 0.95, 1.0)] == [1, 50, 95, 100]
    assert spread([]) == {"fastest": None, "median": None, "p95": None, "slowest": None}


def test_jitter_is_smoothed_over_sixteen() -> None:
    jitter = Jitter()
    for round_trip in (0.010, 0.026):
        jitter.add(round_trip)
    assert jitter.value == pytest.approx(0.001)
