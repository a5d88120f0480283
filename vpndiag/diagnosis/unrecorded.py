"""Answers that the client must have got and that the capture does not hold.

Who goes on to message 3 has read message 2. Where such an answer is missing, the recorder has lost
packets, and then the absence of any other answer proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.observations import (
    DataFlow,
    Direction,
    EspFlow,
    IkeMessage,
    L2tpMessage,
    Observation,
    OtherTraffic,
    PppMessage,
)

_IKE = (("MM1", "MM2", "MM3"), ("MM3", "MM4", "MM5"), ("AM1", "AM2", "AM3"), ("QM1", "QM2", "QM3"),
        ("IKEv2 SA_INIT", "IKEv2 SA_INIT", "IKEv2 AUTH"))  # fmt: skip
_L2TP = (("SCCRQ", "SCCRP", "SCCCN"), ("ICRQ", "ICRP", "ICCN"))
REPLIES = ("Configure-Ack", "Configure-Nak", "Configure-Reject")
"""Each answers a Configure-Request."""


def answers(
    ike: Sequence[IkeMessage], l2tp: Sequence[L2tpMessage], ppp: Sequence[PppMessage]
) -> list[Observation]:
    """Messages of the client that follow from an answer which is not here."""
    found: list[Observation] = []
    exchanges: dict[tuple[str, int], dict[tuple[str, str], IkeMessage]] = {}
    calls: dict[tuple[str, str], L2tpMessage] = {}
    asked: set[tuple[str, int]] = set()
    for m in ike:
        number = m.message_id if m.step.startswith("QM") else 0
        seen = exchanges.setdefault((m.initiator_cookie, number), {})
        seen.setdefault((m.step, m.direction), m)
    for call in l2tp:
        calls.setdefault((call.message, call.direction), call)
    for o in ppp:
        if o.direction == "in" and o.code == "Configure-Request":
            asked.add((o.protocol, o.identifier))
    for seen in exchanges.values():
        for ask, answer, third in _IKE:
            if (ask, "out") in seen and (third, "out") in seen and (answer, "in") not in seen:
                found.append(seen[third, "out"])
    for ask, answer, third in _L2TP:
        if (ask, "out") in calls and (third, "out") in calls and (answer, "in") not in calls:
            found.append(calls[third, "out"])
    # The first reply of a capture may answer a request from before it.
    found += [
        o
        for o in ppp[1:]
        if o.direction == "out" and o.code in REPLIES and (o.protocol, o.identifier) not in asked
    ]
    return found


OFTEN = 3
"""Answers that a capture lacks: its recorder loses packets all the time."""
MANY_TRIES = 4
"""Tries whose answers are not all lost by a recorder that misses a packet now and then."""


def explains(lost: Sequence[Observation], since: float, tries: int) -> bool:
    """Whether a recorder that missed the answers behind ``lost`` may have missed those to ``tries``
    from ``since`` on as well: it did so in that time, or often, or they are few."""
    if not lost:
        return False
    return tries < MANY_TRIES or len(lost) >= OFTEN or max(o.t for o in lost) >= since


def readable(
    esp: Sequence[EspFlow],
    inside: Sequence[L2tpMessage | PppMessage | DataFlow],
    other: Sequence[OtherTraffic],
) -> Direction | None:
    """The one direction whose ESP can be read, where there is some of the client; None: both, or
    neither."""
    if not any(f.direction == "out" and f.packets for f in esp):
        return None
    ways = {o.direction for o in inside} | {f.direction for f in esp if f.verified}
    if any(o.what == "L2TPv3" for o in other):
        return None
    return ways.pop() if len(ways) == 1 else None
