"""All questions inside the tunnel, side by side: rungs routes, mtu, dns and app.

Sans-IO: IP packets that came through the tunnel and the time go in, IP packets come out; results
are emitted as observations. Only what needs a name's address waits for another question.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from vpndiag.observations.inside import InsideDhcp, InsideName, InsideScope, TargetRole
from vpndiag.probes.inside.app import AppCheck
from vpndiag.probes.inside.check import Check, Link
from vpndiag.probes.inside.dhcp import BROADCAST, DhcpInform
from vpndiag.probes.inside.dns import Question
from vpndiag.probes.inside.echo import Pings
from vpndiag.probes.inside.mtu import Encapsulation, MtuProbe
from vpndiag.probes.inside.plan import InsidePlan
from vpndiag.probes.inside.trace import Trace
from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.inner.ip import parse_fault, parse_ip

LIMIT = 15.0
LIMIT_LOSSY = 45.0
"""Seconds after which the questions that are still open are given up."""
MAX_SERVERS = 4
MAX_NAMES = 16
MAX_HOSTS = 16
MAX_APPS = 16
MTU_HOSTS = 2
MAX_TRACES = 6
TRACE_AFTER = 6
"""Echo requests without an answer, before the way to that target is traced."""
HARMLESS = (".", "NS")
"""What a DNS server is asked when no name is known."""
DOMAIN_CONTROLLERS = "_ldap._tcp.dc._msdcs."


class Inside:
    """``done`` once every question has its answer or was given up; the answer to DHCPINFORM is not
    waited for. Call :meth:`packets` after every other call."""

    def __init__(self, plan: InsidePlan, link: Link, encapsulation: Encapsulation,
                 path_mtu: int = 1500) -> None:  # fmt: skip
        self.plan = plan
        self.link = link
        self.done = False
        self._encapsulation = encapsulation
        self._path_mtu = path_mtu
        self._checks: list[Check] = []
        self._started = 0.0
        self._waiting: dict[str, list[Check]] = {}
        """Host names to the checks that want an address of theirs."""
        self._asked: dict[str, int] = {}
        """Questions for that name that are still open."""
        self._traced: set[tuple[IPv4Address, int]] = set()

    def start(self, now: float) -> None:
        """Ask everything that can be asked at once."""
        self._started = now
        link, plan = self.link, self.plan
        inner = self._encapsulation.inner_mtu(self._path_mtu)
        link.emit(
            InsideScope(
                t=link.t(now),
                address=str(link.address),
                peer=str(link.peer or ""),
                dns=tuple(map(str, link.dns)),
                mru_out=link.mru_out,
                mru_in=link.mru_in,
                link_mtu=inner,
                path_mtu=self._path_mtu,
                overhead=self._encapsulation.outer_size(inner) - inner,
                padded_to=self._encapsulation.padded_to,
                local_networks=plan.local_networks,
                internal_networks=plan.internal_networks,
                internal_names=plan.internal_names,
                internal_hosts=plan.internal_hosts,
                internal_domain=plan.internal_domain,
                apps=tuple(a.text for a in plan.apps),
                expected_addresses=plan.expected_addresses,
                expected_dns=plan.expected_dns,
            )
        )
        servers = link.dns[:MAX_SERVERS]
        self._add_pings(servers, now)
        self._add_questions(servers, now)
        for app in plan.apps[:MAX_APPS]:
            check = AppCheck(link, app)
            self._add(check, now)
            address = _address(app.host)
            if address is not None:
                check.resolved(address, now)
            else:
                self._waiting.setdefault(app.host, []).append(check)
        self._add(DhcpInform(link, self._pushed), now)
        for name in list(self._waiting):
            self._ask_address(name, servers, now)
        self._update(now)

    def _add(self, check: Check, now: float) -> None:
        self._checks.append(check)
        check.start(now)

    def _add_pings(self, servers: Sequence[IPv4Address], now: float) -> None:
        link = self.link
        targets: dict[IPv4Address, Pings] = {}
        if link.peer is not None and link.peer != link.address:
            targets[link.peer] = Pings(link, "peer", link.peer)
        for server in servers:
            if server not in targets:
                targets[server] = Pings(link, "dns", server)
        sized = list(targets.values())[: 1 + MTU_HOSTS]
        for host in self.plan.internal_hosts[:MAX_HOSTS]:
            address = _address(host)
            if address is None:
                self._waiting.setdefault(host, [])
            elif address not in targets:
                targets[address] = Pings(link, "host", address)
                if sum(p.role == "host" for p in sized) < MTU_HOSTS:
                    sized.append(targets[address])
        for pings in targets.values():
            self._add(pings, now)
        for pings in sized:
            self._add(MtuProbe(link, pings), now)

    def _add_questions(self, servers: Sequence[IPv4Address], now: float) -> None:
        questions: list[tuple[str, str]] = []
        for name in self.plan.internal_names[:MAX_NAMES]:
            kinds = ("SRV",) if name.startswith("_") else ("A", "AAAA")
            questions += [(name, kind) for kind in kinds]
        if self.plan.internal_domain:
            domain = self.plan.internal_domain.strip(".")
            questions += [(domain, "SOA"), (DOMAIN_CONTROLLERS + domain, "SRV")]
        wanted = bool(questions)
        for server in servers:
            for name, kind in questions or [HARMLESS]:
                self._add(Question(self.link, server, name, kind, wanted=wanted), now)

    def _pushed(self, found: InsideDhcp, now: float) -> None:
        """The gateway names its domain: if nobody gave a name to ask for, its servers are asked for
        that. Not every domain has controllers, so that answer is for information."""
        if not found.domain or self.plan.internal_domain or self.plan.internal_names:
            return
        for server in self.link.dns[:MAX_SERVERS]:
            for name, kind in ((found.domain, "SOA"), (DOMAIN_CONTROLLERS + found.domain, "SRV")):
                question = Question(self.link, server, name, kind, wanted=kind == "SOA")
                self._add(question, now)

    def _ask_address(self, name: str, servers: Sequence[IPv4Address], now: float) -> None:
        """Ask all servers; the first answer is taken."""
        self._asked[name] = len(servers)
        if not servers:
            self._unresolved(name, now)
        for server in servers:
            self._add(Question(self.link, server, name, "A", wanted=True, then=self._named), now)

    def _named(self, found: InsideName, now: float) -> None:
        name = found.name
        self._asked[name] = self._asked.get(name, 1) - 1
        if found.outcome == "answered" and found.addresses:
            waiting = self._waiting.get(name)
            if waiting is None:
                return
            del self._waiting[name]
            address = IPv4Address(found.addresses[0])
            for check in waiting:
                if isinstance(check, AppCheck):
                    check.resolved(address, now)
            if name in self.plan.internal_hosts:
                self._add(Pings(self.link, "host", address), now)
        elif self._asked[name] <= 0:
            self._unresolved(name, now)

    def _unresolved(self, name: str, now: float) -> None:
        for check in self._waiting.pop(name, ()):
            if isinstance(check, AppCheck):
                check.unresolved(now)

    @property
    def alive(self) -> list[tuple[TargetRole, IPv4Address]]:
        """Who answered pings: the gateway first, then DNS servers, then hosts."""
        return [(c.role, c.target) for c in self._checks if isinstance(c, Pings) and c.alive]

    # --- the run's side --------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """An IP packet that came through the tunnel: from anybody, of any content."""
        if self.done:
            return
        try:
            packet = parse_ip(data)
        except DecodeError:
            return
        if packet.destination not in (self.link.address, BROADCAST):
            return
        fault = parse_fault(packet)
        for check in list(self._checks):
            if check.done:
                continue
            if fault is not None:
                check.fault(fault, now)
            else:
                check.receive(packet, now)
        self._update(now)

    def packets(self) -> list[bytes]:
        """IP packets to send through the tunnel, once each."""
        return [packet for check in self._checks for packet in check.packets()]

    def get_timer(self) -> float | None:
        if self.done:
            return None
        timers = [c.get_timer() for c in self._checks if not c.done]
        limit = LIMIT_LOSSY if self.link.lossy else LIMIT
        return min([self._started + limit, *(t for t in timers if t is not None)])

    def handle_timer(self, now: float) -> None:
        if self.done:
            return
        limit = LIMIT_LOSSY if self.link.lossy else LIMIT
        if now >= self._started + limit:
            self.finish(now)
            return
        for check in list(self._checks):
            timer = None if check.done else check.get_timer()
            if timer is not None and timer <= now:
                check.handle_timer(now)
        self._trace(now)
        self._update(now)

    def finish(self, now: float) -> None:
        """The run ends: what is known is emitted."""
        if self.done:
            return
        self.done = True
        for check in self._checks:
            if not check.done:
                check.finish(now)

    def _trace(self, now: float) -> None:
        """Look how far packets get towards what is silent, while it is waited for."""
        wanted: list[tuple[IPv4Address, int]] = []
        for check in self._checks:
            if isinstance(check, Pings) and check.role != "peer":
                if check.sent >= TRACE_AFTER and not check.alive and not check.refused:
                    wanted.append((check.target, 0))
            elif isinstance(check, AppCheck) and check.unanswered is not None:
                # By echo as well: some gateways take TCP connections themselves.
                wanted += [(check.unanswered, 0), (check.unanswered, check.app.port)]
        for what in wanted:
            if what not in self._traced and len(self._traced) < MAX_TRACES:
                self._traced.add(what)
                self._add(Trace(self.link, *what), now)

    def _update(self, now: float) -> None:
        if all(c.done for c in self._checks if not isinstance(c, DhcpInform)):
            self.finish(now)


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None
