"""Two engines joined in memory, on a virtual clock, through a network that misbehaves on demand."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vpndiag.protocols.ike.config import InitiatorConfig, ResponderConfig
from vpndiag.protocols.ike.engine import IkeEngine
from vpndiag.protocols.ike.events import IkeEvent
from vpndiag.protocols.ike.initiator import IkeInitiator
from vpndiag.protocols.ike.responder import IkeResponder
from vpndiag.protocols.ike.transforms import parse_esp, parse_ike

E = TypeVar("E", bound=IkeEvent)

CLIENT, SERVER = "192.0.2.10", "198.51.100.1"
PSK = b"correct horse"


def randomness(seed: str) -> Callable[[int], bytes]:
    """Reproducible bytes: SHA-256 of a counter."""
    counter = 0

    def draw(size: int) -> bytes:
        nonlocal counter
        out = b""
        while len(out) < size:
            counter += 1
            out += hashlib.sha256(f"{seed}/{counter}".encode()).digest()
        return out[:size]

    return draw


def initiator_config(**changes: Any) -> InitiatorConfig:
    values: dict[str, Any] = {
        "transforms": (parse_ike("aes256-sha1-modp1024"),),
        "esp_transforms": (parse_esp("aes128-sha1"),),
        "psk": PSK,
        "auto_quick": True,
    }
    return InitiatorConfig(**(values | changes))


def responder_config(**changes: Any) -> ResponderConfig:
    values: dict[str, Any] = {
        "transforms": (parse_ike("aes256-sha1-modp1024"), parse_ike("3des-sha1-modp1024")),
        "esp_transforms": (parse_esp("aes128-sha1"), parse_esp("3des-sha1")),
        "psk": PSK,
    }
    return ResponderConfig(**(values | changes))


@dataclass
class Packet:
    """A datagram under way, as it was sent."""

    to_server: bool
    data: bytes
    natt: bool


Fate = Callable[[Packet], list[float]]
"""Delays at which copies of a packet arrive: [] loses it, two numbers duplicate it."""


def perfect(packet: Packet) -> list[float]:
    return [0.01]


def chaos(seed: int, loss: float, duplicates: float, jitter: float) -> Fate:
    generator = random.Random(seed)

    def fate(packet: Packet) -> list[float]:
        copies = 2 if generator.random() < duplicates else 1
        delays = [0.01 + generator.random() * jitter for _ in range(copies)]
        return [delay for delay in delays if generator.random() >= loss]

    return fate


@dataclass
class Link:
    """The two ends and what lies between. ``nat_port`` puts the client behind a NAT."""

    client: IkeEngine
    server: IkeEngine
    fate: Fate = perfect
    nat: bool = False
    now: float = 1000.0
    client_events: list[IkeEvent] = field(default_factory=list)
    server_events: list[IkeEvent] = field(default_factory=list)
    sent: list[Packet] = field(default_factory=list)
    _queue: list[tuple[float, int, Packet]] = field(default_factory=list)
    _count: int = 0

    def flush(self) -> None:
        """Take everything out of both engines."""
        for engine, to_server in ((self.client, True), (self.server, False)):
            for out in engine.datagrams_to_send(self.now):
                packet = Packet(to_server, out.data, out.natt)
                self.sent.append(packet)
                for delay in self.fate(packet):
                    self._count += 1
                    heapq.heappush(self._queue, (self.now + delay, self._count, packet))
        for engine, events in (
            (self.client, self.client_events),
            (self.server, self.server_events),
        ):
            while (event := engine.next_event()) is not None:
                events.append(event)

    def deliver(self, packet: Packet) -> None:
        port = 4500 if packet.natt else 500
        seen = ("203.0.113.7", port + 30000) if self.nat else (CLIENT, port)
        if packet.to_server:
            self.server.receive_datagram(packet.data, packet.natt, (SERVER, port), seen, self.now)
        else:
            self.client.receive_datagram(
                packet.data, packet.natt, (CLIENT, port), (SERVER, port), self.now
            )

    def run(self, seconds: float = 60.0, until: Callable[[], bool] | None = None) -> Link:
        """Let ``seconds`` of virtual time pass."""
        end = self.now + seconds
        self.flush()
        while until is None or not until():
            times = [self._queue[0][0]] if self._queue else []
            times += [t for e in (self.client, self.server) if (t := e.get_timer()) is not None]
            if not times or min(times) > end:
                self.now = end
                break
            self.now = max(self.now, min(times))
            if self._queue and self._queue[0][0] <= self.now:
                self.deliver(heapq.heappop(self._queue)[2])
            for engine in (self.client, self.server):
                engine.handle_timer(self.now)
            self.flush()
        return self


def link(
    client: InitiatorConfig | None = None,
    server: ResponderConfig | None = None,
    *,
    fate: Fate = perfect,
    nat: bool = False,
    seed: str = "seed",
) -> Link:
    """A started initiator and a responder."""
    initiator = IkeInitiator(client or initiator_config(), randomness(seed + "-i"))
    responder = IkeResponder(server or responder_config(), randomness(seed + "-r"))
    joined = Link(initiator, responder, fate, nat)
    initiator.start(joined.now)
    return joined


def of(events: list[IkeEvent], kind: type[E]) -> list[E]:
    """The events of a class."""
    return [event for event in events if isinstance(event, kind)]


def one(events: list[IkeEvent], kind: type[E]) -> E:
    """The only event of a class."""
    found = of(events, kind)
    assert len(found) == 1, found
    return found[0]
