"""Ladder runs and a gateway joined in memory, on a virtual clock, over a network that misbehaves.

Everything follows from the seed. Keys do not depend on it, only the network does, so that the
Diffie-Hellman values of one seed can be used again in the next (:func:`reuse_dh`).
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import Gateway, GatewayConfig
from vpndiag.observations import Observation
from vpndiag.probes.inside import InsidePlan
from vpndiag.probes.run import HARMLESS, LadderRun
from vpndiag.probes.soak import SoakPlan
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.report.model import Diagnosis
from vpndiag.tunnel.options import Flow, TunnelOptions

Address = tuple[str, int]

GATEWAY = "198.51.100.1"
BEHIND_NAT = "192.168.77.2"
CLIENT_NAT = "203.0.113.7"
_GATEWAY = -1
VERIFY_TIME = 1_790_000_000.0


@dataclass(frozen=True)
class Line:
    """One direction: seconds of delay and extra random delay; probabilities per datagram."""

    delay: float = 0.02
    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Chance of being held back by up to ``held`` seconds."""
    held: float = 0.08


CLEAN = Line()
ROUGH = Line(jitter=0.01, loss=0.3, duplicate=0.1, reorder=0.15)


@dataclass(frozen=True)
class Network:
    """``reject`` answers datagrams to these ports with ICMP port unreachable, ``block`` drops them
    silently, both ways. ``client_nat`` masquerades all clients behind one address,
    ``gateway_nat`` forwards the public address to a private one. ``rate``: only so many datagrams
    a second pass, both ways together, ``burst`` of them at once."""

    up: Line = CLEAN
    down: Line = CLEAN
    client_nat: bool = False
    gateway_nat: bool = False
    reject: frozenset[int] = frozenset()
    block: frozenset[int] = frozenset()
    l2tp_from: int = 0
    """The port that the gateway answers L2TP from and then listens on: who goes on sending to 1701
    is not heard (RFC 2661 section 8.1)."""
    icmp: str = "port-unreachable"
    rate: float = 0.0
    burst: float = 1.0


def rough(loss: float = 0.3) -> Network:
    line = replace(ROUGH, loss=loss)
    return Network(up=line, down=line)


@dataclass
class Result:
    """What came of one client's run."""

    observations: list[Observation]
    diagnosis: Diagnosis
    seconds: float
    """Virtual, from the first packet to the end of the run (its farewell not counted)."""
    packets: int
    """Sent by this client and by the gateway, all clients together."""
    run: LadderRun
    gateway: Gateway

    @property
    def finding(self) -> str | None:
        return self.diagnosis.verdict.finding

    @property
    def outcome(self) -> str:
        return self.diagnosis.verdict.outcome

    @property
    def codes(self) -> set[str]:
        return {f.code for f in self.diagnosis.findings}


