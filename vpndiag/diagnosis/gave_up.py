"""Failures that only the client itself could see: it checks the gateway's proof and leaves.

A live run says what it checked. A capture shows that the client left right behind the message with
the proof, which is nearly as good.
"""

from __future__ import annotations

from itertools import pairwise

from vpndiag.diagnosis import ppp
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.unrecorded import REPLIES
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, PppMessage
from vpndiag.report.model import Cause, Evidence

SOON = 2.0
"""Seconds within which a client leaves because of what it has just read."""


def judge(layer: str, view: View) -> Ruling | None:
    if view.running:
        return None
    if layer == "auth":
        return _after_message_6(view)
    if layer == "l2tp":
        return _after_challenge_response(view)
    if layer == "login":
        return _after_success(view)
    return None


def _after_message_6(view: View) -> Ruling | None:
    """Message 6 came, and in place of quick mode the client leaves or repeats message 5."""
    sa = view.primary
    if sa is None or not sa.by_client or any(f.packets for f in view.esp):
        return None
    last = [m for m in sa.of("in", "MM6") if not m.repeat]
    told = _told(sa.messages, last[0]) if last else None
    if told is not None:
        return told
    if not last or any(c.problem for c in view.certificates if c.direction == "in"):
        return None
    if any(m.step.startswith(("QM", "CONFIG")) for m in sa.messages):
        return None
    if _lives_on(sa.messages, last[0].t):
        return None
    farewell = _farewell(sa.messages, last[0])
    said = farewell or _asked_again(sa.messages, last[0])
    # A gateway that answers the farewell with one of its own (Libreswan) has refused nothing.
    left = next((m.t for m in sa.messages if m.t >= last[0].t and m.direction == "out"), view.end)
    if said is None or any(
        m.direction == "in" and m.step == "INFO" and m.t < left for m in sa.messages
    ):
        return None
    certificate = any(c.direction == "in" for c in view.certificates) or sa.by_certificate
    if not certificate and _may_be_greeting(view, sa.messages, last[0].t):
        return None
    if not certificate and farewell is None and sa.step("MM5")[0].port == 4500:
        return None  # one key proves both sides: message 6 does not get there (vantage)
    if certificate:
        found = finding(
            "auth.certificate-untrusted",
            evidence("message 6 with the gateway's certificate", last[0]),
            said,
            detail="The client leaves right after it has seen the gateway's certificate.",
            confidence="medium",
            causes=_CERTIFICATE_CAUSES,
        )
    else:
        found = finding(
            "auth.gateway-unproven",
            evidence("message 6 came", last[0]),
            said,
            detail="The client does not accept the gateway's proof or identity in message 6.",
            confidence="medium",
            causes=_UNPROVEN_CAUSES if farewell is None else _LEFT_CAUSES,
        )
    return rule("auth", "failed", found, summary="the client does not accept message 6",
                seen=sa.messages)  # fmt: skip


def _lives_on(messages: list[IkeMessage], since: float) -> bool:
    """The client answers what the gateway asks in this SA later."""
    infos = [m for m in messages if m.step == "INFO" and m.t > since + SOON]
    return any(
        asked.direction == "in" and said.direction == "out" and said.t - asked.t <= SOON
        for asked, said in pairwise(infos)
    )


def _may_be_greeting(view: View, messages: list[IkeMessage], since: float) -> bool:
    """One encrypted notification, and the capture ends: racoon (macOS, iOS, Android) says
    INITIAL-CONTACT so (RFC 2407 section 4.6.3.3), and quick mode follows."""
    after = [m for m in messages if m.direction == "out" and m.t >= since]
    one = len(after) == 1 and after[0].step == "INFO" and after[0].protection == "opaque"
    return one and view.end - after[0].t < SOON


def _told(messages: list[IkeMessage], proof: IkeMessage) -> Ruling | None:
    """The client says what is wrong with the gateway's proof (RFC 2408 sections 5.8 to 5.12)."""
    for m in messages:
        if m.direction != "out" or m.t < proof.t:
            continue
        for n in m.notifies:
            if n.type not in _SAYS:
                continue
            code, detail = _SAYS[n.type]
            return rule(
                "auth",
                "failed",
                finding(code, evidence("message 6 with the gateway's proof", proof),
                        evidence(f"the client answers {n.name}", m), detail=detail),
                summary=detail.rstrip("."),
                seen=messages,
            )  # fmt: skip
    return None


