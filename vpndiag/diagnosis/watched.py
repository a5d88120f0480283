"""The rungs inside the tunnel of a capture of users' own traffic, where nobody said what matters.

Users' programs ask for names that do not exist, hosts that are off and ports that are closed, and
all is well. So only what ails the VPN as a whole is a failure here: no DNS server that the gateway
pushes answers anything, or nothing at all behind the gateway does, many times over. What fails at
one server is told, and is no verdict.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from vpndiag.diagnosis import behind, dns, inside
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times
from vpndiag.diagnosis.told import in_words
from vpndiag.diagnosis.view import View
from vpndiag.observations import (
    InsideApp,
    InsideDhcp,
    InsideName,
    InsidePing,
    InsideScope,
    InsideTraffic,
)
from vpndiag.report.model import Finding

HOSTS, PACKETS, SECONDS = 3, 12, 8.0
"""So many hosts behind the gateway, asked so many times for so long, are not all switched off."""
TRIES, DNS_SECONDS = 4, 4.0
"""Questions to DNS servers, for two names or more, that make a silence."""
NAMES = 3
"""Names that all servers refuse, before it is the servers' fault."""
_DEAD = ("silent", "unreachable")


def judge(layer: str, view: View) -> Ruling | None:
    """None: this is no capture of users' own traffic."""
    scope = inside.scope(view)
    if scope is None or not scope.watched:
        return None
    match layer:
        case "routes":
            return _routes(view, scope)
        case "mtu":
            return not_reached("mtu", "no user's packet is seen to be lost for its size")
        case "dns":
            return _dns(view, scope)
        case "app":
            return _app(view, scope)
    return None


def _routes(view: View, scope: InsideScope) -> Ruling:
    ruling = _answers(view, scope)
    overlap = _overlaps(scope)
    if overlap is None or ruling.layer.status == "failed":
        return ruling
    text = overlap.detail.rstrip(".")
    if ruling.layer.status != "passed":
        return rule("routes", "warning", overlap, summary=text, seen=[scope])
    layer = replace(ruling.layer, status="warning", summary=f"{ruling.layer.summary}; {text}")
    return Ruling(layer, (*ruling.findings, overlap))


def _overlaps(scope: InsideScope) -> Finding | None:
    """What was assigned or pushed seems to be of the network that the client is in."""
    if not scope.outer:
        return None
    home = ip_network(f"{scope.outer}/24", strict=False)
    what = [(scope.address, "the assigned address")] + [(d, "the DNS server") for d in scope.dns]
    if scope.peer:
        what.append((scope.peer, "the gateway's inside address"))
    hits = [f"{label} {address}" for address, label in what if inside.overlap(address, str(home))]
    if not hits:
        return None
    return finding(
        "routes.overlap",
        evidence(f"the client has the address {scope.outer} outside; inside: {', '.join(hits)}",
                 scope),
        detail=f"The client's own network, where it is {scope.outer}, seems to use the addresses "
        f"of the inside: {hits[0]}.",
        severity="warning",
        confidence="medium",
    )  # fmt: skip


