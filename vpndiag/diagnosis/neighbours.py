"""Another client with the same address at the same time: both are behind one NAT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vpndiag.diagnosis.judged import Judged
from vpndiag.diagnosis.nat import needs_neighbour
from vpndiag.diagnosis.ruling import finding
from vpndiag.report.model import Evidence, Finding


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
