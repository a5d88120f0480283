"""SAs whose selectors leave L2TP out, as decrypted quick modes show them (captures with keys)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import client_options, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import (
    Ended,
    EspFlow,
    IkeEstablished,
    IkeMessage,
    IpsecSa,
    Observation,
)

HEALTHY = simulate(client_options(), GatewayConfig()).observations


def seen(port: int | None) -> list[Observation]:
    """As a capture shows it: IPsec is up for this port of the gateway, one request goes out in ESP
    again and again, and nothing comes back."""
    kept: list[Observation] = []
    for o in HEALTHY:
        if isinstance(o, IpsecSa):
            kept.append(replace(o, gateway_port=port))
        elif isinstance(o, EspFlow) and o.direction == "out":
            kept.append(replace(o, last_t=o.t + 20.0, sizes=o.sizes[:1] * len(o.sizes)))
        elif isinstance(o, IkeMessage | IkeEstablished):
            kept.append(o)
    return [*kept, Ended(t=max(o.t for o in kept) + 30.0, why="capture-end")]


@pytest.mark.parametrize("port", [0, 1701, None])
def test_selectors_that_cover_l2tp_are_not_blamed(port: int | None) -> None:
    assert diagnose(seen(port)).verdict.finding == "l2tp.no-answer"


def test_selectors_for_another_port_are() -> None:
    verdict = diagnose(seen(1702)).verdict
    assert verdict.finding == "ipsec.selector-mismatch" and "1702" in verdict.headline
