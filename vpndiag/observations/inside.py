"""What was asked and answered inside the tunnel, after an address was assigned.

Packets inside are not kept one by one: each observation is the result of one question, and
``t`` is the time when it stood.
"""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Observation
from vpndiag.observations.way import Hop
from vpndiag.records import record

TargetRole = Literal["peer", "dns", "host"]
"""The PPP peer, a DNS server, or an internal host that was named."""


@record(frozen=True, slots=True, kw_only=True)
class InsideScope(Observation):
    """What was assigned, and what was to be tested inside. Addresses and networks as text."""

    kind: Literal["inside-scope"] = "inside-scope"
    address: str
    peer: str = ""
    dns: tuple[str, ...] = ()
    mru_out: int = 1500
    """The most the gateway takes, in bytes of one IP packet."""
    mru_in: int = 1500
    """The most we take."""
    link_mtu: int | None = None
    """The largest IP packet that this encapsulation carries unfragmented over ``path_mtu``."""
    path_mtu: int = 1500
    overhead: int | None = None
    """Bytes that the encapsulation adds to an IP packet of ``link_mtu`` bytes."""
    padded_to: int = 1
    """Bytes to a multiple of which ESP pads what it encrypts."""
    local_networks: tuple[str, ...] | None = None
    """``eth0 192.168.1.0/24`` for each network of this computer, ``eth0 via 192.168.1.254
    10.0.0.0/8`` for one behind a local router; None: cannot tell here."""
    internal_networks: tuple[str, ...] = ()
    internal_names: tuple[str, ...] = ()
    internal_hosts: tuple[str, ...] = ()
    internal_domain: str = ""
    apps: tuple[str, ...] = ()
    expected_addresses: tuple[str, ...] = ()
    expected_dns: tuple[str, ...] = ()
    watched: bool = False
    """Users' own traffic in a capture: nobody said what is to work, and nothing was asked."""
    outer: str = ""
    """The client's own private address outside, as a capture shows it, of a network that the
    gateway is not in."""


@record(frozen=True, slots=True, kw_only=True)
class InsidePing(Observation):
    """Echo requests to one target inside."""

    kind: Literal["inside-ping"] = "inside-ping"
    role: TargetRole
    target: str
    sent: int
    received: int
    lost_first: int = 0
    """Requests before the first that was answered: the link may just have come up."""
    round_trips: tuple[float, ...] = ()
    """Seconds."""
    error: str = ""
    """An ICMP error that came instead, named as in ``icmp-error``."""
    reporter: str = ""
    complete: bool = True
    """The wait for answers was long enough to call it silence."""

    @property
    def alive(self) -> bool:
        return self.received > 0


@record(frozen=True, slots=True, kw_only=True)
class InsideTrace(Observation):
    """Packets with rising time to live to a target inside that was silent. Hop 1 is the gateway."""

    kind: Literal["inside-trace"] = "inside-trace"
    target: str
    protocol: Literal["icmp", "tcp"]
    """Echo requests, or connection requests to ``port``."""
    port: int = 0
    hops: tuple[Hop, ...] = ()
    """Up to the last that said "time exceeded"."""
    end: Literal["reached", "error", "silent", "unfinished"]
    """``reached``: the target answered after all; ``error``: a router (or the target) refused;
    ``silent``: nothing more came; ``unfinished``: there was no time."""
    end_ttl: int = 0
    end_by: str = ""
    end_how: str = ""
    """``answer``, ``reset``, or an ICMP error as in ``icmp-error``."""
    tries: int = 0
    """Packets sent with each time to live, at most."""


