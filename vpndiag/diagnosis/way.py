"""Silent ports: where on the way packets die, and who has to act.

A trace shows a router when its "time exceeded" comes back. A router that says nothing is no
fault: what proves a block is that IKE stops where other packets of the same moment go on. A router
says "time exceeded" before it forwards, so the last one that did is the last that IKE came to, and
may be the one that drops it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from vpndiag.diagnosis.ruling import evidence, times
from vpndiag.diagnosis.view import View
from vpndiag.diagnosis.way_causes import (
    CAUSES_OF_A_LOOP,
    FIX_OF_A_LOOP,
    FIX_ON_THE_WAY,
    Side,
    causes_at_the_gateway,
    causes_on_the_way,
    fix_at_the_gateway,
)
from vpndiag.diagnosis.way_evidence import checked, traced
from vpndiag.observations import Hop, PathTrace
from vpndiag.records import record
from vpndiag.report.model import Cause, Evidence, Finding, Owner

_TRACED = {500: "ike", 4500: "ike-natt"}
_LOOP = 4
"""Hops between two appearances of one router that no balancing between ways explains."""

_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7",
                 "fe80::/10")
)  # fmt: skip
_CGNAT = ipaddress.ip_network("100.64.0.0/10")


_EXPLANATION = (
    "VPN requests were not answered. To find out why, the same packets were sent with rising time "
    "to live, beside ordinary ones, and it was tried what else answers: see below how far they get "
    "and who is there. Technically: IKE main mode message 1, to UDP 4500 with the non-ESP marker; "
    'each router that is reached shows itself by ICMP "time exceeded".'
)


@record(frozen=True, slots=True)
class Where:
    """What the traces and checks add to a silence. ``detail`` empty: they show nothing sure."""

    said: tuple[Evidence, ...]
    detail: str = ""
    summary: str = ""
    causes: tuple[Cause, ...] = ()
    fix: tuple[str, ...] = ()
    title: str = ""
    explanation: str = _EXPLANATION

    def add_to(self, finding: Finding) -> Finding:
        """``finding`` with it."""
        owner: Owner = self.causes[0].owner if self.causes else finding.owner
        return replace(
            finding,
            evidence=(*finding.evidence, *self.said),
            title=self.title or finding.title,
            detail=self.detail or finding.detail,
            explanation=self.explanation if self.causes else finding.explanation,
            causes=self.causes or finding.causes,
            fix=self.fix or finding.fix,
            owner=owner,
        )


def look(view: View, ports: tuple[int, ...]) -> Where | None:
    """What can be said about the silence of these ports; None: nothing was asked."""
    if not view.traces and all(c.role == "other-address" for c in view.controls):
        return _worn_out(view, ports)
    way = _Way(view, ports)
    said = (*traced(view, way.gateway), *checked(view, alive=way.alive))
    found = (
        way.own_port()
        or way.loop()
        or way.cut()
        or way.nothing_here()
        or way.passed()
        or way.nowhere()
    )
    return replace(found, said=said) if found is not None else Where(said)


def _worn_out(view: View, ports: tuple[int, ...]) -> Where | None:
    """Ordinary packets of a capture whose time to live ran out, at one or two routers again and
    again; a trace would show others each time."""
    errors = [e for e in view.icmp if e.what == "ttl-exceeded" and e.port in ports]
    errors = [e for e in errors if e.direction == "in" and e.reporter]
    routers = list(dict.fromkeys(e.reporter or "" for e in errors))
    if len(errors) < 2 or len(routers) > 2 or view.live:
        return None
    text = f"packets go round at {' and '.join(routers)}"
    said = evidence(
        f"ICMP time exceeded from {' and '.join(routers)}, {times(len(errors))}: the time to live "
        "of the client's packets ran out on the way", *errors)  # fmt: skip
    return Where(
        (said,), f"A routing loop: {text}.", text, CAUSES_OF_A_LOOP, FIX_OF_A_LOOP,
        "Packets go round in circles on the way to the server",
        "A router says that the packets to the VPN server were passed on so often that they were "
        "thrown away. They go round in circles between routers, and never arrive.",
    )  # fmt: skip


@record(frozen=True, slots=True)
class _Cut:
    """A kind of packet stops after ``last`` (None: before the first router); ``next`` is the first
    hop beyond that other packets show."""

    last: Hop | None
    next: Hop | None
    refused_by: str = ""


class _Way:
    def __init__(self, view: View, ports: tuple[int, ...]) -> None:
        self.view = view
        self.ports = ports
        self.lines = {p: view.traces[_TRACED[p]] for p in ports if _TRACED[p] in view.traces}
        local = view.local.gateway_address if view.local is not None else ""
        self.gateway = next((t.gateway for t in view.traces.values() if t.gateway), local)
        self.udp = _udp(ports)
        self.routers = _routers(view)
        reached = [
            t.end_ttl for t in view.traces.values()
            if t.end == "reached" or (t.end_ttl and t.end_by == self.gateway)
        ]  # fmt: skip
        self.distance = min(reached, default=0)
        """Hops to the gateway, itself counted; 0: not known."""

    @property
    def alive(self) -> bool:
        """The gateway's address answered anything at all."""
        v = self.view
        return (
            any(c.role == "gateway" and c.outcome in ("answered", "refused") for c in v.controls)
            or self.distance > 0
            or any(e.from_gateway and e.direction == "in" for e in v.icmp)
            or bool(v.answered(500) or v.answered(4500))
        )

    def _reference(self, *outcomes: str) -> bool:
        """All questions to the reference gateway on these ports ended so."""
        asked = [c for c in self.view.controls if c.role == "reference" and c.port in self.ports]
        return bool(asked) and all(c.outcome in outcomes for c in asked)

    # --- what follows -------------------------------------------------------------------------

    def own_port(self) -> Where | None:
        """The same message is answered when it comes from another source port."""
        answered = [t for t in self.lines.values() if t.end == "reached" and t.end_how == "answer"]
        if not answered or len(answered) < len(self.lines):
            return None
        return Where(
            (),
            f"{self.udp} is answered when asked from another source port: a device on the way "
            "treats the VPN's own port specially.",
            "answered from another source port only",
            (
                Cause("The user's router handles VPN packets in a special way (IPsec passthrough, "
                      "an ALG), or still holds a mapping for another client", "network",
                      "Turn IPsec passthrough off; restart that router", "likely"),
            ),
        )  # fmt: skip

    def loop(self) -> Where | None:
        """The same routers again and again. What left with an ordinary time to live runs out of it
        only there."""
        worn_out = [e.reporter for e in self.view.icmp if e.what == "ttl-exceeded" and e.reporter]
        again = dict.fromkeys(worn_out) if self.view.live else {}
        for address in dict.fromkeys(self.routers.values()):
            at = {h.ttl for t in self.view.traces.values() for h in t.hops if h.address == address}
            if len(at) >= 2 and max(at) - min(at) >= (2 if again else _LOOP):
                again[address] = None
        if not again:
            return None
        text = f"packets go round at {' and '.join(list(again)[:2])}"
        title = "Packets go round in circles on the way to the server"
        return Where((), f"A routing loop: {text}.", text, CAUSES_OF_A_LOOP, FIX_OF_A_LOOP, title)

    def cut(self) -> Where | None:
        """IKE stops where other packets go on."""
        cuts = {p: cut for p in self.ports if (cut := self._cut_of(p)) is not None}
        if not cuts:
            return None
        parts: list[str] = []
        for cut in dict.fromkeys(cuts.values()):
            ports = tuple(p for p in cuts if cuts[p] == cut)
            parts.append(f"{_udp(ports)} {'stops' if len(ports) == 1 else 'stop'} "
                         + (f"after {self._hop(cut.last)}" if cut.last else
                            "before the first router"))  # fmt: skip
            if cut.refused_by:
                parts[-1] += f" ({cut.refused_by} refuses it)"
        text = ", ".join(parts)
        first = min(cuts.values(), key=lambda c: c.last.ttl if c.last else 0)
        lines = [t for p, t in self.lines.items() if p in cuts]
        going = [t for t in self.view.traces.values() if t not in lines and _past(t, first)]
        on = ""
        if going:
            names = " and ".join(_SHORT[t.what] for t in going)
            on = f"; {names} {'goes' if len(going) < 2 else 'go'} {self._goes_on(going)}"
        sides = [self._side(first.last), self._side(first.next)]
        if len(going) == 1 and going[0].end != "reached" and first.next == _bare(_last(going[0])):
            sides.append("door")  # one router more: it may only have been slow to answer
        udp = _udp(tuple(cuts))
        causes = causes_on_the_way(sides, udp, computer=first.last is None)
        title = "VPN packets are stopped on the way to the server"
        return Where((), f"{text}{on}.", text, causes, FIX_ON_THE_WAY, title)

    def _cut_of(self, port: int) -> _Cut | None:
        line = self.lines.get(port)
        if line is None:
            return None
        last = _last(line)
        if line.end == "refused" and line.end_by != self.gateway:
            by = Hop(ttl=line.end_ttl, address=line.end_by)
            return _Cut(_bare(last) or by, by, line.end_by)
        if line.end != "silent":
            return None
        reach = last.ttl if last is not None else 0
        past = {t.what: [h for h in t.hops if h.ttl > reach and h.address]
                for t in self.view.traces.values() if t is not line}  # fmt: skip
        beyond = [h for hops in past.values() for h in hops]
        if not beyond or (len(beyond) == 1 and not past.get("udp") and self._all_silent()):
            # One answer more, and not even to ordinary UDP: routers answer so many a second only.
            return None
        return _Cut(_bare(last), _bare(min(beyond, key=lambda h: h.ttl)))

    def _all_silent(self) -> bool:
        return all(t.end == "silent" for t in self.view.traces.values())

    def _goes_on(self, going: list[PathTrace]) -> str:
        if all(t.end == "reached" for t in going):
            return "through to the gateway"
        far = max((h for t in going for h in t.hops if h.address), key=lambda h: h.ttl)
        return f"on to {self._hop(far)}"

    def passed(self) -> Where | None:
        """IKE gets as far as anything else does, or another gateway shows that this network lets
        it through: who is silent is the gateway, or what stands before it."""
        lasts = [_last(t) for t in self.lines.values() if t.end != "unfinished"]
        known = [h for h in lasts if h is not None]
        far = ""
        if known and len(known) == len(self.lines):
            near = min(known, key=lambda h: h.ttl)
            gets = f"{self.udp} {'gets' if len(self.ports) == 1 else 'get'} as far as"
            if near.address == self.gateway:
                far = f"{gets} {self._hop(near)}, and is passed on to a machine behind it"
            elif near.ttl == self.distance - 1:
                far = f"{gets} {self._hop(near)}, the last router before the gateway"
            elif self._side(near) != "here":
                far = f"{gets} {self._hop(near)}, as other UDP does"
        if not far and self._reference("answered"):
            far = "Another gateway is reached from here on the same ports"
        elif not far and self.distance == 1:
            far = "There is no router between here and the gateway"
        if not far:
            return None
        here = "nothing at the gateway's address answers"
        if self.alive:
            here = "the machine is there, but no answer of its VPN comes back"
        return Where(
            (), f"{far}; {here}.", f"{self.udp} silent: {here}",
            causes_at_the_gateway(
                self.udp,
                alive=self.alive,
                talks=bool(self.view.answered(500) or self.view.answered(4500)),
            ),
            fix_at_the_gateway(self.udp, alive=self.alive),
        )  # fmt: skip

    def nothing_here(self) -> Where | None:
        """Another gateway is silent as well."""
        if not self._reference("silent", "unreachable"):
            return None
        return Where(
            (),
            "Neither the gateway nor the reference gateway answers: this network lets no VPN "
            "through.",
            "this network lets no VPN through",
            causes_on_the_way(["here", "provider"], self.udp, computer=True),
            FIX_ON_THE_WAY,
        )

    def nowhere(self) -> Where | None:
        """UDP gets nowhere, while TCP does; or other UDP gets to the gateway, and no router on the
        way says anything."""
        if self.distance > 1 and not self.routers:
            return Where(
                (), f"Other UDP gets to the gateway and is answered; only {self.udp} is silent."
            )
        tcp = [c for c in self.view.controls
               if c.what == "tcp" and c.outcome in ("answered", "refused")]  # fmt: skip
        traces = self.view.traces.values()
        if not tcp or not traces or any(t.end != "silent" for t in traces):
            return None
        far = max((h for t in traces if (h := _last(t))), key=lambda h: h.ttl, default=None)
        where = f"beyond {self._hop(far)}," if far is not None else "on the way,"
        return Where(
            (),
            f"Nothing answers UDP {where} while TCP reaches the gateway.",
            "nothing answers UDP, TCP works",
            causes_on_the_way(["here", "door"], self.udp, computer=far is None),
            FIX_ON_THE_WAY,
        )

    # --- who and what -------------------------------------------------------------------------

    def _side(self, hop: Hop | None) -> Side:
        if hop is None or hop.ttl == 1:
            return "here"
        if self.distance and hop.ttl >= self.distance - 1:
            return "door"
        if hop.address == self.gateway:
            return "door"
        if _private(hop.address) and not _private(self.gateway):
            before = [address for ttl, address in self.routers.items() if ttl < hop.ttl]
            if all(_private(address) for address in before):
                return "here"
        return "provider"

    def _hop(self, hop: Hop | None) -> str:
        assert hop is not None
        side = self._side(hop)
        if hop.address == self.gateway:
            who = "the gateway's own address"
        elif _in(hop.address, _CGNAT):
            who = "the provider's NAT"
        elif hop.ttl == 1:
            who = "the first router"
        elif side == "here":
            who = "still in this network"
        else:
            who = ""
        return f"hop {hop.ttl}, {hop.address}{f', {who}' if who else ''}"


_SHORT = {"ike": "UDP 500", "ike-natt": "UDP 4500", "udp": "other UDP"}


def _routers(view: View) -> dict[int, str]:
    """Address by hop, as any trace shows it."""
    return {h.ttl: h.address for t in view.traces.values() for h in t.hops if h.address}


def _udp(ports: tuple[int, ...]) -> str:
    """``UDP 500 and 4500``."""
    return "UDP " + " and ".join(map(str, ports))


def _bare(hop: Hop | None) -> Hop | None:
    """Without its time, to be compared."""
    return None if hop is None else replace(hop, seconds=None)


def _past(trace: PathTrace, cut: _Cut) -> bool:
    last = _last(trace)
    reach = cut.last.ttl if cut.last else 0
    return trace.end == "reached" or (last is not None and last.ttl > reach)


def _last(trace: PathTrace) -> Hop | None:
    """The last hop that said something."""
    seen = [hop for hop in trace.hops if hop.address]
    return seen[-1] if seen else None


def _in(address: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]) in network
    except ValueError:
        return False


def _private(address: str) -> bool:
    return any(_in(address, network) for network in _PRIVATE)


__all__ = ["Where", "look"]