_SAYS = {
    25: ("auth.certificate-bad-signature",
         "The client says that the gateway's signature does not fit its certificate."),
    22: ("auth.certificate-untrusted",
         "The client says that it does not trust the authority behind the gateway's certificate."),
    23: ("auth.gateway-unproven",
         "The client says that the gateway's proof does not fit the key exchange."),
}  # fmt: skip
_UNPROVEN_CAUSES = (
    Cause("The gateway proves itself with another key than the client has",
          "gateway-admin", "Enter the key again on both sides", "likely"),
    Cause("Message 6 is lost between the place of this capture and the client",
          "network", "Capture at the client as well", "possible"),
)  # fmt: skip
_LEFT_CAUSES = (
    Cause("The gateway calls itself by another name or address than the client expects: its "
          "private address, where it is behind a NAT", "gateway-admin",
          "Compare the identity that it sends with what clients are set to (strongSwan: leftid, "
          "rightid)", "likely"),
    Cause("The user, or a program of the computer, cancelled the connection", "helpdesk",
          "Try again", "possible"),
    Cause("The gateway's proof is wrong: a fault in its software, or somebody in its place",
          "gateway-admin", "Look in the client's log for a hash that does not match", "unlikely"),
)  # fmt: skip
_CERTIFICATE_CAUSES = (
    Cause("This client does not trust the authority that issued the gateway's certificate",
          "helpdesk", "Install the authority's root certificate for computers", "likely"),
    Cause("The certificate is for another name than the client was told to connect to",
          "gateway-admin", "Issue it for the name that users enter", "possible"),
    Cause("The gateway signed with a key that does not belong to the certificate it sends",
          "gateway-admin", "Give the gateway certificate and key of one pair", "unlikely"),
)  # fmt: skip


def _farewell(messages: list[IkeMessage], proof: IkeMessage) -> Evidence | None:
    """An INFORMATIONAL in place of quick mode."""
    said = [
        m for m in messages
        if m.direction == "out" and m.step == "INFO" and 0 <= m.t - proof.t <= SOON
    ]  # fmt: skip
    if not said:
        return None
    names = ", ".join(n.name for m in said for n in m.notifies) or (
        "Delete" if any(m.deletes for m in said) else "an encrypted message"
    )
    return evidence(f"the client answers it with {names} and goes no further", *said)


def _asked_again(messages: list[IkeMessage], proof: IkeMessage) -> Evidence | None:
    again = [m for m in messages if m.step == "MM5" and m.direction == "out" and m.t >= proof.t]
    if len(again) < 2:
        return None
    return evidence(f"the client repeats message 5 all the same, {times(len(again))}", *again)


def _after_challenge_response(view: View) -> Ruling | None:
    """StopCCN 4 from the client behind a SCCRP that answers its Challenge (RFC 2661 5.1.1)."""
    answered = [m for m in view.l2tp_of("in", "SCCRP") if m.challenge_response]
    refused = [m for m in view.l2tp_of("out", "StopCCN") if m.result_code == 4]
    if not answered or not refused or view.l2tp_of("out", "SCCCN"):
        return None
    if not 0 <= refused[0].t - answered[0].t <= SOON:
        return None
    return rule(
        "l2tp",
        "failed",
        finding(
            "l2tp.secret-mismatch",
            evidence("the gateway answers the client's Challenge", answered[0]),
            evidence("the client does not accept it: StopCCN, result 4", refused[0]),
            detail="The tunnel secrets of the two sides differ.",
        ),
        summary="tunnel secrets differ",
        seen=view.l2tp,
    )


def _accepted(view: View) -> PppMessage | None:
    """The server's acceptance with its proof: Success of MS-CHAPv2, alone or in EAP. Other methods
    have nothing in it that a client could check; and EAP's own Success comes once the client has
    taken the proof."""
    good = ppp.success(view)
    if good:
        proof = good[-1].method == "MS-CHAPv2" or good[-1].message.startswith("S=")
        return good[-1] if good[-1].protocol == "CHAP" and proof else None
    claims = [
        m for m in view.ppp
        if m.direction == "in" and m.protocol == "EAP" and m.method == "MS-CHAPv2"
        and m.code == "Request" and m.message.startswith("S=")
    ]  # fmt: skip
    return claims[-1] if claims else None


