"""Looking at this computer's own VPN: one interface for all systems.

:func:`look` gives observations in the order in which they were made. What the system itself was
asked is in ``linux.py``, ``macos.py`` and ``windows.py``; which way packets would go is asked here,
the same on all of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from vpndiag.host import linux, local, macos, windows
from vpndiag.host.machine import Machine
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostResolvers,
    HostScope,
    HostUnknown,
    HostWay,
    Observation,
)
from vpndiag.observations.host import WayRole
from vpndiag.report.text import visible

LOOKS: dict[str, Callable[[Machine], list[Observation]]] = {
    "Linux": linux.look,
    "macOS": macos.look,
    "Windows": windows.look,
}
SOMEWHERE = "198.51.100.1"
"""Stands for the Internet (RFC 5737): nobody is there, and nothing is sent."""

_MAX_TARGETS = 32


def system() -> str:
    """A key of :data:`LOOKS`, or ``other``."""
    name = local.system().name
    return name if name in LOOKS else "other"


def look(scope: HostScope, machine: Machine) -> list[Observation]:
    """What the system of ``scope`` says. Nothing is changed and nothing is sent: the gateway's name
    is not even looked up."""
    ask = LOOKS.get(scope.system)
    if ask is None:
        why = "only Linux, macOS and Windows are known"
        return [scope, HostUnknown(t=machine.now(), what="this system's VPN", why=why)]
    seen: list[Observation] = [scope, *ask(machine)]
    return [harmless(o) for o in seen + _ways(scope, seen, machine)]


_Seen = TypeVar("_Seen")


def harmless(seen: _Seen) -> _Seen:
    """The same with every text visible and bounded: names of interfaces, connections and programs
    are what anyone made them."""
    changed = {f.name: _harmless(getattr(seen, f.name)) for f in fields(seen)}  # type: ignore[arg-type]
    return replace(seen, **changed)  # type: ignore[type-var]


def _harmless(value: object) -> object:
    if isinstance(value, str):
        return visible(value, 255)
    if isinstance(value, tuple):
        return tuple(_harmless(item) for item in value)
    return harmless(value) if is_dataclass(value) else value


def _ways(scope: HostScope, seen: Sequence[Observation], machine: Machine) -> list[Observation]:
    targets: list[tuple[WayRole, str, str]] = []
    servers = [c.server_address or c.server for c in seen if isinstance(c, HostConnection)
               and (c.status == "connected" or c.server == scope.gateway)]  # fmt: skip
    for server in dict.fromkeys([scope.gateway, *servers]):
        if _literal(server):
            targets.append(("gateway", server, server))
    targets += [("internal", _inside(n), n) for n in scope.internal_networks]
    targets += [("internal", h, h) for h in scope.internal_hosts if _literal(h)]
    pushed = [a for r in seen if isinstance(r, HostResolvers) for a in r.pushed]
    targets += [("dns", a, a) for a in dict.fromkeys([*scope.expected_dns, *pushed])]
    targets.append(("internet", SOMEWHERE, "the Internet"))
    owners = {
        str(ipaddress.ip_interface(a).ip): i.name
        for i in seen if isinstance(i, HostInterface) for a in i.addresses
    }  # fmt: skip
    found: list[Observation] = []
    way = HostWay(t=0.0, role="internet", target="")
    for role, target, wanted in targets[:_MAX_TARGETS]:
        source = machine.source_towards(target) or ""
        found.append(
            replace(way, t=machine.now(), role=role, target=target, wanted=wanted, source=source,
                    interface=owners.get(source, ""))
        )  # fmt: skip
    return found


def _literal(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _inside(network: str) -> str:
    """The first host address of a network."""
    net = ipaddress.ip_network(network, strict=False)
    return str(net[1] if net.num_addresses > 2 else net[0])
