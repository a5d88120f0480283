"""The gateway on real sockets, with the client's own driver."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.gateway.server import GatewayServer
from vpndiag.probes.run import LadderRun
from vpndiag.report.model import Diagnosis
from vpndiag.tunnel.driver import drive, open_sockets
from vpndiag.tunnel.options import Flow, TunnelOptions


def options(server: GatewayServer) -> TunnelOptions:
    ports = {Flow.IKE: 500, Flow.NATT: 4500, Flow.L2TP: 1701}
    return TunnelOptions(
        gateway=server.host,
        local=server.host,
        gateway_ports={f: server.ports[p] for f, p in ports.items()} | {Flow.ESP: 0},
        psk=b"vpndiag-demo",
        user="demo",
        password="demo",
    )


async def one_run(server: GatewayServer) -> Diagnosis:
    sockets, complete = await open_sockets(options(server), source_port_500=False)
    try:
        run = LadderRun(complete, os.urandom, start=asyncio.get_running_loop().time())
        await asyncio.wait_for(
            drive(run, sockets, clock=asyncio.get_running_loop().time), timeout=20
        )
        return diagnose(run.recorder.observations())
    finally:
        sockets.close()


def test_several_clients_at_once_on_loopback() -> None:
    async def main() -> list[Diagnosis]:
        async with GatewayServer(GatewayConfig()) as server:
            assert all(port > 1023 for port in server.ports.values())
            return await asyncio.gather(*(one_run(server) for _ in range(3)))

    for diagnosis in asyncio.run(main()):
        assert diagnosis.verdict.outcome == "healthy"
        ipsec = next(x for x in diagnosis.layers if x.id == "ipsec")
        assert ipsec.facts["nat"].startswith("no NAT"), "the real ports count in NAT detection"


def test_over_ipv6() -> None:
    async def main() -> Diagnosis:
        try:
            async with GatewayServer(GatewayConfig(), host="::1") as server:
                return await one_run(server)
        except OSError as error:
            pytest.skip(f"no IPv6 on loopback: {error}")

    assert asyncio.run(main()).verdict.outcome == "healthy"


def test_a_second_run_right_after_the_first_works() -> None:
    async def main() -> list[str]:
        async with GatewayServer(GatewayConfig()) as server:
            return [(await one_run(server)).verdict.outcome for _ in range(2)]

    assert asyncio.run(main()) == ["healthy", "healthy"]


@pytest.mark.parametrize("name", ["login.wrong-password", "ike.no-proposal-chosen:custom"])
def test_a_break_over_sockets(name: str) -> None:
    async def main() -> Diagnosis:
        config, wanted = BREAKS[name].apply(
            GatewayConfig(), TunnelOptions(gateway="", local=""), 0.0
        )
        async with GatewayServer(config) as server:
            from dataclasses import replace

            changed = replace(
                options(server), ike_transforms=wanted.ike_transforms, custom_ike=wanted.custom_ike
            )
            sockets, complete = await open_sockets(changed, source_port_500=False)
            try:
                loop = asyncio.get_running_loop()
                run = LadderRun(complete, os.urandom, start=loop.time())
                await asyncio.wait_for(drive(run, sockets, clock=loop.time), timeout=20)
                return diagnose(run.recorder.observations())
            finally:
                sockets.close()

    assert asyncio.run(main()).verdict.finding == BREAKS[name].code


@pytest.mark.skipif(sys.platform != "linux", reason="ICMP errors are platform business")
def test_closed_ports_are_really_closed() -> None:
    async def main() -> Diagnosis:
        config, _ = BREAKS["path.port-unreachable"].apply(
            GatewayConfig(), TunnelOptions(gateway="", local=""), 0.0
        )
        async with GatewayServer(config) as server:
            return await one_run(server)

    assert asyncio.run(main()).verdict.finding == "path.port-unreachable"
