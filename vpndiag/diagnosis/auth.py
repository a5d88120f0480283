"""Rung ``auth``: do both sides prove the pre-shared key or the certificate?

Main mode messages 1 to 4 do not depend on the key; it enters SKEYID and with it the encryption of
messages 5 and 6 (RFC 2409 section 5). So a stop right after message 5 means a wrong key, an
unknown identity, or UDP 4500 being blocked, and what follows message 5 tells which.
"""

from __future__ import annotations

from vpndiag.diagnosis import aggressive, auth_causes, auth_silence, nat, xauth
from vpndiag.diagnosis.ike_sa import ERROR_NOTIFY_LIMIT, INVALID_COOKIE, IkeSa
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import CertificateSeen, IkeMessage, IkeNotify
from vpndiag.report.model import Evidence

_GARBLED = {1, 16, 23, 10, 11}
"""INVALID-PAYLOAD-TYPE, PAYLOAD-MALFORMED, INVALID-HASH-INFORMATION: what decrypting message 5 with
another key looks like to the gateway."""
_CERTIFICATE = {19, 20, 21, 22, 25, 28}
_IDENTITY = {18}
_AUTHENTICATION_FAILED = 24
_PROBLEMS = {
    "expired": ("auth.certificate-expired", "The gateway's certificate has expired"),
    "not-yet-valid": (
        "auth.certificate-not-yet-valid",
        "The gateway's certificate is not valid yet",
    ),
    "untrusted": ("auth.certificate-untrusted", "The gateway's certificate is not trusted"),
    "name-mismatch": ("auth.certificate-name", "The gateway's certificate is for another name"),
    "bad-signature": ("auth.certificate-bad-signature", "The gateway's signature is wrong"),
    "unreadable": ("auth.certificate-untrusted", "The gateway's certificate cannot be read"),
}  # fmt: skip


def judge(view: View) -> Ruling:
    if view.plain:
        return not_reached("auth", view.without_ipsec)
    bad = [c for c in view.certificates if c.direction == "in" and c.problem]
    if bad:
        return _bad_certificate(bad[0])
    extended = xauth.judge(view)
    if extended is not None:
        return extended
    if view.established or _went_on(view):
        return _passed(view)
    sa = view.primary
    if sa is None:
        if view.esp:
            return not_reached("auth", "the capture does not show the IKE exchange")
        return not_reached("auth", "no IKE main mode")
    sent = sa.of("out", "MM5")
    if sa.aggressive:
        return aggressive.judge(view, sa)
    if not sent and sa.reached < 5:
        if view.scope is not None and not view.scope.credentials:
            return not_reached("auth", "no pre-shared key or certificate given")
        if sa.reached == 4 and not view.running:
            return _stopped_before_proof(view, sa)
        if sa.reached == 3 and not view.live:
            return rule("auth", "inconclusive", summary="the capture ends at message 3",
                        seen=sa.messages)  # fmt: skip
        return not_reached("auth", "phase 1 did not get this far")
    if view.running:
        return not_reached("auth", "waiting for the gateway's proof")
    return _failed(view, sa, sent)


def _went_on(view: View) -> bool:
    """Quick mode or ESP shows that phase 1 succeeded, also when it cannot be read."""
    sa = view.primary
    if sa is None:
        return False
    proof = sa.step("MM5")
    since = proof[0].t if proof else 0.0
    # ESP of an older session says nothing of this phase 1.
    if sa.reached >= 5 and any(f.t >= since for f in view.esp_back):
        return True
    # Neither side begins them before message 6 (RFC 2409 section 5), recorded or not.
    return any(m.step.startswith(("QM", "CONFIG")) for m in sa.messages)


def _passed(view: View) -> Ruling:
    done = view.established[-1] if view.established else None
    sa = view.primary
    seen = [m for m in sa.messages if m.step in ("MM5", "MM6", "AM3")] if sa else []
    exposed = aggressive.exposed(view)
    if done is None:
        return rule("auth", "passed", *exposed, summary="both sides proved themselves", seen=seen)
    summary = f"{done.auth_method or 'proved'}"
    if done.peer_identity:
        summary += f"; gateway is {done.peer_identity}"
    facts = {"identity": done.peer_identity} if done.peer_identity else {}
    return rule("auth", "passed", summary=summary, seen=[*seen, done], facts=facts)


def _bad_certificate(seen: CertificateSeen) -> Ruling:
    code, detail = _PROBLEMS.get(seen.problem, _PROBLEMS["untrusted"])
    text = (
        f"certificate {seen.subject}, issued by {seen.issuer}, "
        f"valid {seen.not_before} to {seen.not_after}"
    )
    if seen.names:
        text += f", for {', '.join(seen.names[:5])}"
    return rule(
        "auth",
        "failed",
        finding(
            code, evidence(text, seen), detail=f"{detail} ({seen.subject}).", confidence="certain"
        ),
        summary=detail,
        seen=[seen],
    )  # fmt: skip


