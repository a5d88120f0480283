"""DNS inside the tunnel: questions to each server and what became of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from vpndiag.capture.inside_log import Query
from vpndiag.capture.inside_part import Part, dotted
from vpndiag.capture.inside_tcp import TcpFlow
from vpndiag.observations import InsideName
from vpndiag.observe.inside import dns_result
from vpndiag.report.text import visible

TRIES = 3
SECONDS = 3.0
"""So many tries, and so long without an answer, are a silence."""
DNS_PORT = 53
DOMAIN_CONTROLLERS = "_ldap._tcp.dc._msdcs."
MOST = 64
"""Names that are told of one session."""
FEW = 4
_GOOD = ("answered", "no-data", "nxdomain")
_OVER_TCP: dict[str, Literal["answered", "refused", "silent", "reset"]] = {
    "answered": "answered", "refused": "refused", "reset": "reset", "silent": "silent",
    "stalled": "silent", "closed": "reset", "unreachable": "silent",
}  # fmt: skip


def names(part: Part, flows: list[TcpFlow]) -> list[InsideName]:
    """What each server said to each question; questions that were not waited for are left out."""
    groups: dict[tuple[str, str, str], list[Query]] = defaultdict(list)
    for query in part.own(part.index.queries):
        question = _question(query.message)
        if question is not None:
            groups[(dotted(query.server), *question)].append(query)
    found = []
    for (server, name, rrtype), mine in groups.items():
        one = _name(part, server, name, rrtype, mine, flows)
        if one is not None:
            found.append(one)
    found = _telling(found)
    if part.asked is None:
        found = _discreet(found)
    if len(found) > MOST:
        # what was wanted and what went wrong first
        found.sort(key=lambda n: (not n.wanted, n.outcome in ("answered", "no-data")))
        del found[MOST:]
    return found


def _discreet(found: list[InsideName]) -> list[InsideName]:
    """What users look up is their own business: of what works a few names of each server do."""
    good: dict[str, int] = defaultdict(int)
    kept = []
    for n in found:
        if n.outcome in _GOOD and not n.truncated:
            good[n.server] += 1
            if good[n.server] > FEW:
                continue
        kept.append(n)
    return kept


def _telling(found: list[InsideName]) -> list[InsideName]:
    """Without a single name that a server leaves unanswered and nobody asked us about: it may be
    that server's own trouble to find out."""
    silent: dict[str, set[str]] = defaultdict(set)
    for n in found:
        if n.outcome == "silent":
            silent[n.server].add(n.name)
    return [
        n for n in found
        if n.outcome != "silent" or n.wanted or n.name == "." or len(silent[n.server]) > 1
    ]  # fmt: skip


def _question(message: bytes) -> tuple[str, str] | None:
    """Name and type asked for; None: no single question."""
    import dns.exception
    import dns.message
    import dns.rdatatype

    try:
        parsed = dns.message.from_wire(message, question_only=True, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    if len(parsed.question) != 1:
        return None
    asked = parsed.question[0]
    return visible(asked.name.to_text(omit_final_dot=True), 253), dns.rdatatype.to_text(
        asked.rdtype
    )


def _wanted(part: Part, name: str, rrtype: str) -> str:
    """The name as it was asked for; empty: nobody did."""
    asked = part.asked
    if asked is None:
        return ""
    wanted = [*asked.names, *asked.hosts, *(a.host for a in asked.apps)]
    if asked.domain:
        domain = asked.domain.strip(".")
        wanted += [domain] if rrtype == "SOA" else []
        wanted += [DOMAIN_CONTROLLERS + domain] if rrtype == "SRV" else []
    plain = name.lower().rstrip(".")
    return next((w for w in wanted if w.lower().rstrip(".") == plain), "")


def _name(
    part: Part, server: str, name: str, rrtype: str, mine: list[Query], flows: list[TcpFlow]
) -> InsideName | None:
    answered = next((q for q in mine if q.answer), None)
    refused = next((q for q in mine if q.fault is not None), None)
    tries = sum(q.tries for q in mine)
    first = mine[0]
    result: dict[str, object]
    tcp: Literal["", "answered", "refused", "silent", "reset"] = ""
    truncated = False
    if answered is not None:
        result, truncated = _answer(answered.answer, rrtype)
        end_ns, frame = answered.answer_ns, answered.answer_frame
        tries = sum(q.tries for q in mine if q.first_ns <= end_ns)
        if truncated:
            tcp = _over_tcp(part, server, end_ns, flows)
    elif refused is not None and refused.fault is not None:
        fault = refused.fault
        result = {"outcome": "unreachable", "detail": fault.what, "reporter": str(fault.reporter)}
        end_ns, frame = refused.last_ns, refused.last_frame
    elif tries >= TRIES and part.waited(first.first_ns) >= SECONDS:
        result = {"outcome": "silent"}
        end_ns, frame = part.until_ns, mine[-1].last_frame
    else:
        return None
    wanted = _wanted(part, name, rrtype)
    return InsideName(
        t=part.t(end_ns),
        frames=tuple(sorted({first.frame, frame})),
        server=server,
        name=wanted or name,
        rrtype=rrtype,
        wanted=bool(wanted),
        seconds=round((end_ns - first.first_ns) / 1e9, 6),
        tries=tries,
        truncated=truncated,
        tcp=tcp,
        **result,  # type: ignore[arg-type]
    )


def _answer(message: bytes, rrtype: str) -> tuple[dict[str, object], bool]:
    """Fields of the observation, and whether the answer was truncated."""
    import dns.exception
    import dns.flags
    import dns.message

    try:
        parsed = dns.message.from_wire(
            message, ignore_trailing=True, raise_on_truncation=False, one_rr_per_rrset=False
        )
    except (dns.exception.DNSException, ValueError) as error:
        return {"outcome": "error", "detail": f"not DNS: {type(error).__name__}"}, False
    return dns_result(parsed, rrtype), bool(parsed.flags & dns.flags.TC)


def _over_tcp(
    part: Part, server: str, since_ns: int, flows: list[TcpFlow]
) -> Literal["", "answered", "refused", "silent", "reset"]:
    for flow in flows:
        if flow.dport == DNS_PORT and dotted(flow.server) == server and flow.first_ns >= since_ns:
            how = _OVER_TCP.get(flow.outcome(part.until_ns))
            if how is not None:
                return how
    return ""
