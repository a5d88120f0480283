"""Fixtures for tests against real gateways.

Machines are started once a session and given each test's configuration in place.  Where the lab
cannot run the tests are skipped and say why; with CI=true that is a failure instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.lab.config import GatewayConfig
from tests.lab.gateways import ALL_GATEWAYS, GATEWAYS, Gateway, for_gateway, missing_parts, start
from tests.lab.linuxclient import LinuxClient


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``-n 2 --dist loadgroup`` the tests of one gateway run in one process, which starts it
    once; the others file by file."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.lab)
        if item.get_closest_marker("lab") is not None:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            of = [value for value in parameters.values() if value in ALL_GATEWAYS]
            item.add_marker(pytest.mark.xdist_group(of[0] if of else item.path.stem))


@pytest.fixture(scope="session")
def lab() -> None:
    """Makes sure that the lab can run."""
    reason = missing_parts()
    if reason and os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"the lab must run in CI: {reason}")
    if reason:
        pytest.skip(f"lab: {reason}")


@pytest.fixture(scope="session")
def running_gateways(lab: None) -> Iterator[dict[str, Gateway]]:
    """Gateways started so far, by machine ("softether", "l2tpns", "linux")."""
    machines: dict[str, Gateway] = {}
    yield machines
    for gateway in machines.values():
        gateway.close()


@pytest.fixture(scope="session")
def gateway_by_name(
    running_gateways: dict[str, Gateway],
) -> Callable[..., Gateway]:
    """``gateway_by_name("libreswan", GatewayConfig(...))``: running, configured, no old session."""

    def give(name: str, config: GatewayConfig | None = None) -> Gateway:
        machine = name if name in ("softether", "l2tpns") else "linux"
        running = running_gateways.get(machine)
        if running is None:
            running_gateways[machine] = running = start(name, config)
        else:
            running.reconfigure(for_gateway(name, config))
        return running

    return give


@pytest.fixture(params=GATEWAYS)
def gateway(request: pytest.FixtureRequest, gateway_by_name: Callable[..., Gateway]) -> Gateway:
    """Each gateway in turn, healthy."""
    return gateway_by_name(request.param)


@pytest.fixture(scope="session")
def linux_client(lab: None) -> Iterator[LinuxClient]:
    """The real Linux client."""
    with LinuxClient() as client:
        yield client