def _uses_certificate(view: View, sa: IkeSa) -> bool:
    if view.scope is not None:
        return view.scope.certificate
    return sa.by_certificate


def _failed(view: View, sa: IkeSa, sent: list[IkeMessage]) -> Ruling:
    if not sent:
        return _cut_after_mm6(sa)  # only with it is a message beyond message 4 here
    first = next((m for m in sent if not m.repeat), sent[0])
    after = [m for m in sa.messages if m.direction == "in" and m.t >= first.t]
    certificate = _uses_certificate(view, sa)
    said = [evidence(f"message 5 sent {times(len(sent))}", *sent)]
    readable = [
        (m, n)
        for m in after
        if m.protection in ("decrypted", "clear")
        for n in m.notifies
        if n.type < ERROR_NOTIFY_LIMIT
    ]
    protected = [(m, n) for m, n in readable if m.protection == "decrypted"]
    if protected:
        return _notified(sa, certificate, said, *protected[0])
    wrong_proof = [m for m in after if m.step == "MM6" and m.protection == "bad-hash"]
    if wrong_proof and certificate and "CERT" not in wrong_proof[0].payloads:
        detail = "The gateway sends no certificate, so its signature cannot be checked."
        said.append(evidence("message 6 holds a signature and no certificate", wrong_proof[0]))
        return rule(
            "auth", "failed", finding("auth.certificate-untrusted", *said, detail=detail),
            summary=detail.rstrip("."), seen=sa.messages,
        )  # fmt: skip
    if wrong_proof and certificate:
        return rule(
            "auth",
            "failed",
            finding(
                "auth.certificate-bad-signature",
                *said,
                evidence("the signature in message 6 is not one of the gateway's certificate",
                         *wrong_proof[:1]),
                detail="The gateway's signature does not fit its certificate.",
            ),
            summary="the gateway's signature is wrong",
            seen=sa.messages,
        )  # fmt: skip
    if wrong_proof:
        return rule(
            "auth",
            "failed",
            finding(
                "auth.gateway-unproven",
                *said,
                evidence("message 6 opens, but its proof is wrong", *wrong_proof[:1]),
                detail="The gateway's proof does not fit the key exchange.",
            ),
            summary="the gateway's proof is wrong",
            seen=sa.messages,
        )
    gone = [
        m for m in after
        if m.protection == "decrypted" and any("ISAKMP" in d for d in m.deletes)
    ]  # fmt: skip
    if gone:
        return _hung_up(sa, said, gone)
    opaque = [
        m
        for m in after
        if m.protection in ("opaque", "undecryptable", "bad-hash")
        and m.step in ("INFO", "MM6", "?")
    ]
    if any(m.step == "MM6" and m.protection == "opaque" for m in opaque):
        return _cut_after_mm6(sa)
    # INVALID-COOKIE only says that the gateway has meanwhile given up this IKE SA.
    clear = [(m, n) for m, n in readable if m.protection == "clear" and n.type != INVALID_COOKIE]
    said += [
        evidence("the gateway has dropped this IKE SA (INVALID-COOKIE)", m)
        for m, n in readable
        if n.type == INVALID_COOKIE
    ][:1]
    repeated4 = [m for m in after if m.step == "MM4"]
    if clear:
        return _clear_notify(sa, certificate, said, clear[0])
    if opaque:
        return _refusal_unreadable(sa, certificate, said, opaque)
    return auth_silence.judge(view, sa, certificate, said, sent, repeated4)


def _hung_up(sa: IkeSa, said: list[Evidence], gone: list[IkeMessage]) -> Ruling:
    return rule(
        "auth",
        "failed",
        finding(
            "auth.hung-up",
            *said,
            evidence("the gateway deletes the IKE SA instead of proving itself", *gone[:1]),
            detail="The gateway ended the IKE SA during authentication, without a reason.",
        ),
        summary="IKE SA deleted",
        seen=sa.messages,
    )


