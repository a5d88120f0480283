"""Internal names that resolvers outside answer too: which of the two answers a client takes
depends on its order of resolvers, and on chance."""

from __future__ import annotations

from vpndiag.diagnosis.name_compare import inventing, said
from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import InsideName, NameAnswer
from vpndiag.observations.addresses import address_kind
from vpndiag.report.model import Evidence, Finding

_SHOWN = 3


def compare(view: View, asked: list[InsideName]) -> list[Finding]:
    """``asked``: what the servers inside said. At most one finding of each kind."""
    invented = set().union(*inventing(view).values(), set())
    other: list[tuple[str, list[Evidence], str]] = []
    same: list[tuple[str, list[Evidence], str]] = []
    for name in dict.fromkeys(a.name for a in view.names_beside("internal")):
        outer = [
            a for a in view.names_beside("internal")
            if a.name == name and a.addresses and not set(a.addresses) & invented
        ]  # fmt: skip
        inner = [n for n in asked if n.wanted and _plain(n.name) == _plain(name)]
        if not outer or not inner:
            continue
        found = _judge(name, outer, inner)
        if found is not None:
            (same if found[0] else other).append(found[1])
    return [
        *_finding("dns.split-horizon", other, warning=True),
        *_finding("dns.outside-answer", same, warning=False),
    ]


def _finding(
    code: str, found: list[tuple[str, list[Evidence], str]], *, warning: bool
) -> list[Finding]:
    if not found:
        return []
    names = [name for name, _said, _detail in found]
    more = f" (and {len(names) - 1} more names)" if len(names) > 1 else ""
    return [
        finding(
            code,
            *(line for _name, lines, _detail in found[:_SHOWN] for line in lines),
            detail=f"{found[0][2]}{more}.",
            severity="warning" if warning else "info",
            confidence="certain",
        )
    ]


def _judge(
    name: str, outer: list[NameAnswer], inner: list[InsideName]
) -> tuple[bool, tuple[str, list[Evidence], str]] | None:
    """(both say the same, what is to be said); None: nothing."""
    outside = {x for a in outer for x in a.addresses}
    inside = {x for n in inner for x in n.addresses}
    who = outer[0].resolver
    lines = [evidence(f"outside: {said(a)}", a) for a in outer[:2]]
    lines += [
        evidence(f"inside: {n.rrtype} of {n.name} from {n.server}: "
                 f"{', '.join(n.addresses) or n.outcome}", n)
        for n in inner[:2]
    ]  # fmt: skip
    first = sorted(outside, key=lambda a: ":" in a)[0]
    if not inside:
        if any(n.outcome == "nxdomain" for n in inner):
            text = f"{name} is known outside ({first}, from {who}) and not inside"
            return False, (name, lines, text)
        return None
    if not inside & outside:
        text = (
            f"{name} is {sorted(inside)[0]} inside the tunnel and {first} for the resolver "
            f"{who} outside"
        )
        return False, (name, lines, text)
    if all(address_kind(a) == "public" for a in inside):
        return None  # a public name, listed as an internal one
    return True, (name, lines, f"The resolver {who} outside also says that {name} is {first}")


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
