"""``path.lossy``: packets are lost on the way, whatever else is well; or so many that silence to
a question says nothing of the gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vpndiag.diagnosis.renewals import held_up
from vpndiag.diagnosis.ruling import Ruling, at_frames, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import (
    EspFlow,
    IkeMessage,
    InsidePing,
    L2tpMessage,
    Observation,
    PppMessage,
)
from vpndiag.report.model import Cause, Evidence, Finding

LOSS = 0.03
"""Share of packets of a long session from which on loss is told."""
LOSS_OF_PINGS = 0.02
LEAST_PINGS = 15
SLACK = 0.2
"""Seconds that an answer may take beyond twice the shortest round trip: gateways have to think, and
nobody repeats a question sooner than after 0.35 s."""
LONGEST = 4.0
"""The most of that: twice the round trip over two satellites, and then some."""


def finding_of(view: View) -> Finding | None:
    """The best measure that there is: a soak, echo requests to the gateway, gaps in ESP's numbers,
    and what had to be sent again."""
    if view.running:
        return None
    if view.soak is not None:
        return _by_soak(view)
    found = _by_pings(view) or _by_numbers(view) or _by_repeats(view)
    return None if found is not None and _stalled(view) else found


def _stalled(view: View) -> bool:
    """Packets were held up while keys were renewed, which is told by itself (``rekey-stall``), and
    nothing else shows that any are lost."""
    if _repeated(view):
        return False
    return held_up(view) is not None or any(r.done is None for r in view.renewals)


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
        if any(m.direction == "in" and m.t <= p.t for m in view.goodbyes if _for_good(m)):
            continue  # the gateway answers no more
        if lost >= 2 and lost / sent >= LOSS_OF_PINGS:
            return finding(
                "path.lossy",
                evidence(f"{lost} of {sent} echo requests to the gateway through the tunnel were "
                         "not answered", p),
                detail=f"{lost / sent:.0%} of the echo requests through the tunnel, or of their "
                "answers, are lost or come too late.",
                severity="warning",
                confidence="high" if _repeated(view) else "medium",
            )  # fmt: skip
    return None


def mostly(view: View) -> bool:
    """Most echo requests to the gateway through the tunnel are lost: another silence inside says
    nothing of who is asked."""
    return any(
        p.role == "peer" and p.sent >= LEAST_PINGS and p.received < p.sent / 2
        for p in view.of(InsidePing)
    )


def _for_good(m: IkeMessage | L2tpMessage | PppMessage) -> bool:
    """Not one of the SAs that SoftEther tidies up beside a session."""
    return not isinstance(m, IkeMessage) or any(d.startswith("ISAKMP") for d in m.deletes)


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
    repeats = len(_repeated(view))
    if repeats < 2:
        return None
    return finding(
        "path.lossy",
        evidence(f"{repeats} messages had to be sent more than once"),
        detail="Packets are lost on the way, or held up for long.",
        severity="warning",
        confidence="medium",
    )


_Asked = IkeMessage | L2tpMessage


def _repeated(view: View) -> list[tuple[Sequence[_Asked], _Asked]]:
    """Steps that were repeated and answered in the end, and the answer: loss, not refusal. Not a
    slow gateway, which answers each of the repeats, nor a long way, on which every answer takes as
    long."""
    usual = _usual(view)
    return [
        (tries, answers[0])
        for tries, answers in _steps(view)
        if tries and answers and _lost(tries, answers, usual)
    ]


def _usual(view: View) -> float:
    """Seconds that an answer may take here."""
    trips = [answers[0].t - tries[0].t for tries, answers in _steps(view) if tries and answers]
    pings = [trip for p in view.of(InsidePing) if p.role == "peer" for trip in p.round_trips]
    usual = 2 * min([*trips, *pings], default=0.0) + SLACK
    return min(max([usual, *(1.2 * trip for trip in pings)]), LONGEST)


def _steps(view: View) -> Iterator[tuple[Sequence[_Asked], Sequence[_Asked]]]:
    """Questions of the client, repeats included, with the gateway's answers."""
    for sa in view.ike_sas:
        for ask, answer in (("MM1", "MM2"), ("MM3", "MM4"), ("MM5", "MM6"), ("QM1", "QM2")):
            yield sa.of("out", ask), sa.of("in", answer)
    for ask, answer in (("SCCRQ", "SCCRP"), ("ICRQ", "ICRP")):
        yield view.l2tp_of("out", ask), view.l2tp_of("in", answer)


def _lost(tries: Sequence[_Asked], answers: Sequence[_Asked], usual: float) -> bool:
    if len(answers) >= len(tries) or answers[0].t - tries[0].t <= usual:
        return False
    return any(m.repeat and m.t < answers[0].t for m in tries)


MANY, VERY_MANY = 4, 8
"""Tries that a question needs where packets are lost by the dozen: seen twice, or once of the
second."""
UNHEARD = 2
"""Repeats of quick mode message 2 behind message 3: a responder leaves off as soon as that comes
(RFC 2409 section 5.5)."""
LEAVES_OFF = 2.5
"""Silence, in terms of the last wait between two repeats, from which on it has left off: waits
double at most (strongSwan: 4, 7, 13 s; Libreswan: 0.5, 1, 2, 4 s)."""


