"""What the resolvers say about the gateway's name, against each other.

Who is right cannot be known from here; that they differ is a fact, and why some users reach the
gateway and others do not.
"""

from __future__ import annotations

from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import NameAnswer
from vpndiag.observations.addresses import address_kind
from vpndiag.report.model import Evidence, Finding, Severity

_SYSTEM = "system"


def compare(view: View) -> list[Finding]:
    """Findings about differences, the gravest first."""
    rows = [a for a in (*view.names, *view.names_beside("compared")) if _conclusive(a)]
    invented = inventing(view)
    names = {a.name for a in view.names}
    dns = [a for a in rows if a.resolver != _SYSTEM and a.name in names]
    honest = [a for a in dns if not invented.get(a.resolver, set()) & set(a.addresses)]
    found = [_disagreement(view, honest), _system(view, rows, dns, names), _invents(view, invented)]
    return [f for f in found if f is not None]


def inventing(view: View) -> dict[str, set[str]]:
    """Resolvers that answer for names that cannot exist, and with which addresses."""
    return {a.resolver: set(a.addresses) for a in view.names_beside("nonexistent") if a.addresses}


def _conclusive(answer: NameAnswer) -> bool:
    return answer.outcome in ("nxdomain", "no-data") or bool(answer.addresses)


def _disagreement(view: View, dns: list[NameAnswer]) -> Finding | None:
    for rrtype in ("A", "AAAA"):
        last = {a.resolver: a for a in dns if a.rrtype == rrtype}
        known = [a for a in last.values() if a.addresses]
        unknown = [a for a in last.values() if a.outcome == "nxdomain"]
        if rrtype == "A":  # without AAAA a name is whole
            unknown += [a for a in last.values() if a.outcome == "no-data"]
        if known and unknown:
            one, other = unknown[0], known[0]
            what = "does not exist" if one.outcome == "nxdomain" else "has no IPv4 address"
            return _differ(
                view,
                [*unknown, *known],
                f"{one.resolver} says that {one.name} {what}; {other.resolver} says "
                f"{_addresses(other)}.",
                "warning",
            )
        apart = _apart(known)
        if apart is not None:
            one, other = apart
            alike = _kinds(one) == _kinds(other)
            # Load balancing by DNS gives several right answers; then the gateway is there.
            severity: Severity = "info" if alike and _gateway_speaks(view) else "warning"
            text = (
                f"{one.name} is {_addresses(one)} according to {one.resolver}, and "
                f"{_addresses(other)} according to {other.resolver}."
            )
            return _differ(view, known, text, severity)
    return None


def _apart(known: list[NameAnswer]) -> tuple[NameAnswer, NameAnswer] | None:
    """Two answers without a common address."""
    for i, one in enumerate(known):
        for other in known[i + 1 :]:
            if not set(one.addresses) & set(other.addresses) and not _translated(one, other):
                return one, other
    return None


def _translated(*answers: NameAnswer) -> bool:
    """DNS64 makes AAAA records of A records (RFC 6147)."""
    return any(_kinds(a) == {"nat64"} for a in answers)


def _differ(view: View, rows: list[NameAnswer], detail: str, severity: Severity) -> Finding:
    return finding(
        "name.disagreement",
        *(evidence(said(a), a) for a in rows[:6]),
        *_tested(view),
        detail=detail,
        severity=severity,
        confidence="certain",
    )


def _system(
    view: View, rows: list[NameAnswer], dns: list[NameAnswer], names: set[str]
) -> Finding | None:
    """The operating system gives an address that no name server gives."""
    for rrtype in ("A", "AAAA"):
        system = [a for a in rows if a.resolver == _SYSTEM and a.rrtype == rrtype]
        servers = [a for a in dns if a.rrtype == rrtype]
        if not system or not servers or not system[-1].addresses:
            continue
        mine = system[-1]
        if any(set(a.addresses) & set(mine.addresses) for a in servers):
            continue
        suffixed = [
            a for a in rows
            if a.name not in names and set(a.addresses) & set(mine.addresses)
        ]  # fmt: skip
        said_by = [evidence(said(a), a) for a in (mine, *servers[:4])]
        if suffixed:
            return finding(
                "name.search-suffix",
                evidence(said(suffixed[0]), suffixed[0]),
                *said_by,
                detail=f"{mine.name} is found only as {suffixed[0].name}: this computer adds a "
                "search suffix.",
                severity="warning",
                confidence="certain",
            )
        return finding(
            "name.system-differs",
            *said_by,
            *_tested(view),
            detail=f"This computer takes {_addresses(mine)} for {mine.name}, which no name server "
            "says.",
            severity="warning",
            confidence="certain",
        )
    return None


def _invents(view: View, invented: dict[str, set[str]]) -> Finding | None:
    rows = [a for a in view.names_beside("nonexistent") if a.addresses]
    if not rows:
        return None
    real = {x for a in view.names for x in a.addresses}
    same = sorted(real & set().union(*invented.values()))
    text = f"{rows[0].resolver} gives {_addresses(rows[0])} for a name that cannot exist"
    if same:
        text += f", and the same ({', '.join(same[:2])}) for the gateway's name"
    return finding(
        "name.resolver-invents",
        *(evidence(said(a), a) for a in rows[:4]),
        detail=f"{text}.",
        severity="warning",
        confidence="certain",
    )


def _gateway_speaks(view: View) -> bool:
    return bool(view.answered(500) or view.answered(4500) or view.l2tp_of("in", "SCCRP"))


def _tested(view: View) -> list[Evidence]:
    if view.local is None:
        return []
    return [evidence(f"this run tested {view.local.gateway_address}", view.local)]


def _kinds(answer: NameAnswer) -> set[str]:
    return {address_kind(a.partition("%")[0]) for a in answer.addresses}


def _addresses(answer: NameAnswer) -> str:
    more = " ..." if len(answer.addresses) > 3 else ""
    return ", ".join(answer.addresses[:3]) + more


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


def said(answer: NameAnswer) -> str:
    """One answer in a line, its chain of aliases and time to live included."""
    whom = ""
    if answer.resolver:
        system = answer.resolver == _SYSTEM
        whom = " from this computer itself" if system else f" from {answer.resolver}"
    chain = "".join(f"alias of {name}: " for name in answer.cnames[:8])
    text = ", ".join(answer.addresses) if answer.addresses else _WORDS[answer.outcome]
    notes = [f"{answer.seconds * 1000:.0f} ms"]
    if answer.outcome in ("timeout", "error") and not answer.detail.startswith("no answer"):
        notes.insert(0, answer.detail)
    if answer.addresses and answer.ttl is not None:
        notes.append(f"may be kept {answer.ttl} s")
    return (
        f"{answer.rrtype} of {answer.name}{whom}: {chain}{text} ({', '.join(filter(None, notes))})"
    )
