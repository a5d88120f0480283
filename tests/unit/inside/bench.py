"""The questions inside joined to the embedded gateway's inner network, on a virtual clock."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.inside import Inside as Behind
from vpndiag.observations import Observation
from vpndiag.probes.inside import Encapsulation, Inside, InsidePlan, Link
from vpndiag.protocols.esp.suites import Cipher, EspSuite, Integrity

ADDRESS = IPv4Address("10.99.1.2")
PEER = IPv4Address("10.99.0.1")
DNS = IPv4Address("10.99.0.53")
FILES = IPv4Address("10.99.0.80")
AES_SHA1 = EspSuite(Cipher.AES_CBC, 256, Integrity.HMAC_SHA1_96)

Filter = Callable[[str, bytes], bool]
"""``filter("up"|"down", packet)``: False drops it."""


def draw(name: str) -> Callable[[int], bytes]:
    """Reproducible randomness."""
    counter = itertools.count()
    return lambda n: hashlib.shake_128(f"{name}/{next(counter)}".encode()).digest(n)


@dataclass
class Bench:
    """``run`` ends when the questions do; ``sent`` are all packets of ours."""

    plan: InsidePlan = field(default_factory=InsidePlan)
    config: GatewayConfig = field(default_factory=GatewayConfig)
    passes: Filter = lambda way, packet: True
    answer: Callable[[bytes], list[bytes] | None] = lambda packet: None
    """A host of the test's own; None: the gateway's network answers."""
    delay: float = 0.02
    peer: IPv4Address | None = PEER
    dns: tuple[IPv4Address, ...] = (DNS,)
    mru_out: int = 1400
    mru_in: int = 1400
    lossy: bool = False
    suspect: bool = False
    seen: list[Observation] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    seconds: float = 0.0

    def run(self, interrupt_at: float | None = None) -> Bench:
        link = Link(
            address=ADDRESS, peer=self.peer, dns=self.dns, mru_out=self.mru_out,
            mru_in=self.mru_in, random=draw("inside"), emit=self.seen.append, t=lambda now: now,
            lossy=self.lossy, suspect=self.suspect, verify_time=1_790_000_000.0,
        )  # fmt: skip
        behind = Behind(self.config)
        inside = Inside(self.plan, link, Encapsulation(AES_SHA1))
        queue: list[tuple[float, int, str, bytes]] = []
        order = itertools.count()
        now = 0.0
        inside.start(now)
        for _ in range(20_000):
            for packet in inside.packets():
                self.sent.append(packet)
                if self.passes("up", packet):
                    heapq.heappush(queue, (now + self.delay, next(order), "up", packet))
            if inside.done:
                break
            timer = inside.get_timer()
            times = [t for t in (timer, queue[0][0] if queue else None) if t is not None]
            now = max(now, min(times))
            if interrupt_at is not None and now >= interrupt_at:
                inside.finish(now)
                continue
            while queue and queue[0][0] <= now:
                _, _, way, packet = heapq.heappop(queue)
                if way == "down":
                    inside.receive(packet, now)
                    continue
                answers = self.answer(packet)
                for reply in behind.answer(packet, ADDRESS) if answers is None else answers:
                    if self.passes("down", reply):
                        heapq.heappush(queue, (now + self.delay, next(order), "down", reply))
            timer = inside.get_timer()
            if timer is not None and timer <= now:
                inside.handle_timer(now)
        else:
            raise AssertionError("the questions never end")
        self.seconds = now
        return self

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [o for o in self.seen if type(o) is kind]
