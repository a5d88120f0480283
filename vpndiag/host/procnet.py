"""Addresses, routes and sockets from ``/proc/net``: Linux without iproute2."""

from __future__ import annotations

import ipaddress
import sys

from vpndiag.host.facts import MAX_ROWS, Interface
from vpndiag.observations import Route

_UP, _REJECT = 0x1, 0x200
"""Flags of a route (linux/route.h)."""


def address(text: str) -> str:
    """Addresses are written as 32-bit words in the machine's byte order.

    :raises ValueError: it is no address.
    """
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return str(ipaddress.ip_address(raw))


def routes(text: str) -> list[Route]:
    """``/proc/net/route`` (IPv4)."""
    found = []
    for line in text.splitlines()[1 : MAX_ROWS + 1]:
        words = line.split()
        try:
            flags = int(words[3], 16)
            network = ipaddress.ip_network(f"{address(words[1])}/{address(words[7])}", strict=False)
            via = address(words[2])
            metric = int(words[6])
        except (ValueError, IndexError):
            continue
        if flags & _UP and not flags & _REJECT:
            found.append(Route(str(network), words[0], "" if via == "0.0.0.0" else via, metric))
    return found


def interfaces(route_text: str, inet6_text: str) -> list[Interface]:
    """Interfaces with their networks: IPv4 from the on-link routes of ``/proc/net/route`` (their
    own addresses are not told there), IPv6 from ``/proc/net/if_inet6``."""
    found: dict[str, Interface] = {}
    for route in routes(route_text):
        link = found.setdefault(route.interface, Interface(route.interface))
        if not route.via and route.destination != "0.0.0.0/0":
            link.addresses.append(route.destination)
    for line in inet6_text.splitlines()[:MAX_ROWS]:
        words = line.split()
        try:
            ip = ipaddress.IPv6Address(bytes.fromhex(words[0]))
            face = ipaddress.ip_interface(f"{ip}/{int(words[2], 16)}")
            name = words[5]
        except (ValueError, IndexError):
            continue
        found.setdefault(name, Interface(name)).addresses.append(str(face))
    return list(found.values())


def udp_addresses(text: str, port: int) -> list[str]:
    """``/proc/net/udp`` or ``udp6``: the local addresses on which ``port`` is bound."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            where, _, number = words[1].partition(":")
            if int(number, 16) == port:
                found.append(address(where))
        except (IndexError, ValueError):
            continue
    return found