def _answers(view: View, scope: InsideScope) -> Ruling:
    found = view.of(InsideTraffic)
    if not found:
        return not_reached("routes", "no user's packet is seen")
    traffic = found[0]
    facts = {"asked": _some(traffic.asked), "answered": _some(traffic.answered)}
    facts["pushed routes"] = _some(tuple(r for d in view.of(InsideDhcp) for r in d.routes))
    facts = {name: text for name, text in facts.items() if text}
    if traffic.answered:
        count = len(traffic.answered)
        how = "1 address behind the gateway answers" if count == 1 else (
            f"{count} addresses behind the gateway answer")  # fmt: skip
        summary = f"{how} ({_some(traffic.answered)})"
        return rule("routes", "passed", summary=summary, seen=[scope, traffic], facts=facts)
    hosts = [a for a in traffic.asked if a not in scope.dns]
    enough = (
        hosts
        and len(traffic.asked) >= HOSTS
        and traffic.sent >= PACKETS
        and traffic.last_t - traffic.t >= SECONDS
    )
    if not enough and traffic.peer_answered:
        summary = f"gateway {scope.peer} answers; too few packets to tell what is behind it"
        return rule("routes", "passed", summary=summary, seen=[scope, traffic], facts=facts)
    if not enough:
        return not_reached(
            "routes", "users' packets are too few to tell what is behind the gateway"
        )
    shown = evidence(
        f"{traffic.sent} packets to {len(traffic.asked)} addresses in "
        f"{traffic.last_t - traffic.t:.0f} s ({_some(traffic.asked)}), and nothing from any",
        traffic,
    )
    told = _not_forwarded(view, scope)
    if told:
        what = in_words(told[0].detail)
        code, text = "routes.no-forwarding", (
            f"The gateway says itself that it does not forward to what is behind it: {what}."
        )  # fmt: skip
    elif traffic.peer_answered:
        code, text = "routes.nothing-behind", (
            f"The gateway answers through the tunnel, but nothing behind it does "
            f"({_some(traffic.asked)})."
        )  # fmt: skip
    else:
        code, text = (
            "routes.nothing-answers",
            ("Nothing inside the tunnel answers: neither the gateway nor what is behind it."),
        )
    said = [evidence(f"{a.reporter} reports for {a.address}: {a.detail}", a) for a in told[:3]]
    problem = finding(code, shown, *said, detail=text, confidence="high" if told else "medium")
    return rule("routes", "failed", problem, summary=text.rstrip("."), seen=[scope, traffic],
                facts=facts)  # fmt: skip


def _not_forwarded(view: View, scope: InsideScope) -> list[InsideApp]:
    """Connections that the gateway itself refuses to pass on, to hosts enough."""
    told = [
        a for a in view.of(InsideApp)
        if a.outcome == "unreachable" and a.reporter == scope.peer and a.detail in behind.NO_WAY
    ]  # fmt: skip
    return told if len({a.address for a in told}) >= HOSTS else []


def _some(what: tuple[str, ...]) -> str:
    more = f" and {len(what) - 4} more" if len(what) > 4 else ""
    return ", ".join(what[:4]) + more


def _dns(view: View, scope: InsideScope) -> Ruling:
    asked = view.of(InsideName)
    if not asked:
        return not_reached("dns", "no question to a DNS server is seen")
    ours = [n for n in asked if n.server in scope.dns]
    if not ours:
        return not_reached("dns", "no question to the DNS servers that the gateway pushed is seen")
    alive = {n.server for n in ours if n.outcome not in _DEAD}
    findings: list[Finding] = []
    if not alive:
        failure = _all_dead(view, ours)
        if failure is None:
            return not_reached("dns", "too few questions to tell; none was answered")
        findings.append(failure)
    else:
        findings += _one_dead(ours, alive)
        findings += _refusing(ours)
        findings += dns.truncated(ours, ("refused", "silent"))
    status = "failed" if any(f.severity == "error" for f in findings) else "passed"
    good = [n for n in ours if n.outcome in ("answered", "no-data", "nxdomain")]
    summary = (
        findings[0].detail.rstrip(".") if findings else
        f"{', '.join(sorted(alive)[:3])} answer{'s' if len(alive) == 1 else ''} in "
        f"{inside.milliseconds(min(n.seconds for n in good or ours))}"
    )  # fmt: skip
    return rule("dns", status, *findings, summary=summary, seen=[scope, *ours])  # type: ignore[arg-type]


