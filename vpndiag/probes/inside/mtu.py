"""The largest packet that crosses inside: echo requests with don't-fragment.

The full size goes out at once, beside the pings; only when it is lost while small ones are answered
is the limit looked for, several sizes at a time, so that each round narrows it to an eighth.
"""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.inside import InsideMtu
from vpndiag.probes.inside.check import Check, Link, Tries
from vpndiag.probes.inside.echo import Pings
from vpndiag.protocols.esp.suites import EspSuite
from vpndiag.protocols.inner.ip import (
    ECHO_HEADERS,
    HEADER,
    ICMP,
    UDP,
    IcmpFault,
    IpPacket,
    build_echo,
    build_ip,
    build_udp,
    parse_echo_fragment,
    parse_echo_reply,
)
from vpndiag.records import record

FULL_WAITS = (0.3, 0.3, 0.4)
ROUND_WAIT = 0.3
ROUND_TRIES = 2
ROUND_TRIES_LOSSY = 6
VERIFY = 2
VERIFY_LOSSY = 18
"""How often the full size is tried again in the end."""
PROBES = 7
"""Sizes that are tried at once."""
SMALL = 64
LARGEST = 1500
"""Nobody's network is expected to carry more."""
CLOSED_PORT = 33434
_UDP_HEADER = 8


@record(frozen=True, slots=True)
class Encapsulation:
    """What wraps an IP packet on its way. ``suite`` None: no IPsec. ``outer`` is the size of the
    outer IP header, 20 or 40; ``udp``: ESP travels inside UDP."""

    suite: EspSuite | None
    outer: int = 20
    udp: bool = True
    l2tp: int = 8
    """Data message header with a length field; without one 6."""
    ppp: int = 4

    @property
    def padded_to(self) -> int:
        """Outer sizes go in steps of this many bytes."""
        return self.suite.block_size if self.suite is not None else 1

    def inner_mtu(self, path_mtu: int) -> int:
        """The largest IP packet inside whose outer packet has at most ``path_mtu`` bytes."""
        room = path_mtu - self.outer
        if self.suite is None:
            return max(0, room - _UDP_HEADER - self.l2tp - self.ppp)
        room = self.suite.largest_payload(room - (_UDP_HEADER if self.udp else 0))
        return max(0, room - _UDP_HEADER - self.l2tp - self.ppp)

    def outer_size(self, inner: int) -> int:
        """Bytes of the outer IP packet that carries ``inner`` bytes of IP."""
        payload = inner + self.ppp + self.l2tp + _UDP_HEADER
        if self.suite is None:
            return self.outer + payload
        return self.outer + (_UDP_HEADER if self.udp else 0) + self.suite.sealed_length(payload)


