"""Rung ``dns``: do the pushed DNS servers answer, and do they know the internal names?"""

from __future__ import annotations

from ipaddress import ip_address

from vpndiag.diagnosis import behind, inside, loss, outside
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times
from vpndiag.diagnosis.told import in_words
from vpndiag.diagnosis.view import View
from vpndiag.observations import InsideName, InsidePing, InsideScope, InsideTrace
from vpndiag.report.model import Finding

_DEAD = ("silent", "unreachable")


def judge(view: View) -> Ruling:
    scope = inside.scope(view)
    if scope is None:
        return inside.untested(view, "dns")
    if view.running:
        return not_reached("dns", "being tested")
    if not scope.dns:
        return _no_server(scope)
    asked = view.of(InsideName)
    if not asked and _wanted(scope) and not view.interrupted:
        return rule("dns", "inconclusive", seen=[scope],
                    summary="no question was waited for to the end")  # fmt: skip
    if not asked:
        return not_reached("dns", "interrupted" if view.interrupted else "no answer was awaited")
    by_server = {s: [n for n in asked if n.server == s] for s in scope.dns}
    by_server = {s: names for s, names in by_server.items() if names}
    alive = {s for s, names in by_server.items() if any(n.outcome not in _DEAD for n in names)}
    dead = {s: names for s, names in by_server.items() if s not in alive}
    findings: list[Finding] = []
    if not alive and loss.mostly(view) and all(n.outcome == "silent" for n in asked):
        return rule("dns", "inconclusive", seen=[scope, *asked],
                    summary="not answered, as most of what goes through the tunnel")  # fmt: skip
    if not alive:
        findings.append(_dead(view, asked))
    else:
        findings += [_one_silent(s, names, alive) for s, names in dead.items()]
        findings += _names([n for n in asked if n.server in alive])
        findings += truncated(asked, ("refused", "silent", "reset"))
    findings += outside.compare(view, asked)
    findings += _unexpected(scope)
    findings.sort(key=lambda f: f.severity != "error")
    status = "failed" if any(f.severity == "error" for f in findings) else "passed"
    summary = findings[0].detail.rstrip(".") if findings else _summary(asked)
    facts = {s: _server_fact(names) for s, names in by_server.items()}
    return rule("dns", status, *findings, summary=summary, seen=[scope, *asked], facts=facts)  # type: ignore[arg-type]


def _wanted(scope: InsideScope) -> list[str]:
    """Names that were to be found inside; those of applications are told by them."""
    hosts = [h for h in scope.internal_hosts if not _is_address(h)]
    domain = [scope.internal_domain] if scope.internal_domain else []
    return [*scope.internal_names, *hosts, *domain]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _no_server(scope: InsideScope) -> Ruling:
    findings = _unexpected(scope)
    wanted = _wanted(scope)
    if wanted:
        findings.insert(0, finding(
            "dns.no-server",
            evidence(f"IPCP assigned no DNS server; {', '.join(wanted[:4])} cannot be asked for",
                     scope),
            detail=f"The gateway gives no DNS server, so that {wanted[0]} cannot be found.",
            confidence="certain",
        ))  # fmt: skip
    if not findings:
        return not_reached("dns", "no DNS server was assigned")
    summary = findings[0].detail.rstrip(".")
    status = "failed" if wanted else "passed"
    return rule("dns", status, *findings, summary=summary, seen=[scope])  # type: ignore[arg-type]


def _summary(asked: list[InsideName]) -> str:
    wanted = sorted({n.name for n in asked if n.wanted})
    servers = sorted({n.server for n in asked})
    quickest = inside.milliseconds(min(n.seconds for n in asked))
    who = f"{', '.join(servers[:3])} answer{'s' if len(servers) == 1 else ''} in {quickest}"
    if wanted:
        return f"{who}; {', '.join(wanted[:3])}{' ...' if len(wanted) > 3 else ''} found"
    return f"{who}; no internal name was given to ask for"


def _server_fact(names: list[InsideName]) -> str:
    return "; ".join(
        f"{n.name} {n.rrtype}: {', '.join((*n.addresses, *n.records)[:3]) or n.outcome}"
        for n in names[:6]
    )


def _dead(view: View, asked: list[InsideName]) -> Finding:
    servers = sorted({n.server for n in asked})
    first = asked[0]
    text = ", ".join(servers)
    pinged = [p for p in view.of(InsidePing) if p.target in servers and p.alive]
    reported = [n for n in asked if n.outcome == "unreachable"]
    if reported:
        n = reported[0]
        return finding(
            "dns.unreachable",
            evidence(f"{n.reporter} reports {in_words(n.detail)} for port 53 of {n.server}", n),
            *([evidence(f"{pinged[0].target} answers pings", pinged[0])] if pinged else []),
            detail=f"The pushed DNS server {n.server} cannot be reached: {in_words(n.detail)} "
            f"from {n.reporter}.",
            confidence="certain",
        )
    lines = [evidence(f"{first.server} was asked for {first.name} {first.rrtype} "
                      f"{times(first.tries)} in {first.seconds:.1f} s", *asked[:4])]  # fmt: skip
    if pinged:
        lines.append(evidence(f"{pinged[0].target} answers pings", pinged[0]))
    else:
        lines += [
            evidence(f"{p.target} does not answer pings either", p)
            for p in view.of(InsidePing)
            if p.target in servers and p.complete
        ][:1]
    lines += [evidence(behind.line(t), t) for t in view.of(InsideTrace)
              if t.target in servers and t.end != "unfinished"]  # fmt: skip
    return finding(
        "dns.silent",
        *lines,
        detail=f"The pushed DNS server{'s' if len(servers) > 1 else ''} {text} "
        f"do{'' if len(servers) > 1 else 'es'} not answer through the tunnel.",
        confidence="high" if pinged else "medium",
    )


