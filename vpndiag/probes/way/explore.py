"""Beside a run that meets silence: where do its packets die, and is anybody there at all?

Nothing is sent as long as the gateway answers. When a port is silent for a second, the same IKE
message as the run's is traced to UDP 500 and 4500 beside ordinary UDP, and what else could answer
is asked: the gateway's other services, and a gateway that is known to work. (Its other addresses
are asked in any case: :mod:`.other_addresses`.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from vpndiag.observations import IcmpError, IkeEstablished, Observation, SendError
from vpndiag.observations.way import ControlCheck, PathTrace
from vpndiag.probes.aside import Beside
from vpndiag.records import record
from vpndiag.tunnel.options import Flow

if TYPE_CHECKING:
    from vpndiag.probes.way.trace import What

SILENT_AFTER = 1.0
"""Seconds without an answer to a first message, after which a port counts as silent."""
LOOK_EVERY = 0.1
AFTER_THE_RUN = 1.5
"""Seconds that may pass between the run's end and the report's."""
MAX_SILENCES = 4

_PORTS: dict[int, What] = {500: "ike", 4500: "ike-natt"}


@record(frozen=True, slots=True, kw_only=True)
class Explore:
    """The aside. ``reference``: name or address of a gateway that is known to work."""

    reference: str | None = None
    resolvers: tuple[str, ...] = ()
    prefer: str = "ipv4"

    async def __call__(self, beside: Beside) -> None:
        if beside.options.plain_l2tp:
            return
        # A silence may end, and another port be silent later.
        for _ in range(MAX_SILENCES):
            if not await _silence(beside) or await self._explore(beside):
                return

    async def _explore(self, beside: Beside) -> bool:
        """True: there is something to tell, and no more to ask."""
        found: list[Observation] = []
        tasks = [asyncio.ensure_future(_trace(beside, found))]
        for check in self._controls(beside):
            tasks.append(asyncio.ensure_future(_keep(check, found)))
        failed: list[BaseException] = []
        try:
            await _until_over(beside, tasks)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            failed += [r for r in results if isinstance(r, Exception)]
            silent = _silent(beside)
            for seen in found if silent else ():
                beside.add(seen)
        for error in failed:
            raise error  # the report says that something could not be asked
        return bool(silent)

    def _controls(self, beside: Beside) -> list[Coroutine[None, None, ControlCheck | None]]:
        from vpndiag.probes.way import controls

        gateway, silent = beside.options.gateway, _silent(beside)
        asked: list[Coroutine[None, None, ControlCheck | None]] = []
        if not beside.heard:
            asked += [controls.tcp(gateway, port, beside.t) for port in controls.TCP_PORTS]
            asked.append(controls.echo(gateway, beside.t))
            silent = frozenset({500, 4500})
        if self.reference:
            address = asyncio.ensure_future(self._look_up(self.reference))
            asked += [self._reference(address, port, beside) for port in sorted(silent)]
        return asked

    async def _look_up(self, name: str) -> list[str]:
        from vpndiag.probes.host_name import literal
        from vpndiag.probes.name import addresses_to_try, look_up

        given = literal(name)
        if given is not None:
            return [given]
        loop = asyncio.get_running_loop()
        try:
            answers = await look_up(name, resolvers=list(self.resolvers) or None, now=loop.time)
        except ValueError:
            return []
        return addresses_to_try(answers, prefer=self.prefer)  # type: ignore[arg-type]

    async def _reference(
        self, addresses: asyncio.Future[list[str]], port: int, beside: Beside
    ) -> ControlCheck | None:
        from vpndiag.probes.way import controls

        assert self.reference is not None
        found = await asyncio.shield(addresses)
        if found and found[0] == beside.options.gateway:
            return None
        if found:
            message = message_1(beside)
            return await controls.ike(
                "reference", self.reference, found[0], port, message, beside.t
            )
        return ControlCheck(
            t=beside.t(), role="reference", what="ike", target=self.reference, port=port,
            outcome="no-address",
        )  # fmt: skip


async def _keep(
    check: Coroutine[None, None, ControlCheck | None], found: list[Observation]
) -> None:
    result = await check
    if result is not None:
        found.append(result)


async def _silence(beside: Beside) -> bool:
    """Wait for it; False: the run needs no help."""
    while beside.ended is None:
        if _silent(beside):
            return True
        if all(beside.answered(port) for port in _PORTS) or any(
            isinstance(o, IkeEstablished) for o in beside.observations
        ):
            return False
        await beside.until(lambda: beside.ended is not None, LOOK_EVERY)
    return False


def _silent(beside: Beside) -> frozenset[int]:
    """Ports that were asked with a first message and have said nothing for a while, neither in IKE
    nor by an ICMP error. Silence after message 5 is another question: it may be about the key."""
    errors = {
        o.port
        for o in beside.observations
        if isinstance(o, SendError) or (isinstance(o, IcmpError) and o.what != "ttl-exceeded")
    }
    now = beside.t() if beside.ended is None else beside.ended.t
    return frozenset(
        port
        for port in _PORTS
        if port not in errors
        and not beside.answered(port)
        and any(m.step == "MM1" and now >= m.t + SILENT_AFTER for m in beside.asked(port))
    )


async def _until_over(beside: Beside, tasks: list[asyncio.Task[None]]) -> None:
    """Until all is done, the silence has ended, or the report has waited long enough."""
    while not all(task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=LOOK_EVERY)
        ended = beside.ended
        if ended is not None and (
            ended.why == "interrupted" or beside.t() > ended.t + AFTER_THE_RUN
        ):
            return
        if not _silent(beside):
            return


def message_1(beside: Beside) -> bytes:
    """Message 1 of main mode as this run offers it, under a cookie of its own, one for each port
    and purpose. It is sent again and again as it is: no gateway keeps more than one half-open SA
    for it."""
    from vpndiag.probes.outside import MainModeProbe
    from vpndiag.tunnel.driver import random_bytes
    from vpndiag.tunnel.recorder import Recorder

    probe = MainModeProbe("trace", beside.options, Recorder(), random_bytes)
    probe.start(0.0)
    return probe.pump(0.0)[0].data


async def _trace(beside: Beside, found: list[Observation]) -> None:
    from vpndiag.probes.way.trace import TRACEROUTE_PORT
    from vpndiag.probes.way.tracing import ORDINARY, CannotTrace, Tracer
    from vpndiag.protocols.esp.udp import with_marker

    o = beside.options
    payloads: dict[What, tuple[int, bytes]] = {
        "ike": (o.gateway_ports[Flow.IKE], message_1(beside)),
        "ike-natt": (o.gateway_ports[Flow.NATT], with_marker(message_1(beside))),
        "udp": (TRACEROUTE_PORT, ORDINARY),
    }
    tracer = Tracer(o.gateway, payloads, clock=beside.clock, numbers=beside)
    try:
        await tracer.run()
    except CannotTrace:
        found += [
            PathTrace(t=beside.t(), what=what, port=port, gateway=o.gateway, end="cannot-tell")
            for what, (port, _data) in payloads.items()
        ]
        return
    except asyncio.CancelledError:
        found += tracer.trace.result(beside.t(), o.gateway)
        raise
    found += tracer.trace.result(beside.t(), o.gateway)
