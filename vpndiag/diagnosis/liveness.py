"""Dead peer detection that nobody can read: R-U-THERE and its answer (RFC 3706), both encrypted.

A Delete has the same exchange and often the same size. But nobody goes on with an SA that was
deleted, and a refusal is not answered with a message like it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from vpndiag.observations import IkeMessage

ANSWERED = 2.0
"""Seconds in which a side that is there answers."""
_PADDING = 16
"""Bytes by which question and answer may differ: one block of the cipher."""


def checks(messages: Sequence[IkeMessage], goes_on: float | None = None) -> set[int]:
    """The ``id`` of each informational message that belongs to a check whether the other side is
    there: its answer has its size, and the SA is in use after it. ``messages`` are of one IKE SA in
    order; ``goes_on`` is the last time that its session is seen, if that is known."""
    infos = [m for m in messages if m.step == "INFO" and m.protection == "opaque"]
    if not infos:
        return set()
    last = max([m.t for m in messages] if goes_on is None else [goes_on, messages[-1].t])
    found: set[int] = set()
    for asked, said in pairwise(infos):
        if id(asked) in found or asked.direction == said.direction:
            continue
        alike = abs(asked.size - said.size) <= _PADDING and said.t - asked.t <= ANSWERED
        if alike and last - said.t > ANSWERED:
            found |= {id(asked), id(said)}
    return found