class Draw:
    """Reproducible bytes: a counter for each size, so that one IV more or less does not change
    the keys that are drawn later."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counters: dict[int, int] = {}

    def __call__(self, size: int) -> bytes:
        n = self._counters[size] = self._counters.get(size, 0) + 1
        return hashlib.shake_128(f"{self._name}/{size}/{n}".encode()).digest(size)


def client_options(n: int = 0, *, nat: bool = False, **changes: object) -> TunnelOptions:
    """The options of client number ``n``; ``changes`` as in :class:`TunnelOptions`."""
    base = TunnelOptions(
        gateway=GATEWAY,
        gateway_name="vpn.example.com",
        local=f"192.168.1.{10 + n}" if nat else f"192.0.2.{10 + n}",
        port_ike=40500,
        port_natt=44500,
        psk=b"vpndiag-demo",
        user="demo",
        password="demo",
        verify_time=VERIFY_TIME,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@dataclass(order=True)
class _Event:
    time: float
    order: int
    act: Callable[[float], None] = field(compare=False)


class Simulation:
    """Clients, one gateway, and the network between."""

    def __init__(
        self,
        clients: Sequence[TunnelOptions],
        config: GatewayConfig,
        network: Network,
        seed: int = 0,
        inside: InsidePlan = HARMLESS,
        soak: SoakPlan | None = None,
    ) -> None:
        self.now = 1000.0
        self.packets = 0
        self._network = network
        self._random = random.Random(seed)
        self._queue: list[_Event] = []
        self._order = itertools.count()
        address = BEHIND_NAT if network.gateway_nat else GATEWAY
        self.gateway = Gateway(replace(config, address=address), Draw("gateway"))
        self.runs = [
            LadderRun(options, Draw(f"client {n}"), inside=inside, soak=soak, start=self.now)
            for n, options in enumerate(clients)
        ]
        self.ended: list[float | None] = [None] * len(self.runs)
        self._touched: set[int] = set()
        self._due: dict[int, float | None] = {}
        self._closed = network.reject | config.faults.closed_ports
        self._mapped: dict[tuple[int, Flow], Address] = {}
        self._back: dict[Address, tuple[int, Flow]] = {}
        self._tokens = (network.burst, self.now)
        self.taps: list[Callable[[Simulation, str, Flow, bytes, int], None]] = []
        """Called with each datagram: ``tap(simulation, "up"|"down", flow, data, client)``."""

    # --- sending --------------------------------------------------------------------------------

    def at(self, time: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._queue, _Event(time, next(self._order), act))

    def _travel(self, line: Line, act: Callable[[float], None]) -> None:
        draw = self._random.random
        if self._network.rate and not self._passes():
            return
        for _ in range(2 if line.duplicate and draw() < line.duplicate else 1):
            if line.loss and draw() < line.loss:
                continue
            delay = line.delay + (draw() * line.jitter if line.jitter else 0.0)
            if line.reorder and draw() < line.reorder:
                delay += draw() * line.held
            self.at(self.now + delay, act)

    def _passes(self) -> bool:
        """The rate limit has room for one more datagram: a token bucket, as firewalls have it."""
        left, since = self._tokens
        left = min(self._network.burst, left + (self.now - since) * self._network.rate)
        passes = left >= 1
        self._tokens = (left - passes, self.now)
        return passes

    def _source(self, client: int, flow: Flow) -> Address:
        """The address and port that the gateway sees."""
        found = self._mapped.get((client, flow))
        if found is None:
            o = self.runs[client].options
            port = {Flow.IKE: o.port_ike, Flow.NATT: o.port_natt}.get(flow, 41701)
            found = (o.local, port)
            if self._network.client_nat:
                found = (CLIENT_NAT, 61000 + len(self._mapped))
            self._mapped[client, flow] = found
            self._back[found] = (client, flow)
        return found

    def remap(self) -> None:
        """The client's NAT forgets its mappings: the next datagrams come from other ports."""
        old = len(self._mapped)
        self._mapped = {}
        for n in range(old):
            self._mapped[-1 - n, Flow.ESP] = ("0.0.0.0", 0)

    def to_gateway(self, client: int, flow: Flow, data: bytes) -> None:
        """A datagram of a client."""
        self.packets += 1
        for tap in self.taps:
            tap(self, "up", flow, data, client)
        port = {Flow.IKE: 500, Flow.NATT: 4500, Flow.L2TP: 1701}[flow]
        source = self._source(client, flow)
        if port in self._network.block:
            return
        if port in self._closed:
            self._travel(self._network.up, lambda _now: self._unreachable(client, port))
            return

        def arrive(now: float) -> None:
            self._touched.add(_GATEWAY)
            self.gateway.receive(port, data, source, now)

        self._travel(self._network.up, arrive)

    def _l2tp_port(self, flow: Flow, data: bytes) -> int:
        """Where the gateway hears this, if not on the usual port: there it hears SCCRQ alone."""
        other = self._network.l2tp_from if flow is Flow.L2TP else 0
        return 0 if other and data[18:20] == b"\0\1" else other

    def _unreachable(self, client: int, port: int) -> None:
        what = self._network.icmp
        kinds = {"port-unreachable": (3, 3), "prohibited": (3, 13), "host-unreachable": (3, 1),
                 "net-unreachable": (3, 0)}  # fmt: skip
        reporter = GATEWAY if what == "port-unreachable" else "203.0.113.254"

        def arrive(now: float) -> None:
            self._touched.add(client)
            self.runs[client].icmp(what, *kinds[what], reporter, port, now)

        self._travel(self._network.down, arrive)

    def to_client(self, port: int, destination: Address, data: bytes) -> None:
        """A datagram of the gateway."""
        self.packets += 1
        found = self._back.get(destination)
        if found is None or port in self._network.block:
            return
        client, flow = found
        for tap in self.taps:
            tap(self, "down", flow, data, client)
        if flow is Flow.L2TP and self._network.l2tp_from:
            port = self._network.l2tp_from
        source = (GATEWAY, port or 23456)
        self.deliver(client, flow, data, source)

    def deliver(self, client: int, flow: Flow, data: bytes, source: Address) -> None:
        """A datagram on its way down to a client, from whomever."""
        self._travel(self._network.down, lambda _now: self.receive(client, flow, data, source))

    def receive(self, client: int, flow: Flow, data: bytes, source: Address) -> None:
        """A datagram arrives at a client now."""
        self._touched.add(client)
        self.runs[client].receive(flow, data, source, self.now)

    # --- time -----------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Take packets out of whoever was called since the last time, and ask for its timer."""
        for _ in range(64):
            if not self._touched:
                return
            touched, self._touched = self._touched, set()
            for n in sorted(touched):
                if n == _GATEWAY:
                    for out in self.gateway.packets_to_send(self.now):
                        self.to_client(out.port, out.destination, out.data)
                    self._due[n] = self.gateway.get_timer()
                    continue
                run = self.runs[n]
                for packet in run.packets_to_send(self.now):
                    if packet.port == self._l2tp_port(packet.flow, packet.data):
                        self.to_gateway(n, packet.flow, packet.data)
                if self.ended[n] is None and run.ended is not None:
                    self.ended[n] = self.now
                self._due[n] = run.get_timer()
        raise AssertionError("the engines never stop sending")

    def step(self, until: float) -> bool:
        """The next event; False when there is none before ``until``."""
        self._flush()
        times = [t for t in self._due.values() if t is not None]
        if self._queue:
            times.append(self._queue[0].time)
        if not times or min(times) > until:
            self.now = max(self.now, until)
            return False
        self.now = max(self.now, min(times))
        while self._queue and self._queue[0].time <= self.now:
            heapq.heappop(self._queue).act(self.now)
        for n, due in list(self._due.items()):
            if due is not None and due <= self.now:
                self._touched.add(n)
                owner = self.gateway if n == _GATEWAY else self.runs[n]
                owner.handle_timer(self.now)
        self._flush()
        return True

    def run(self, limit: float = 180.0) -> list[Result]:
        """Until every run has finished."""
        end = self.now + limit
        began = self.now
        for n, run in enumerate(self.runs):
            run.start(self.now)
            self._touched.add(n)
        steps = 0
        while not all(r.finished for r in self.runs):
            steps += 1
            if not self.step(end) or steps > 200_000:
                raise AssertionError(
                    f"not finished after {self.now - began:.0f} virtual seconds, {steps} steps"
                )
        return [self._result(n, began) for n in range(len(self.runs))]

    def _result(self, n: int, began: float) -> Result:
        run = self.runs[n]
        observations = run.recorder.observations()
        ended = self.ended[n]
        return Result(
            observations,
            diagnose(observations),
            (self.now if ended is None else ended) - began,
            self.packets,
            run,
            self.gateway,
        )


