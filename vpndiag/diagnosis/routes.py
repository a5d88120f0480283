"""Rung ``routes``: do addresses overlap, and does the network inside answer?

A gateway or host that does not answer pings proves nothing by itself: many do not. Only when the
gateway answers and nothing beyond it does, by no means tried, routing is to blame.
"""

from __future__ import annotations

from vpndiag.diagnosis import inside
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import (
    InsideApp,
    InsideDhcp,
    InsideName,
    InsidePing,
    InsideScope,
    Observation,
)
from vpndiag.report.model import Finding, Severity

_TUNNELS = ("lo", "ppp", "tun", "tap", "wg", "utun", "ipsec", "l2tp")
"""Interfaces that are not networks of this computer."""


def judge(view: View) -> Ruling:
    scope = inside.scope(view)
    if scope is None:
        return inside.untested(view, "routes")
    if view.running:
        return not_reached("routes", "being tested")
    pings = view.of(InsidePing)
    findings = [*_overlaps(scope), *_unexpected(scope)]
    error = _silence(view, scope, pings)
    findings += error
    alive = [p for p in pings if p.alive]
    conclusive = bool(alive) or any(p.complete for p in pings) or bool(findings)
    if not conclusive:
        return not_reached("routes", "interrupted" if view.interrupted else "no target to ask")
    facts = _facts(view, pings)
    if any(f.severity == "error" for f in findings):
        findings.sort(key=lambda f: f.severity != "error")
        return rule("routes", "failed", *findings, summary=findings[0].detail.rstrip("."),
                    seen=[scope, *pings], facts=facts)  # fmt: skip
    return rule("routes", "passed", *findings, summary=_summary(pings), seen=[scope, *pings],
                facts=facts)  # fmt: skip


def _summary(pings: list[InsidePing]) -> str:
    parts: list[str] = []
    for p in pings:
        name = {"peer": "gateway", "dns": "DNS server", "host": "host"}[p.role]
        if p.alive:
            fastest = inside.milliseconds(min(p.round_trips))
            lost = f", {p.sent - p.received} of {p.sent} lost" if p.received < p.sent else ""
            parts.append(f"{name} {p.target} {fastest}{lost}")
        else:
            parts.append(f"{name} {p.target} does not answer pings")
    return "; ".join(parts[:3]) + (f"; {len(parts) - 3} more" if len(parts) > 3 else "")


