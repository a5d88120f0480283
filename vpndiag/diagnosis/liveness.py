"""Dead peer detection and farewells that nobody can read: R-U-THERE and its answer (RFC 3706),
Deletes, all encrypted.

A Delete has the same exchange and often the same size. But nobody goes on with an SA that was
deleted, and a refusal is not answered with a message like it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from vpndiag.diagnosis.view import View
from vpndiag.observations import Direction, IkeMessage

SIDES: tuple[tuple[Direction, Direction, str, str], ...] = (
    ("in", "out", "gateway", "client"),
    ("out", "in", "client", "gateway"),
)
"""Who falls silent, who asks, and their names."""
ANSWERED = 2.0
"""Seconds in which a side that is there answers."""
_AT_ONCE = 1.0
"""Seconds between the messages of one farewell."""
_TOGETHER = 0.2
"""Seconds between the packets of one moment. No question is repeated sooner (Libreswan: 0.5 s)."""
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


def all_checks(view: View, goes_on: float | None = None) -> set[int]:
    """The same of every IKE SA."""
    return {n for sa in view.ike_sas for n in checks(sa.messages, goes_on)}


def leaves(view: View, since: float) -> float:
    """When the client, after ``since``, deletes something, or says something in IKE that nobody can
    read and that is no check: what comes then answers nothing else. Infinity while it does not."""
    said = [
        m for m in view.ike
        if m.direction == "out" and m.step == "INFO" and m.t > since
        and (m.deletes or m.protection in ("opaque", "undecryptable"))
    ]  # fmt: skip
    alive = all_checks(view) if said else set()
    return min((m.t for m in said if id(m) not in alive), default=float("inf"))


def unprompted(messages: Sequence[IkeMessage], every: Sequence[IkeMessage]) -> list[IkeMessage]:
    """Those of one side's ``messages`` that may be questions: not a hidden one right behind the
    other side's, which is an answer."""
    asked = [(m.t, m.direction) for m in every if m.step == "INFO"]
    return [
        m for m in messages
        if m.step != "INFO" or m.protection != "opaque"
        or not any(way != m.direction and 0 <= m.t - t <= ANSWERED for t, way in asked)
    ]  # fmt: skip


def moments(messages: Sequence[IkeMessage]) -> int:
    """How often one side spoke: what it says at once (the Deletes of one farewell, which nobody
    can read) counts as one."""
    return bool(messages) + sum(b.t - a.t > _TOGETHER for a, b in pairwise(messages))


def says_goodbye(m: IkeMessage) -> bool:
    """A Delete of the IKE SA that can be read."""
    return any("ISAKMP" in d for d in m.deletes)


def said_goodbye(view: View, side: Direction, last: float) -> bool:
    """Whether this side's last packet, at ``last``, is a Delete of the IKE SA: read, or hidden in
    an informational message that neither asks whether the other is there nor answers that."""
    known = all_checks(view)
    infos = [m for m in view.ike if m.step == "INFO" and m.t <= last]
    final = [m for m in infos if m.direction == side and last - m.t <= _AT_ONCE]
    asked = [m.t for m in infos if m.direction != side]
    return any(
        says_goodbye(m)
        or (
            m.protection == "opaque"
            and id(m) not in known
            and not any(0 <= m.t - t <= ANSWERED for t in asked)
        )
        for m in final
    )
