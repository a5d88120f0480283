"""Users' packets, counted: what they show is that the layers below carry them."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Direction, Observation
from vpndiag.records import record


@record(frozen=True, slots=True, kw_only=True)
class DataFlow(Observation):
    """Packets with users' data in one direction: in L2TP (``esp``: inside IPsec, ``clear``: not),
    or in PPP without L2TP (``ppp``). ``t`` is the time of the first one."""

    kind: Literal["data-flow"] = "data-flow"
    direction: Direction | None
    """None: the capture does not tell."""
    inside: Literal["esp", "clear", "ppp"]
    packets: int
    bytes: int
    last_t: float
    echoes: int = 0
    """LCP Echo-Requests and -Replies among them."""


@record(frozen=True, slots=True, kw_only=True)
class FragmentsLost(Observation):
    """A datagram that was sent in IP fragments, of which some never came past."""

    kind: Literal["fragments-lost"] = "fragments-lost"
    direction: Direction
    protocol: int
    """17: UDP; 50: ESP."""
    port: int
    """UDP port of the gateway, 0 when the first fragment is missing or it is no UDP."""
    seen: int
    """Fragments that did come."""


@record(frozen=True, slots=True, kw_only=True)
class LargeLost(Observation):
    """Large IP packets inside the tunnel that never arrive while smaller ones do. ``t`` is the
    time of the first that is known to be lost (or of the packet that shows the gap)."""

    kind: Literal["large-lost"] = "large-lost"
    direction: Direction
    how: Literal["retransmitted", "gap", "echo"]
    """``retransmitted``: a TCP segment is sent again and again and never acknowledged; ``gap``: a
    hole in a TCP stream that is never filled; ``echo``: echo requests of this size get no reply."""
    size: int
    """Bytes of the IP packet (``gap``: of the hole for each packet missing, if that is known)."""
    passed: int
    """Bytes of the largest IP packet that did pass in this direction."""
    tries: int
    seconds: float
    """From the first to the last try, or from the gap to the end."""
