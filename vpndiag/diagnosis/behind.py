"""What is behind the gateway, and where packets to it stop: the second half of rung ``routes``.

A host that does not answer pings proves nothing by itself: many do not. What routers say (time
exceeded, unreachable) tells how far packets got, and that answers find the way back from there. Two
kinds of silence are left: a gateway that does not even say that a packet's time was up did not try
to forward it; one that does, and then nothing, forwards, and either nothing goes on behind it or
nothing finds the way back. These last two look the same from here, so they are ranked.
"""

from __future__ import annotations

from dataclasses import field

from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.diagnosis.told import in_words
from vpndiag.diagnosis.view import View
from vpndiag.observations import (
    InsideApp,
    InsideName,
    InsidePing,
    InsideScope,
    InsideTrace,
    Observation,
)
from vpndiag.records import record
from vpndiag.report.model import Evidence, Finding

_CONNECTED = {"connected", "answered", "refused", "reset", "closed", "stalled", "unexpected"}
_DEAD = ("silent", "unreachable")
NO_WAY = ("net-unreachable", "prohibited")
"""ICMP errors by which a gateway says that it does not forward."""


@record(slots=True)
class _Seen:
    """``answered``: addresses that anything came from; ``gateway``: those that are the gateway;
    ``hosts``: asked for and silent; ``servers``: pushed DNS servers that are silent altogether;
    ``errors``: (target, what, who says so, where it is seen)."""

    scope: InsideScope
    pings: list[InsidePing]
    apps: list[InsideApp]
    traces: list[InsideTrace]
    answered: set[str] = field(default_factory=set)
    gateway: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    servers: set[str] = field(default_factory=set)
    errors: list[tuple[str, str, str, Observation]] = field(default_factory=list)

    @property
    def beyond(self) -> set[str]:
        """Addresses behind the gateway that something came from."""
        return self.answered - self.gateway

    @property
    def peer_alive(self) -> bool:
        return bool(self.answered & self.gateway)

    def traces_to(self, targets: set[str]) -> list[InsideTrace]:
        return [t for t in self.traces if t.target in targets and t.end != "unfinished"]

    def shown(self, target: str) -> list[Observation]:
        found: list[Observation] = [p for p in self.pings if p.target == target]
        return found + [a for a in self.apps if a.address == target]


def judge(view: View, scope: InsideScope) -> list[Finding]:
    """What is to be said about silence inside."""
    seen = _collect(view, scope)
    refused = _refused(seen)
    if refused:
        return refused
    silent = seen.hosts
    if seen.peer_alive and not seen.beyond:
        found = _nothing_behind(seen)
        return [found] if found is not None else []
    if silent and not seen.answered:
        return [_nothing_answers(seen)]
    if silent:
        return [_host_silent(seen, sorted(silent)[0])]
    quiet = [p for p in seen.pings if p.role == "peer" and p.complete and not p.alive]
    if quiet and not seen.answered:
        return [_peer_silent(quiet[0])]
    return []


def _collect(view: View, scope: InsideScope) -> _Seen:
    seen = _Seen(scope, view.of(InsidePing), view.of(InsideApp), view.of(InsideTrace))
    names = view.of(InsideName)
    alive = {p.target for p in seen.pings if p.alive}
    alive |= {n.server for n in names if n.outcome not in _DEAD}
    alive |= {a.address for a in seen.apps if a.outcome in _CONNECTED}
    alive |= {t.target for t in seen.traces if t.end == "reached"}
    seen.errors = [(p.target, p.error, p.reporter, p) for p in seen.pings if p.error]
    seen.errors += [
        (a.address, a.detail, a.reporter, a) for a in seen.apps if a.outcome == "unreachable"
    ]
    seen.errors += [(t.target, t.end_how, t.end_by, t) for t in seen.traces if t.end == "error"]
    seen.gateway = {scope.peer} | {
        hop.address for t in seen.traces for hop in t.hops if hop.ttl == 1 and hop.address
    }
    heard = {who for _, _, who, _ in seen.errors} | {n.reporter for n in names}
    heard |= {hop.address for t in seen.traces for hop in t.hops}
    seen.answered = (alive | heard) - {""}
    asked = {p.target for p in seen.pings if p.complete and p.role == "host"}
    asked |= {a.address for a in seen.apps if a.address and a.outcome in _DEAD}
    seen.hosts = asked - alive - {scope.peer}
    pinged = {p.target for p in seen.pings if p.complete and p.role == "dns"}
    queried = {n.server for n in names if n.outcome == "silent"}
    seen.servers = (pinged & queried) - alive - {scope.peer}
    return seen