def _facts(view: View, pings: list[InsidePing]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for p in pings:
        if p.alive:
            spread = max(p.round_trips) - min(p.round_trips)
            facts[f"ping {p.target}"] = (
                f"{p.received}/{p.sent}, {inside.milliseconds(sum(p.round_trips) / p.received)}, "
                f"jitter {inside.milliseconds(spread)}"
            )
        elif p.error:
            facts[f"ping {p.target}"] = f"{p.error} from {p.reporter}"
    for d in view.of(InsideDhcp):
        pushed = {"pushed routes": ", ".join(d.routes), "pushed domain": d.domain,
                  "pushed search list": ", ".join(d.search)}  # fmt: skip
        facts |= {name: value for name, value in pushed.items() if value}
    return facts


def _local(scope: InsideScope) -> list[tuple[str, str]]:
    """Interface and network of this computer's own networks."""
    found = []
    for text in scope.local_networks or ():
        interface, _, network = text.rpartition(" ")
        if interface.startswith(_TUNNELS) or network.endswith(("/31", "/32", "/127", "/128")):
            continue
        found.append((interface, network))
    return found


def _overlaps(scope: InsideScope) -> list[Finding]:
    """One finding for all: each local network that hides something of the inside."""
    what: list[tuple[str, str, Severity]] = [
        *((n, f"the internal network {n}", "error") for n in scope.internal_networks),
        *((h, f"the internal host {h}", "error") for h in scope.internal_hosts),
        *((d, f"the DNS server {d}", "error") for d in scope.dns),
        (scope.address, f"the assigned address {scope.address}", "warning"),
    ]  # fmt: skip
    if scope.peer:
        what.append((scope.peer, f"the gateway's inside address {scope.peer}", "warning"))
    hits = [
        (f"{label} lies in this computer's own network {network} ({interface})", severity)
        for interface, network in _local(scope)
        for target, label, severity in what
        if inside.overlap(target, network)
    ]
    if not hits:
        return []
    severity: Severity = "error" if any(s == "error" for _, s in hits) else "warning"
    hits.sort(key=lambda hit: hit[1] != "error")
    first = hits[0][0]
    return [
        finding(
            "routes.overlap",
            *(evidence(text, scope) for text, _ in hits[:8]),
            detail=f"{first[0].upper()}{first[1:]}: traffic for it stays at home.",
            severity=severity,
            confidence="high" if severity == "error" else "medium",
        )
    ]


def _unexpected(scope: InsideScope) -> list[Finding]:
    if not scope.expected_addresses or inside.within(scope.address, scope.expected_addresses):
        return []
    return [
        finding(
            "routes.unexpected-address",
            evidence(f"{scope.address} was assigned; the profile expects "
                     f"{', '.join(scope.expected_addresses)}", scope),
            detail=f"The assigned address {scope.address} is not in the expected range.",
            severity="warning",
            confidence="certain",
        )
    ]  # fmt: skip


_CONNECTED = {"connected", "answered", "refused", "reset", "closed", "stalled", "unexpected"}
_WITHIN = {"net-unreachable", "host-unreachable", "prohibited"}


def _silence(view: View, scope: InsideScope, pings: list[InsidePing]) -> list[Finding]:
    names, apps = view.of(InsideName), view.of(InsideApp)
    reached = {p.target for p in pings if p.alive}
    reached |= {n.server for n in names if n.outcome not in ("silent", "unreachable")}
    reached |= {a.address for a in apps if a.outcome in _CONNECTED}
    reached |= {p.reporter for p in pings if p.error} & {scope.peer}
    peer_alive = scope.peer in reached
    asked = {p.target: p for p in pings if p.complete}
    hosts = {p.target for p in asked.values() if p.role == "host"}
    hosts |= {a.address for a in apps if a.address and a.outcome in ("silent", "unreachable")}
    beyond = ({p.target for p in asked.values()} | hosts) - {scope.peer}
    silent = beyond - reached
    findings: list[Finding] = []
    if hosts and silent and not beyond & reached and (peer_alive or not reached):
        findings.append(_nothing(scope, pings, apps, silent, peer_alive))
    elif hosts & silent and reached:
        for target in sorted(hosts & silent)[:8]:
            shown: list[Observation] = [p for p in pings if p.target == target]
            shown += [a for a in apps if a.address == target]
            findings.append(
                finding(
                    "routes.host-silent",
                    evidence(f"{target} answers nothing; {sorted(reached)[0]} does", *shown[:2]),
                    detail=f"The internal host {target} does not answer, others do.",
                    severity="warning",
                    confidence="medium",
                )
            )
            break
    silent_peer = [p for p in pings if p.role == "peer" and p.complete and not p.alive]
    if not findings and silent_peer and not reached:
        p = silent_peer[0]
        findings.append(
            finding(
                "routes.peer-silent",
                evidence(f"{p.sent} pings to {p.target}, no answer", p),
                detail=f"Nothing inside the tunnel answers pings, not even {p.target}.",
                severity="warning",
                confidence="low",
            )
        )
    return findings


def _nothing(
    scope: InsideScope,
    pings: list[InsidePing],
    apps: list[InsideApp],
    silent: set[str],
    peer_alive: bool,
) -> Finding:
    shown: list[Observation] = [p for p in pings if p.target in silent]
    shown += [a for a in apps if a.address in silent]
    told = [p for p in pings if p.target in silent and p.error in _WITHIN]
    lines = [evidence(f"no answer from {', '.join(sorted(silent)[:6])}", *shown[:6])]
    if told:
        lines.append(evidence(f"{told[0].reporter} reports: {told[0].error}", told[0]))
    if peer_alive:
        answered = [p for p in pings if p.target == scope.peer and p.alive]
        lines.append(evidence(f"the gateway {scope.peer} itself answers", *answered[:1]))
        return finding(
            "routes.nothing-behind",
            *lines,
            detail=f"The gateway answers through the tunnel, but nothing behind it does "
            f"({', '.join(sorted(silent)[:3])}).",
            confidence="high" if told or len(silent) > 1 else "medium",
        )
    return finding(
        "routes.nothing-answers",
        *lines,
        detail="Nothing inside the tunnel answers: neither the gateway nor what is behind it.",
        confidence="medium",
    )
