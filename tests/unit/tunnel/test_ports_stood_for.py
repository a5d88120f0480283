"""A gateway on other ports, as the demo's: observations tell the ports that they stand for."""

from __future__ import annotations

import pytest

from tests.unit.ike.test_ike_message import WINDOWS_7_MM1
from vpndiag.observe.ike import IkeObserver


@pytest.mark.parametrize("data", [WINDOWS_7_MM1, WINDOWS_7_MM1[:30], b"no IKE"])
def test_valid_or_not_a_message_is_of_the_port_that_is_stood_for(data: bytes) -> None:
    observer = IkeObserver({50001: 4500})
    client, gateway = ("127.0.0.1", 40001), ("127.0.0.1", 50001)
    out = observer.observe(data, t=0.0, direction="out", source=client, destination=gateway)
    back = observer.observe(data, t=0.1, direction="in", source=gateway, destination=client)
    assert (out.port, out.client_port) == (back.port, back.client_port) == (4500, 40001)