def _refused(seen: _Seen) -> list[Finding]:
    """An ICMP error says where it ends: of the gateway, or of a router behind it."""
    told = [e for e in seen.errors if e[0] in seen.hosts]
    if not told:
        return []
    own = [e for e in told if e[2] in seen.gateway and e[1] in NO_WAY]
    target, what, who, where = (own or told)[0]
    words = in_words(what)
    lines = [evidence(f"{who} reports for {target}: {words}", where)]
    lines += _lines(seen, {target})
    if own:
        return [
            finding(
                "routes.no-forwarding",
                *lines,
                detail=f"The gateway says itself that it does not forward to {target}: {words}.",
                confidence="certain",
            )
        ]
    return [
        finding(
            "routes.host-unreachable",
            *lines,
            detail=f"{who} says that the internal host {target} cannot be reached: {words}.",
            confidence="high",
        )
    ]


def _nothing_behind(seen: _Seen) -> Finding | None:
    targets = seen.hosts | seen.servers
    traces = seen.traces_to(targets)
    echoes = [t for t in traces if t.protocol == "icmp"]
    stuck = bool(echoes) and not any(t.hops for t in traces)
    if not seen.hosts and not (seen.servers and stuck):
        return None  # what is silent are DNS servers, and that is a finding of theirs
    text = ", ".join(sorted(targets)[:6])
    shown = [o for target in sorted(targets) for o in seen.shown(target)]
    lines = [evidence(f"no answer from {text}", *shown[:6]), *_lines(seen, targets)]
    answered = [p for p in seen.pings if p.target == seen.scope.peer and p.alive]
    lines.append(evidence(f"the gateway {seen.scope.peer} itself answers", *answered[:1]))
    if stuck:
        return finding(
            "routes.no-forwarding",
            *lines,
            detail=f"The gateway answers through the tunnel, but packets to what is behind it "
            f"({text}) end at it: it does not forward them.",
            confidence="medium",
        )
    where = ": packets are forwarded, and no answer comes back" if traces else ""
    return finding(
        "routes.nothing-behind",
        *lines,
        detail=f"The gateway answers through the tunnel, but nothing behind it does "
        f"({text}){where}.",
        confidence="high" if traces and len(targets) > 1 else "medium",
    )


def _nothing_answers(seen: _Seen) -> Finding:
    targets = sorted(seen.hosts | seen.servers)
    shown = [o for target in targets for o in seen.shown(target)]
    return finding(
        "routes.nothing-answers",
        evidence(f"no answer from {', '.join(targets[:6])}", *shown[:6]),
        *_lines(seen, set(targets)),
        detail="Nothing inside the tunnel answers: neither the gateway nor what is behind it.",
        confidence="medium",
    )


def _host_silent(seen: _Seen, target: str) -> Finding:
    others = sorted(seen.beyond) or sorted(seen.answered)
    hops = [hop for t in seen.traces_to({target}) for hop in t.hops if hop.address]
    last = f" Packets to it get as far as {hops[-1].address}." if hops else ""
    return finding(
        "routes.host-silent",
        evidence(f"{target} answers nothing; {others[0]} does", *seen.shown(target)[:2]),
        *_lines(seen, {target}),
        detail=f"The internal host {target} does not answer, others do.{last}",
        severity="warning",
        confidence="medium",
    )


def _peer_silent(p: InsidePing) -> Finding:
    return finding(
        "routes.peer-silent",
        evidence(f"{p.sent} pings to {p.target}, no answer", p),
        detail=f"Nothing inside the tunnel answers pings, not even {p.target}.",
        severity="warning",
        confidence="low",
    )


def _lines(seen: _Seen, targets: set[str]) -> list[Evidence]:
    return [evidence(line(t), t) for t in seen.traces_to(targets)[:4]]


def line(trace: InsideTrace) -> str:
    """``trace to 10.20.0.10 (TCP 445): 10.92.0.1, 10.20.9.2, then nobody``."""
    hops = [hop.address or "*" for hop in trace.hops]
    if trace.end == "reached":
        hops.append(f"{trace.target} answers")
    elif trace.end == "error":
        hops.append(f"{trace.end_by} ({trace.end_how.replace('-', ' ')})")
    elif trace.end == "unfinished":
        hops.append("no time for more")
    else:
        hops.append(
            "then nobody" if hops else "nobody, not even the gateway, says that time was up"
        )
    how = f"TCP {trace.port}" if trace.port else "echo requests"
    return f"trace to {trace.target} ({how}): {', '.join(hops)}"
