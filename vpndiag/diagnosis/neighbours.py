"""Another client with the same address at the same time: both are behind one NAT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vpndiag.diagnosis.judged import Judged
from vpndiag.diagnosis.nat import needs_neighbour
from vpndiag.diagnosis.ruling import finding
from vpndiag.report.model import Cause, Evidence, Finding

TURN = 10.0
"""Seconds between the end of one session and the beginning of another that has to do with it."""
TURNS = 3
"""So many in a row are no chance."""
MOST_SHOWN = 8
_THROWN_OUT = (
    Cause("The gateway cannot serve two L2TP/IPsec clients behind one NAT, and the second throws "
          "out the first", "gateway-admin",
          "Use a gateway that can (Linux: marks for each connection, connmark plugin), or another "
          "VPN protocol", "likely"),
    Cause("Both log in as the same user, and the gateway ends the older session", "helpdesk",
          "Give each an account of its own", "possible"),
)  # fmt: skip


def beside(one: Judged, attempts: Sequence[Judged]) -> list[Judged]:
    """Other clients at the time of ``one``. ``attempts``: all between these two addresses."""
    if len({a.key for a in attempts}) < 2:
        return []
    return [
        a
        for a in attempts
        if a.key != one.key
        and a.first < one.last
        and one.first < a.last
        and not (a.caller and one.caller)
    ]


def in_turns(attempts: Sequence[Judged]) -> list[Judged]:
    """The longest row of sessions each of which ends as the next one begins, that of another
    client; empty: there is none to speak of. ``attempts``: all between these two addresses."""
    if len(attempts) <= TURNS or len({a.key for a in attempts}) < 2:
        return []
    longest: list[Judged] = []
    row: list[Judged] = []
    for a in sorted(attempts, key=lambda a: a.first):
        if not row or row[-1].key == a.key or abs(row[-1].last - a.first) > TURN:
            row = []
        row.append(a)
        if len(row) > len(longest):
            longest = list(row)
    return longest if len(longest) > TURNS else []


def thrown_out(turns: Sequence[Judged]) -> Finding:
    """That they throw each other out. ``turns``: :func:`in_turns`."""
    ended = len(turns) - 1
    return replace(
        finding(
            "path.two-clients-one-nat",
            Evidence(
                f"{ended} times in a row a session ends as that of the other client begins",
                turns[0].first,
                tuple(n for a in turns[:MOST_SHOWN] for n in a.frames[:1]),
            ),
            detail=f"Two clients behind the address {turns[0].client} end each other's sessions: "
            f"{ended} times in a row one was over as the other began.",
            severity="warning",
            confidence="medium",
            causes=_THROWN_OUT,
        ),
        owner="gateway-admin",
    )


def note(one: Judged, others: Sequence[Judged]) -> Finding | None:
    """That there is one. ``others``: :func:`beside`."""
    if not others:
        return None
    failed = one.diagnosis.verdict.outcome == "failed"
    return finding(
        "path.two-clients-one-nat",
        Evidence(
            f"another client connects from {one.client} at the same time",
            others[0].first,
            others[0].frames,
        ),
        detail=f"Two clients behind the address {one.client} use this gateway at the same time.",
        severity="warning" if failed else "info",
        confidence="high",
    )


def blamed(one: Judged, others: Sequence[Judged]) -> Judged:
    """``one``, which failed: a cause that needs a neighbour comes first where one got through what
    failed here, so that the gateway's service is there."""
    code, layer = one.diagnosis.verdict.finding, one.diagnosis.verdict.layer
    found = next((f for f in one.diagnosis.findings if f.code == code), None)
    if found is None or layer is None or not any(needs_neighbour(c) for c in found.causes):
        return one
    served = [a for a in others if a.first < one.first and _passed(a, layer)]
    if not served:
        return one
    first = [replace(c, likelihood="likely") for c in found.causes if needs_neighbour(c)]
    rest = [
        replace(c, likelihood="possible") if c.likelihood == "likely" else c
        for c in found.causes
        if not needs_neighbour(c)
    ]
    seen = Evidence(
        f"another client at {one.client} was served before, and is connected still",
        served[0].first,
        served[0].frames,
    )
    more = replace(found, causes=(*first, *rest), evidence=(*found.evidence, seen))
    findings = tuple(more if f is found else f for f in one.diagnosis.findings)
    return replace(one, diagnosis=replace(one.diagnosis, findings=findings))


def _passed(other: Judged, layer: str) -> bool:
    """Whether this client's packets came back where the failure is, or inside ESP where the inside
    cannot be read."""
    inside = ("esp", "l2tp", "lcp")
    return any(
        x.status in ("passed", "warning") and (x.id == layer or (x.id == "esp" and layer in inside))
        for x in other.diagnosis.layers
    )