@record(frozen=True, slots=True, kw_only=True)
class InsideMtu(Observation):
    """The largest echo request with don't-fragment, in bytes of the IP packet, that was answered by
    ``target`` in full (the answer itself may be in fragments)."""

    kind: Literal["inside-mtu"] = "inside-mtu"
    role: TargetRole
    target: str
    tried: int
    """The largest size tried: what the negotiated MRUs allow both ways."""
    largest: int
    fragments: int | None = None
    """The answer to ``largest`` bytes came in fragments, the first of this size; None: in one."""
    direction: Literal["", "out", "in"] = ""
    """Which way a packet of ``tried`` bytes is lost; empty: none is, or it cannot be told."""
    told_mtu: int | None = None
    """From "fragmentation needed"."""
    reporter: str = ""
    """Who sent it; empty: nobody did."""


@record(frozen=True, slots=True, kw_only=True)
class InsideName(Observation):
    """What one DNS server inside said to one question."""

    kind: Literal["inside-name"] = "inside-name"
    server: str
    name: str
    rrtype: str
    outcome: Literal[
        "answered", "no-data", "nxdomain", "servfail", "refused", "error", "silent", "unreachable"
    ]
    """``error``: another rcode or an answer that does not decode (see ``detail``);
    ``unreachable``: an ICMP error came instead."""
    wanted: bool = False
    """The name was given by the user or the profile; False: a harmless question of our own."""
    addresses: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    """Records of other types, as text."""
    seconds: float = 0.0
    tries: int = 1
    truncated: bool = False
    tcp: Literal["", "answered", "refused", "silent", "reset"] = ""
    """The retry over TCP after a truncated answer."""
    detail: str = ""
    reporter: str = ""


@record(frozen=True, slots=True, kw_only=True)
class InsideApp(Observation):
    """One application inside: connected over TCP and asked its first question."""

    kind: Literal["inside-app"] = "inside-app"
    app: str
    """As it was asked for."""
    host: str
    address: str = ""
    port: int
    protocol: str = ""
    """``http``, ``https``, ``smb``, ``rdp``; empty: connected only."""
    outcome: Literal[
        "connected", "answered", "refused", "silent", "reset", "closed", "stalled", "unreachable",
        "unexpected", "no-address", "interrupted",
    ]  # fmt: skip
    """``stalled``: connected, but the answer to the first question did not (wholly) arrive;
    ``closed``: the server ended the connection without an answer; ``unexpected``: it answered in
    another protocol."""
    connect_seconds: float | None = None
    answer_seconds: float | None = None
    retransmissions: int = 0
    mss: int | None = None
    """What the server announced."""
    received: int = 0
    """Bytes of the answer."""
    gap: bool = False
    """Later data arrived while earlier data was missing."""
    detail: str = ""
    reporter: str = ""
    certificate_names: tuple[str, ...] = ()
    certificate_not_after: str = ""
    """ISO 8601, UTC."""
    certificate_expired: bool | None = None
    certificate_matches: bool | None = None
    """Whether it is for the host asked for; None: no certificate, or asked for by address."""


@record(frozen=True, slots=True, kw_only=True)
class InsideDhcp(Observation):
    """The answer to DHCPINFORM over PPP (RFC 2131): what Windows and macOS learn beside IPCP."""

    kind: Literal["inside-dhcp"] = "inside-dhcp"
    server: str
    mask: str = ""
    routers: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    """``10.0.0.0/8 via 10.0.0.1`` (options 121 and 249)."""


@record(frozen=True, slots=True, kw_only=True)
class InsideTraffic(Observation):
    """Users' packets inside as a whole, in a capture: whom they asked and who sent anything back.
    ``t`` is the time of the first. Groups and broadcasts are left out."""

    kind: Literal["inside-traffic"] = "inside-traffic"
    last_t: float
    """Of the last packet to a host behind the gateway."""
    sent: int
    """Packets to hosts behind the gateway."""
    received: int
    """Packets to this client, the gateway's included."""
    asked: tuple[str, ...] = ()
    """Hosts behind the gateway that more than one packet went to; at most 32."""
    answered: tuple[str, ...] = ()
    """Addresses other than the gateway's that packets came from; at most 32."""
    peer_answered: bool = False
