"""Rung ``app``: do the applications that were named accept a connection and answer?"""

from __future__ import annotations

from vpndiag.diagnosis import behind, inside
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import InsideApp, InsideTrace
from vpndiag.report.model import Finding

_ERRORS = {
    "refused": ("app.refused", "refuses the connection"),
    "silent": ("app.silent", "does not answer the connection request"),
    "unreachable": ("app.unreachable", "cannot be reached"),
    "reset": ("app.reset", "cuts the connection"),
    "stalled": ("app.stalled", "accepts the connection, but its answer does not arrive"),
    "no-address": ("app.no-address", "has no address: its name is not found inside"),
}
_WARNINGS = {
    "closed": ("app.closed", "ends the connection without an answer"),
    "unexpected": ("app.unexpected", "answers, but not in the protocol expected"),
}


def judge(view: View) -> Ruling:
    scope = inside.scope(view)
    if scope is None:
        return inside.untested(view, "app")
    if view.running:
        return not_reached("app", "being tested")
    if not scope.apps:
        return not_reached("app", "no application was named (--app)")
    apps = view.of(InsideApp)
    known = [a for a in apps if a.outcome != "interrupted"]
    if not known and view.interrupted:
        return not_reached("app", "interrupted")
    if not known and not view.live:
        return not_reached("app", "nobody is seen to use the applications named")
    findings = [f for a in known for f in _judge(a, _traces(view, a))]
    findings.sort(key=lambda f: f.severity != "error")
    facts = {a.app: _fact(a) for a in apps}
    if any(f.severity == "error" for f in findings):
        return rule("app", "failed", *findings, summary=findings[0].detail.rstrip("."),
                    seen=[scope, *apps], facts=facts)  # fmt: skip
    if view.live and len(known) < len(scope.apps):
        return rule("app", "inconclusive", *findings, seen=[scope, *apps], facts=facts,
                    summary="not all applications were tested to the end")  # fmt: skip
    parts = [f"{a.app} {inside.milliseconds(a.connect_seconds or 0.0)}" for a in known]
    return rule(
        "app", "passed", *findings, summary="; ".join(parts[:4]), seen=[scope, *apps], facts=facts
    )


def _fact(a: InsideApp) -> str:
    parts: list[str] = [a.outcome, a.detail, a.address if a.address != a.host else ""]
    if a.connect_seconds is not None:
        parts.append(f"connected in {inside.milliseconds(a.connect_seconds)}")
    if a.answer_seconds is not None:
        parts.append(f"answered in {inside.milliseconds(a.answer_seconds)}")
    return ", ".join(p for p in parts if p)


def _traces(view: View, a: InsideApp) -> list[InsideTrace]:
    return [t for t in view.of(InsideTrace) if (t.target, t.port) == (a.address, a.port)]


def _judge(a: InsideApp, traces: list[InsideTrace]) -> list[Finding]:
    where = a.app if a.address in ("", a.host) else f"{a.app} ({a.address})"
    if a.outcome in _ERRORS:
        code, words = _ERRORS[a.outcome]
        said = [evidence(behind.line(t), t) for t in traces if t.end != "unfinished"]
        return [finding(code, evidence(_seen(a), a), *said, detail=f"{where} {words}{_cause(a)}.",
                        confidence="medium" if a.outcome == "silent" else "high")]  # fmt: skip
    findings: list[Finding] = []
    if a.outcome in _WARNINGS:
        code, words = _WARNINGS[a.outcome]
        findings.append(finding(code, evidence(_seen(a), a), detail=f"{where} {words}.",
                                severity="warning", confidence="medium"))  # fmt: skip
    if a.certificate_expired:
        findings.append(
            finding(
                "app.certificate-expired",
                evidence(f"the certificate ended on {a.certificate_not_after}", a),
                detail=f"The certificate of {where} expired on {a.certificate_not_after[:10]}.",
                severity="warning",
                confidence="certain",
            )
        )
    if a.certificate_matches is False:
        names = ", ".join(a.certificate_names[:4]) or "no name"
        findings.append(
            finding(
                "app.certificate-name",
                evidence(f"the certificate is for {names}", a),
                detail=f"The certificate of {where} is for {names}.",
                severity="warning",
                confidence="certain",
            )
        )
    return findings


def _cause(a: InsideApp) -> str:
    if a.outcome == "unreachable":
        return f": {a.detail} from {a.reporter}"
    if a.outcome == "stalled" and (a.gap or a.received):
        return ": its large packets are lost"
    return ""


def _seen(a: InsideApp) -> str:
    match a.outcome:
        case "refused":
            return f"port {a.port} of {a.address}: reset in answer to the first packet"
        case "silent":
            return f"port {a.port} of {a.address}: {a.retransmissions + 1} tries, no answer"
        case "unreachable":
            return f"port {a.port} of {a.address}: {a.detail} from {a.reporter}"
        case "no-address":
            return f"no DNS server inside gives an address of {a.host}"
        case "stalled":
            got = f"{a.received} bytes" if a.received else "nothing"
            more = ", later data without earlier data" if a.gap else ""
            return f"connected to port {a.port}, request sent, {got} received{more}, then silence"
    return f"port {a.port} of {a.address}: {a.outcome}{', ' + a.detail if a.detail else ''}"
