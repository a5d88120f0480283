"""Message 5 is sent again and again, and nothing answers it: the key, the port, or the path."""

from __future__ import annotations

from vpndiag.diagnosis import auth_causes, loss, outer_mtu
from vpndiag.diagnosis.ike_sa import INVALID_COOKIE, IkeSa
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times, tried
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage
from vpndiag.report.model import Cause, Confidence, Evidence

AT_ONCE = 1.0
"""Seconds in which no gateway has given up a client whose message 5 it waits for."""


def judge(
    view: View,
    sa: IkeSa,
    certificate: bool,
    said: list[Evidence],
    sent: list[IkeMessage],
    repeated4: list[IkeMessage],
) -> Ruling:
    silence = view.unanswered(sent)
    if silence is None or not view.conclusive(silence):
        why = "interrupted" if view.interrupted else "too short to tell"
        return rule("auth", "inconclusive", summary=why, seen=sa.messages)
    lost = loss.silence(view, "auth", sent)
    if lost is not None:
        return lost
    dropped = said[1:]
    said = [evidence(f"message 5 sent {tried(silence.tries, silence.seconds)}, "
                     "never answered", silence.first, silence.last), *dropped]  # fmt: skip
    floated = any(m.port == 4500 for m in sent)
    proven = [m for s in view.others for m in s.answers if m.port == 4500]
    if proven:
        said.append(evidence("UDP 4500 itself answers a fresh IKE message", proven[0]))
    if repeated4:
        said.append(evidence(f"the gateway repeats message 4, {times(len(repeated4))}", *repeated4))
    fragments = outer_mtu.fragments(view)
    large = bool(sent) and outer_mtu.is_large(sent[0])
    if (large and fragments != "pass") or (certificate and fragments == "lost"):
        return _lost_in_fragments(view, sa, sent[0], said)
    if certificate:
        said += outer_mtu.said(view)
    gone = view.gone_since(sent[0].t) if floated else []
    if gone:
        said.append(evidence(f"a fresh IKE message to UDP 500, sent {times(len(gone))}, is not "
                             "answered any more either", *gone))  # fmt: skip
        return _failed(
            sa, "auth.unanswered", said, auth_causes.gateway_gone(),
            "The gateway falls silent altogether at message 5: new questions are not answered "
            "either.", "the gateway falls silent",
        )  # fmt: skip
    if certificate:
        return _failed(
            sa, "auth.certificate-refused", said,
            auth_causes.either_refused_or_lost(fragments == "pass"),
            "The gateway falls silent after this computer showed its certificate.",
        )  # fmt: skip
    stranger = [
        m for m in sa.messages
        if floated and m.direction == "in" and m.port == 4500 and 0 <= m.t - sent[0].t <= AT_ONCE
        and any(n.type == INVALID_COOKIE for n in m.notifies) and m.protection == "clear"
    ]  # fmt: skip
    if stranger:
        return _failed(
            sa, "auth.unanswered", said, auth_causes.another_machine(),
            "What answers on UDP 4500 does not know the IKE SA that was begun on UDP 500 a moment "
            "before (INVALID-COOKIE).", "UDP 4500 does not know this IKE SA",
        )  # fmt: skip
    told = bool(proven) or not floated
    code = "auth.psk-mismatch" if repeated4 or told else "auth.unanswered"
    detail = (
        "The pre-shared key is most likely wrong: the gateway stops answering at message 5, the "
        "first that depends on it."
        if code == "auth.psk-mismatch"
        else "The gateway stops answering at message 5: the pre-shared key is wrong, or UDP 4500 "
        "is blocked."
    )
    return _failed(
        sa, code, said, () if told else auth_causes.either_key_or_port(), detail,
        confidence="high" if told and repeated4 else "medium",
    )  # fmt: skip


def _failed(
    sa: IkeSa,
    code: str,
    said: list[Evidence],
    causes: tuple[Cause, ...],
    detail: str,
    summary: str = "no answer to message 5",
    confidence: Confidence = "medium",
) -> Ruling:
    found = finding(code, *said, detail=detail, causes=causes, confidence=confidence)
    return rule("auth", "failed", found, summary=summary, seen=sa.messages)


def _lost_in_fragments(view: View, sa: IkeSa, sent: IkeMessage, said: list[Evidence]) -> Ruling:
    """Message 5, or the answer to it, needs fragments."""
    large = outer_mtu.is_large(sent)
    lost = outer_mtu.fragments(view) == "lost"
    if large:
        said.append(evidence(f"message 5 has {sent.size} bytes and travels in IP fragments", sent))
    said += outer_mtu.said(view)
    detail = "The large message with the certificate does not arrive."
    if not large:
        detail = (
            "Fragments do not pass between here and the gateway; its answer with the certificate "
            "most likely needs them."
        )
    return rule(
        "path",
        "failed",
        finding("path.fragments-lost", *said, detail=detail,
                confidence="high" if large and lost else "medium"),
        summary="large IKE messages are lost",
        seen=sa.messages,
    )  # fmt: skip
