"""``vpndiag demo``: the same run against the embedded gateway, whole or broken."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from vpndiag.cli.exits import UsageError
from vpndiag.cli.live import Plan, Shown
from vpndiag.cli.output import Output, check_writable, show
from vpndiag.gateway.breaks import BREAKS, CANNOT, CannotProvoke, find_break
from vpndiag.gateway.breaks.inside import INSIDE_BREAKS
from vpndiag.gateway.config import GatewayConfig
from vpndiag.gateway.server import GatewayServer
from vpndiag.probes.inside import InsidePlan, parse_app
from vpndiag.probes.soak import SoakPlan
from vpndiag.tunnel.options import GATEWAY_PORTS, Flow, TunnelOptions

USER, PASSWORD = "alice", "wonderland"
HOST = "127.0.0.1"


def _set_up(break_: str | None) -> tuple[GatewayConfig, TunnelOptions]:
    """Gateway and client, whole or broken.

    :raises UsageError: no such break.
    """
    config = GatewayConfig(users={USER: PASSWORD})
    options = TunnelOptions(gateway=HOST, local=HOST, psk=config.psk, user=USER, password=PASSWORD)
    if break_ is None:
        return config, options
    if break_ in INSIDE_BREAKS:
        return INSIDE_BREAKS[break_].apply(config), options
    try:
        return find_break(break_).apply(config, options, time.time())
    except CannotProvoke as error:
        raise UsageError(str(error)) from error
    except KeyError:
        import difflib

        near = difflib.get_close_matches(break_, [*BREAKS, *INSIDE_BREAKS], n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else "; see vpndiag demo --list"
        raise UsageError(f"--break {break_}: no such finding{hint}") from None


def _inside(break_: str | None) -> InsidePlan | None:
    """What the client must test for the break to show."""
    asked = INSIDE_BREAKS[break_].ask if break_ in INSIDE_BREAKS else {}
    if not asked:
        return None
    return InsidePlan(
        apps=tuple(parse_app(text) for text in asked.get("apps", ())),
        internal_hosts=asked.get("internal_hosts", ()),
        internal_names=asked.get("internal_names", ()),
        internal_networks=asked.get("internal_networks", ()),
    )


def _soak(break_: str | None) -> SoakPlan | None:
    """How long the client must stay for the break to show."""
    seconds = BREAKS[break_].soak if break_ in BREAKS else 0.0
    return SoakPlan(seconds) if seconds else None


def demo(break_: str | None, output: Output, capture: str | None, keys: str | None) -> int:
    """Carry out the command; the exit code."""
    from pathlib import Path

    config, options = _set_up(break_)

    @contextlib.asynccontextmanager
    async def beside(tunnel: TunnelOptions) -> AsyncIterator[TunnelOptions]:
        async with GatewayServer(config, HOST) as server:
            ports = {
                flow: server.ports.get(number, number) for flow, number in GATEWAY_PORTS.items()
            }
            yield replace(tunnel, gateway_ports=ports)

    plan = Plan(
        target="the embedded gateway",
        tunnel=options,
        inside=_inside(break_),
        soak=_soak(break_),
        address=HOST,
        beside=beside,
        capture=Path(capture) if capture else None,
        keys=Path(keys) if keys else None,
        command="demo",
        shown={"break": Shown(break_) if break_ else None},
    )
    check_writable(output.json, plan.keys, plan.capture)
    return show(plan, output)


def check_together(serve: bool, for_serve: dict[str, bool], for_run: dict[str, bool]) -> None:
    """Options, each with whether it was given, that only count with or without ``--serve``.

    :raises UsageError: one is given where it would not count.
    """
    for option, used in (for_run if serve else for_serve).items():
        if used and serve:
            raise UsageError(f"{option} is about a run; --serve makes none: leave one out")
        if used:
            raise UsageError(f"{option} is for --serve: give that as well, or leave it out")


def list_breaks() -> str:
    """What ``--break`` takes, a line each."""
    what = {name: b.what for name, b in BREAKS.items()}
    what |= {name: b.what for name, b in INSIDE_BREAKS.items()}
    width = max(len(name) for name in what)
    lines = [f"{name:<{width}}  {text}" for name, text in what.items()]
    cannot = [f"{name:<{width}}  not here: {why}" for name, why in CANNOT.items()]
    return "\n".join([*lines, "", *cannot])


def serve(break_: str | None, host: str, ports: dict[Flow, int]) -> int:
    """Only the gateway, until Ctrl-C, for any client to try.

    :raises UsageError: a port that cannot be bound.
    """
    config, _ = _set_up(break_)
    wanted = {number: ports[flow] for flow, number in GATEWAY_PORTS.items() if number}
    if ports == GATEWAY_PORTS and hasattr(os, "geteuid") and os.geteuid() != 0:
        wanted = dict.fromkeys(wanted, 0)

    async def run() -> None:
        try:
            async with GatewayServer(config, host, wanted) as server:
                pairs = " ".join(f"--port {n}={p}" for n, p in server.ports.items() if n != p)
                print(
                    f"Listening on {host}: "
                    + ", ".join(f"UDP {p} as {n}" for n, p in server.ports.items())
                )
                secrets = {"VPNDIAG_PSK": (config.psk or b"").decode(),
                           "VPNDIAG_PASSWORD": PASSWORD}  # fmt: skip
                print(f"  {_typed(secrets)} vpndiag run {host} --user {USER} {pairs}".rstrip())
                print("Ctrl-C ends it.", flush=True)
                while True:  # Windows' selector loop hears of Ctrl-C only when it wakes up
                    await asyncio.sleep(0.5)
        except OSError as error:
            where = ", ".join(f"UDP {port}" for port in wanted.values() if port)
            raise UsageError(
                f"cannot listen on {host}{f' ({where})' if where else ''}: "
                f"{error.strerror or error}; --host and --port choose others"
            ) from error

    # The Proactor loop of Python 3.11 reads no datagram any more once a client has gone away.
    loop = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    return 0


def _typed(variables: dict[str, str]) -> str:
    """How they are set in front of a command: in PowerShell, or in a shell of Unix."""
    if sys.platform == "win32":
        return "".join(f'$env:{name}="{value}"; ' for name, value in variables.items()).rstrip()
    return " ".join(f"{name}={value}" for name, value in variables.items())
