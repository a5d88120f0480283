"""Questions on sockets of their own, asked beside a run or after its end.

The run itself is sans-IO and owns its sockets; what needs others (packets with a small TTL, TCP
connects, a mapping that must stay silent) is an *aside*: a coroutine that is told how the run goes
and adds its observations to the run's. The run never waits for an aside to begin; the report waits
for all of them to end. Ctrl-C cancels them, and what they saw until then is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from vpndiag.observations import Ended, IkeMessage, NameAnswer, Observation
from vpndiag.probes.run import LadderRun
from vpndiag.tunnel.options import TunnelOptions
from vpndiag.tunnel.recorder import Address

Aside = Callable[["Beside"], Awaitable[None]]
"""An aside bounds its own time, closes its sockets whichever way it is left, and lets
CancelledError pass."""


class Beside:
    """The run as an aside sees it. Times are those of ``clock``, as everywhere in a run."""

    def __init__(self, run: LadderRun, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._run = run
        self._changed = asyncio.Event()
        self.note: Callable[[str], None] = lambda text: None
        """Tell the user something while it goes on."""

    # --- how the run goes ---------------------------------------------------------------------

    @property
    def options(self) -> TunnelOptions:
        return self._run.options

    @property
    def observations(self) -> Sequence[Observation]:
        """All that the run has seen so far."""
        return self._run.recorder.observations()

    @property
    def names(self) -> list[NameAnswer]:
        """The look-ups that led to the address."""
        found = [o for o in self.observations if isinstance(o, NameAnswer)]
        return [answer for answer in found if answer.role == "gateway"]

    @property
    def heard(self) -> bool:
        """The gateway has answered anything in IKE, on any port."""
        return self._run.patience.heard

    def asked(self, port: int) -> list[IkeMessage]:
        """IKE messages that the run sent to this port of the gateway (500 or 4500)."""
        return [m for m in self._ike("out") if m.port == port]

    def answered(self, port: int) -> list[IkeMessage]:
        """IKE messages that came from this port of the gateway."""
        return [m for m in self._ike("in") if m.port == port]

    def _ike(self, direction: str) -> list[IkeMessage]:
        found = [o for o in self.observations if isinstance(o, IkeMessage)]
        return [m for m in found if m.direction == direction and not m.other_source]

    @property
    def ended(self) -> Ended | None:
        """How the run ended; None while it goes on. Its goodbyes may still be on their way."""
        return self._run.ended

    async def until(self, what: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until ``what`` holds; it is asked again whenever something happened in the run.
        False: ``seconds`` passed first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not what():
                    self._changed.clear()
                    await self._changed.wait()
        return what()

    def changed(self) -> None:
        """For the run's owner: something happened."""
        self._changed.set()

    # --- what an aside leaves -----------------------------------------------------------------

    def t(self, now: float | None = None) -> float:
        """Seconds since the start of the run, as observations have them."""
        return self._run.recorder.t(self.clock() if now is None else now)

    def add(self, observation: Observation) -> None:
        """Keep an observation, the run's end or not."""
        self._run.recorder.add(observation, aside=True)

    def packet(
        self,
        source: Address,
        destination: Address,
        data: bytes,
        ttl: int = 64,
        *,
        whole: bool = True,
    ) -> int:
        """Number a datagram that was sent or received, for ``frames``; ``--capture`` writes it.
        ``whole`` False: without don't-fragment."""
        recorder = self._run.recorder
        return recorder.aside_packet(self.clock(), source, destination, data, ttl, whole=whole)

    def icmp(
        self,
        reporter: str | None,
        icmp_type: int,
        code: int,
        source: Address,
        destination: Address,
        mtu: int | None = None,
    ) -> tuple[int, ...]:
        """The same for an ICMP error about a datagram from ``source`` to ``destination``; empty
        when the platform did not tell who sent it."""
        return self._run.recorder.aside_icmp(
            self.clock(), reporter, icmp_type, code, source, destination, mtu
        )


def start_asides(asides: Sequence[Aside], beside: Beside) -> list[asyncio.Task[None]]:
    """Each as a task of its own."""

    async def carry_out(aside: Aside) -> None:
        await aside(beside)

    return [asyncio.ensure_future(carry_out(aside)) for aside in asides]


async def finish_asides(tasks: Sequence[asyncio.Task[None]], stop: asyncio.Event) -> list[str]:
    """Wait for all of them, or cancel them when ``stop`` is set; notes about those that failed.

    An aside's fault does not cost the report of the run.
    """
    if not tasks:
        return []
    stopping = asyncio.ensure_future(stop.wait())
    ended = asyncio.ensure_future(asyncio.wait(tasks))
    await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    cancel(tasks)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    ended.cancel()
    return [
        f"A further question could not be asked: {type(r).__name__}: {r}"
        for r in results
        if isinstance(r, Exception)
    ]


def cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel those that still go on."""
    for task in tasks:
        task.cancel()


__all__ = ["Aside", "Beside", "cancel", "finish_asides", "start_asides"]
