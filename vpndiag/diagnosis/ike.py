"""Rung ``ike``: does the gateway pick one of the offered phase 1 transforms?"""

from __future__ import annotations

from vpndiag.diagnosis import aggressive, auth_causes, ike_beside, loss, outer_mtu
from vpndiag.diagnosis.ike_sa import INVALID_COOKIE, INVALID_SPI, IkeSa
from vpndiag.diagnosis.ikev2 import NO_PROPOSAL_CHOSEN
from vpndiag.diagnosis.liveness import says_goodbye
from vpndiag.diagnosis.ruling import (
    Ruling,
    evidence,
    finding,
    listed,
    not_reached,
    rule,
    times,
    tried,
)
from vpndiag.diagnosis.view import ANSWERED, View
from vpndiag.observations import IkeMessage, Observation
from vpndiag.observations.ike import CUT_SHORT
from vpndiag.report.model import Finding

_INVALID_ID = 18


def judge(view: View) -> Ruling:
    if view.plain:
        return not_reached("ike", view.without_ipsec)
    sa = view.primary
    if sa is None:
        return _no_main_mode(view)
    if sa.chosen is not None or sa.reached >= 3:
        return _chosen(view, sa)
    seen: list[Observation] = list(sa.messages)
    notifies = sa.notifies()
    if notifies and not view.running:
        older = not sa.step("MM1", "AM1")
        if older and notifies[0][1].type == INVALID_COOKIE:
            # No message 1 has a cookie of the gateway (RFC 2408 section 2.5.3).
            what = "the gateway does not know the IKE SA that it is asked about, which is older"
            return rule("ike", "inconclusive", summary=what, seen=seen)
        if older and view.esp and {n.type for _, n in notifies} == {INVALID_SPI}:
            return _no_main_mode(view)  # it is about ESP
        return _refused(view, sa, seen)
    if view.running:
        return not_reached("ike", "waiting for the gateway's choice")
    return _silent(view, sa, seen)


def _no_main_mode(view: View) -> Ruling:
    v2 = [s for s in view.ike_sas if s.version == 2]
    if v2:
        return not_reached("ike", "the IKE seen here is version 2")
    if view.esp:
        return not_reached("ike", "the capture does not show the IKE exchange")
    return not_reached("ike", "no IKE message was sent")


def _chosen(view: View, sa: IkeSa) -> Ruling:
    chosen = sa.chosen
    if chosen is not None and sa.foreign_choice and not view.running:
        return _foreign(sa, chosen)
    summary = chosen.transforms[0] if chosen else "agreed before the capture began"
    product = next((m.product for m in sa.answers if m.product), "")
    if product:
        summary += f"; {product}"
    findings: list[Finding] = []
    if chosen is not None and chosen.weak:
        findings.append(
            finding(
                "ike.weak-algorithm",
                evidence(f"the gateway chose {chosen.transforms[0]}", chosen),
                detail=f"Weak: {', '.join(chosen.weak)}.",
                severity="warning",
                confidence="certain",
            )
        )
    expired = _expired_at_once(view, sa)
    if expired is not None:
        return rule(
            "ike", "failed", expired, *findings, summary="SA deleted at once", seen=sa.messages
        )
    useless = _useless(view, sa)
    if useless is not None:
        return rule("ike", "failed", useless, *findings, summary="message 4 cannot be used",
                    seen=sa.messages)  # fmt: skip
    stalled = _stalled(view, sa)
    if stalled is not None:
        lost = loss.silence(view, "ike", sa.step("MM3")) if stalled.code == "ike.stalled" else None
        if lost is not None:
            return lost
        return rule("ike", "failed", stalled, *findings, summary=summary, seen=sa.messages)
    seen = [m for m in sa.messages if m.step in ("MM1", "MM2", "AM1", "AM2")]
    facts = {"transform": chosen.transforms[0]} if chosen else {}
    if product:
        facts["gateway"] = product
    return rule("ike", "passed", *findings, summary=summary, seen=seen, facts=facts)  # fmt: skip


def _foreign(sa: IkeSa, chosen: IkeMessage) -> Ruling:
    picked = "; ".join(chosen.transforms[:3])
    said = [m for m, _ in sa.notifies("out") if m.t >= chosen.t]
    return rule(
        "ike",
        "failed",
        finding(
            "ike.malformed",
            evidence(f"offered: {listed(sa.offered.transforms, 6)}", sa.first),
            evidence(f"the gateway chose {picked}", chosen),
            *([evidence("the client does not take it", *said)] if said else []),
            detail=f"The gateway chose what was not offered ({picked}); a responder has to take "
            "one of the client's transforms as it is.",
        ),
        summary="chose what was not offered",
        seen=sa.messages,
    )


def _expired_at_once(view: View, sa: IkeSa) -> Finding | None:
    """The gateway deletes the IKE SA right after message 6: Libreswan does that when the offer has
    no lifetime or a zero one. What it says after the client has asked for quick mode may as well be
    the answer to that, where nobody can read it."""
    lifetime = sa.offered.lifetime
    zero = sa.first.step == "MM1" and lifetime is not None and not lifetime.seconds
    if not zero:
        return None
    done = sa.of("in", "MM6")
    asked = min((m.t for m in sa.messages if m.step.startswith("QM")), default=view.end)
    gone = [
        m
        for m in sa.messages
        if m.direction == "in" and m.step == "INFO" and done and m.t >= done[0].t
        and (says_goodbye(m) if m.protection == "decrypted" else m.t <= asked)
    ]  # fmt: skip
    if not gone or any(m.step == "QM3" for m in sa.messages) or _esp_in(view):
        return None
    return finding(
        "ike.expired-at-once",
        evidence("the offer carries no lifetime, or zero seconds", sa.first),
        evidence("the gateway completes phase 1 and ends it at once", done[0], gone[0]),
        detail="The gateway accepts the IKE SA with a lifetime of zero and deletes it at once.",
        confidence="high" if gone[0].deletes else "medium",
    )