def simulate(
    options: TunnelOptions | None = None,
    config: GatewayConfig | None = None,
    network: Network | None = None,
    seed: int = 0,
    inside: InsidePlan = HARMLESS,
    soak: SoakPlan | None = None,
    limit: float = 180.0,
) -> Result:
    """One client's run to its end."""
    network = network or Network()
    options = options or client_options(nat=network.client_nat)
    simulation = Simulation([options], config or GatewayConfig(), network, seed, inside, soak)
    return simulation.run(limit)[0]


_PAIRS: dict[tuple[int, bytes], KeyPair] = {}
_SHARED: dict[tuple[KeyPair, bytes], bytes] = {}
_SIZES: dict[int, int] = {}


def reuse_dh() -> Callable[[], None]:
    """Remember Diffie-Hellman values; the function returned undoes it.

    They are pure functions of the bytes drawn, so nothing but the time changes.
    """
    generate, shared = KeyPair.generate, KeyPair.shared_secret

    def remembered(group: int, random_bytes: Callable[[int], bytes]) -> KeyPair:
        drawn: list[bytes] = []

        def draw(size: int) -> bytes:
            drawn.append(random_bytes(size))
            return drawn[-1]

        size = _SIZES.get(group)
        if size is None:
            pair = generate(group, draw)
            if len(drawn) == 1:
                _SIZES[group] = len(drawn[0])
                _PAIRS[group, drawn[0]] = pair
            return pair
        seed = random_bytes(size)
        found = _PAIRS.get((group, seed))
        if found is None:
            found = _PAIRS[group, seed] = generate(group, lambda _size: seed)
        return found

    def secret(self: KeyPair, peer_public: bytes) -> bytes:
        found = _SHARED.get((self, peer_public))
        if found is None:
            found = _SHARED[self, peer_public] = shared(self, peer_public)
        return found

    KeyPair.generate = staticmethod(remembered)  # type: ignore[method-assign]
    KeyPair.shared_secret = secret  # type: ignore[method-assign]

    def undo() -> None:
        KeyPair.generate = generate  # type: ignore[method-assign]
        KeyPair.shared_secret = shared  # type: ignore[method-assign]

    return undo
