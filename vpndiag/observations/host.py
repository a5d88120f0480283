"""What the operating system says about its own L2TP/IPsec connection and its settings.

Nothing here was sent or heard: these are the system's own words, read at time ``t``. What it does
not tell an ordinary user is said as ``cannot-tell``, with the reason where there is one.
"""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Observation
from vpndiag.records import record

Told = Literal["yes", "no", "cannot-tell"]

InterfaceKind = Literal["l2tp", "ppp", "tunnel", "loopback", "network"]
"""``l2tp``: known to carry L2TP; ``ppp``: point-to-point over something (it may be a modem);
``tunnel``: another kind of tunnel; ``network``: all others."""

WayRole = Literal["gateway", "internal", "dns", "internet"]

ModuleState = Literal["built-in", "loaded", "loadable", "blacklisted", "absent", "cannot-tell"]
ServiceState = Literal["running", "stopped", "absent", "cannot-tell"]
StartType = Literal["", "automatic", "manual", "disabled"]
LinkState = Literal["connected", "connecting", "disconnected", "cannot-tell"]


@record(frozen=True, slots=True, kw_only=True)
class HostScope(Observation):
    """What was looked at: a system, and what a profile says that should be there."""

    kind: Literal["host-scope"] = "host-scope"
    system: Literal["Linux", "macOS", "Windows", "other"]
    gateway: str = ""
    """From the profile: a name or an address; empty: no profile was given."""
    internal_networks: tuple[str, ...] = ()
    internal_hosts: tuple[str, ...] = ()
    expected_addresses: tuple[str, ...] = ()
    expected_dns: tuple[str, ...] = ()
    plain_l2tp: bool = False
    """The profile says that there is no IPsec."""


@record(frozen=True, slots=True, kw_only=True)
class HostInterface(Observation):
    """One network interface. ``mtu`` 0: not told."""

    kind: Literal["host-interface"] = "host-interface"
    name: str
    type: InterfaceKind
    up: Told = "cannot-tell"
    addresses: tuple[str, ...] = ()
    """In CIDR notation."""
    peer: str = ""
    mtu: int = 0


@record(frozen=True, slots=True)
class Route:
    """One route. ``metric``: as the system weighs it, lower wins; None: not told."""

    destination: str
    """In CIDR notation."""
    interface: str
    via: str = ""
    metric: int | None = None


@record(frozen=True, slots=True, kw_only=True)
class HostRoutes(Observation):
    """The routing table, without loopback, multicast and link-local routes."""

    kind: Literal["host-routes"] = "host-routes"
    routes: tuple[Route, ...] = ()
    known: bool = True
    """False: the system does not tell its routes here."""
    policy: bool = False
    """Rules beside the main table choose routes (Linux: ``ip rule``)."""


@record(frozen=True, slots=True, kw_only=True)
class HostWay(Observation):
    """Which way packets to ``target`` would leave, asked of the system; nothing was sent."""

    kind: Literal["host-way"] = "host-way"
    role: WayRole
    target: str
    """An address; for a network one address in it."""
    wanted: str = ""
    """What ``target`` stands for: a network, ``the Internet``."""
    source: str = ""
    """The local address that they would carry; empty: there is no route."""
    interface: str = ""
    """The interface of ``source``; empty: not told."""


@record(frozen=True, slots=True)
class Resolver:
    """One DNS server that the system asks. ``domains``: only for names below these."""

    address: str
    interface: str = ""
    domains: tuple[str, ...] = ()
    last: bool = False
    """Asked only when the ones before do not answer."""


@record(frozen=True, slots=True, kw_only=True)
class HostResolvers(Observation):
    """DNS servers in the order in which the system asks them."""

    kind: Literal["host-resolvers"] = "host-resolvers"
    resolvers: tuple[Resolver, ...] = ()
    known: bool = True
    pushed: tuple[str, ...] = ()
    """DNS servers that the VPN assigned, as far as the system has kept them."""
    source: str = ""


@record(frozen=True, slots=True, kw_only=True)
class HostPort(Observation):
    """A UDP port of this computer. ``holders``: programs that hold it, as far as told; ``running``:
    programs known to hold such ports that run here, where the holder itself is not told."""

    kind: Literal["host-port"] = "host-port"
    port: int
    taken: Told
    addresses: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    running: tuple[str, ...] = ()


@record(frozen=True, slots=True, kw_only=True)
class HostModule(Observation):
    """A part of the Linux kernel. ``loadable``: there as a module, loaded when it is needed."""

    kind: Literal["host-module"] = "host-module"
    name: str
    state: ModuleState
    source: str = ""


@record(frozen=True, slots=True, kw_only=True)
class HostService(Observation):
    """A program or service that L2TP/IPsec needs, or that gets in its way. ``absent``: not
    installed."""

    kind: Literal["host-service"] = "host-service"
    name: str
    role: Literal["ike", "ipsec", "l2tp", "ppp", "manager"]
    state: ServiceState
    start: StartType = ""
    version: str = ""
    detail: str = ""


@record(frozen=True, slots=True, kw_only=True)
class HostSetting(Observation):
    """A setting. ``value`` empty with ``state`` ``not-set``: the system's default is in force."""

    kind: Literal["host-setting"] = "host-setting"
    name: str
    state: Literal["set", "not-set", "cannot-tell"]
    value: str = ""
    source: str = ""
    """A file, registry key or command."""


@record(frozen=True, slots=True, kw_only=True)
class HostConnection(Observation):
    """A VPN connection that is configured here. Never holds secrets or user names."""

    kind: Literal["host-connection"] = "host-connection"
    name: str
    type: str
    """``L2TP``, ``IKEv2``, ``automatic``, ... as the system calls it."""
    server: str = ""
    status: LinkState = "cannot-tell"
    interface: str = ""
    server_address: str = ""
    """The gateway's address, of a connection that is up."""
    full_tunnel: Told = "cannot-tell"
    """All traffic shall go through it."""
    ipsec_auth: Literal["", "psk", "certificate"] = ""
    login_methods: tuple[str, ...] = ()
    error: str = ""
    """The last known failure as the system numbers it: ``809``, ``PPP error 19``."""
    error_text: str = ""
    error_at: str = ""
    """When that was, as told."""
    source: str = ""


@record(frozen=True, slots=True, kw_only=True)
class HostUnknown(Observation):
    """Something that cannot be told here: ``what`` and why."""

    kind: Literal["host-unknown"] = "host-unknown"
    what: str
    why: str
