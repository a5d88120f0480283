"""``path.lossy``: packets are lost on the way, whatever else is well."""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.diagnosis.ruling import at_frames, evidence, finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, InsidePing, L2tpMessage
from vpndiag.report.model import Finding

LOSS = 0.03
"""Share of packets of a long session from which on loss is told."""
LOSS_OF_PINGS = 0.02
LEAST_PINGS = 15


def finding_of(view: View) -> Finding | None:
    """The best measure that there is: a soak, echo requests to the gateway, gaps in ESP's numbers,
    and what had to be sent again."""
    if view.running:
        return None
    if view.soak is not None:
        return _by_soak(view)
    return _by_pings(view) or _by_numbers(view) or _by_repeats(view)


def _by_soak(view: View) -> Finding | None:
    soak = view.soak
    # What is silent at the end is another matter.
    if soak is None or soak.silent_for or soak.sent < 20 or soak.lost < 3 or soak.loss < LOSS:
        return None
    return finding(
        "path.lossy",
        evidence(f"{soak.lost} of {soak.sent} echo requests through the tunnel were not "
                 "answered", soak),
        detail=f"{soak.loss:.0%} of the packets through the tunnel are lost.",
        severity="warning",
    )  # fmt: skip


def _by_pings(view: View) -> Finding | None:
    """Echo requests to the gateway itself, counted from the first that was answered."""
    for p in view.of(InsidePing):
        sent = p.sent - p.lost_first
        lost = sent - p.received
        if p.role != "peer" or not p.alive or sent < LEAST_PINGS:
            continue
        if lost >= 2 and lost / sent >= LOSS_OF_PINGS:
            return finding(
                "path.lossy",
                evidence(f"{lost} of {sent} echo requests to the gateway through the tunnel were "
                         "not answered", p),
                detail=f"{lost / sent:.0%} of the echo requests through the tunnel, or of their "
                "answers, are lost.",
                severity="warning",
                confidence="high" if _answered_repeats(view) else "medium",
            )  # fmt: skip
    return None


def _by_numbers(view: View) -> Finding | None:
    """Of one way, which is all that one end can see."""
    flows = [f for f in view.esp if f.missing]
    missing = sum(f.missing for f in flows)
    total = sum(f.packets + f.missing for f in flows)
    # More missing than there are: numbers that jump, or a capture of a part.
    if missing < 5 or total < 100 or not LOSS <= missing / total <= 0.5:
        return None
    return finding(
        "path.lossy",
        at_frames(
            f"{missing} of {total} ESP packets are missing: gaps in their numbers, before "
            "these packets",
            flows[0].t,
            [n for f in flows for n in f.gap_frames or f.frames],
        ),
        detail=f"{100 * missing / total:.0f}% of the encrypted packets are missing.",
        severity="warning",
        confidence="medium",
    )


def _by_repeats(view: View) -> Finding | None:
    again, total = view.retransmissions
    if total < 4 or again / total < 0.2:
        return None
    repeats = _answered_repeats(view)
    if repeats < 2:
        return None
    return finding(
        "path.lossy",
        evidence(f"{repeats} messages had to be sent more than once"),
        detail="Packets are being lost on the way.",
        severity="warning",
        confidence="medium",
    )


def _answered_repeats(view: View) -> int:
    """Steps that were repeated and answered in the end: loss, not refusal. And not a slow gateway,
    which answers each of the repeats."""
    count = 0
    for sa in view.ike_sas:
        for ask, answer in (("MM1", "MM2"), ("MM3", "MM4"), ("MM5", "MM6"), ("QM1", "QM2")):
            tries = [m for m in sa.step(ask) if m.direction == "out"]
            count += _lost(tries, [m for m in sa.step(answer) if m.direction == "in"])
    for ask, answer in (("SCCRQ", "SCCRP"), ("ICRQ", "ICRP")):
        count += _lost(view.l2tp_of("out", ask), view.l2tp_of("in", answer))
    return count


def _lost(tries: Sequence[IkeMessage | L2tpMessage],
          answers: Sequence[IkeMessage | L2tpMessage]) -> bool:  # fmt: skip
    if not answers or len(answers) >= len(tries):
        return False
    return any(m.repeat and m.t < answers[0].t for m in tries)
