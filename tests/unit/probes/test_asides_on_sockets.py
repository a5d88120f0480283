"""Sizes and lifetimes asked of our own gateway, on real sockets of this computer."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.server import GatewayServer
from vpndiag.observations import IkeMessage, NatLifetime, Observation, OuterMtu
from vpndiag.probes.aside import Aside, Beside, finish_asides, start_asides
from vpndiag.probes.run import LadderRun
from vpndiag.probes.way import keeping, lifetime, sizing
from vpndiag.probes.way.keeping import MeasureLifetime
from vpndiag.probes.way.sizing import MeasureSizes
from vpndiag.tunnel.driver import drive, open_sockets
from vpndiag.tunnel.options import Flow, TunnelOptions
from vpndiag.tunnel.udp import UdpFlow


def run_with(
    aside: Aside, *, psk: bytes = b"vpndiag-demo", host: str = "127.0.0.1",
    before: Callable[[GatewayServer], None] | None = None, user: str | None = None,
) -> list[Observation]:  # fmt: skip
    """All that a run to the embedded gateway saw, with this aside."""

    async def main() -> list[Observation]:
        async with GatewayServer(GatewayConfig(), host=host) as server:
            ports = {Flow.IKE: 500, Flow.NATT: 4500, Flow.L2TP: 1701}
            given = TunnelOptions(
                gateway=server.host, local=server.host, psk=psk, user=user, password="demo",
                gateway_ports={f: server.ports[p] for f, p in ports.items()} | {Flow.ESP: 0},
            )  # fmt: skip
            sockets, options = await open_sockets(given, source_port_500=False)
            try:
                run = LadderRun(options, os.urandom, start=time.monotonic())
                beside = Beside(run)
                tasks = start_asides([aside], beside)
                await asyncio.wait_for(drive(run, sockets, on_change=beside.changed), 20)
                notes = await asyncio.wait_for(finish_asides(tasks, asyncio.Event()), 40)
                assert notes == []
                return run.recorder.observations()
            finally:
                sockets.close()

    try:
        return asyncio.run(main())
    except OSError as error:
        pytest.skip(f"no {host} here: {error}")


def sizes(observations: list[Observation]) -> list[OuterMtu]:
    return [o for o in observations if isinstance(o, OuterMtu)]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_sizes_on_request(host: str) -> None:
    seen = run_with(MeasureSizes(requested=True), host=host)
    (found,) = sizes(seen)
    assert (found.outcome, found.question, found.port) == ("measured", "version", 500)
    assert (found.largest, found.lost, found.fragments) == (1500, 0, "pass")
    assert found.frames, "they are packets of the run"
    assert {o.version for o in seen if isinstance(o, IkeMessage)} == {1}


def test_nothing_is_measured_while_all_is_well() -> None:
    assert not sizes(run_with(MeasureSizes()))


def test_a_wrong_key_is_no_matter_of_sizes() -> None:
    assert not sizes(run_with(MeasureSizes(), psk=b"wrong"))


def test_where_fragments_cannot_be_forbidden_only_they_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UdpFlow, "set_dont_fragment", lambda self, on: not on)
    (found,) = sizes(run_with(MeasureSizes(requested=True)))
    assert (found.outcome, found.largest, found.fragments) == ("cannot-tell", 0, "pass")


def test_this_computers_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the interface has an MTU of 1400: the system refuses larger ones at once."""
    send = UdpFlow.send

    def small(self: UdpFlow, data: bytes, port: int) -> None:
        if getattr(self, "_df_option", (0, 0, 0))[2] == 3 and len(data) + 28 > 1400:
            self._emit(sizing.SendFailed("EMSGSIZE", "Message too long", port, time.monotonic()))
        else:
            send(self, data, port)

    monkeypatch.setattr(UdpFlow, "send", small)
    (found,) = sizes(run_with(MeasureSizes(requested=True)))
    assert (found.largest, found.lost, found.local_limit) == (1400, 0, True)


def lifetimes(observations: list[Observation]) -> list[NatLifetime]:
    return [o for o in observations if isinstance(o, NatLifetime)]


def test_a_lifetime_as_far_as_the_gateway_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own gateway repeats message 2 of quick mode every second."""
    monkeypatch.setattr(lifetime, "LIMIT", 3.5)
    monkeypatch.setattr(keeping, "AFTER_THE_RUN", 0.0)
    (found,) = lifetimes(run_with(MeasureLifetime()))
    assert found.outcome == "measured" and found.gone == 0
    assert 0.7 < found.survived < 2.5 and found.heard >= 2
    assert found.gateway_waits > 0.7


def test_a_lifetime_needs_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = lifetimes(run_with(MeasureLifetime(), psk=b"wrong"))
    assert found.outcome == "no-session"
