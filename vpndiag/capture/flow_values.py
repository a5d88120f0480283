"""What is said of an ESP flow and of single packets of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vpndiag.records import record


class Sample(NamedTuple):
    """One packet: frame number, nanoseconds since 1970, bytes of ESP, sequence number."""

    frame: int
    time_ns: int
    size: int
    sequence: int


class Gap(NamedTuple):
    """Sequence numbers ``first`` to ``last`` were not there when the packet of ``frame`` came."""

    frame: int
    time_ns: int
    first: int
    last: int


class Seen(NamedTuple):
    """What numpy has found out about many packets: how many there are of each size, the indices of
    the sequence numbers that do not follow the one before, and the longest pause (the index of the
    packet behind it, nanoseconds), None if that has to be sought."""

    counts: Mapping[int, int]
    breaks: Sequence[int]
    pause: tuple[int, int] | None


class FlowKey(NamedTuple):
    """Addresses as text; ports are 0 for IP protocol 50, otherwise those of the encapsulation."""

    src: str
    sport: int
    dst: str
    dport: int
    spi: int

    @property
    def udp(self) -> bool:
        """Whether this is ESP in UDP (RFC 3948)."""
        return self.sport != 0 or self.dport != 0


@record(frozen=True, slots=True)
class Silence:
    """The longest time without a packet of a flow, between two frames; over SILENCE_NS."""

    from_ns: int
    to_ns: int
    from_frame: int
    to_frame: int

    @property
    def seconds(self) -> float:
        return (self.to_ns - self.from_ns) / 1e9
