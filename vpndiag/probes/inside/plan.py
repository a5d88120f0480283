"""What to test inside; everything empty: what is harmless anywhere."""

from __future__ import annotations

from vpndiag.probes.inside.exchange import App
from vpndiag.records import record


@record(frozen=True, slots=True, kw_only=True)
class InsidePlan:
    """``local_networks`` are this computer's own, as ``eth0 192.168.1.0/24``; None: cannot tell.
    Hosts are names or IPv4 addresses; networks and expected addresses in CIDR notation or single
    addresses, expected addresses also as ``first-last``."""

    local_networks: tuple[str, ...] | None = None
    internal_networks: tuple[str, ...] = ()
    internal_names: tuple[str, ...] = ()
    internal_hosts: tuple[str, ...] = ()
    internal_domain: str = ""
    apps: tuple[App, ...] = ()
    expected_addresses: tuple[str, ...] = ()
    expected_dns: tuple[str, ...] = ()
