"""A first answer that is late (a gateway that wakes up, an ARP that takes its time) is no loss."""

from __future__ import annotations

import pytest

from tests.sim.network import VERIFY_TIME, Address, Network, Simulation, client_options
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.tunnel.options import Flow

LATE = 0.7


class Waking(Simulation):
    """What the gateway says in the first moments arrives all at once, later."""

    def deliver(self, client: int, flow: Flow, data: bytes, source: Address) -> None:
        if self.now < 1000.0 + LATE:
            self.at(1000.0 + LATE, lambda _now: self.receive(client, flow, data, source))
        else:
            super().deliver(client, flow, data, source)


@pytest.mark.parametrize("fault", ["ipsec.unanswered", "auth.psk-mismatch:mute", "l2tp.no-answer"])
def test_a_late_first_answer_makes_a_run_no_longer(fault: str) -> None:
    took = []
    for kind in (Simulation, Waking):
        config, options = BREAKS[fault].apply(GatewayConfig(), client_options(), VERIFY_TIME)
        result = kind([options], config, Network()).run()[0]
        assert result.finding == fault.partition(":")[0]
        took.append(result.seconds)
    assert took[1] < took[0] + 4.0, took
