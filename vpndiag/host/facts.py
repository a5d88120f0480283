"""Shapes that the parsers of all systems hand on: interfaces with addresses, and routes."""

from __future__ import annotations

import ipaddress
from dataclasses import field

from vpndiag.observations import Route
from vpndiag.records import record

MAX_ROWS = 256
"""Interfaces, routes, resolvers or connections kept; a computer with more is not diagnosed here."""


@record(slots=True)
class Interface:
    """``link``: the kind of link as the system names it. ``mtu`` 0: not told."""

    name: str
    up: bool | None = None
    mtu: int = 0
    link: str = ""
    addresses: list[str] = field(default_factory=list)
    """In CIDR notation."""
    peer: str = ""


def network_of(text: str) -> str | None:
    """``text`` as a network in CIDR notation; None: it is none."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


_NOT_WANTED = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "224.0.0.0/4", "169.254.0.0/16", "255.255.255.255/32",
                 "fe80::/10", "ff00::/8", "::1/128")
)  # fmt: skip


def wanted(routes: list[Route]) -> tuple[Route, ...]:
    """Without loopback, multicast, link-local and broadcast routes, and bounded."""
    kept = []
    for route in routes:
        network = ipaddress.ip_network(route.destination)
        if any(network.version == n.version and network.subnet_of(n) for n in _NOT_WANTED):  # type: ignore[arg-type]
            continue
        kept.append(route)
    return tuple(kept[:MAX_ROWS])