def _all_dead(view: View, ours: list[InsideName]) -> Finding | None:
    servers = sorted({n.server for n in ours})
    told = [n for n in ours if n.outcome == "unreachable"]
    tries = sum(n.tries for n in ours)
    if len(told) == len(ours) and len({n.name for n in told}) >= 2:
        n = told[0]
        return finding(
            "dns.unreachable",
            *(evidence(f"{x.reporter} reports {in_words(x.detail)} for port 53 of {x.server}", x)
              for x in told[:3]),
            detail=f"The pushed DNS server {n.server} cannot be reached: {in_words(n.detail)} "
            f"from {n.reporter}.",
        )  # fmt: skip
    longest = max(n.seconds for n in ours)
    if tries < TRIES or longest < DNS_SECONDS or len({n.name for n in ours}) < 2:
        return None
    alive = [p for p in view.of(InsidePing) if p.target in servers and p.alive]
    return finding(
        "dns.silent",
        *(evidence(f"{n.server} was asked for {n.name} {n.rrtype} {times(n.tries)} in "
                   f"{n.seconds:.1f} s", n) for n in ours[:4]),
        *(evidence(f"{p.target} answers pings", p) for p in alive[:1]),
        detail=f"The pushed DNS server{'s' if len(servers) > 1 else ''} {', '.join(servers)} "
        f"do{'' if len(servers) > 1 else 'es'} not answer through the tunnel.",
        confidence="high" if alive else "medium",
    )  # fmt: skip


def _one_dead(ours: list[InsideName], alive: set[str]) -> list[Finding]:
    found = []
    for server in sorted({n.server for n in ours} - alive):
        silent = [n for n in ours if n.server == server]
        if sum(n.tries for n in silent) < TRIES:
            continue
        found.append(
            finding(
                "dns.one-silent",
                evidence(f"{server} was asked {times(sum(n.tries for n in silent))}", *silent[:2]),
                detail=f"The pushed DNS server {server} does not answer; {sorted(alive)[0]} does.",
                severity="warning",
            )
        )
    return found[:1]


def _refusing(ours: list[InsideName]) -> list[Finding]:
    """Every name is refused, or fails, at every server that says anything."""
    said = [n for n in ours if n.outcome not in _DEAD]
    for outcome, code, words in (
        ("refused", "dns.refused", "refuses every question"),
        ("servfail", "dns.server-failure", "fails at every question"),
    ):
        if all(n.outcome == outcome for n in said) and len({n.name for n in said}) >= NAMES:
            return [
                finding(
                    code,
                    *(evidence(f"{n.server}: {n.name} {n.rrtype}: {n.detail or outcome}", n)
                      for n in said[:4]),
                    detail=f"The pushed DNS server {said[0].server} {words}.",
                    confidence="medium",
                )
            ]  # fmt: skip
    return []


_TOLD = {
    "refused": ("app.refused", "refuses connections"),
    "silent": ("app.silent", "does not answer connection requests"),
    "unreachable": ("app.unreachable", "cannot be reached"),
    "reset": ("app.reset", "cuts connections"),
    "stalled": ("app.stalled", "accepts connections, but its answer does not arrive"),
}


def _app(view: View, scope: InsideScope) -> Ruling:
    apps = view.of(InsideApp)
    if not apps:
        return not_reached("app", "no connection of users is seen")
    good = [a for a in apps if a.outcome in ("answered", "connected", "closed")]
    findings = []
    for outcome, (code, words) in _TOLD.items():
        bad = [a for a in apps if a.outcome == outcome and not _odd(a) and not _waiting(a)]
        if not bad:
            continue
        findings.append(
            finding(
                code,
                *(evidence(f"{a.app} {words}", a) for a in bad[:8]),
                detail=f"{bad[0].app} {words}"
                f"{f', and {len(bad) - 1} more' if len(bad) > 1 else ''}; nobody said that it is "
                "to work.",
                severity="info",
                confidence="low",
            )
        )
    if not good:
        return rule(
            "app", "not_reached", *findings, seen=[scope, *apps],
            reason="no connection of users was answered, and nobody said which are to work",
        )  # fmt: skip
    names = tuple(dict.fromkeys(a.app for a in good))
    summary = f"{_some(names)} answer{'s' if len(names) == 1 else ''}"
    return rule("app", "passed", *findings, summary=summary, seen=[scope, *apps])


def _waiting(a: InsideApp) -> bool:
    """The server has the request and nothing to say yet: some programs ask so on purpose."""
    return a.outcome == "stalled" and not a.gap and a.retransmissions < TRIES


def _odd(a: InsideApp) -> bool:
    """Not of the network inside: split tunnels leak a packet or two to the Internet."""
    try:
        return ip_address(a.address).is_global
    except ValueError:
        return True
