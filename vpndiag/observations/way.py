"""The way to the gateway, hop by hop, and who else answers there."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Observation
from vpndiag.records import record


@record(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step of a trace. ``address``: of the router that said "time exceeded", empty: nobody did
    (which alone is no fault: many routers say nothing)."""

    ttl: int
    address: str = ""
    seconds: float | None = None


@record(frozen=True, slots=True, kw_only=True)
class PathTrace(Observation):
    """Packets of one kind sent with rising time to live (IPv6: hop limit)."""

    kind: Literal["path-trace"] = "path-trace"
    what: Literal["ike", "ike-natt", "udp"]
    """``ike``: main mode message 1 to UDP 500; ``ike-natt``: the same with the non-ESP marker to
    UDP 4500; ``udp``: other bytes to high ports, as traceroute sends."""
    port: int
    """The gateway's port; for ``udp`` the first of the ports."""
    gateway: str = ""
    """The address that is traced to."""
    hops: tuple[Hop, ...] = ()
    end: Literal["reached", "refused", "error", "silent", "unfinished", "cannot-tell"]
    """``reached``: the gateway's address answered, or said that nothing listens on that port;
    ``refused``: a router (or the gateway's firewall) said that it does not let it through;
    ``error``: a router knows no way on; ``silent``: nothing more came; ``unfinished``: there was no
    time; ``cannot-tell``: this system shows an ordinary user no answers of routers."""
    end_ttl: int = 0
    """Time to live of the packet that brought that end; 0: silent."""
    end_by: str = ""
    """Who brought it: an address."""
    end_how: str = ""
    """``answer``, or an ICMP error as in ``icmp-error``."""
    tries: int = 0
    """Packets sent with each time to live, at most."""


@record(frozen=True, slots=True, kw_only=True)
class ControlCheck(Observation):
    """Something else that was asked, to tell "this network blocks VPN" from "nobody is there"."""

    kind: Literal["control-check"] = "control-check"
    role: Literal["gateway", "other-address", "reference"]
    """The address that was silent; another one of the same name; a gateway that is known to work
    (``reference_gateway`` of the profile)."""
    what: Literal["tcp", "icmp-echo", "ike"]
    target: str
    """The name as given, or the address."""
    address: str = ""
    port: int = 0
    outcome: Literal["answered", "refused", "unreachable", "silent", "no-address", "cannot-tell"]
    """``refused``: TCP reset or ICMP port unreachable: somebody is there, without this service."""
    seconds: float = 0.0


@record(frozen=True, slots=True, kw_only=True)
class OuterMtu(Observation):
    """IKE messages of rising size that the gateway answers: which sizes get to it. Its answers are
    small, so nothing is shown about the way back. Sizes are bytes of the whole IP packet."""

    kind: Literal["outer-mtu"] = "outer-mtu"
    port: int
    """The gateway's port that was asked."""
    question: str = ""
    """What was answered: ``unknown-cookie``, ``version``, ``refused-proposal``, or nothing."""
    outcome: Literal["measured", "unanswered", "unsure", "unfinished", "cannot-tell"]
    """``unanswered``: the gateway answers no question of which the size can be chosen; ``unsure``:
    in the end it answered small ones no more; ``cannot-tell``: this system does not let us forbid
    fragmenting (``fragments`` holds all the same)."""
    tried: int = 0
    """The largest packet sent with don't-fragment."""
    largest: int = 0
    """The largest one of them that was answered."""
    lost: int = 0
    """The smallest one that was not; 0: none."""
    fragments: Literal["pass", "lost", "not-tested"] = "not-tested"
    """A packet of ``fragmented_size`` bytes that had to be fragmented."""
    fragmented_size: int = 0
    told_mtu: int | None = None
    """What an ICMP "fragmentation needed" (IPv6: "packet too big") said would pass."""
    reporter: str = ""
    """Who sent it."""
    local_limit: bool = False
    """This computer's own interface takes no larger ones."""
    tries: int = 0
    """How often one packet was sent, at most."""


@record(frozen=True, slots=True, kw_only=True)
class NatLifetime(Observation):
    """How long a silent mapping of UDP 4500 survives, by what the gateway sends when an answer is
    missing: on a line that is kept alive, and on a silent one. Times in seconds."""

    kind: Literal["nat-lifetime"] = "nat-lifetime"
    outcome: Literal["measured", "unanswered", "no-session", "unfinished"]
    """``unanswered``: the gateway sends nothing by itself; ``no-session``: no IKE SA, or no second
    one beside it, for which a key or certificate is needed."""
    survived: float = 0.0
    """The longest silence after which a packet of the gateway arrived."""
    gone: float = 0.0
    """The silence after which none arrived any more, though the gateway did send; 0: none."""
    missed: int = 0
    """Packets in a row that only the line kept alive heard."""
    heard: int = 0
    """Packets that the silent line heard."""
    gateway_waits: float = 0.0
    """The longest silence of the gateway: a longer lifetime cannot be told."""
