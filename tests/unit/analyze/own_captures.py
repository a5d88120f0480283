"""Captures and keys of simulated runs, as ``run --capture --keys-out`` writes them."""

from __future__ import annotations

from pathlib import Path

from tests.sim.network import VERIFY_TIME, Network, Result, Simulation, client_options
from vpndiag.capture.asked import comment
from vpndiag.capture.keys import EspKey, Keys
from vpndiag.capture.write import CaptureWriter
from vpndiag.cli.recording import asked_of
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import Direction
from vpndiag.probes.inside import InsidePlan
from vpndiag.probes.run import HARMLESS, LadderRun
from vpndiag.probes.soak import SoakPlan
from vpndiag.tunnel.options import Flow, TunnelOptions
from vpndiag.tunnel.suites import suite_of

EPOCH = VERIFY_TIME


def keys_of(run: LadderRun) -> Keys:
    """What ``--keys-out`` would hold."""
    keys, found = run.keys(), Keys()
    for cookie, key in keys.ike:
        found.add_ike(cookie, key)
    for child in keys.children:
        suite = suite_of(child.transform)
        for spi, enc, auth in (
            (child.spi_out, child.enc_key_out, child.auth_key_out),
            (child.spi_in, child.enc_key_in, child.auth_key_in),
        ):
            found.add_esp(EspKey(int.from_bytes(spi, "big"), suite, enc, auth))
    return found


def recorded(
    path: Path,
    options: TunnelOptions | None = None,
    config: GatewayConfig | None = None,
    network: Network | None = None,
    seed: int = 0,
    soak: SoakPlan | None = None,
    inside: InsidePlan = HARMLESS,
) -> tuple[Result, Keys]:
    """Run one client, leave its capture in ``path``."""
    sim = Simulation(
        [options or client_options()],
        config or GatewayConfig(),
        network or Network(),
        seed,
        inside,
        soak=soak,
    )
    run = sim.runs[0]
    with CaptureWriter(path, comment=comment(asked_of(inside))) as writer:

        def sink(
            now: float,
            flow: Flow,
            direction: Direction,
            source: tuple[str, int],
            destination: tuple[str, int],
            data: bytes,
        ) -> None:
            writer.write(EPOCH + now, source[0], destination[0], source[1], destination[1], data)

        run.recorder.packet_sink = sink
        result = sim.run()[0]
    return result, keys_of(run)
