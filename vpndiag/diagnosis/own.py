"""Questions that the rules of ``vpndiag host`` ask: the system's own VPN, from observations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from vpndiag.diagnosis.once import once
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostModule,
    HostPort,
    HostResolvers,
    HostRoutes,
    HostScope,
    HostService,
    HostSetting,
    HostWay,
    Observation,
)
from vpndiag.observations.host import WayRole

_T = TypeVar("_T", bound=Observation)

GONE = ("absent", "blacklisted")
"""States of a module that mean: the kernel will not use it."""


class OwnVpn:
    """What the system said, sorted by kind. Judges nothing."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self.all = list(observations)

    def of(self, kind: type[_T]) -> list[_T]:
        return [o for o in self.all if type(o) is kind]

    @once
    def scope(self) -> HostScope:
        found = self.of(HostScope)
        return found[-1] if found else HostScope(t=0.0, system="other")

    @property
    def system(self) -> str:
        return self.scope.system

    @once
    def connections(self) -> list[HostConnection]:
        """Those that use L2TP, or may; where a profile names a gateway, those to it if any."""
        found = [c for c in self.of(HostConnection) if is_l2tp(c)]
        named = [c for c in found if self.scope.gateway and same(c.server, self.scope.gateway)]
        return named or found

    @once
    def connected(self) -> HostConnection | None:
        return next((c for c in self.connections if c.status == "connected"), None)

    @once
    def vpn(self) -> HostInterface | None:
        """The interface of the VPN that is up. A PPP interface of unknown use is taken for it,
        unless it is this computer's only line."""
        there = [i for i in self.of(HostInterface) if i.up != "no"]
        known = [i for i in there if i.type == "l2tp"]
        if self.connected is not None:
            known = [i for i in known if i.name == self.connected.interface] or known
        if known:
            return known[0]
        line = any(i.type == "network" and _usable(i) for i in there)
        return next((i for i in there if i.type == "ppp" and line and i.addresses), None)

    @once
    def networks(self) -> list[tuple[HostInterface, str]]:
        """This computer's own networks, by interface."""
        return [
            (i, a) for i in self.of(HostInterface) if i.type == "network" and i.up != "no"
            for a in i.addresses if not a.endswith(("/31", "/32", "/127", "/128"))
        ]  # fmt: skip

    def service(self, name: str) -> HostService | None:
        return next((s for s in self.of(HostService) if s.name == name), None)

    def has(self, *names: str) -> list[HostService]:
        """Those of these services that are installed."""
        found = [self.service(name) for name in names]
        return [s for s in found if s is not None and s.state != "absent"]

    def module(self, name: str) -> HostModule | None:
        return next((m for m in self.of(HostModule) if m.name == name), None)

    def setting(self, name: str) -> HostSetting | None:
        return next((s for s in self.of(HostSetting) if s.name == name), None)

    def port(self, number: int) -> HostPort | None:
        return next((p for p in self.of(HostPort) if p.port == number), None)

    def ways(self, role: WayRole) -> list[HostWay]:
        return [w for w in self.of(HostWay) if w.role == role]

    @once
    def routes(self) -> HostRoutes | None:
        return next(iter(self.of(HostRoutes)), None)

    @once
    def resolvers(self) -> HostResolvers | None:
        return next(iter(self.of(HostResolvers)), None)

    @property
    def with_ipsec(self) -> bool:
        """IPsec is needed: not where the profile or all connections say that there is none."""
        if self.scope.plain_l2tp:
            return False
        managed = [c for c in self.connections if c.source == "NetworkManager"]
        return not managed or any(c.ipsec_auth for c in managed)

    @property
    def managed(self) -> bool:
        """NetworkManager dials: its plug-in is there."""
        return bool(self.has("NetworkManager-l2tp"))

    @property
    def applicable(self) -> bool:
        """An L2TP VPN is set up here, or a profile says that there should be one."""
        if self.vpn is not None or self.connections or self.scope.gateway:
            return True
        return bool(self.has("xl2tpd", "kl2tpd", "NetworkManager-l2tp"))


def is_l2tp(connection: HostConnection) -> bool:
    return connection.type.startswith("L2TP") or connection.type == "automatic"


def same(first: str, second: str) -> bool:
    """Whether two names of a server are the same."""
    return first.rstrip(".").lower() == second.rstrip(".").lower()


def _usable(link: HostInterface) -> bool:
    return any(not a.startswith(("fe80:", "169.254.")) for a in link.addresses)
