"""When a line loses packets, and when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import VERIFY_TIME, Line, Network, client_options, rough, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.observations import IkeMessage, InsideName, InsidePing
from vpndiag.probes.soak import SoakPlan

HEALTHY = simulate(client_options(), GatewayConfig())


def told(**changes: object) -> str:
    """What is said of loss when the pings to the gateway went otherwise."""
    seen = [
        replace(o, **changes) if isinstance(o, InsidePing) and o.role == "peer" else o  # type: ignore[arg-type]
        for o in HEALTHY.observations
    ]
    diagnosis = diagnose(seen)
    assert diagnosis.verdict.outcome == "healthy"
    return next((f.detail for f in diagnosis.findings if f.code == "path.lossy"), "")


@pytest.mark.parametrize(
    ("sent", "received", "lost_first", "share"),
    [
        (100, 98, 0, "2%"),
        (100, 64, 0, "36%"),
        (30, 28, 0, "7%"),
        (100, 99, 0, ""),
        (110, 100, 10, ""),
        (8, 4, 0, ""),
        (100, 0, 0, ""),
    ],
    ids=["two in a hundred", "many", "of the first thirty", "one", "the first ones", "few", "all"],
)
def test_pings_to_the_gateway_tell_loss(
    sent: int, received: int, lost_first: int, share: str
) -> None:
    """One may always be lost; those before the link is ready say nothing of the line; and where
    none is answered the gateway answers no pings."""
    said = told(sent=sent, received=received, lost_first=lost_first, round_trips=(0.04,))
    assert said.startswith(share) if share else said == ""


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_a_run_over_a_line_that_loses_packets_is_healthy_and_says_so(loss: float) -> None:
    """Five in a hundred each way are one in ten of all questions."""
    for seed in range(20):
        result = simulate(network=rough(loss), seed=seed)
        assert result.outcome == "healthy"
        assert "path.lossy" in result.codes


def test_a_clean_line_is_not_called_lossy() -> None:
    assert "path.lossy" not in HEALTHY.codes


@pytest.mark.parametrize("name", [n for n in BREAKS if n.startswith("session.hung-up")])
def test_what_a_gateway_that_has_hung_up_does_not_answer_is_not_lost(name: str) -> None:
    config, options = BREAKS[name].apply(GatewayConfig(), client_options(), VERIFY_TIME)
    soak = SoakPlan(BREAKS[name].soak) if BREAKS[name].soak else None
    result = simulate(options, config, soak=soak)
    assert result.finding == "session.hung-up"
    assert "path.lossy" not in result.codes


def test_a_gateway_that_is_slow_and_answers_every_repeat_loses_nothing() -> None:
    """Each packet takes 0.4 s: all questions are repeated before their answers come."""
    slow = Network(up=Line(delay=0.4), down=Line(delay=0.4))
    result = simulate(network=slow)
    assert any(isinstance(o, IkeMessage) and o.repeat for o in result.observations)
    assert result.outcome == "healthy"
    assert "path.lossy" not in result.codes


@pytest.mark.parametrize(
    ("received", "verdict"),
    [(1, ("inconclusive", "dns", None)), (100, ("failed", "dns", "dns.silent"))],
)
def test_a_dns_server_is_not_silent_where_hardly_anything_comes_back(
    received: int, verdict: tuple[str, str, str | None]
) -> None:
    seen = [
        replace(o, sent=100, received=received, round_trips=(0.01,) * received)
        if isinstance(o, InsidePing)
        else replace(o, outcome="silent", seconds=10.0, tries=19)
        if isinstance(o, InsideName)
        else o
        for o in HEALTHY.observations
    ]
    found = diagnose(seen).verdict
    assert (found.outcome, found.layer, found.finding) == verdict
