"""Rung ``name``: does the server name resolve, and to what?"""

from __future__ import annotations

import ipaddress

from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import NameAnswer
from vpndiag.report.model import Finding

_WORDS = {
    "answered": "answered",
    "nxdomain": "the name does not exist (NXDOMAIN)",
    "no-data": "no address of this type",
    "servfail": "the resolver could not find out (SERVFAIL)",
    "refused": "the resolver refused to answer (REFUSED)",
    "timeout": "no answer",
    "invalid": "not a legal host name",
    "error": "the answer could not be used",
}
_CGNAT = ipaddress.ip_network("100.64.0.0/10")


def judge(view: View) -> Ruling:
    """:return: passed when there is an address; NameAnswer observations are all it looks at."""
    answers = view.names
    if not answers:
        if view.local is not None:
            return rule(
                "name", "passed", summary=f"{view.local.gateway_address} (given as address)"
            )
        return not_reached("name", "no look-up of the gateway's name is in this material")
    name = answers[0].name
    found = [a for a in answers if a.outcome == "answered" and a.addresses]
    said = [evidence(_said(a), a) for a in answers]
    if found:
        return _resolved(name, answers, found)
    outcomes = {a.outcome for a in answers}
    if "invalid" in outcomes:
        code, detail = "name.invalid", f"{name!r} is not a legal host name."
    elif "nxdomain" in outcomes:
        code, detail = "name.not-found", f"The name {name} does not exist."
    elif "no-data" in outcomes:
        code, detail = "name.no-address", f"The name {name} exists but has no IPv4 or IPv6 address."
    elif outcomes <= {"timeout"}:
        code, detail = "name.resolver-silent", "No DNS server answered."
    else:
        code, detail = "name.resolver-failed", f"The DNS servers gave no usable answer for {name}."
    if view.interrupted:
        return rule("name", "inconclusive", summary="interrupted", seen=answers)
    return rule(
        "name",
        "failed",
        finding(code, *said, detail=detail, confidence="certain"),
        summary=detail.rstrip("."),
        seen=answers,
    )


def _resolved(name: str, answers: list[NameAnswer], found: list[NameAnswer]) -> Ruling:
    addresses = list(dict.fromkeys(x for a in found for x in a.addresses))
    findings: list[Finding] = []
    private = [a for a in addresses if not _is_public(a)]
    if private:
        findings.append(
            finding(
                "name.private-address",
                evidence(f"{name} resolves to {', '.join(private)}", *found),
                detail=f"{', '.join(private)} cannot be reached from the Internet.",
                severity="warning",
                confidence="certain",
            )
        )
    v4 = [a for a in found if a.rrtype == "A"]
    if not v4:
        findings.append(
            finding(
                "name.no-ipv4",
                evidence(f"{name} has IPv6 addresses only", *found),
                severity="info",
                confidence="certain",
            )
        )
    return rule(
        "name",
        "passed",
        *findings,
        summary=", ".join(addresses[:3]) + (" ..." if len(addresses) > 3 else ""),
        seen=answers,
        facts={"addresses": ", ".join(addresses)},
    )


def _is_public(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return not (
        ip.is_private or ip.is_loopback or ip.is_link_local or (ip.version == 4 and ip in _CGNAT)
    )


def _said(answer: NameAnswer) -> str:
    whom = f" from {answer.resolver}" if answer.resolver else ""
    return f"{answer.rrtype} of {answer.name}{whom}: {_describe(answer)}"


def _describe(answer: NameAnswer) -> str:
    text = ", ".join(answer.addresses) if answer.addresses else _WORDS[answer.outcome]
    return f"{text} ({answer.seconds * 1000:.0f} ms)"
