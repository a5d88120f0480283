"""Networks that let only a few packets a second through: what is lost then is nobody's refusal."""

from __future__ import annotations

import itertools

import pytest

from tests.sim.network import (
    VERIFY_TIME,
    Address,
    Line,
    Network,
    Result,
    Simulation,
    client_options,
    simulate,
)
from vpndiag.diagnosis.loss import doubted
from vpndiag.diagnosis.ruling import finding
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.observations import L2tpMessage
from vpndiag.protocols.ike.constants import ExchangeType
from vpndiag.tunnel.options import Flow

NEAR = Line(delay=0.005, jitter=0.01)


def limited(rate: float, burst: float, line: Line = NEAR) -> Result:
    return simulate(network=Network(up=line, down=line, rate=rate, burst=burst), limit=400.0)


@pytest.mark.parametrize(("rate", "burst"), [(2.0, 5), (1.0, 8)])
def test_where_hardly_anything_passes_the_path_is_blamed_and_neither_key_nor_esp(
    rate: float, burst: int
) -> None:
    """A fresh question on UDP 4500 needs 16 tries, or quick mode thirteen: that message 5, or ESP,
    is not answered 16 times then shows nothing."""
    result = limited(rate, burst)
    verdict = result.diagnosis.verdict
    assert (verdict.layer, verdict.finding) == ("path", "path.lossy")
    assert verdict.confidence == "medium"
    main = result.diagnosis.findings[0]
    assert "so many packets a second" in main.causes[0].text  # it began well
    assert any("before an answer came" in e.text or "does not come to" in e.text
               for e in main.evidence)  # fmt: skip


@pytest.mark.parametrize("code", ["lcp.hung-up", "address.pool-empty", "l2tp.no-answer"])
def test_what_lost_packets_may_bring_about_is_less_sure_beside_them(code: str) -> None:
    found = finding(code, confidence="high")
    alone, beside = doubted([found])[0], doubted([found, finding("path.lossy")])[0]
    assert alone == found
    assert beside.confidence == "medium"
    assert "lost on the way" in beside.causes[0].text


def test_what_the_gateway_says_itself_is_as_sure_beside_lost_packets() -> None:
    found = finding("login.wrong-password", confidence="certain")
    assert doubted([found, finding("path.lossy")])[0] == found


def test_a_run_that_began_anew_ends_when_the_gateway_is_not_heard_any_more() -> None:
    """It had chosen a proposal before: no other question is due, and nothing more comes."""
    config, options = BREAKS["ike.stalled"].apply(GatewayConfig(), client_options(), VERIFY_TIME)
    simulation = Simulation([options], config, Network())
    to_client, heard = simulation.to_client, itertools.count()
    patience = simulation.runs[0].patience

    def silent(port: int, destination: tuple[str, int], data: bytes) -> None:
        # The first answers are lost, so that it is a path that loses packets.
        if patience.begun == 1 and next(heard) >= 2:
            to_client(port, destination, data)

    simulation.to_client = silent  # type: ignore[method-assign]
    result = simulation.run()[0]
    assert result.outcome == "failed"
    assert result.run.patience.begun == 2
    assert result.seconds < 60


class OneAtATime(Simulation):
    """Of datagrams of the client in one instant only the first arrives; nothing of the gateway's
    is repeated."""

    last = 0.0
    quick: tuple[bytes, ...] = ()
    heard: tuple[bytes, ...] = ()

    def to_gateway(self, client: int, flow: Flow, data: bytes) -> None:
        if data[:4] == bytes(4) and data[22] == ExchangeType.QUICK_MODE and data not in self.quick:
            self.quick += (data,)
            if len(self.quick) == 2:  # message 3, the first time
                return
        if self.now - self.last >= 0.01:
            self.last = self.now
            super().to_gateway(client, flow, data)

    def to_client(self, port: int, destination: Address, data: bytes) -> None:
        if data not in self.heard:
            self.heard += (data,)
            super().to_client(port, destination, data)


def test_what_is_repeated_together_is_not_always_in_the_same_order() -> None:
    """Message 3 of quick mode, and the first L2TP message: each gets through in its turn."""
    result = OneAtATime([client_options()], GatewayConfig(), Network()).run(200.0)[0]
    assert result.finding not in ("l2tp.no-answer", "esp.no-return", "path.lossy")
    assert any(isinstance(o, L2tpMessage) and o.message == "SCCRP" for o in result.observations)
