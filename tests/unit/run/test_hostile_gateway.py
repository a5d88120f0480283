"""A gateway that answers nonsense: a run always comes to its end, with a verdict, in bounded time
and memory, and raises nothing.

Other than tests/sim/test_hostile.py, where somebody else's packets come beside the gateway's own,
here the gateway's own packets are changed, so the run has nothing better to go by.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sim.network import (
    GATEWAY,
    Draw,
    Network,
    Result,
    Simulation,
    client_options,
    reuse_dh,
)
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.probes.run import LadderRun
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.report.model import LADDER
from vpndiag.tunnel.options import Flow, TunnelOptions

FUZZ = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module", autouse=True)
def _dh_once() -> Iterator[None]:
    undo = reuse_dh()
    yield
    undo()


Change = tuple[int, str, int, int]
"""Which of the gateway's packets (modulo), what to do, where, and with what."""

changes = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["set", "cut", "add", "drop", "double", "word"]),
        st.integers(0, 400),
        st.integers(0, 0xFFFF),
    ),
    min_size=1,
    max_size=8,
)


def changed(data: bytes, what: str, where: int, value: int) -> list[bytes]:
    at = where % max(1, len(data))
    match what:
        case "drop":
            return []
        case "double":
            return [data, data]
        case "cut":
            return [data[:at]]
        case "add":
            return [data[:at] + bytes([value & 0xFF]) * (1 + value % 700) + data[at:]]
        case "word":  # lengths and types
            return [data[:at] + value.to_bytes(2, "big") + data[at + 2 :]]
    return [data[:at] + bytes([value & 0xFF]) + data[at + 1 :]]


class Mangled(Simulation):
    """``mangle`` is applied to the gateway's packets, by their number."""

    mangle: tuple[Change, ...] = ()
    count = 0

    def deliver(self, client: int, flow: Flow, data: bytes, source: tuple[str, int]) -> None:
        number = self.count
        self.count += 1
        packets = [data]
        for which, what, where, value in self.mangle:
            if which == number:
                packets = [p for one in packets for p in changed(one, what, where, value)]
        for packet in packets:
            super().deliver(client, flow, packet, source)


def mangled_run(options: TunnelOptions, config: GatewayConfig, mangle: list[Change]) -> Result:
    sim = Mangled([options], config, Network())
    sim.mangle = tuple(mangle)
    return sim.run(120.0)[0]


def sane(result: Result) -> None:
    verdict = result.diagnosis.verdict
    assert verdict.outcome in ("healthy", "failed", "inconclusive")
    assert [layer.id for layer in result.diagnosis.layers] == list(LADDER)
    assert result.seconds < 60
    assert result.packets < 1500
    if verdict.outcome == "failed":
        main = next(f for f in result.diagnosis.findings if f.code == verdict.finding)
        assert main.evidence, "a finding without evidence is a guess"


@FUZZ
@given(changes)
def test_changed_ike_and_esp(mangle: list[Change]) -> None:
    sane(mangled_run(client_options(), GatewayConfig(), mangle))


@FUZZ
@given(changes, st.sampled_from(["mschapv2", "pap", "chap-md5", "eap"]))
def test_changed_l2tp_and_ppp(mangle: list[Change], method: str) -> None:
    """In the clear, so that every change reaches the inner layers."""
    config = GatewayConfig(plain_l2tp=True, ppp_methods=(AuthMethod(method),))
    sane(mangled_run(client_options(plain_l2tp=True), config, mangle))


anything = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda head, tail: head + tail,
              st.sampled_from([bytes(4), b"\xc8\x02", b"\x00\x02", b"\xff\x03\xc0\x21", b"\xff"]),
              st.binary(max_size=120)),
)  # fmt: skip
source = st.sampled_from(
    [(GATEWAY, 500), (GATEWAY, 4500), (GATEWAY, 1701), (GATEWAY, 0), ("203.0.113.99", 500),
     ("2001:db8::1", 4500)]
)  # fmt: skip


@FUZZ
@given(
    st.lists(
        st.tuples(st.sampled_from(list(Flow)), anything, source, st.floats(0, 2)), max_size=30
    ),
    st.sampled_from([{}, {"plain_l2tp": True}, {"user": None, "psk": None}]),
    st.booleans(),
)
def test_anything_on_any_flow_at_any_time(
    packets: list[tuple[Flow, bytes, tuple[str, int], float]], kind: dict[str, object], own: bool
) -> None:
    """``own``: with the run's own cookie in front, which only someone on the path can know."""
    run = LadderRun(client_options(**kind), Draw("client"), start=0.0)
    now = 0.0
    run.start(now)
    sent = run.packets_to_send(now)
    cookie = next((p.data[:8] for p in sent if p.flow is Flow.IKE), bytes(8))
    for flow, data, where, wait in packets:
        now += wait
        if own and flow in (Flow.IKE, Flow.NATT):
            data = (bytes(4) if flow is Flow.NATT else b"") + cookie + data
        run.receive(flow, data, where, now)
        run.icmp("other", len(data) % 256, 0, None, len(data), now)
        run.packets_to_send(now)
    steps = 0
    while not run.finished:
        timer = run.get_timer()
        assert timer is not None, "a run that waits for nothing never ends"
        now = max(now, timer)
        run.handle_timer(now)
        run.packets_to_send(now)
        steps += 1
        assert steps < 2000 and now < 200
    diagnose(run.recorder.observations())


def test_a_flood_of_observations_cannot_push_out_the_runs_own() -> None:
    """20,000 L2TP answers in the clear, from the gateway's own address, before anything else."""

    class Flooded(Mangled):
        def run(self, limit: float = 180.0) -> list[Result]:
            def flood(_now: float) -> None:
                message = bytes.fromhex("c802000c0000000000000000")
                for _ in range(30_000):
                    self.receive(0, Flow.L2TP, message, (GATEWAY, 1701))

            self.at(self.now + 0.01, flood)
            return super().run(limit)

    sim = Flooded([client_options()], GatewayConfig(), Network())
    result = sim.run()[0]
    assert result.outcome == "healthy", result.diagnosis.verdict


def test_abandoning_sends_every_farewell_at_once() -> None:
    sim = Simulation([client_options()], GatewayConfig(), Network())
    run = sim.runs[0]
    run.start(sim.now)
    sim._touched.add(0)
    while run.stack is None or run.stack.ppp is None or run.stack.stage.value != "ppp":
        assert sim.step(sim.now + 30)
    assert sim.gateway.clients == 1
    for packet in run.abandon(sim.now):
        sim.to_gateway(0, packet.flow, packet.data)
    while sim.step(sim.now + 0.2):
        pass
    assert sim.gateway.clients == 0
    assert sim.gateway.tunnels == 0
