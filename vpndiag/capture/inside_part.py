"""What one attempt has of the packets inside: whose they are, which way, and when they ended."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from operator import attrgetter
from typing import TypeVar

from vpndiag.capture.asked import Asked
from vpndiag.capture.inside_log import Ack, BySpi, Echo, End, InsideIndex, Pair, Query, Sized
from vpndiag.capture.inside_tcp import TcpFlow
from vpndiag.observations import InsideScope
from vpndiag.observations.inside import TargetRole
from vpndiag.records import record

TRACED = 32
"""Nobody sends with such a time to live but to find out where packets end."""


_R = TypeVar("_R", TcpFlow, Echo, Query, Sized, Pair, Ack)


@record(slots=True)
class Part:
    """``spis`` are those of the attempt, True: the client sent in it; ``by_client`` tells of a
    packet in the clear by its source, None: it is of neither end. ``until_ns``: the session is
    known to have stood until then. ``asked`` None: users' own traffic, and nobody said what
    matters in it."""

    index: InsideIndex
    scope: InsideScope
    asked: Asked | None
    spis: dict[int, bool]
    by_client: Callable[[End], bool | None]
    t: Callable[[int], float]
    since_ns: int
    until_ns: int

    def own(self, records: BySpi[_R], *, out: bool = True) -> list[_R]:
        """Those of this attempt that the client sent (``out`` False: that were sent to it)."""
        spis = [spi for spi, sent in self.spis.items() if sent == out]
        inside = [r for spi in spis for r in records.get(spi, ())]
        inside += [r for r in records.get(0, ()) if self.by_client(r.source) is out]
        found = [r for r in inside if self.since_ns <= r.first_ns <= self.until_ns]
        found.sort(key=attrgetter("first_ns"))
        return found

    def waited(self, since_ns: int) -> float:
        """Seconds from then to the end."""
        return (self.until_ns - since_ns) / 1e9

    def role(self, target: str) -> TargetRole:
        if target == self.scope.peer:
            return "peer"
        return "dns" if target in self.scope.dns else "host"


def dotted(address: bytes) -> str:
    return str(IPv4Address(address))
