"""Rung ``mtu``: do packets of the negotiated size cross, and which size is right?"""

from __future__ import annotations

from vpndiag.diagnosis import inside, outer_mtu
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import InsideMtu, InsideScope
from vpndiag.report.model import Finding

TCP_IP_HEADERS = 40
_WAYS = {
    "out": " on the way to the network inside",
    "in": " on the way back to this computer",
    "": "",
}


def judge(view: View) -> Ruling:
    scope = inside.scope(view)
    if scope is None:
        return inside.untested(view, "mtu")
    if view.running:
        return not_reached("mtu", "being tested")
    found = view.of(InsideMtu)
    if not found:
        why = "interrupted" if view.interrupted else "nothing inside answers pings"
        return not_reached("mtu", why)
    best = max(m.largest for m in found)
    narrow = [m for m in found if m.largest < m.tried]
    pieces = [m.fragments for m in found if m.fragments]
    carried, over = _carried(view, scope)
    right = min([best, carried or best, *pieces])
    facts = {
        "largest packet": str(best),
        "mtu": str(right),
        "mss": str(right - TCP_IP_HEADERS),
        "negotiated": f"{scope.mru_out} out, {scope.mru_in} in",
    }
    if carried and scope.overhead is not None:
        facts["encapsulation"] = f"{scope.overhead} bytes; carries {carried} over a path of {over}"
    if not narrow:
        how = f" (answers in fragments of {min(pieces)})" if pieces else ""
        summary = f"{best} bytes cross{how}; MTU {right}, MSS {right - TCP_IP_HEADERS} fit"
        return rule("mtu", "passed", summary=summary, seen=[scope, *found], facts=facts)
    worst = min(narrow, key=lambda m: m.largest)
    if best >= worst.tried:
        # The tunnel carries them; something behind it does not.
        problem = _narrow(worst, "warning", f"to {worst.target} (others take {best})")
        return rule("mtu", "passed", problem, summary=problem.detail.rstrip("."),
                    seen=[scope, *found], facts=facts)  # fmt: skip
    right = min(m.largest for m in narrow)
    facts |= {"mtu": str(right), "mss": str(right - TCP_IP_HEADERS)}
    if any(m.reporter for m in narrow):
        problem = _small(next(m for m in narrow if m.reporter), scope)
        return rule("mtu", "passed", problem, summary=problem.detail.rstrip("."),
                    seen=[scope, *found], facts=facts)  # fmt: skip
    problem = _narrow(worst, "error", "")
    return rule("mtu", "failed", problem, summary=problem.detail.rstrip("."),
                seen=[scope, *found], facts=facts)  # fmt: skip


def _carried(view: View, scope: InsideScope) -> tuple[int | None, int]:
    """The largest packet inside that needs no fragments outside, over a path of how many bytes:
    the one that was measured, if it carries less than the scope takes for granted."""
    path = outer_mtu.path_mtu(view)
    if path is None or path >= scope.path_mtu or not scope.link_mtu or scope.overhead is None:
        return scope.link_mtu, scope.path_mtu
    unused = scope.path_mtu - scope.overhead - scope.link_mtu
    steps = (unused - (scope.path_mtu - path)) // scope.padded_to
    return max(0, scope.link_mtu + steps * scope.padded_to), path


def _narrow(m: InsideMtu, severity: str, where: str) -> Finding:
    return finding(
        "mtu.black-hole",
        evidence(
            f"echo requests to {m.target} are answered up to {m.largest} bytes; {m.tried} bytes, "
            f"which the MRU allows, are lost{_WAYS[m.direction]}, and no "
            f'"fragmentation needed" comes',
            m,
        ),
        detail=f"Packets of more than {m.largest} bytes vanish{_WAYS[m.direction]}"
        f"{' ' + where if where else ''}; set MTU {m.largest} and MSS "
        f"{m.largest - TCP_IP_HEADERS}.",
        severity="error" if severity == "error" else "warning",
        confidence="high" if severity == "error" else "medium",
    )


def _small(m: InsideMtu, scope: InsideScope) -> Finding:
    told = f" with MTU {m.told_mtu}" if m.told_mtu else ""
    return finding(
        "mtu.small",
        evidence(f'{m.reporter} says "fragmentation needed"{told}; {m.largest} bytes cross', m),
        detail=f"Packets up to {m.largest} bytes cross, while {min(scope.mru_out, scope.mru_in)} "
        f"were negotiated; set MTU {m.largest} and MSS {m.largest - TCP_IP_HEADERS}.",
        severity="warning",
    )
