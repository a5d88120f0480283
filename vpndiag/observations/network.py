"""Names, ICMP and the local end."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Observation
from vpndiag.records import record

NameOutcome = Literal[
    "answered", "nxdomain", "no-data", "servfail", "refused", "timeout", "invalid", "error"
]


@record(frozen=True, slots=True, kw_only=True)
class NameAnswer(Observation):
    """What one resolver said to one question about the gateway's name, or (``role``) beside it."""

    kind: Literal["name-answer"] = "name-answer"
    role: Literal["gateway", "compared", "nonexistent", "internal"] = "gateway"
    """``gateway``: the look-ups that led to the address; ``compared``: the same asked of the other
    resolvers; ``nonexistent``: a name that cannot exist; ``internal``: a name of inside, asked
    outside the tunnel."""
    name: str
    rrtype: Literal["A", "AAAA"]
    resolver: str
    """Its address, or ``system`` for the operating system's resolver."""
    outcome: NameOutcome
    addresses: tuple[str, ...] = ()
    cnames: tuple[str, ...] = ()
    ttl: int | None = None
    seconds: float = 0.0
    detail: str = ""


@record(frozen=True, slots=True, kw_only=True)
class LocalRoutes(Observation):
    """Whether this computer has a route to the Internet, by address family; None: not told."""

    kind: Literal["local-routes"] = "local-routes"
    ipv4: bool | None
    ipv6: bool | None


@record(frozen=True, slots=True, kw_only=True)
class IcmpError(Observation):
    """An ICMP error that quotes a packet of ours."""

    kind: Literal["icmp-error"] = "icmp-error"
    what: str
    """``port-unreachable``, ``host-unreachable``, ``net-unreachable``, ``protocol-unreachable``,
    ``prohibited``, ``fragmentation-needed``, ``ttl-exceeded``, ``reassembly-timeout`` or
    ``other``."""
    icmp_type: int
    icmp_code: int
    reporter: str | None
    """Address that sent the error; None where the platform does not tell."""
    from_gateway: bool | None
    port: int
    """UDP port of the gateway that the quoted packet went to; 0 for ESP as protocol 50."""
    mtu: int | None = None
    direction: Literal["out", "in"] = "in"
    """``in``: the error came back to the client; ``out``: the client sent it to the gateway."""


@record(frozen=True, slots=True, kw_only=True)
class SendError(Observation):
    """The local machine could not send."""

    kind: Literal["send-error"] = "send-error"
    port: int
    error: str
    """errno name, such as ``ENETUNREACH``."""
    detail: str = ""


@record(frozen=True, slots=True, kw_only=True)
class LocalEnd(Observation):
    """Which addresses and ports the run uses, and what it could not do."""

    kind: Literal["local-end"] = "local-end"
    local_address: str
    gateway_address: str
    gateway_name: str = ""
    source_port: int
    """UDP source port towards port 500."""
    source_port_natt: int
    """UDP source port towards port 4500."""
    plain_esp_possible: bool = False
    encapsulation_forced: bool = False
    """We claimed a NAT so that ESP travels inside UDP."""
