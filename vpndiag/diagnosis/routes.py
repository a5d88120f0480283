"""Rung ``routes``: do addresses overlap, and does the network inside answer?

Overlaps and what was pushed are judged here, silence in :mod:`~vpndiag.diagnosis.behind`.
"""

from __future__ import annotations

from vpndiag.diagnosis import behind, inside
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import InsideDhcp, InsidePing, InsideScope, InsideTrace
from vpndiag.report.model import Finding, Severity

_TUNNELS = ("lo", "ppp", "tun", "tap", "wg", "utun", "ipsec", "l2tp")
"""Interfaces that are not networks of this computer."""


def judge(view: View) -> Ruling:
    scope = inside.scope(view)
    if scope is None:
        return inside.untested(view, "routes")
    if view.running:
        return not_reached("routes", "being tested")
    pings = sorted(view.of(InsidePing), key=lambda p: p.role != "peer")
    findings = [*_overlaps(scope), *_unexpected(scope)]
    findings += behind.judge(view, scope)
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
            sent = p.sent - p.lost_first
            lost = f", {sent - p.received} of {sent} lost" if p.received < sent else ""
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
                f"{p.received}/{p.sent - p.lost_first}, "
                f"{inside.milliseconds(sum(p.round_trips) / p.received)}, "
                f"jitter {inside.milliseconds(spread)}"
                + (f"; the first {p.lost_first} lost" if p.lost_first else "")
            )
        else:
            error = f", {p.error} from {p.reporter}" if p.error else ""
            facts[f"ping {p.target}"] = f"0/{p.sent}{error}"
    for trace in view.of(InsideTrace):
        facts[f"trace {trace.target}{f' TCP {trace.port}' if trace.port else ''}"] = behind.line(
            trace
        ).partition(": ")[2]
    for d in view.of(InsideDhcp):
        pushed = {"pushed routes": ", ".join(d.routes), "pushed domain": d.domain,
                  "pushed search list": ", ".join(d.search)}  # fmt: skip
        facts |= {name: value for name, value in pushed.items() if value}
    facts["tunnelling"] = _tunnelling(view.of(InsideDhcp))
    return facts


def _tunnelling(answers: list[InsideDhcp]) -> str:
    """Full or split, in words, as far as the gateway has a say in it."""
    routes = [route for d in answers for route in d.routes]
    if any(route.startswith("0.0.0.0/0 ") for route in routes):
        return "full: the gateway pushes a default route"
    if routes:
        count = len(routes)
        return (
            f"split: the gateway pushes {count} route{'s' if count > 1 else ''}; clients that are "
            "set to send everything through the VPN do so all the same"
        )
    how = "answers DHCPINFORM without routes" if answers else "does not answer DHCPINFORM"
    return f"the client's own setting decides: the gateway {how}"


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
