"""Breaks work with whatever account the client has: the demo's is not the tests'."""

from __future__ import annotations

import pytest

from tests.sim.network import Network, Simulation, client_options
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import find_break


@pytest.mark.parametrize(
    "name", ["login.server-unproven", "login.wrong-password", "login.account-disabled"]
)
def test_the_login_breaks_give_their_finding_to_any_user(name: str) -> None:
    config, options = find_break(name).apply(
        GatewayConfig(users={"alice": "wonderland"}),
        client_options(user="alice", password="wonderland"),
        0.0,
    )
    assert Simulation([options], config, Network()).run()[0].finding == name