class MtuProbe(Check):
    """Full-size echoes to the target of ``pings``. Emits nothing where that is silent."""

    def __init__(self, link: Link, pings: Pings) -> None:
        super().__init__(link)
        self.pings = pings
        self.full = min(link.mru_out, link.mru_in, LARGEST)
        self._id = link.number()
        self._port = link.number(49152, 65535)
        self._sizes: dict[int, int] = {}
        """Sequence number to size."""
        self._largest = SMALL
        self._lost = self.full + 1
        self._fragments: int | None = None
        self._told: tuple[int, str] | None = None
        self._stage: Literal["full", "search", "direction"] = "full"
        self._tries = Tries(link.waits(*FULL_WAITS))
        self._round: list[int] = []
        self._due: float | None = None
        self._small_crossed = self._full_crossed = False

    def start(self, now: float) -> None:
        if self.full <= SMALL:
            self.done = True
            return
        self._tries.asked(now)
        self._due = self._tries.due
        self._echo(self.full)

    def _echo(self, size: int) -> None:
        sequence = len(self._sizes) + 1
        self._sizes[sequence] = size
        echo = build_echo(self._id, sequence, bytes(size - ECHO_HEADERS))
        self.send(build_ip(self.link.address, self.pings.target, ICMP, echo, dont_fragment=True,
                           identification=sequence & 0xFFFF))  # fmt: skip

    # --- answers ---------------------------------------------------------------------------------

    def receive(self, packet: IpPacket, now: float) -> None:
        if self.done or packet.source != self.pings.target:
            return
        reply = parse_echo_fragment(packet) if packet.first else parse_echo_reply(packet)
        if reply is None or reply[0] != self._id:
            return
        size = self._sizes.get(reply[1])
        if size is None or (packet.size != size and not packet.first):
            return
        if size >= self._largest:
            self._fragments = packet.size if packet.first else None
        self._largest = max(self._largest, size)
        if size == self.full:
            self._conclude(now)
        elif self._stage == "search" and all(s <= self._largest for s in self._round):
            self._next_round(now)

    def fault(self, fault: IcmpFault, now: float) -> None:
        if self.done or fault.destination != self.pings.target:
            return
        if fault.protocol == ICMP and fault.ports[0] == self._id:
            if fault.what == "fragmentation-needed" and self._told is None:
                self._told = (fault.mtu or 0, str(fault.reporter))
        elif fault.protocol == UDP and fault.what == "port-unreachable":
            if fault.ports == (self._port, CLOSED_PORT):
                self._small_crossed = True
            elif fault.ports == (self._port, CLOSED_PORT + 1):
                self._full_crossed = True

    # --- time ------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        return None if self.done else self._due

    def handle_timer(self, now: float) -> None:
        if self.done or self._due is None or now < self._due:
            return
        if self._stage == "full":
            self._full_lost(now)
        elif self._stage == "search":
            self._round_over(now)
        elif self._tries.exhausted:
            self._conclude(now)
        else:
            self._ask_direction(now)

    def _full_lost(self, now: float) -> None:
        if not self._tries.exhausted and self._told is None:
            self._tries.asked(now)
            self._due = self._tries.due
            self._echo(self.full)
        elif self.pings.alive:
            self._stage = "search"
            self._lost = self.full
            self._next_round(now)
        elif self.pings.done:
            self.done = True  # nothing answers there, whatever its size
        else:
            self._due = now + 0.1

    def _next_round(self, now: float) -> None:
        low, high = self._largest, self._lost
        if high - low <= 1:
            if self._told is None:
                self._stage = "direction"
                last = VERIFY_LOSSY if self._lossy else VERIFY
                self._tries = Tries((0.3,) * last + (0.5,))
                self._ask_direction(now)
            else:
                self._conclude(now)
            return
        step = (high - low) / (PROBES + 1)
        sizes = {low + round(step * n) for n in range(1, PROBES + 1)}
        if self._told is not None:
            sizes |= {self._told[0], self._told[0] + 1}
        self._round = sorted(s for s in sizes if low < s < high)
        tries = ROUND_TRIES_LOSSY if self._lossy else ROUND_TRIES
        self._tries = Tries((ROUND_WAIT + (self.pings.round_trip or 0.0),) * tries)
        self._ask_round(now)

    def _ask_round(self, now: float) -> None:
        self._tries.asked(now)
        self._due = self._tries.due
        for size in self._round:
            if size > self._largest:
                self._echo(size)

    def _round_over(self, now: float) -> None:
        if not self._tries.exhausted:
            self._ask_round(now)
            return
        self._lost = min((s for s in self._round if s > self._largest), default=self._lost)
        self._next_round(now)

    @property
    def _lossy(self) -> bool:
        return self.link.lossy or self.pings.lossy

    def _ask_direction(self, now: float) -> None:
        """Once more the full size: loss by chance is no black hole. And a large datagram to a
        closed port, which brings a small error back: it shows the way out."""
        self._echo(self.full)
        self._tries.asked(now)
        self._due = self._tries.due
        source, target = self.link.address, self.pings.target
        for size, port in ((SMALL, CLOSED_PORT), (self.full, CLOSED_PORT + 1)):
            data = bytes(size - HEADER - _UDP_HEADER)
            datagram = build_udp(source, target, (self._port, port), data)
            self.send(build_ip(source, target, UDP, datagram, dont_fragment=True))

    def finish(self, now: float) -> None:
        # A search that was cut short proves nothing.
        self.done = True

    def _conclude(self, now: float) -> None:
        self.done = True
        direction: Literal["", "out", "in"] = ""
        if self._largest < self.full and self._small_crossed:
            direction = "in" if self._full_crossed else "out"
        self.link.emit(
            InsideMtu(
                t=self.link.t(now),
                role=self.pings.role,
                target=str(self.pings.target),
                tried=self.full,
                largest=self._largest,
                fragments=self._fragments,
                direction=direction,
                told_mtu=self._told[0] or None if self._told else None,
                reporter=self._told[1] if self._told else "",
            )
        )
