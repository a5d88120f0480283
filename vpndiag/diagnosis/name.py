"""Rung ``name``: does the server name resolve, and to what?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vpndiag.diagnosis.name_compare import compare, said
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import LocalRoutes, NameAnswer
from vpndiag.observations.addresses import address_kind
from vpndiag.report.model import Cause, Finding

_KINDS = {
    "private": "of a private network",
    "cgnat": "of a provider's carrier-grade NAT",
    "link-local": "of one link only",
    "loopback": "of this computer itself",
    "documentation": "of examples in documentation",
    "benchmark": "of benchmarks",
    "multicast": "of a group",
    "unspecified": "of nobody",
    "reserved": "of a reserved range",
}
"""Addresses at which nobody in the Internet can be reached. NAT64 leads to an IPv4 address."""


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
    lines = [evidence(said(a), a) for a in answers]
    if found:
        return _resolved(view, name, answers, found)
    outcomes = {a.outcome for a in answers}
    if "invalid" in outcomes:
        why = next((f": {a.detail}" for a in answers if a.outcome == "invalid" and a.detail), "")
        code, detail = "name.invalid", f"{name!r} is not a legal host name{why}."
        lines = [evidence("it was not looked up", *answers)]
    elif "nxdomain" in outcomes:
        code, detail = "name.not-found", f"The name {name} does not exist."
    elif "no-data" in outcomes:
        code, detail = "name.no-address", f"The name {name} exists but has no IPv4 or IPv6 address."
    elif outcomes <= {"timeout", "error"} and _all_silent(answers):
        code, detail = "name.resolver-silent", "No DNS server answered."
    else:
        code, detail = "name.resolver-failed", f"The DNS servers gave no usable answer for {name}."
    if view.interrupted:
        return rule("name", "inconclusive", summary="interrupted", seen=answers)
    return rule(
        "name",
        "failed",
        finding(code, *lines, detail=detail, confidence="certain"),
        *compare(view),
        summary=detail.rstrip("."),
        seen=answers,
    )


def _all_silent(answers: list[NameAnswer]) -> bool:
    """No DNS server said anything. That the system, which asks the same ones, then has no usable
    answer is no word of theirs."""
    servers = [a for a in answers if a.resolver != "system"]
    return all(a.outcome == "timeout" for a in servers or answers)


def _resolved(view: View, name: str, answers: list[NameAnswer], found: list[NameAnswer]) -> Ruling:
    addresses = list(dict.fromkeys(x for a in found for x in a.addresses))
    findings: list[Finding] = []
    private = {a: words for a in addresses if (words := _KINDS.get(_kind(a)))}
    nowhere = _leads_nowhere(view, name, addresses)
    if private:
        which = "; ".join(_belongs(private))
        leads = finding(
            "name.private-address",
            *(evidence(said(a), a) for a in found if set(a.addresses) & private.keys()),
            detail=f"{which}: {'they' if len(private) > 1 else 'it'} cannot be reached from the "
            "Internet.",
            severity="error" if nowhere else "warning",
            confidence="certain",
            causes=_causes({_kind(a) for a in private}),
        )
        findings.append(replace(leads, owner="network", fix=_FIX_NOWHERE) if nowhere else leads)
    v4 = [a for a in found if a.rrtype == "A"]
    v6 = [a for a in found if a.rrtype == "AAAA"]
    routes = view.of(LocalRoutes)
    no_ipv6 = [
        evidence("this computer has no route to the Internet over IPv6", r)
        for r in routes
        if v6 and r.ipv6 is False
    ]
    facts = {"addresses": ", ".join(addresses)}
    if no_ipv6:
        facts["IPv6"] = "no route from here"
    aliases = list(dict.fromkeys(name for a in found for name in a.cnames))
    if aliases:
        facts["alias of"] = ", ".join(aliases[:8])
    kept = [a.ttl for a in found if a.ttl is not None]
    if kept:
        facts["may be kept"] = f"{min(kept)} s"
    findings += compare(view)
    if not v4:
        findings.append(
            finding(
                "name.no-ipv4",
                evidence(f"{name} has IPv6 addresses only", *found),
                *no_ipv6,
                severity="info",
                confidence="certain",
            )
        )
    return rule(
        "name",
        "failed" if nowhere else "passed",
        *findings,
        summary=", ".join(addresses[:3]) + (" ..." if len(addresses) > 3 else ""),
        seen=answers,
        facts=facts,
    )


def _belongs(kinds: dict[str, str]) -> Iterator[str]:
    """``10.0.0.1 and 10.0.0.2 are addresses of a private network``; by address, what it is."""
    for words in dict.fromkeys(kinds.values()):
        alike = [address for address, its in kinds.items() if its == words]
        if len(alike) == 1:
            yield f"{alike[0]} is an address {words}"
        else:
            more = " ..." if len(alike) > 3 else ""
            yield f"{' and '.join(alike[:3])}{more} are addresses {words}"


_FIX_NOWHERE = (
    "Helpdesk: Ask another DNS server (vpndiag run NAME --resolver ADDRESS, or nslookup), and look "
    "in the hosts file. It gives another address: whoever runs the first one blocks the name.",
    "Gateway administrator: All of them give this address: correct the DNS record.",
)


def _leads_nowhere(view: View, name: str, addresses: list[str]) -> bool:
    """To this computer or to nobody, as DNS filters answer. Whoever tests a gateway on the computer
    itself hears it, or calls it localhost."""
    if view.running or not all(_kind(a) in ("loopback", "unspecified") for a in addresses):
        return False
    local = name == "localhost" or name.endswith(".localhost")
    heard = view.answered(500) or view.answered(4500) or any(m.direction == "in" for m in view.l2tp)
    return not local and not heard


def _kind(address: str) -> str:
    return address_kind(address.partition("%")[0])


def _causes(kinds: set[str]) -> tuple[Cause, ...]:
    """For addresses that a zone of the company's own would never hold; else the catalogue's."""
    if kinds <= {"loopback", "unspecified"}:
        return (
            Cause("A DNS filter (on the router, of the provider, or a protection program) answers "
                  "so for names that it blocks", "network", "Allow the name there", "likely"),
            Cause("A line in this computer's hosts file", "helpdesk", "Remove it", "possible"),
            Cause("The DNS record holds a placeholder", "gateway-admin", "Correct the record",
                  "possible"),
        )  # fmt: skip
    if kinds == {"cgnat"}:
        return (
            Cause("Dynamic DNS publishes the address of the gateway's line, which is behind the "
                  "provider's carrier-grade NAT", "gateway-admin",
                  "Ask the provider for a public address", "likely"),
            Cause("The name belongs to another VPN's own network (such as Tailscale)",
                  "gateway-admin", "Publish the public address", "possible"),
        )  # fmt: skip
    return ()
