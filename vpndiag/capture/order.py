"""Control packets that a recorder wrote in another order than it saw them.

Several queues of one network card, a merged file, or one turned round: the time stamps are right
then, and the order is not. A clock that was set back is the other way round, and shows as a single
large step.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol, TypeVar

from vpndiag.capture.collect import Material

SET_BACK = 60_000_000_000
"""Nanoseconds. Packets are not written this much later than others, unless all are."""


class _Timed(Protocol):
    @property
    def time_ns(self) -> int: ...


_T = TypeVar("_T", bound=_Timed)


def in_time_order(material: Material) -> None:
    """Sort the control packets of each track by time where they are not."""
    for track in material.ike:
        track.messages = _sorted(track.messages)
    for tunnel in material.l2tp:
        tunnel.messages = _sorted(tunnel.messages)
    for link in material.ppp:
        link.packets = _sorted(link.packets)


def _sorted(packets: list[_T]) -> list[_T]:
    back = [
        one.time_ns - two.time_ns for one, two in pairwise(packets) if two.time_ns < one.time_ns
    ]
    if not back or (len(back) == 1 and back[0] > SET_BACK):
        return packets
    return sorted(packets, key=lambda p: p.time_ns)
