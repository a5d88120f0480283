"""What a Linux system says: iproute2 and ``/proc``, resolvers, kernel, programs, NetworkManager."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.host import iproute, kernel, linuxvpn, procnet, resolvers
from vpndiag.host.facts import Interface, wanted
from vpndiag.host.linuxnet import interfaces, routes
from vpndiag.host.machine import Machine
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostModule,
    HostPort,
    HostResolvers,
    HostRoutes,
    HostUnknown,
    Observation,
    Resolver,
)
from vpndiag.observations.host import InterfaceKind

PORTS = (500, 4500, 1701)
HOLD_PORTS = ("charon", "charon-systemd", "pluto", "xl2tpd", "kl2tpd", "racoon", "iked",
              "isakmpd", "vpnserver", "vpnbridge", "docker-proxy")  # fmt: skip
"""Programs that are known to hold these ports."""

_TUNNELS = ("tun", "tap", "wg", "utun", "ipsec", "gpd", "nordlynx", "tailscale")


def look(machine: Machine) -> list[Observation]:
    """Everything that this system tells an ordinary user about its L2TP/IPsec client."""
    names = linuxvpn.running(machine)
    services = linuxvpn.services(machine, names)
    connections = [*linuxvpn.network_manager(machine), *linuxvpn.xl2tpd(machine)]
    seen: list[Observation] = [*services, *_modules(machine)]
    if any(s.name == "pluto" and s.state != "absent" for s in services):
        seen.append(linuxvpn.ikev1_policy(machine))
    seen += _ports(machine, names)
    links = _interfaces(machine, names, connections)
    seen += links
    seen += _with_interface(connections, links)
    found = routes(machine)
    rules = machine.run("ip", "-j", "rule", "show")
    seen.append(
        HostRoutes(
            t=machine.now(),
            routes=wanted(found or []),
            known=found is not None,
            policy=iproute.policy(rules or ""),
        )
    )
    seen.append(_resolvers(machine, links))
    seen.append(
        HostUnknown(
            t=machine.now(),
            what="the last failure",
            why="it is in the logs of the IKE, L2TP and PPP daemons, which are not read here",
        )
    )
    return seen


def _modules(machine: Machine) -> list[HostModule]:
    return [
        HostModule(t=machine.now(), name=name, state=state, source=source)
        for name, (state, source) in kernel.modules(machine).items()
    ]


def _ports(machine: Machine, names: set[str] | None) -> list[HostPort]:
    printed = machine.run("ss", "-H", "-l", "-u", "-n", "-p")
    sockets = iproute.udp_sockets(printed) if printed is not None else None
    tables = [machine.read(f"/proc/net/{name}") for name in ("udp", "udp6")]
    found = []
    for port in PORTS:
        programs: list[str] = []
        addresses: list[str] | None = None
        if sockets is not None:
            addresses, programs = sockets.get(port, ([], []))
        elif any(table is not None for table in tables):
            addresses = [a for table in tables if table for a in procnet.udp_addresses(table, port)]
        known = sorted(name for name in HOLD_PORTS if names and name[:15] in names)
        found.append(
            HostPort(
                t=machine.now(),
                port=port,
                taken="cannot-tell" if addresses is None else "yes" if addresses else "no",
                addresses=tuple(dict.fromkeys(addresses or ())),
                holders=tuple(dict.fromkeys(programs)),
                running=tuple(known) if addresses and not programs else (),
            )
        )
    return found


def _interfaces(
    machine: Machine, names: set[str] | None, connections: list[HostConnection]
) -> list[HostInterface]:
    dialled = any(c.status == "connected" for c in connections) or bool(
        names and names & {"xl2tpd", "kl2tpd", "nm-l2tp-service"}
    )
    over_ethernet = len((machine.read("/proc/net/pppoe") or "").splitlines()) > 1
    found = []
    for link in interfaces(machine) or ():
        found.append(
            HostInterface(
                t=machine.now(),
                name=link.name,
                type=_kind(link, dialled and not over_ethernet),
                up="cannot-tell" if link.up is None else "yes" if link.up else "no",
                addresses=tuple(link.addresses[:8]),
                peer=link.peer,
                mtu=link.mtu,
            )
        )
    return found


def _kind(link: Interface, dialled: bool) -> InterfaceKind:
    if link.link == "loopback" or link.name == "lo":
        return "loopback"
    if link.link == "ppp" or link.name.startswith("ppp"):
        return "l2tp" if dialled else "ppp"
    if link.link in ("none", "tunnel", "sit", "gre", "ipip") or link.name.startswith(_TUNNELS):
        return "tunnel"
    return "network"


def _with_interface(
    connections: list[HostConnection], links: list[HostInterface]
) -> list[HostConnection]:
    """A connection that is up has the interface, where there is one connection and one interface
    (nmcli names the device below the VPN, not the VPN's)."""
    up = [c for c in connections if c.status == "connected"]
    ppp = [i for i in links if i.type == "l2tp" and i.up != "no"]
    if len(up) != 1 or len(ppp) != 1:
        return connections
    return [replace(c, interface=ppp[0].name) if c is up[0] else c for c in connections]


def _resolvers(machine: Machine, links: list[HostInterface]) -> HostResolvers:
    conf = machine.read("/etc/resolv.conf")
    found = resolvers.resolv_conf(conf or "")
    source = "/etc/resolv.conf"
    pushed = [r.address for r in resolvers.resolv_conf(machine.read("/etc/ppp/resolv.conf") or "")]
    if any(r.address in ("127.0.0.53", "127.0.0.54") for r in found):
        dns = machine.run("resolvectl", "--no-pager", "dns")
        if dns is not None:
            source = "resolvectl"
            found = resolvers.resolved(
                dns,
                machine.run("resolvectl", "--no-pager", "domain") or "",
                machine.run("resolvectl", "--no-pager", "default-route") or "",
            )
            pushed = []
    ppp = {i.name for i in links if i.type in ("l2tp", "ppp")}
    pushed += [r.address for r in found if r.interface in ppp]
    return HostResolvers(
        t=machine.now(),
        resolvers=tuple(_distinct(found)),
        known=conf is not None,
        pushed=tuple(dict.fromkeys(pushed)) if ppp else (),
        source=source,
    )


def _distinct(found: list[Resolver]) -> list[Resolver]:
    return list(dict.fromkeys(found))
