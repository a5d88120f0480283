"""A key and no user name: everything up to the login."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import client_options, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig


@pytest.mark.parametrize("plain", [False, True])
def test_it_goes_up_to_the_login(plain: bool) -> None:
    options = replace(client_options(), user=None, password=None, plain_l2tp=plain)
    seen = simulate(options, GatewayConfig(plain_l2tp=plain))
    diagnosis = diagnose(seen.observations)
    assert diagnosis.verdict.outcome == "healthy", diagnosis.verdict
    assert diagnosis.verdict.headline.startswith("Everything up to the L2TP session works.")
    status = {layer.id: layer.status for layer in diagnosis.layers}
    assert status["l2tp"] == "passed" and status["login"] == "not_reached"
    beyond = diagnosis.layers[[*status].index("l2tp") + 1 :]
    told = {layer.reason for layer in beyond}
    assert told == {"no user name was given"}


def test_a_wrong_key_is_found_without_a_user_name() -> None:
    options = replace(client_options(), user=None, password=None, psk=b"another")
    seen = simulate(options, GatewayConfig())
    assert diagnose(seen.observations).verdict.finding == "auth.psk-mismatch"
