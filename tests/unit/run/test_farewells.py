"""The gateway is left as it was found, however a run ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.network import Network, Simulation, client_options, reuse_dh
from vpndiag.gateway import GatewayConfig
from vpndiag.tunnel.options import Flow
from vpndiag.tunnel.stack import Stage


@pytest.fixture(scope="module", autouse=True)
def _dh_once() -> Iterator[None]:
    undo = reuse_dh()
    yield
    undo()


def test_the_tunnel_is_taken_down_before_the_sas_under_it() -> None:
    """LCP Terminate, CDN and StopCCN leave at once; the Deletes only when they had time to arrive
    (strongSwan drops what comes for a deleted SA)."""
    sim = Simulation([client_options()], GatewayConfig(), Network())
    sent: list[tuple[float, str]] = []

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        if way == "up" and flow is Flow.NATT and sim.runs[0].ended is not None:
            sent.append((sim.now, "ike" if data[:4] == bytes(4) else "esp"))

    sim.taps.append(tap)
    result = sim.run()[0]
    assert result.outcome == "healthy"
    end = sent[0][0]
    assert [kind for t, kind in sent if t == end] == ["esp"] * 3
    deletes = [t for t, kind in sent if kind == "ike"]
    assert len(deletes) == 2
    assert min(deletes) >= end + 0.1


@pytest.mark.parametrize("stage", [Stage.QUICK_MODE, Stage.L2TP, Stage.PPP, Stage.UP])
def test_an_interruption_at_any_stage_leaves_nothing(stage: Stage) -> None:
    sim = Simulation([client_options()], GatewayConfig(), Network())
    run = sim.runs[0]
    run.start(sim.now)
    sim._touched.add(0)
    while run.stack is None or run.stack.stage is not stage:
        assert sim.step(sim.now + 30)
        if run.ended is not None:
            break
    run.interrupt(sim.now)
    sim._touched.add(0)
    while not run.finished:
        assert sim.step(sim.now + 5)
    while sim.step(sim.now + 0.5):
        pass
    assert (sim.gateway.clients, sim.gateway.tunnels) == (0, 0)