def _after_success(view: View) -> Ruling | None:
    """The server accepts the login, and the client leaves before it says anything else."""
    refused = view.ppp_of("CHAP", "out", "Failure")
    if refused:
        return _answer_refused(view, refused[0])
    asked = view.ppp_of("CHAP", "out", "Challenge")
    if asked and not view.ppp_of("CHAP", "out", "Success"):
        return _not_proved(view, asked)
    accepted = _accepted(view)
    if accepted is None:
        return None
    if not any(m.code.startswith("Configure-") for m in view.ppp_of("LCP")):
        return None  # it may be a login that was asked for once more, much later
    left = ppp.left(view, accepted.t)
    if left is None or left.t - accepted.t > SOON or _went_on(view, accepted.t, left.t):
        return None
    return rule(
        "login",
        "failed",
        finding(
            "login.server-unproven",
            evidence("the server accepts the login", accepted),
            evidence(f"the client ends with {ppp.how(left)} at once", left),
            detail="The client leaves although its login is accepted: it does not accept the "
            "server's proof that it knows the password.",
            confidence="medium",
        ),
        summary="the client leaves after its login is accepted",
        seen=[accepted, left],
    )


def _not_proved(view: View, asked: list[PppMessage]) -> Ruling | None:
    """The client has a Challenge of its own, and leaves without an answer that it takes."""
    left = ppp.left(view, asked[0].t)
    if left is None or ppp.network(view) or (len(asked) < _INSISTS and not left.message):
        return None
    answers = [m for m in view.ppp_of("CHAP", "in", "Response") if m.t <= left.t]
    said = "answers, which the client does not take" if answers else "does not answer"
    detail = f"The client wants the gateway to prove itself by CHAP; the gateway {said}."
    return rule(
        "login",
        "failed",
        finding(
            "login.server-unproven",
            evidence(f"the client asks the gateway to log in, CHAP Challenge {times(len(asked))}",
                     *asked),
            *(evidence("the gateway's answer", m) for m in answers[-1:]),
            evidence(f"the client ends with {ppp.how(left)}", left),
            detail=detail,
            causes=_MUTUAL,
        ),
        summary=detail.rstrip("."),
        seen=[*asked, *answers[-1:], left],
    )  # fmt: skip


def _answer_refused(view: View, refused: PppMessage) -> Ruling:
    """The client has a Challenge of its own (RFC 1994 section 4.1), and the gateway's answer does
    not fit."""
    answers = [m for m in view.ppp_of("CHAP", "in", "Response") if m.t <= refused.t]
    said = f', "{refused.message}"' if refused.message else ""
    detail = "The client wants the gateway to prove itself by CHAP, and does not accept its answer."
    return rule(
        "login",
        "failed",
        finding(
            "login.server-unproven",
            *(evidence("the gateway answers the client's Challenge", m) for m in answers[-1:]),
            evidence(f"the client answers CHAP Failure{said}", refused),
            detail=detail,
            causes=_MUTUAL,
        ),
        summary=detail.rstrip("."),
        seen=[*answers[-1:], refused],
    )


_INSISTS = 2
"""Challenges of a client that leaves without a word, from which on it is for want of an answer."""
_MUTUAL = (
    Cause("The secret that the client has for this server is another one than the server's (pppd: "
          "chap-secrets), or is not wanted at all", "helpdesk",
          "pppd: noauth, unless the server is to log in as well; then the same secret on both "
          "sides", "likely"),
)  # fmt: skip


def _went_on(view: View, since: float, until: float) -> bool:
    """The client answered the acceptance, or began with the network phase, as the gateway's answer
    to that or users' data show as well: it had no objection."""
    if view.ppp_of("IPCP", "out") or view.ppp_of("IPV6CP", "out") or view.carried is not None:
        return True
    answers = (*REPLIES, "Protocol-Reject")
    if any(m.code in answers for m in view.ppp if m.direction == "in" and m.t >= since):
        return True
    return any(
        m.direction == "out" and since <= m.t < until and m.code != "Terminate-Request"
        for m in view.ppp
    )
