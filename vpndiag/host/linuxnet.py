"""Interfaces and routes of a Linux system: from iproute2, else from ``/proc/net``."""

from __future__ import annotations

from vpndiag.host import iproute, procnet
from vpndiag.host.facts import Interface
from vpndiag.host.machine import Machine
from vpndiag.observations import Route


def interfaces(machine: Machine) -> list[Interface] | None:
    """None: cannot tell."""
    printed = machine.run("ip", "-j", "addr", "show")
    found = iproute.addresses(printed) if printed is not None else None
    if found is not None:
        return found
    table = machine.read("/proc/net/route")
    if table is None:
        return None
    return procnet.interfaces(table, machine.read("/proc/net/if_inet6") or "")


def routes(machine: Machine, *, ipv6: bool = True) -> list[Route] | None:
    """The main table; None: cannot tell."""
    printed = machine.run("ip", "-j", "route", "show")
    found = iproute.routes(printed) if printed is not None else None
    if found is not None and not ipv6:
        return found
    if found is not None:
        six = machine.run("ip", "-j", "-6", "route", "show")
        return found + (iproute.routes(six or "", ipv6=True) or [])
    table = machine.read("/proc/net/route")
    return None if table is None else procnet.routes(table)