def _one_silent(server: str, names: list[InsideName], alive: set[str]) -> Finding:
    return finding(
        "dns.one-silent",
        evidence(f"{server} was asked {times(max(n.tries for n in names))}", *names[:2]),
        detail=f"The pushed DNS server {server} does not answer; {sorted(alive)[0]} does.",
        severity="warning",
    )


def _names(asked: list[InsideName]) -> list[Finding]:
    findings: list[Finding] = []
    harmless = [n for n in asked if not n.wanted]
    refused = [n for n in harmless if n.outcome == "refused"]
    if refused and len(refused) == len(harmless) == len(asked):
        findings.append(
            finding(
                "dns.refused",
                *(evidence(f"{n.server} refuses {n.name} {n.rrtype}", n) for n in refused[:4]),
                detail=f"The DNS server {refused[0].server} refuses the question; no internal name "
                "was given to ask for.",
                severity="warning",
                confidence="low",
            )
        )
    for name in dict.fromkeys(n.name for n in asked if n.wanted):
        found = _name(name, [n for n in asked if n.name == name and n.wanted])
        if found is not None:
            findings.append(found)
    return findings


_FAULTS = (
    ("refused", "dns.refused", "is refused by"),
    ("servfail", "dns.server-failure", "cannot be resolved by"),
    ("error", "dns.server-failure", "gets no usable answer from"),
    ("nxdomain", "dns.name-not-found", "is not known to"),
)


def _name(name: str, asked: list[InsideName]) -> Finding | None:
    """The worst that is to be said of one name."""
    good = [n for n in asked if n.outcome in ("answered", "no-data")]
    services = all(n.rrtype not in ("A", "AAAA") for n in asked)
    for outcome, code, words in _FAULTS:
        bad = [n for n in asked if n.outcome == outcome]
        if not bad:
            continue
        if good:
            if {n.server for n in good} & {n.server for n in bad}:
                continue  # one record type of two
            return finding(
                "dns.servers-disagree",
                evidence(f"{bad[0].server}: {outcome}", bad[0]),
                evidence(f"{good[0].server}: {', '.join(good[0].addresses) or good[0].outcome}",
                         good[0]),
                detail=f"{name} {words} {bad[0].server}, but {good[0].server} knows it.",
                severity="warning",
            )  # fmt: skip
        return finding(
            code,
            *(evidence(f"{n.server}: {n.name} {n.rrtype}: {n.detail or outcome}", n)
              for n in bad[:4]),
            detail=f"{name} {words} the DNS server {bad[0].server}.",
            severity="warning" if services else "error",
            confidence="certain",
        )  # fmt: skip
    public = [
        (n, a) for n in good if n.rrtype == "A" for a in n.addresses if ip_address(a).is_global
    ]
    private = any(not ip_address(a).is_global for n in good if n.rrtype == "A" for a in n.addresses)
    if public and not private:
        n, address = public[0]
        return finding(
            "dns.public-answer",
            evidence(f"{n.server}: {name} is {address}", n),
            detail=f"The internal name {name} resolves to the public address {address}.",
            severity="warning",
            confidence="medium",
        )
    return None


def truncated(asked: list[InsideName], tcp: tuple[str, ...]) -> list[Finding]:
    """Truncated answers of a server where a connection for the whole one ended as ``tcp`` says."""
    cut = [n for n in asked if n.truncated and n.tcp in tcp]
    if not cut:
        return []
    n = cut[0]
    return [
        finding(
            "dns.truncated-no-tcp",
            evidence(f"the answer to {n.name} {n.rrtype} is truncated; TCP port 53: {n.tcp}", n),
            detail=f"{n.server} sends truncated answers and does not answer over TCP ({n.tcp}).",
            severity="warning",
        )
    ]


def _unexpected(scope: InsideScope) -> list[Finding]:
    if not scope.expected_dns or set(scope.expected_dns) == set(scope.dns):
        return []
    return [
        finding(
            "dns.unexpected-servers",
            evidence(f"pushed: {', '.join(scope.dns) or 'none'}; "
                     f"expected: {', '.join(scope.expected_dns)}", scope),
            detail=f"The gateway pushes the DNS servers {', '.join(scope.dns)}, not those of the "
            "profile." if scope.dns else "The gateway pushes none of the profile's DNS servers.",
            severity="warning",
            confidence="certain",
        )
    ]  # fmt: skip
