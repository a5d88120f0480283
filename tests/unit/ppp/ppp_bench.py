"""Two links joined by a simulated line on a virtual clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeVar

from vpndiag.protocols.ppp import events as ev
from vpndiag.protocols.ppp import protocols
from vpndiag.protocols.ppp.auth import AuthMethod, Credentials
from vpndiag.protocols.ppp.auth_server import LoginAnswer
from vpndiag.protocols.ppp.config import (
    Assignment,
    ClientConfig,
    Conduct,
    FixedPolicy,
    NoAddress,
    Point,
    ServerConfig,
)
from vpndiag.protocols.ppp.events import LinkEvent
from vpndiag.protocols.ppp.frame import decode_frame, encode_frame
from vpndiag.protocols.ppp.link import PppLink
from vpndiag.protocols.ppp.options import Options
from vpndiag.protocols.ppp.packet import (
    Code,
    Configure,
    ControlPacket,
    decode_packet,
    encode_packet,
)

PASSWORD = "s3cret-Pässword"
ALICE = Credentials("alice", PASSWORD)
CLIENT_IP, SERVER_IP = IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")
DNS = IPv4Address("10.0.0.53"), IPv4Address("10.0.0.54")
ASSIGNMENT = Assignment(CLIENT_IP, SERVER_IP, DNS)

E = TypeVar("E")


@dataclass
class Line:
    """What happens to frames; ``rng`` makes it the same every time."""

    rng: random.Random
    loss: float = 0.0
    duplicate: float = 0.0
    jitter: float = 0.0
    delay: float = 0.02

    def arrivals(self, now: float) -> list[float]:
        if self.rng.random() < self.loss:
            return []
        copies = 2 if self.rng.random() < self.duplicate else 1
        return [now + self.delay + self.rng.random() * self.jitter for _ in range(copies)]


class Pair:
    """A client and a server, run until nothing is left to do or the time is up."""

    def __init__(self, client: PppLink, server: PppLink, line: Line) -> None:
        self.links = {"client": client, "server": server}
        self.line = line
        self.now = 0.0
        self.events: dict[str, list[LinkEvent]] = {"client": [], "server": []}
        self.frames = 0
        self.wire: list[tuple[float, str, bytes]] = []
        self._queue: list[tuple[float, int, str, bytes]] = []

    def start(self) -> None:
        for link in self.links.values():
            link.start(self.now)

    def collect(self) -> None:
        for name, link in self.links.items():
            other = "server" if name == "client" else "client"
            for frame in link.frames_to_send(self.now):
                self.wire.append((self.now, name, frame))
                for when in self.line.arrivals(self.now):
                    self.frames += 1
                    heapq.heappush(self._queue, (when, self.frames, other, frame))
            while (event := link.next_event()) is not None:
                self.events[name].append(event)

    def run(self, until: float, limit: int = 20_000) -> None:
        for _ in range(limit):
            self.collect()
            times = [t for link in self.links.values() if (t := link.get_timer()) is not None]
            if self._queue:
                times.append(self._queue[0][0])
            if not times or min(times) > until:
                return
            self.now = max(self.now, min(times))
            while self._queue and self._queue[0][0] <= self.now:
                _, _, name, frame = heapq.heappop(self._queue)
                self.links[name].receive(frame, self.now)
            for link in self.links.values():
                link.handle_timer(self.now)
        raise AssertionError("the links do not come to rest")

    def of(self, name: str, kind: type[E]) -> list[E]:
        return [event for event in self.events[name] if isinstance(event, kind)]


def server_policy(
    account: str | LoginAnswer = PASSWORD,
    assignment: Assignment | NoAddress = ASSIGNMENT,
    conduct: dict[Point, Conduct] | None = None,
) -> FixedPolicy:
    return FixedPolicy({b"alice": account}, assignment, conduct)


def pair(
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
    line: Line | None = None,
    seed: int = 1,
) -> Pair:
    server = server or ServerConfig(server_policy())
    client = client or ClientConfig(ALICE, auth=(*server.auth, *ALL_METHODS))
    randomness: Callable[[int], bytes] = random.Random(seed).randbytes
    joined = Pair(
        PppLink("client", client, randomness),
        PppLink("server", server, randomness),
        line or Line(random.Random(seed)),
    )
    joined.start()
    return joined


class Puppet:
    """A client under test, the frames that it sends, and a peer that the test plays."""

    def __init__(self, config: ClientConfig | None = None) -> None:
        self.link = PppLink("client", config or ClientConfig(ALICE), random.Random(5).randbytes)
        self.now = 0.0
        self.events: list[ev.LinkEvent] = []
        self.link.start(0.0)

    def sent(self) -> list[tuple[int, ControlPacket]]:
        while (event := self.link.next_event()) is not None:
            self.events.append(event)
        frames = [decode_frame(frame) for frame in self.link.frames_to_send(self.now)]
        return [
            (f.protocol, decode_packet(f.protocol, f.payload))
            for f in frames
            if f.protocol not in (protocols.PAP, protocols.CHAP, protocols.EAP)
        ]

    def give(self, packet: ControlPacket, protocol: int = protocols.LCP) -> None:
        self.link.receive(encode_frame(protocol, encode_packet(packet)), self.now)

    def ack(self) -> None:
        """Acknowledge the outstanding requests."""
        for protocol, packet in self.sent():
            if isinstance(packet, Configure) and packet.code == Code.CONFIGURE_REQUEST:
                self.give(Configure(2, packet.identifier, packet.options), protocol)

    def lcp_up(self, options: Options = ()) -> None:
        self.ack()
        self.give(Configure(1, 1, options))

    def of(self, kind: type) -> list[ev.LinkEvent]:
        self.sent()
        return [event for event in self.events if isinstance(event, kind)]


ALL_METHODS = list(AuthMethod)
