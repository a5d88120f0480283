"""What Windows says: PowerShell's network commands, registry, phone book, RasClient's events."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from vpndiag.host import phonebook, powershell
from vpndiag.host.facts import Interface, is_address, network_of, wanted
from vpndiag.host.machine import Machine
from vpndiag.host.powershell import Rows, number, text
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostPort,
    HostResolvers,
    HostRoutes,
    HostService,
    HostSetting,
    HostUnknown,
    Observation,
    Resolver,
    Route,
)
from vpndiag.observations.host import LinkState, ServiceState, StartType

PORTS = (500, 4500, 1701)
_STATES: dict[str, ServiceState] = {"Running": "running", "Stopped": "stopped"}
_STARTS: dict[str, StartType] = {
    "Automatic": "automatic", "Manual": "manual", "Disabled": "disabled",
}  # fmt: skip
_STATUS: dict[str, LinkState] = {
    "Connected": "connected", "Connecting": "connecting", "Disconnected": "disconnected",
}  # fmt: skip
_UNSET_DNS = ("fec0:0:0:ffff::1", "fec0:0:0:ffff::2", "fec0:0:0:ffff::3")
"""What Windows lists for interfaces without IPv6 resolvers."""

_PARTS = {
    "interfaces": "interfaces", "routes": "routes", "dns": "resolvers", "services": "services",
    "connections": "VPN connections", "udp": "who holds the UDP ports",
    "events": "the last failure",
}  # fmt: skip


def interfaces(rows: Rows | None) -> list[Interface]:
    """From ``addresses``."""
    found: dict[str, Interface] = {}
    for row in rows or ():
        name = text(row, "alias")
        address = text(row, "address").partition("%")[0]
        try:
            face = ipaddress.ip_interface(f"{address}/{number(row, 'length')}")
        except ValueError:
            continue
        found.setdefault(name, Interface(name)).addresses.append(str(face))
    return list(found.values())


def routes(rows: Rows | None) -> list[Route]:
    """From ``routes``; the metric is that of the route and its interface together."""
    found = []
    for row in rows or ():
        destination = network_of(text(row, "destination"))
        if destination is None:
            continue
        via = text(row, "via")
        via = "" if via in ("0.0.0.0", "::") or not is_address(via) else via
        found.append(Route(destination, text(row, "alias"), via, number(row, "metric")))
    return found


def look(machine: Machine) -> list[Observation]:
    """Everything that this system tells an ordinary user about its L2TP/IPsec client."""
    told = powershell.ask(machine, powershell.SCRIPT)
    connections = _connections(machine, told.get("connections"), told.get("events"))
    up = {c.name for c in connections if c.status == "connected"}
    l2tp = {c.name for c in connections if c.status == "connected" and c.type.startswith("L2TP")}
    seen: list[Observation] = [*connections, *_services(machine, told.get("services"))]
    seen += _settings(machine, told)
    seen += _ports(machine, told.get("udp"))
    links = _interfaces(machine, told, up, l2tp)
    seen += links
    found = told.get("routes")
    seen.append(HostRoutes(t=machine.now(), routes=wanted(routes(found)), known=found is not None))
    seen.append(_resolvers(machine, told, l2tp))
    for part, what in _PARTS.items():
        if told.get(part) is None:
            why = "PowerShell does not tell it here"
            if part == "events":
                why = "the event log cannot be read, or holds no attempt"
            seen.append(HostUnknown(t=machine.now(), what=what, why=why))
    return seen


def _connections(machine: Machine, rows: Rows | None, events: Rows | None) -> list[HostConnection]:
    found: dict[str, HostConnection] = {}
    for row in rows or ():
        split = row.get("split")
        ipsec = text(row, "ipsec").lower()
        name = text(row, "name")
        found[name] = HostConnection(
            t=machine.now(),
            name=name,
            type=_type(text(row, "type")),
            server=text(row, "server"),
            status=_STATUS.get(text(row, "status"), "cannot-tell"),
            interface=name if text(row, "status") == "Connected" else "",
            full_tunnel="cannot-tell" if not isinstance(split, bool) else "no" if split else "yes",
            ipsec_auth="psk" if "psk" in ipsec else "certificate" if "cert" in ipsec else "",
            login_methods=tuple(m for m in row.get("login") or () if isinstance(m, str))[:8],
            source="Get-VpnConnection",
        )
    for book, entry in _phone_book(machine):
        known = found.get(entry.name)
        if known is not None and known.type not in ("automatic", ""):
            continue
        full = {True: "yes", False: "no", None: "cannot-tell"}[entry.full_tunnel]
        key = {True: "psk", False: "certificate", None: ""}[entry.preshared_key]
        base = known or HostConnection(t=machine.now(), name=entry.name, type="", source=book)
        found[entry.name] = replace(
            base,
            type=entry.type or base.type,
            server=base.server or entry.values.get("phonenumber", ""),
            full_tunnel=full if base.full_tunnel == "cannot-tell" else base.full_tunnel,  # type: ignore[arg-type]
            ipsec_auth=base.ipsec_auth or key,  # type: ignore[arg-type]
        )
    return [_with_failure(c, events) for c in found.values()]


def _type(text: str) -> str:
    known = {"L2tp": "L2TP", "Ikev2": "IKEv2", "Pptp": "PPTP", "Sstp": "SSTP",
             "Automatic": "automatic"}  # fmt: skip
    return known.get(text, text)


def _phone_book(machine: Machine) -> list[tuple[str, phonebook.Entry]]:
    found = []
    for variable in ("APPDATA", "PROGRAMDATA"):
        base = machine.environment(variable)
        if base:
            path = f"{base}\\Microsoft\\Network\\Connections\\Pbk\\rasphone.pbk"
            book = machine.read(path)
            shown = f"%{variable}%\\...\\rasphone.pbk"  # the path holds the user's name
            found += [(shown, entry) for entry in phonebook.entries(book or "")]
    return found


def _with_failure(connection: HostConnection, events: Rows | None) -> HostConnection:
    """The error of the last attempt of this connection; none when a later one succeeded. Events
    come newest first: 20225 connected, 20226 ended, 20227 failed."""
    for row in events or ():
        if text(row, "name") != connection.name:
            continue
        error = text(row, "error", 16).strip()
        if number(row, "id") == 20227 and error.isdecimal():
            return replace(connection, error=error, error_at=text(row, "at", 40))
        return connection
    return connection


def _services(machine: Machine, rows: Rows | None) -> list[HostService]:
    if rows is None:
        return []
    by_name = {text(row, "name").lower(): row for row in rows}
    found = []
    for name, role in (("IKEEXT", "ike"), ("PolicyAgent", "ipsec"), ("RasMan", "manager")):
        row = by_name.get(name.lower(), {})
        found.append(
            HostService(
                t=machine.now(),
                name=name,
                role=role,  # type: ignore[arg-type]
                state=_STATES.get(text(row, "state"), "cannot-tell") if row else "absent",
                start=_STARTS.get(text(row, "start"), ""),
            )
        )
    return found


_VALUES = (
    ("policyagent", "AssumeUDPEncapsulationContextOnSendRule", r"Services\PolicyAgent"),
    ("rasman", "ProhibitIpSec", r"Services\RasMan\Parameters"),
)


def _settings(machine: Machine, told: dict[str, Rows | None]) -> list[HostSetting]:
    found = []
    for part, name, key in _VALUES:
        rows = told.get(part)
        value = number(rows[0], name) if rows else None
        state = "cannot-tell" if rows is None else "not-set" if value is None else "set"
        found.append(
            HostSetting(t=machine.now(), name=name, state=state,  # type: ignore[arg-type]
                        value="" if value is None else str(value),
                        source=rf"HKLM\SYSTEM\CurrentControlSet\{key}")
        )  # fmt: skip
    return found


def _ports(machine: Machine, rows: Rows | None) -> list[HostPort]:
    found = []
    for port in PORTS:
        mine = [row for row in rows or () if number(row, "port") == port]
        found.append(
            HostPort(
                t=machine.now(),
                port=port,
                taken="cannot-tell" if rows is None else "yes" if mine else "no",
                addresses=tuple(dict.fromkeys(text(row, "address") for row in mine)),
                holders=tuple(
                    dict.fromkeys(text(r, "program", 64) for r in mine if text(r, "program"))
                ),
            )
        )
    return found


def _interfaces(
    machine: Machine, told: dict[str, Rows | None], up: set[str], l2tp: set[str]
) -> list[HostInterface]:
    links = {link.name: link for link in interfaces(told.get("addresses"))}
    for row in told.get("interfaces") or ():
        link = links.setdefault(text(row, "alias"), Interface(text(row, "alias")))
        mtu = number(row, "mtu") or 0
        link.mtu = mtu if mtu < 1 << 20 else 0  # loopback: 2**32 - 1
        link.up = text(row, "state") == "Connected"
    return [
        HostInterface(
            t=machine.now(),
            name=link.name,
            type="l2tp" if link.name in l2tp else "tunnel" if link.name in up
            else "loopback" if "loopback" in link.name.lower() else "network",
            up="cannot-tell" if link.up is None else "yes" if link.up else "no",
            addresses=tuple(link.addresses[:8]),
            mtu=link.mtu,
        )
        for link in links.values()
    ]  # fmt: skip


def _resolvers(machine: Machine, told: dict[str, Rows | None], vpn: set[str]) -> HostResolvers:
    """Servers by the metric of their interface; Windows asks the best interface's first, and then
    (smart multi-homed name resolution) those of all others as well."""
    metrics = {text(r, "alias"): number(r, "metric") or 0 for r in told.get("interfaces") or ()}
    connected = {text(r, "alias") for r in told.get("interfaces") or ()
                 if text(r, "state") == "Connected"}  # fmt: skip
    rows = told.get("dns")
    found: list[tuple[int, Resolver]] = []
    for row in rows or ():
        alias = text(row, "alias")
        servers = row.get("servers")
        for server in servers if isinstance(servers, list) else ():
            if not isinstance(server, str) or not is_address(server) or server in _UNSET_DNS:
                continue
            if not connected or alias in connected:
                found.append((metrics.get(alias, 1 << 20), Resolver(server, alias)))
    found.sort(key=lambda pair: pair[0])
    best = found[0][0] if found else 0
    return HostResolvers(
        t=machine.now(),
        resolvers=tuple(dict.fromkeys(replace(r, last=metric > best) for metric, r in found)),
        known=rows is not None,
        pushed=tuple(dict.fromkeys(r.address for _, r in found if r.interface in vpn)),
        source="Get-DnsClientServerAddress",
    )
