"""What all questions inside the tunnel have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field
from ipaddress import IPv4Address

from vpndiag.observations import Observation
from vpndiag.protocols.inner.ip import IcmpFault, IpPacket
from vpndiag.records import record

RandomBytes = Callable[[int], bytes]


@record(slots=True, kw_only=True)
class Link:
    """The tunnel as the questions see it. ``emit`` keeps an observation, ``t`` turns the clock's
    time into an observation's. ``lossy``: questions had to be repeated on the way here, so silence
    needs more tries before it is believed. ``suspect``: something was sent again, by either end."""

    address: IPv4Address
    peer: IPv4Address | None
    dns: tuple[IPv4Address, ...]
    mru_out: int
    mru_in: int
    random: RandomBytes = field(repr=False)
    emit: Callable[[Observation], None]
    t: Callable[[float], float]
    lossy: bool = False
    suspect: bool = False
    verify_time: float = 0.0

    def number(self, low: int = 1, high: int = 0xFFFF) -> int:
        """A random number, ``low`` to ``high``."""
        return low + int.from_bytes(self.random(4), "big") % (high - low + 1)

    def waits(self, *quick: float) -> tuple[float, ...]:
        """Seconds to wait after each try; on a lossy path there are three times as many tries."""
        if not self.lossy:
            return quick
        extra = (min(0.5, quick[-1]),) * (2 * len(quick))
        return (*quick, *extra, 0.6)


class Check:
    """One question. Sans-IO: packets come in parsed and go out as bytes; ``done`` once the result
    was emitted. Subclasses use :meth:`send`."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.done = False
        self._out: list[bytes] = []

    def start(self, now: float) -> None:
        """Ask for the first time."""
        raise NotImplementedError

    def receive(self, packet: IpPacket, now: float) -> None:
        """Any packet that came for us; ignored unless it answers this question."""

    def fault(self, fault: IcmpFault, now: float) -> None:
        """Any ICMP error."""

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is wanted; None: never."""
        return None

    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""

    def finish(self, now: float) -> None:
        """The run ends: emit what is known."""

    def send(self, packet: bytes) -> None:
        self._out.append(packet)

    def packets(self) -> Iterable[bytes]:
        """Packets to send, once each."""
        out, self._out = self._out, []
        return out


class Tries:
    """When to ask again: ``waits[n]`` seconds after try ``n``, and then no more."""

    def __init__(self, waits: tuple[float, ...]) -> None:
        self._waits = waits
        self.count = 0
        self.due: float | None = None

    def asked(self, now: float) -> None:
        self.due = now + self._waits[min(self.count, len(self._waits) - 1)]
        self.count += 1

    @property
    def exhausted(self) -> bool:
        return self.count >= len(self._waits)