def _esp_in(view: View) -> bool:
    return any(f.direction == "in" for f in view.esp)


def _useless(view: View, sa: IkeSa) -> Finding | None:
    """Our own run has message 4 and goes on asking for it: the public value or the nonce in it are
    none. In a capture that may as well be lost behind the recorder."""
    answers = sa.of("in", "MM4")
    if not view.live or view.running or sa.reached != 4 or not answers:
        return None
    again = [m for m in sa.of("out", "MM3") if m.repeat and m.t > answers[0].t]
    if len(again) < 2:
        return None
    return finding(
        "ike.malformed",
        evidence("message 4 has no usable key exchange", *answers[:2]),
        evidence(f"message 3 was sent again, {times(len(again))}", *again),
        detail="The gateway's key exchange (message 4) cannot be used.",
        confidence="high",
    )


def _stalled(view: View, sa: IkeSa) -> Finding | None:
    tries = sa.of("out", "MM3")
    if not tries or sa.reached != 3:
        return None
    # An earlier one was about message 1, and the gateway's choice has overtaken it.
    refusal = [(m, n) for m, n in sa.notifies() if m.t >= tries[0].t]
    said_no = [(m, n) for m, n in refusal if n.type != INVALID_COOKIE]
    silence = view.unanswered(tries)
    if said_no or silence is None or not view.conclusive(silence):
        if not refusal or view.running:
            return None
        message, notify = (said_no or refusal)[0]
        return finding(
            "ike.refused",
            evidence(f"{notify.name} in answer to message 3", message),
            detail=f"The gateway answered the key exchange with {notify.name}.",
            causes=auth_causes.forgotten() if notify.type == INVALID_COOKIE else (),
        )
    return finding(
        "ike.stalled",
        evidence(f"message 3 sent {tried(silence.tries, silence.seconds)}, no answer",
                 silence.first, silence.last),
        *(outer_mtu.said(view) if outer_mtu.is_large(tries[0]) else ()),
        detail="The gateway chose a proposal and then stopped answering.",
    )  # fmt: skip


def _refused(view: View, sa: IkeSa, seen: list[Observation]) -> Ruling:
    message, notify = sa.notifies()[0]
    accepted = ike_beside.accepted(view, sa)
    offered = listed(sa.offered.transforms, 6)
    said = [evidence(f"{notify.name} in answer to message 1", message)]
    if notify.type in ike_beside.WRONG_VERSION or any(m.version == 2 for m in sa.answers):
        ruling = ike_beside.other_version(view, seen)
        if ruling is not None:
            return ruling
    if notify.type == NO_PROPOSAL_CHOSEN:
        if accepted is not None:
            return ike_beside.accepts(sa, accepted, refused=True)
        ruling = ike_beside.other_version(view, seen, refused=True)
        if ruling is not None:
            return ruling
        return rule(
            "ike",
            "failed",
            finding(
                "ike.no-proposal-chosen",
                *said,
                evidence(f"offered: {offered}", sa.first),
                detail="The gateway accepts none of the offered IKE proposals.",
            ),
            summary="NO-PROPOSAL-CHOSEN",
            seen=seen,
        )
    if notify.type == _INVALID_ID and sa.aggressive:
        return aggressive.identity_unknown(sa, said)
    return rule(
        "ike",
        "failed",
        finding(
            "ike.refused",
            *said,
            detail=f"The gateway refused the first IKE message: {notify.name}.",
        ),
        summary=notify.name,
        seen=seen,
    )


def _silent(view: View, sa: IkeSa, seen: list[Observation]) -> Ruling:
    """Message 1 is not answered, but the gateway is there in some other way."""
    silence = view.unanswered([m for m in sa.step("MM1", "AM1") if m.direction == "out"])
    if silence is not None and not view.live and silence.seconds < ANSWERED:
        return rule("ike", "inconclusive", summary="no answer yet", seen=seen)
    alike = ike_beside.accepted_alike(view, sa)
    if alike is not None and any(m.direction == "in" and m.port == 500 for m in view.ike):
        return ike_beside.held_off(seen, [alike], "the same offer is accepted on another attempt")
    accepted = ike_beside.accepted(view, sa)
    if accepted is not None:
        return ike_beside.accepts(sa, accepted, refused=False)
    ruling = ike_beside.other_version(view, seen)
    if ruling is not None:
        return ruling
    strange = [m for m in sa.answers if m.step in ("?", "MM2", "AM2")]
    cut = [m for m in strange if CUT_SHORT in m.payloads]
    if cut:
        return rule("ike", "inconclusive", summary="the answer is cut off by the capture (snap "
                    "length)", seen=[*seen, *cut])  # fmt: skip
    if strange:
        return rule(
            "ike",
            "failed",
            finding(
                "ike.malformed",
                evidence("the answer is not a valid IKE message" if strange[0].step == "?"
                         else "the answer chooses no transform", *strange[:2]),
                detail="What comes back is not valid IKE.",
                confidence="medium",
            ),
            summary="malformed answer",
            seen=seen,
        )  # fmt: skip
    if silence is None:
        return not_reached("ike", "the capture does not show the first message")
    if not view.conclusive(silence):
        return rule("ike", "inconclusive", summary="no answer yet", seen=seen)
    return not_reached("ike", "no answer to the first IKE message")
