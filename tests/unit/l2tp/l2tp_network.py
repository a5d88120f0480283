"""Two engines joined by a lossy network on a virtual clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from vpndiag.protocols.l2tp.config import L2tpConfig
from vpndiag.protocols.l2tp.events import Event, SessionEstablished, TunnelEstablished
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel


def random_source(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


@dataclass
class Network:
    """``lac`` and ``lns`` exchange datagrams; every event is kept in order."""

    lac: L2tpTunnel
    lns: L2tpTunnel
    seed: int = 0
    delay: float = 0.05
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    now: float = 0.0
    blocked: Callable[[str, bytes], bool] = lambda side, data: False
    events: dict[str, list[Event]] = field(default_factory=lambda: {"lac": [], "lns": []})
    wire: list[tuple[float, str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._queue: list[tuple[float, int, str, bytes]] = []
        self._count = 0

    def _flush(self, side: str) -> None:
        engine = self.lac if side == "lac" else self.lns
        target = "lns" if side == "lac" else "lac"
        for data in engine.datagrams_to_send(self.now):
            self.wire.append((self.now, side, data))
            if self.blocked(side, data) or self._random.random() < self.loss:
                continue
            for _ in range(2 if self._random.random() < self.duplication else 1):
                arrival = self.now + self.delay + self._random.random() * self.jitter
                self._count += 1
                heapq.heappush(self._queue, (arrival, self._count, target, data))
        while (event := engine.next_event()) is not None:
            self.events[side].append(event)

    def flush(self) -> None:
        self._flush("lac")
        self._flush("lns")

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Advance to ``until``, or until ``stop`` holds."""
        self.flush()
        while not stop():
            times = [self.lac.get_timer(), self.lns.get_timer()]
            times.append(self._queue[0][0] if self._queue else None)
            due = min((time for time in times if time is not None), default=until + 1)
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, side, data = heapq.heappop(self._queue)
                (self.lac if side == "lac" else self.lns).receive(data, self.now)
                self._flush(side)
            for side, engine in (("lac", self.lac), ("lns", self.lns)):
                timer = engine.get_timer()
                if timer is not None and timer <= self.now:
                    engine.handle_timer(self.now)
                self._flush(side)

    def of(self, side: str, kind: type) -> list:  # type: ignore[type-arg]
        return [event for event in self.events[side] if isinstance(event, kind)]


def network(
    lac: L2tpConfig | None = None, lns: L2tpConfig | None = None, **options: object
) -> Network:
    seed = int(str(options.get("seed", 0)))
    return Network(
        L2tpTunnel("lac", lac or L2tpConfig(), random_source(seed * 2 + 1)),
        L2tpTunnel("lns", lns or L2tpConfig(), random_source(seed * 2 + 2)),
        **options,  # type: ignore[arg-type]
    )


def up(net: Network, limit: float = 60.0) -> int:
    """Tunnel and session up; returns the LAC's session ID."""
    net.lac.start(net.now)
    net.run(limit, lambda: bool(net.of("lac", TunnelEstablished)))
    session = net.lac.open_session(net.now)
    net.run(
        net.now + limit,
        lambda: bool(net.of("lac", SessionEstablished) and net.of("lns", SessionEstablished)),
    )
    return session
