"""How a session of a capture ended, and whether both sides of it were recorded."""

from __future__ import annotations

from vpndiag.capture.attempt import Attempt
from vpndiag.observations import (
    DataFlow,
    Ended,
    EspFlow,
    IkeMessage,
    L2tpMessage,
    Observation,
    PppMessage,
)
from vpndiag.observations.goodbyes import ends

_BOTH_WAYS = frozenset((IkeMessage, EspFlow, L2tpMessage, PppMessage, DataFlow))


def ended(attempt: Attempt, found: list[Observation], end: float) -> Ended:
    """When the client itself gave up, that is the end; else ``end``: the capture's, or the client's
    next attempt."""
    gone, half = given_up(found), one_sided(attempt, found)
    if gone is not None:
        return Ended(t=gone.t, frames=gone.frames, why="stopped", one_sided=half)
    kept = 0 if found else len(attempt.clear)
    return Ended(t=end, why="capture-end", one_sided=half, keepalives=kept)


def given_up(found: list[Observation]) -> Observation | None:
    """The client's own farewell before it was let in; None after success."""
    farewell = next((o for o in found if ends(o) and o.direction == "out"), None)
    if farewell is not None and any(
        o.code == "Configure-Ack" and o.protocol == "IPCP" and o.direction == "in"
        for o in found
        if type(o) is PppMessage
    ):
        return None
    return farewell


def one_sided(attempt: Attempt, found: list[Observation]) -> bool:
    """Only one direction is in the capture although the other must have been there: a cookie, an
    acknowledgement or a session that cannot be without it."""
    ways = {o.direction for o in found if type(o) in _BOTH_WAYS} - {None}  # type: ignore[attr-defined]
    if len(ways) != 1:
        return False
    for o in found:
        if isinstance(o, IkeMessage) and o.responder_cookie != "00" * 8 and o.direction == "out":
            return True
        if isinstance(o, L2tpMessage) and (o.tunnel_id or o.nr):
            return True
        if isinstance(o, PppMessage) and o.code.endswith(("-Ack", "-Nak", "-Reject")):
            return True
        if isinstance(o, PppMessage) and attempt.ppp is None:
            return True  # in a session that the other side gave its number to
    if ways == {"in"}:
        return True
    return bool(attempt.flows) and not attempt.ike
