"""Control packets that a recorder wrote in another order than it saw them, or twice.

Several queues of one network card, a merged file, or one turned round: the time stamps are right
then, and the order is not. A clock that was set back is the other way round, and shows as a single
large step. A recorder that listens on all interfaces of a router, or at a mirror port of both
directions, sees each packet come and go.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol, TypeVar

from vpndiag.capture.material import Material
from vpndiag.capture.packets import Message

SET_BACK = 60_000_000_000
"""Nanoseconds. Packets are not written this much later than others, unless all are."""

COPY = 10_000_000
"""Nanoseconds. Nobody repeats a message so soon: it is the same one, recorded twice."""


class _Timed(Protocol):
    @property
    def time_ns(self) -> int: ...


_T = TypeVar("_T", bound=_Timed)


def in_time_order(material: Material) -> None:
    """Sort the control packets of each track by time where they are not, and drop copies."""
    firsts: list[int] = []
    for track in material.ike:
        track.messages = _once(_sorted(track.messages, firsts))
    for tunnel in material.l2tp:
        tunnel.messages = _once(_sorted(tunnel.messages, firsts))
    for link in material.ppp:
        link.packets = _sorted(link.packets, firsts)
    if firsts and material.first_ns is not None:
        material.first_ns = min(material.first_ns, *firsts)


def _once(messages: list[Message]) -> list[Message]:
    if len({m.data for m in messages}) == len(messages):
        return messages
    seen: dict[tuple[object, ...], int] = {}
    kept: list[Message] = []
    for m in messages:
        key = (m.src, m.dst, m.data, m.spi)
        before = seen.get(key)
        seen[key] = m.time_ns
        if before is None or not 0 <= m.time_ns - before <= COPY:
            kept.append(m)
    return kept


def _sorted(packets: list[_T], firsts: list[int]) -> list[_T]:
    """In order of time; the first one's time goes to ``firsts`` where that is another order."""
    times = [p.time_ns for p in packets]
    if times == sorted(times):
        return packets
    back = [one - two for one, two in pairwise(times) if two < one]
    if len(back) == 1 and back[0] > SET_BACK:
        return packets
    firsts.append(min(times))
    return sorted(packets, key=lambda p: p.time_ns)