def silence(view: View, layer: str, tries: Sequence[Observation]) -> Ruling | None:
    """What to say of a question of ``layer`` that was asked in vain, where loss alone explains
    that: others needed half as many tries, or as much time, or the gateway shows by its repeats
    that it does not hear the client. None: loss does not explain it."""
    detail = (
        "Most packets are lost on the way: what little is answered had to be sent many times. That "
        "the rest is not answered says nothing of the gateway."
    )
    said = _hardly_answered(view, tries)
    if not said:
        said = _not_heard(view)
        detail = (
            "What the client sends hardly gets to the gateway any more: it asks again and again "
            "for what the client answers each time."
        )
    if not said:
        return None
    why = "not answered; most packets are lost on the way"
    own = rule(layer, "inconclusive", summary=why, seen=tries).layer
    asked = evidence(f"what is not answered was sent {times(_count(tries))}", tries[0],
                     tries[-1])  # fmt: skip
    return rule(
        "path",
        "failed",
        finding(
            "path.lossy",
            *said,
            asked,
            detail=detail,
            confidence="medium",
            causes=_LIMITED if _began_well(view) else (),
        ),
        summary="most packets are lost",
        seen=tries,
        own=None if layer == "path" else own,
    )


def _began_well(view: View) -> bool:
    """Messages 1 and 3 were answered at the first try: what loses packets at random does not begin
    with the fifth."""
    return any(
        all(len(sa.of("out", step)) == 1 for step in ("MM1", "MM3")) and sa.step("MM4")
        for sa in view.ike_sas
    )


_LIMITED = (
    Cause("A firewall on the way lets only so many packets a second through, or shuts a sender "
          "out after the first few (flood protection)", "network",
          "Raise the limit for UDP 500 and 4500, or except the VPN from it", "likely"),
    Cause("The gateway limits the rate of packets, or is overloaded", "gateway-admin",
          "Look at its CPU and its limits", "possible"),
    Cause("The line became bad just then: weak Wi-Fi or mobile reception, overload", "user",
          "Move closer, or use a cable", "possible"),
)  # fmt: skip


def _count(tries: Sequence[Observation]) -> int:
    return sum(o.packets if isinstance(o, EspFlow) else 1 for o in tries)


def _hardly_answered(view: View, tries: Sequence[Observation]) -> list[Evidence]:
    needed = [(_until(asked, answer), answer) for asked, answer in _repeated(view)]
    hard = [(asked, answer) for asked, answer in needed if len(asked) >= MANY]
    most = max((len(asked) for asked, _ in hard), default=0)
    longest = max((answer.t - asked[0].t for asked, answer in hard), default=0.0)
    rare = len(hard) >= 2 or most >= VERY_MANY
    waited = view.end - tries[0].t
    if not rare or (_count(tries) >= 2 * most and waited >= 2 * longest):
        return []
    return [
        evidence(f"{_name(asked[0])} had to be sent {times(len(asked))} before an answer came",
                 asked[0], answer)
        for asked, answer in hard[:3]
    ]  # fmt: skip


def _until(asked: Sequence[_Asked], answer: _Asked) -> list[_Asked]:
    return [m for m in asked if m.t <= answer.t]


def _name(m: _Asked) -> str:
    if isinstance(m, L2tpMessage):
        return f"L2TP {m.message}"
    what = {"MM1": "message 1", "MM3": "message 3", "MM5": "message 5"}.get(m.step, "quick mode")
    return f"{what} (UDP {m.port})"


def _not_heard(view: View) -> list[Evidence]:
    """The gateway repeats quick mode message 2, and the client answers each time."""
    for sa in view.ike_sas:
        third = sa.of("out", "QM3")
        if len(third) < UNHEARD:
            continue
        since = third[0].t + _usual(view)
        again = [m for m in sa.of("in", "QM2") if m.repeat and m.t > since]
        if len(again) < UNHEARD:
            continue
        if view.end - again[-1].t <= LEAVES_OFF * (again[-1].t - again[-2].t):
            return [
                evidence(f"the gateway repeats quick mode message 2, {times(len(again))}, though "
                         f"message 3 is sent {times(len(third))}: it does not come to the gateway",
                         third[0], *again)
            ]  # fmt: skip
    return []


_MADE_OF_SILENCE = {
    *("ike.stalled", "auth.unanswered", "ipsec.unanswered", "esp.no-return", "l2tp.no-answer"),
    "l2tp.call-unanswered",
    *("lcp.no-answer", "lcp.hung-up", "login.no-answer", "login.hung-up"),
    *("address.no-answer", "address.hung-up", "address.pool-empty"),
}
"""Findings that lost packets may bring about: an answer that never comes, or a gateway that gives
up a client of which it hears too little."""
_LOSS = Cause("So many packets are lost on the way that this may be nothing else", "network",
              "Try from another network; look for a limit of packets a second, and flood "
              "protection, on the way", "likely")  # fmt: skip


def doubted(findings: list[Finding]) -> list[Finding]:
    """``findings``; where packets are lost as well, less sure of what may be just that."""
    if all(f.code != "path.lossy" for f in findings):
        return findings
    return [
        replace(f, confidence="medium" if f.confidence == "high" else f.confidence,
                causes=(_LOSS, *f.causes))
        if f.code in _MADE_OF_SILENCE and f.severity == "error" else f
        for f in findings
    ]  # fmt: skip
