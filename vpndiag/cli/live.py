"""Carrying out a live run and showing it: look up, open sockets, drive, judge, report."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vpndiag import __version__
from vpndiag.cli.exits import UsageError
from vpndiag.cli.interrupts import Interrupts
from vpndiag.cli.recording import capture_to, write_keys_to
from vpndiag.observations import Ended, NameAnswer, Observation, Scope
from vpndiag.records import record
from vpndiag.report.document import Report, Shown, Tool, Vantage, options
from vpndiag.report.model import LADDER
from vpndiag.tunnel.options import TunnelOptions

if TYPE_CHECKING:
    from vpndiag.cli.deferred import DeferredLadder
    from vpndiag.probes.aside import Aside
    from vpndiag.probes.inside.plan import InsidePlan
    from vpndiag.probes.run import LadderRun
    from vpndiag.probes.soak import Progress, SoakPlan
    from vpndiag.render.ladder import LiveLadder


@record(slots=True, kw_only=True)
class Plan:
    """What to do and what to leave behind."""

    target: str
    tunnel: TunnelOptions
    """``gateway`` and ``local`` are filled in from the look-up and the sockets."""
    resolvers: tuple[str, ...] = ()
    prefer: str = "ipv4"
    capture: Path | None = None
    keys: Path | None = None
    command: str = "run"
    shown: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    source_port_500: bool = True
    address: str | None = None
    """Given instead of a look-up (the demo)."""
    problems: list[str] = field(default_factory=list)
    """Files that could not be written, a line each; the run went on."""
    output_error: OSError | ValueError | None = None
    """What kept us from showing the run while it went on."""
    inside: InsidePlan | None = None
    """What to test through the tunnel besides what is harmless; local networks are filled in."""
    soak: SoakPlan | None = None
    """How long to stay connected then."""
    beside: Callable[[TunnelOptions], AbstractAsyncContextManager[TunnelOptions]] | None = None
    """Something that must stand while the run goes on (the demo's gateway)."""
    asides: tuple[Aside, ...] = ()
    """Questions on sockets of their own, beside the run or after it."""


_FLOATED = LADDER.index("auth")
"""The first rung that needs UDP 4500."""


class Show:
    """Follows a run on the live ladder: a rung is shown once the run is beyond it."""

    def __init__(
        self, ladder: DeferredLadder | LiveLadder, on_message: Callable[[Observation], None] | None
    ) -> None:
        self.ladder = ladder
        self.failed: OSError | ValueError | None = None
        """The output is gone (closed pipe, full disk): from then on nothing is shown."""
        self._on_message = on_message
        self._shown: set[str] = set()
        self._running = ""
        self._seen = -1
        self._next = 0.0

    def started(self, layer: str) -> None:
        if layer != self._running:
            self._running = layer
            with self._guarded():
                self.ladder.layer_started(layer)

    def message(self, observation: Observation) -> None:
        """Show one observation as it is made."""
        if self._on_message is not None and self.failed is None:
            with self._guarded():
                self._on_message(observation)

    def note(self, text: str) -> None:
        """Show a remark while something goes on."""
        if self.failed is None:
            with self._guarded():
                self.ladder.note(text)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """A run that cannot be shown must still say goodbye to the gateway and be reported."""
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a closed stream, an odd encoding
            self.failed = self.failed or error

    def follow(self, observations: Sequence[Observation], *, final: bool = False) -> None:
        """Show what can be said of ``observations`` by now."""
        if self.failed is None:
            with self._guarded():
                self._follow(observations, final=final)

    def soaking(self, progress: Progress | None) -> None:
        """The tunnel stays up for a while: how it goes, about once a second."""
        now = time.monotonic()
        if progress is None or self.failed is not None or now < self._next:
            return
        self._next = now + 0.5
        with self._guarded():
            from vpndiag.cli.progress import line_of

            self.ladder.progress(line_of(progress))

    def _follow(self, observations: Sequence[Observation], *, final: bool) -> None:
        now = time.monotonic()
        if not final and (len(observations) == self._seen or now < self._next):
            return
        self._seen, self._next = len(observations), now + 0.05
        from vpndiag.diagnosis.ladder import diagnose

        layers = {layer.id: layer for layer in diagnose(observations).layers}
        reached = [i for i in LADDER if layers[i].status != "not_reached"]
        last = LADDER.index(reached[-1]) if reached else -1
        for position, layer_id in enumerate(LADDER):
            if layer_id in self._shown or not (final or position < last):
                continue
            if layer_id in ("path", "ike") and not final and last < _FLOATED:
                break  # whether UDP 4500 answers is not known yet
            self._shown.add(layer_id)
            self.ladder.layer_done(layers[layer_id])
        if not final:
            following = next((i for i in LADDER if i not in self._shown), "")
            if following:
                self.started(following)


def carry_out(
    plan: Plan,
    ladder: DeferredLadder | LiveLadder,
    on_message: Callable[[Observation], None] | None,
    interrupts: Interrupts | None = None,
) -> Report:
    """The whole run. What cannot be shown or written while it goes on does not end it: see
    :attr:`Plan.problems`.

    :raises UsageError: a local problem found before anything was sent to the gateway.
    """
    show = Show(ladder, on_message)
    with contextlib.ExitStack() as stack:
        if interrupts is None:
            interrupts = stack.enter_context(Interrupts())
        report = asyncio.run(_carry_out(plan, show, interrupts))
    plan.output_error = show.failed
    return report


async def _carry_out(plan: Plan, show: Show, interrupts: Interrupts) -> Report:
    started = datetime.now(UTC)
    start = time.monotonic()
    interrupted = asyncio.Event()
    interrupts.tell(interrupted)
    # signal.signal wakes the loop only when something runs in it (Windows): tick now and then.
    tick = asyncio.ensure_future(_tick())
    try:
        observations, notes, tunnel = await _observe(plan, show, start, interrupted)
    finally:
        tick.cancel()
        interrupts.forget()
    show.follow(observations, final=True)
    from vpndiag.diagnosis.ladder import diagnose

    diagnosis = diagnose(observations)
    stopped = any(isinstance(o, Ended) and o.why == "interrupted" for o in observations)
    return Report(
        tool=Tool("vpndiag", __version__),
        run_id=str(uuid.uuid4()),
        command=plan.command,
        started_at=_iso(started),
        ended_at=_iso(datetime.now(UTC)),
        verdict=diagnosis.verdict,
        layers=diagnosis.layers,
        findings=diagnosis.findings,
        vantage=_vantage(tunnel),
        target=plan.target,
        options=options(plan.shown),
        observations=tuple(sorted(observations, key=lambda o: o.t)),  # type: ignore[arg-type]
        interrupted=stopped,
        notes=tuple(notes),
    )


async def _tick() -> None:
    while True:
        await asyncio.sleep(0.25)


async def _observe(
    plan: Plan, show: Show, start: float, interrupted: asyncio.Event
) -> tuple[list[Observation], list[str], TunnelOptions | None]:
    """Observations and notes of the run; the tunnel's options once it had any."""
    notes = plan.notes
    show.started("name")
    names, addresses = await _addresses(plan, start, interrupted)
    scope = Scope(
        t=0.0,
        credentials=plan.tunnel.can_authenticate or plan.tunnel.plain_l2tp,
        user=plan.tunnel.user is not None,
        plain_l2tp=plan.tunnel.plain_l2tp,
        certificate=plan.tunnel.with_certificate,
    )
    if interrupted.is_set() or not addresses:
        end = Ended(
            t=time.monotonic() - start, why="interrupted" if interrupted.is_set() else "stopped"
        )
        return [scope, *names, end], notes, None
    if len(addresses) > 1:
        notes.append(f"{plan.target} has {len(addresses)} addresses; {addresses[0]} was tested.")
    tunnel = replace(plan.tunnel, gateway=addresses[0], gateway_name=plan.target)
    async with contextlib.AsyncExitStack() as stack:
        if plan.beside is not None:
            tunnel = await stack.enter_async_context(plan.beside(tunnel))
        run, tunnel = await _drive(plan, show, start, interrupted, names, tunnel)
    if run.recorder.not_kept:
        notes.append(f"{run.recorder.not_kept} further observations were not kept (a flood).")
    return run.recorder.observations(), notes, tunnel


async def _addresses(
    plan: Plan, start: float, interrupted: asyncio.Event
) -> tuple[list[NameAnswer], list[str]]:
    from vpndiag.probes.host_name import literal
    from vpndiag.probes.name import addresses_to_try, look_up

    if plan.address is not None:
        return [], [plan.address]
    given = literal(plan.target)
    if given is not None:
        return [], [given]
    look = asyncio.ensure_future(
        look_up(
            plan.target,
            resolvers=list(plan.resolvers) or None,
            now=lambda: time.monotonic() - start,
        )
    )
    stop = asyncio.ensure_future(interrupted.wait())
    await asyncio.wait({look, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not look.done():
        look.cancel()
        return [], []
    try:
        answers = look.result()
    except ValueError as error:
        raise UsageError(f"--resolver: {error}") from error
    return answers, addresses_to_try(answers, prefer=plan.prefer)  # type: ignore[arg-type]


async def _drive(
    plan: Plan,
    show: Show,
    start: float,
    interrupted: asyncio.Event,
    names: list[NameAnswer],
    tunnel: TunnelOptions,
) -> tuple[LadderRun, TunnelOptions]:
    from vpndiag.probes.aside import Beside, cancel, finish_asides, start_asides
    from vpndiag.probes.run import HARMLESS, LadderRun
    from vpndiag.tunnel.driver import drive, open_sockets, random_bytes
    from vpndiag.tunnel.flow import CannotOpen

    try:
        sockets, tunnel = await open_sockets(tunnel, source_port_500=plan.source_port_500)
    except CannotOpen as error:
        return _cannot_send(tunnel, names, start, error.errno_name, error.detail), tunnel
    inside = replace(
        plan.inside or HARMLESS, local_networks=await asyncio.to_thread(_local_networks)
    )
    run = LadderRun(tunnel, random_bytes, names=names, inside=inside, soak=plan.soak, start=start)
    run.recorder.on_observation = show.message
    with contextlib.ExitStack() as stack:
        stack.callback(sockets.close)
        if plan.capture is not None:
            stack.callback(capture_to(plan.capture, run, inside, plan.problems))
        beside = Beside(run)
        beside.note = show.note
        asides = start_asides(plan.asides, beside)
        stack.callback(cancel, asides)

        def changed() -> None:
            if run.soaking is None or not run.soaking.begun:
                show.follow(run.recorder.observations())
            else:
                show.soaking(run.soaking.progress(time.monotonic()))
            beside.changed()

        await drive(run, sockets, on_change=changed, interrupted=interrupted)
        plan.notes += await finish_asides(asides, interrupted)
    if plan.keys is not None:
        write_keys_to(plan.keys, run, plan.problems)
    return run, tunnel


def _local_networks() -> tuple[str, ...] | None:
    """This computer's networks as ``eth0 192.168.1.0/24``; None: cannot tell here."""
    from vpndiag.host.local import system
    from vpndiag.host.machine import Machine
    from vpndiag.host.networks import local_networks

    return local_networks(Machine(budget=4.0), system().name)


def _cannot_send(
    tunnel: TunnelOptions, names: list[NameAnswer], start: float, error: str, detail: str
) -> LadderRun:
    """A run that ends before it began: there is no way to the gateway from here."""
    from vpndiag.probes.run import LadderRun
    from vpndiag.tunnel.driver import random_bytes

    now = time.monotonic()
    run = LadderRun(replace(tunnel, local="0.0.0.0"), random_bytes, names=names, start=start)
    run.start(now)
    run.send_failed(error, detail, 500, now)
    run.end(now)
    return run


def _vantage(tunnel: TunnelOptions | None) -> Vantage:
    from vpndiag.host.local import is_administrator, system

    here = system()
    family = ""
    if tunnel is not None and tunnel.gateway:
        family = "IPv6" if ":" in tunnel.gateway else "IPv4"
    return Vantage(
        os=f"{here.name} {here.version}",
        python=".".join(map(str, sys.version_info[:3])),
        address_family=family,
        privileged=is_administrator(),
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


__all__ = ["Plan", "Shown", "carry_out"]
