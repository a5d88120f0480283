"""What macOS says: ``scutil``, ``ifconfig``, ``netstat`` and ``ps``.

The built-in client is made of configd's PPP controller, ``pppd`` and ``racoon``; both programs run
only while a connection is up or tried. PPP's last cause and that of the device below it (L2TP) are
kept per connection.
"""

from __future__ import annotations

from vpndiag.host import bsd, resolvers, scutil
from vpndiag.host.facts import Interface, wanted
from vpndiag.host.machine import Machine
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostPort,
    HostResolvers,
    HostRoutes,
    HostService,
    Observation,
    Route,
)
from vpndiag.observations.host import InterfaceKind, LinkState

PORTS = (500, 4500, 1701)
_TUNNELS = ("utun", "ipsec", "tun", "tap", "gif", "stf", "wg")
_PASSING = ("awdl", "llw", "anpi", "ap", "bridge100")
"""Interfaces of Apple's own devices and services: no networks of this computer."""

_STATUS: dict[str, LinkState] = {
    "Connected": "connected",
    "Connecting": "connecting",
    "Disconnected": "disconnected",
    "Disconnecting": "disconnected",
}


def interfaces(machine: Machine) -> list[Interface] | None:
    """None: cannot tell."""
    printed = machine.run("ifconfig", "-a")
    return None if printed is None else bsd.interfaces(printed)


def routes(machine: Machine) -> list[Route] | None:
    printed = machine.run("netstat", "-rn")
    return None if printed is None else bsd.routes(printed)


def look(machine: Machine) -> list[Observation]:
    """Everything that this system tells an ordinary user about its L2TP/IPsec client."""
    connections = _connections(machine)
    names = bsd.processes(machine.run("ps", "-axc", "-o", "pid=,comm=") or "")
    seen: list[Observation] = [*connections, *_services(machine, set(names.values()))]
    seen += _ports(machine, names)
    links = _interfaces(machine, {c.interface for c in connections if c.interface})
    seen += links
    found = routes(machine)
    seen.append(HostRoutes(t=machine.now(), routes=wanted(found or []), known=found is not None))
    seen.append(_resolvers(machine, links))
    return seen


def _connections(machine: Machine) -> list[HostConnection]:
    found = []
    for service in scutil.services(machine.run("scutil", "--nc", "list") or ""):
        shown = scutil.dictionary(machine.run("scutil", "--nc", "show", service.identifier) or "")
        state = scutil.dictionary(machine.run("scutil", "--nc", "status", service.identifier) or "")
        error, text = _failure(state)
        override = state.get("IPv4.OverridePrimary")
        found.append(
            HostConnection(
                t=machine.now(),
                name=service.name,
                type=service.kind,
                server=shown.get("PPP.CommRemoteAddress", state.get("PPP.CommRemoteAddress", "")),
                status=_STATUS.get(service.status, "cannot-tell"),
                interface=state.get("IPv4.InterfaceName", ""),
                server_address=state.get("IPv4.ServerAddress", ""),
                full_tunnel={"1": "yes", "0": "no"}.get(override or "", "cannot-tell"),  # type: ignore[arg-type]
                error=error,
                error_text=text,
                source="scutil --nc",
            )
        )
    return found


def _failure(state: dict[str, str]) -> tuple[str, str]:
    """The last cause, as the built-in client numbers it: of the device (L2TP) before PPP's."""
    device, ppp = state.get("PPP.DeviceLastCause", "0"), state.get("PPP.LastCause", "0")
    if device.isdecimal() and int(device):
        return f"L2TP error {int(device)}", ""
    if ppp.isdecimal() and int(ppp):
        return f"PPP error {int(ppp)}", ""
    return "", ""


def _services(machine: Machine, names: set[str]) -> list[HostService]:
    found = []
    for name, role in (("racoon", "ike"), ("pppd", "ppp")):
        there = machine.exists(f"/usr/sbin/{name}")
        state = "running" if name in names else "stopped" if there else "absent"
        found.append(
            HostService(t=machine.now(), name=name, role=role, state=state,  # type: ignore[arg-type]
                        detail="runs only while a connection is up or tried")
        )  # fmt: skip
    return found


def _ports(machine: Machine, names: dict[int, str]) -> list[HostPort]:
    printed = machine.run("netstat", "-anv", "-p", "udp")
    sockets = bsd.udp_sockets(printed, names) if printed is not None else None
    found = []
    for port in PORTS:
        addresses, programs = (sockets or {}).get(port, ([], []))
        found.append(
            HostPort(
                t=machine.now(),
                port=port,
                taken="cannot-tell" if sockets is None else "yes" if addresses else "no",
                addresses=tuple(dict.fromkeys(addresses)),
                holders=tuple(dict.fromkeys(programs)),
            )
        )
    return found


def _interfaces(machine: Machine, vpn: set[str]) -> list[HostInterface]:
    return [
        HostInterface(
            t=machine.now(),
            name=link.name,
            type=_kind(link, vpn),
            up="cannot-tell" if link.up is None else "yes" if link.up else "no",
            addresses=tuple(link.addresses[:8]),
            peer=link.peer,
            mtu=link.mtu,
        )
        for link in interfaces(machine) or ()
        if not link.name.startswith(_PASSING)
    ]


def _kind(link: Interface, vpn: set[str]) -> InterfaceKind:
    if link.name in vpn and link.link == "ppp":
        return "l2tp"
    if link.link == "ppp":
        return "ppp"
    if link.link == "loopback":
        return "loopback"
    return "tunnel" if link.name.startswith(_TUNNELS) else "network"


def _resolvers(machine: Machine, links: list[HostInterface]) -> HostResolvers:
    printed = machine.run("scutil", "--dns")
    found = resolvers.scutil_dns(printed or "")
    vpn = {i.name for i in links if i.type in ("l2tp", "ppp")}
    return HostResolvers(
        t=machine.now(),
        resolvers=tuple(found),
        known=printed is not None,
        pushed=tuple(dict.fromkeys(r.address for r in found if r.interface in vpn)),
        source="scutil --dns",
    )
