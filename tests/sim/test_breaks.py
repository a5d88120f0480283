"""Every break of the gateway gives its own finding, on a clean network and on a bad one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.network import (
    VERIFY_TIME,
    Network,
    Result,
    client_options,
    reuse_dh,
    rough,
    simulate,
)
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS


@pytest.fixture(autouse=True, scope="module")
def _reused_dh() -> Iterator[None]:
    undo = reuse_dh()
    yield
    undo()


def broken(name: str, network: Network | None = None, seed: int = 0) -> Result:
    options, config = client_options(), GatewayConfig()
    config, options = BREAKS[name].apply(config, options, VERIFY_TIME)
    return simulate(options, config, network, seed)


def check(name: str, result: Result) -> None:
    wanted = BREAKS[name]
    if wanted.outcome == "failed":
        assert result.finding == wanted.code, result.diagnosis.verdict
        assert result.diagnosis.verdict.layer == wanted.code.partition(".")[0]
        assert result.outcome == "failed"
    else:
        assert result.outcome == "healthy", result.diagnosis.verdict
        assert wanted.code in result.codes


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_gives_its_finding(name: str) -> None:
    check(name, broken(name))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", BREAKS)
def test_and_the_same_with_a_third_of_all_packets_lost(name: str, seed: int) -> None:
    check(name, broken(name, rough(), seed))
