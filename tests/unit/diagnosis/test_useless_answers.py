"""Answers of IKE that decode and cannot be used."""

from __future__ import annotations

import pytest

from tests.sim.network import Network as Net
from tests.sim.network import Result, Simulation, client_options
from vpndiag.gateway import GatewayConfig
from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.tunnel.options import Flow


class WithoutKey(Simulation):
    """Message 4 with zeros in the place of its public value, from the ``good``-th on."""

    good = 0

    def deliver(self, client: int, flow: Flow, data: bytes, source: tuple[str, int]) -> None:
        if flow is Flow.IKE and data[16] == PayloadType.KE:
            self.good -= 1
            if self.good < 0:
                end = 28 + int.from_bytes(data[30:32], "big")
                data = data[:32] + bytes(end - 32) + data[end:]
        super().deliver(client, flow, data, source)


def run(good: int) -> Result:
    simulation = WithoutKey([client_options()], GatewayConfig(), Net())
    simulation.good = good
    return simulation.run()[0]


def test_a_key_exchange_that_is_none_is_told() -> None:
    result = run(0)
    assert result.finding == "ike.malformed"
    main = next(f for f in result.diagnosis.findings if f.code == "ike.malformed")
    assert "message 4" in main.evidence[0].text
    assert result.seconds < 15


@pytest.mark.parametrize("good", [1, 2])
def test_one_that_comes_first_is_used(good: int) -> None:
    assert run(good).outcome == "healthy"
