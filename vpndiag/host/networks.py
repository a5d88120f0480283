"""This computer's own networks: connected ones, and those that it reaches by a local router. What
they overlap inside a VPN is not reached through it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from vpndiag.host.facts import MAX_ROWS, Interface, wanted
from vpndiag.host.machine import Machine
from vpndiag.observations import Route
from vpndiag.report.text import visible

MOST = 64

_WIDEST = 8
"""Routes shorter than this are no networks of a place: 0.0.0.0/1 is half of the Internet."""


def local_networks(machine: Machine, system: str) -> tuple[str, ...] | None:
    """``eth0 192.168.1.0/24`` for a connected network, ``eth0 via 192.168.1.254 10.0.0.0/8`` for
    one behind a router; None: cannot tell here. ``system``: ``Linux``, ``macOS`` or ``Windows``."""
    links: list[Interface] | None
    routes: list[Route] | None
    if system == "Linux":
        from vpndiag.host import linuxnet

        links, routes = linuxnet.interfaces(machine), linuxnet.routes(machine, ipv6=False)
    elif system == "macOS":
        from vpndiag.host import macos

        links, routes = macos.interfaces(machine), macos.routes(machine)
    elif system == "Windows":
        # A program of its own: PowerShell takes longer to start than a run may wait.
        printed = machine.run("route", "print", "-4")
        links, routes = None, route_print(printed) if printed is not None else None
    else:
        return None
    if links is None and routes is None:
        return None
    found = [*_connected(links or ()), *_routed(routes or ())]
    return tuple(dict.fromkeys(visible(text, 120) for text in found))[:MOST]


def _connected(links: Iterable[Interface]) -> list[str]:
    return [
        f"{link.name} {ipaddress.ip_interface(address).network}"
        for link in links
        if link.up is not False
        for address in link.addresses
    ]


def _routed(routes: Iterable[Route]) -> list[str]:
    found = []
    for route in wanted(list(routes)):
        network = ipaddress.ip_network(route.destination)
        if network.prefixlen < _WIDEST or network.num_addresses == 1:
            continue
        by = f" via {route.via}" if route.via else ""
        found.append(f"{route.interface}{by} {route.destination}")
    return found


_ADDRESS = r"(\d{1,3}(?:\.\d{1,3}){3})"
_ROW = re.compile(rf"^\s*{_ADDRESS}\s+{_ADDRESS}\s+(\S.*?)\s+{_ADDRESS}\s+(\d+)\s*$")


def route_print(text: str) -> list[Route]:
    """Windows' ``route print -4``. Its words are translated, its columns are not: destination,
    mask, router (or a word for "on-link"), the interface's address, metric."""
    found = []
    for line in text.splitlines()[: 8 * MAX_ROWS]:
        match = _ROW.match(line)
        if match is None:
            continue
        destination, mask, router, interface, metric = match.groups()
        try:
            network = ipaddress.ip_network(f"{destination}/{mask}")
            via = "" if not re.fullmatch(_ADDRESS, router) else str(ipaddress.ip_address(router))
        except ValueError:
            continue
        found.append(Route(str(network), interface, via, int(metric[:9])))
    return found
