"""The gateway sends an answer again and again, and the client does not go on: it does not take the
answer, or one of the two messages is lost. Captures only; a client that asks anew as well did not
get the answer (``vantage``)."""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.diagnosis import ppp
from vpndiag.diagnosis.gave_up import SOON
from vpndiag.diagnosis.l2tp import reason
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.silence import Unanswered
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, L2tpMessage, Observation
from vpndiag.report.model import Cause, Evidence

OFTEN = 3
"""Times that an answer is sent."""


def judge(layer: str, view: View) -> Ruling | None:
    """The ruling for ``ipsec`` or ``l2tp`` in a capture; None: nobody is waited for."""
    found = _quick_mode(view) if layer == "ipsec" else (_l2tp(view) or _leaves(view))
    if found is None or not view.unrecorded:
        return found
    # The recorder misses packets: that the client went on may be one of them.
    return rule(layer, "inconclusive", summary=found.layer.summary, seen=view.unrecorded)


GONE_WITHIN = 10.0
"""Seconds in which a client that is there answers (dead peer detection, a Delete)."""


def _waits(view: View, answers: Sequence[Observation]) -> Unanswered | None:
    silence = view.unanswered(answers)
    if silence is None or silence.tries < OFTEN or not view.conclusive(silence):
        return None
    return silence


def _quick_mode(view: View) -> Ruling | None:
    """Message 2 of quick mode without message 3, and not one ESP packet."""
    sas = [sa for sa in view.ike_sas if sa.step("QM1")]
    if not sas or any(f.packets for f in view.esp):
        return None
    asked = [m for m in sas[-1].step("QM1") if m.direction == "out"]
    if not asked:
        return None
    mode = asked[-1].message_id
    answers = [m for m in sas[-1].step("QM2") if m.direction == "in" and m.message_id == mode]
    on = [
        m for m in view.ike
        if answers and m.direction == "out" and m.t > answers[0].t and m.step != "INFO"
    ]  # fmt: skip
    if not answers or on or _gone(view, answers[0].t):
        return None
    silence = _waits(view, answers)
    if silence is not None:
        return _stops("ipsec", "quick mode", "message 2", silence, answers)
    left = [
        m for m in view.ike
        if m.step == "INFO" and m.direction == "out" and 0 <= m.t - answers[0].t <= SOON
    ]  # fmt: skip
    return _refuses(answers, left) if left else None


def _gone(view: View, since: float) -> bool:
    """The client says nothing to other questions of the gateway either."""
    info = [m for m in view.ike if m.step == "INFO" and m.t > since]
    asked = [m.t for m in info if m.direction == "in"]
    said = [m.t for m in info if m.direction == "out"]
    return bool(asked) and not any(0 <= t - asked[0] <= GONE_WITHIN for t in said)


def _refuses(answers: list[IkeMessage], left: list[IkeMessage]) -> Ruling:
    names = ", ".join(n.name for m in left for n in m.notifies)
    said = names or ("a Delete" if any(m.deletes for m in left) else "an encrypted message")
    return rule(
        "ipsec",
        "failed",
        finding(
            "ipsec.client-stops",
            evidence("the gateway answers quick mode", answers[0]),
            evidence(f"the client answers with {said} in place of message 3, and sends no ESP",
                     *left[:2]),
            detail="The client does not accept the gateway's answer in quick mode.",
            confidence="high" if names else "medium",
        ),
        summary="the client does not accept message 2",
        seen=[*answers, *left],
    )  # fmt: skip


def _l2tp(view: View) -> Ruling | None:
    for answer, following in (
        ("SCCRP", ("SCCCN", "StopCCN", "ICRQ")),
        ("ICRP", ("ICCN", "CDN", "StopCCN")),
    ):
        answers: list[L2tpMessage] = view.l2tp_of("in", answer)
        if not answers or view.ppp or view.l2tp_of("out", *following):
            continue
        silence = _waits(view, answers)
        if silence is not None:
            what = "the tunnel" if answer == "SCCRP" else "the call"
            return _stops("l2tp", what, answer, silence, answers)
    return None


_NO_PPP = (
    Cause("The computer's PPP program did not start or ended at once (xl2tpd: pppd's options)",
          "helpdesk", "Look in the computer's log at the time given (pppd, RasClient)", "likely"),
    Cause("The user, or a program of the computer, cancelled the connection", "helpdesk",
          "Try again", "possible"),
)  # fmt: skip
_NOT_TAKEN = (
    Cause("The computer does not accept what the server answers: a tunnel secret, a version, "
          "an attribute", "gateway-admin", "Compare the L2TP settings of both sides with the "
          "client's closing message", "likely"),
    Cause("The user, or a program of the computer, cancelled the connection", "helpdesk",
          "Try again", "possible"),
)  # fmt: skip


def _leaves(view: View) -> Ruling | None:
    """The client itself closes the tunnel or the call, right behind an answer of the gateway and
    before any PPP."""
    answers = view.l2tp_of("in", "SCCRP", "ICRP")
    if not answers or view.ppp or view.data:
        return None
    left = ppp.left(view)
    if not isinstance(left, L2tpMessage):
        return None
    before = [m for m in answers if 0 <= left.t - m.t <= SOON
              and (m.message == "ICRP" or left.message == "StopCCN")]  # fmt: skip
    if not before:
        return None
    if before[-1].challenge and not view.l2tp_of("out", "SCCCN"):
        return None  # it has no tunnel secret
    said = evidence(f"the client ends with {reason(left)}", left)
    answer = evidence(f"the gateway answers with {before[-1].message}", before[-1])
    seen = [*before, left]
    if _unproven(view, before[-1], left):
        return _rule_left(
            "l2tp.secret-mismatch", answer, said, seen,
            "The client wants the gateway to prove that it knows the tunnel secret, and the "
            "gateway does not.",
        )  # fmt: skip
    up = bool(view.l2tp_of("out", "ICCN"))
    detail = (
        "The call is up, and the client ends it before it says anything in PPP."
        if up
        else f"The client does not go on after the gateway's {before[-1].message}: it ends with "
        f"{reason(left)}."
    )
    causes = _NO_PPP if up else _NOT_TAKEN
    return _rule_left("l2tp.client-stops", answer, said, seen, detail, causes)


def _unproven(view: View, reply: L2tpMessage, left: L2tpMessage) -> bool:
    """A Challenge of the client that SCCRP does not respond to (RFC 2661 section 5.1.1)."""
    asked = any(m.challenge for m in view.l2tp_of("out", "SCCRQ"))
    return (
        asked
        and reply.message == "SCCRP"
        and not reply.challenge_response
        and left.message == "StopCCN"
    )


def _rule_left(
    code: str,
    answer: Evidence,
    said: Evidence,
    seen: Sequence[Observation],
    detail: str,
    causes: tuple[Cause, ...] = (),
) -> Ruling:
    found = finding(code, answer, said, detail=detail, confidence="medium", causes=causes)
    return rule("l2tp", "failed", found, summary=detail.rstrip("."), seen=seen)


def _stops(
    layer: str, what: str, answer: str, silence: Unanswered, seen: Sequence[Observation]
) -> Ruling:
    return rule(
        layer,
        "failed",
        finding(
            f"{layer}.client-stops",
            evidence(f"the gateway sends {answer} {times(silence.tries)} in {silence.seconds:.1f} "
                     "s; the client neither goes on nor asks again", *seen),
            detail=f"The gateway answers {what} with {answer}, again and again, and the client "
            "does not go on.",
            confidence="medium",
        ),
        summary=f"the client does not go on after {answer}",
        seen=seen,
    )  # fmt: skip