def _notified(
    sa: IkeSa, certificate: bool, said: list[Evidence], message: IkeMessage, notify: IkeNotify
) -> Ruling:
    """An error that the gateway protected with the right key: key material agrees."""
    said = [*said, evidence(f"the gateway answers {notify.name}, encrypted", message)]
    if notify.type in _GARBLED and not certificate:
        code, detail = (
            "auth.psk-mismatch",
            "The pre-shared key is wrong: the gateway could not verify it.",
        )
    elif notify.type in _CERTIFICATE or (certificate and notify.type == _AUTHENTICATION_FAILED):
        code, detail = (
            "auth.certificate-refused",
            "The gateway refuses this computer's certificate.",
        )
    elif notify.type in _IDENTITY or notify.type == _AUTHENTICATION_FAILED:
        code, detail = (
            "auth.identity-refused",
            "The key is right, but the gateway does not accept this computer's identity.",
        )
    else:
        code, detail = "auth.refused", f"The gateway refused the authentication: {notify.name}."
    return rule(
        "auth", "failed", finding(code, *said, detail=detail), summary=notify.name, seen=sa.messages
    )


def _clear_notify(
    sa: IkeSa, certificate: bool, said: list[Evidence], shown: tuple[IkeMessage, IkeNotify]
) -> Ruling:
    message, notify = shown
    said = [*said, evidence(f"the gateway answers {notify.name}, not encrypted", message)]
    if certificate or notify.type in _CERTIFICATE:
        code = "auth.certificate-refused"
        detail = f"The gateway refuses the certificate: {notify.name}."
    elif notify.type in _GARBLED | {_AUTHENTICATION_FAILED} | _IDENTITY:
        code, detail = (
            "auth.psk-mismatch",
            "The pre-shared key is most likely wrong: the gateway cannot read what it "
            f"protects ({notify.name}).",
        )
    else:
        code, detail = "auth.refused", f"The gateway refused the authentication: {notify.name}."
    return rule(
        "auth", "failed", finding(code, *said, detail=detail), summary=notify.name, seen=sa.messages
    )


def _refusal_unreadable(
    sa: IkeSa, certificate: bool, said: list[Evidence], opaque: list[IkeMessage]
) -> Ruling:
    keyed = any(m.protection == "undecryptable" for m in opaque)
    what = "opened with our key" if keyed else "read"
    said = [
        *said,
        evidence(f"{times(len(opaque))} the gateway answered with an encrypted message that cannot "
                 f"be {what} ({opaque[0].size} bytes)", *opaque),
    ]  # fmt: skip
    if certificate:
        return rule(
            "auth",
            "failed",
            finding("auth.certificate-refused", *said, confidence="medium",
                    detail="The gateway refuses after this computer showed its certificate."),
            summary="refused after message 5",
            seen=sa.messages,
        )  # fmt: skip
    return rule(
        "auth",
        "failed",
        finding(
            "auth.psk-mismatch",
            *said,
            detail="The pre-shared key is wrong: each side cannot read what the other encrypts."
            if keyed
            else "The pre-shared key is most likely wrong: the gateway refuses right after "
            "message 5, which is where that shows.",
            causes=() if keyed else auth_causes.KEY_OR_IDENTITY,
            confidence="high" if keyed else "medium",
        ),
        summary="pre-shared keys differ",
        seen=sa.messages,
    )


def _cut_after_mm6(sa: IkeSa) -> Ruling:
    """Message 6 came, encrypted, and there is no key to read it. A gateway sends message 6 only
    after it has verified message 5."""
    return rule(
        "auth",
        "passed",
        summary="message 6 came (encrypted)",
        seen=[m for m in sa.messages if m.step in ("MM5", "MM6")],
    )


def _stopped_before_proof(view: View, sa: IkeSa) -> Ruling:
    """Message 4 came and the client never sent message 5: captures only (or a local problem)."""
    if view.live:
        return not_reached("auth", "message 5 was not sent")
    mm4 = sa.of("in", "MM4")
    here = nat.seen(view)
    floats = here is None or here.client is not False or here.gateway is not False
    if len(mm4) >= 2 and floats:
        # The gateway waits for a message 5 that this capture does not show: lost before it.
        silence = view.unanswered(mm4)
        assert silence is not None
        if view.conclusive(silence):
            floated = finding(
                "path.float-blocked",
                evidence(f"the gateway repeats message 4, {times(len(mm4))}; no message 5 follows",
                         *mm4),
                detail="After message 4 the client's messages (UDP 4500) do not arrive here.",
                confidence="medium",
            )  # fmt: skip
            return rule("path", "failed", floated, summary="message 5 missing", seen=sa.messages)
    waited = view.end - mm4[-1].t if mm4 else 0.0
    if waited < _WAITED:
        summary = "the capture ends at message 4"
    else:
        port = " (from UDP 4500 where a NAT is on the way)" if sa.messages[-1].port != 4500 else ""
        summary = (
            f"no message 5{port} in the {waited:.0f} s after message 4: it is lost on the way "
            "here, was left out of this capture, or the client stops"
        )
    return rule("auth", "inconclusive", summary=summary, seen=sa.messages)


_WAITED = 4.0
"""Seconds in which every client sends message 5."""
