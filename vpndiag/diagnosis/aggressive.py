"""Rung ``auth`` in aggressive mode (RFC 2409 section 5.4).

The gateway proves itself in message 2 already, so a client with another key, or one that does not
trust the gateway's certificate, leaves there: it says so, or says nothing more. Message 3 is the
client's proof, and only quick mode shows that the gateway took it.
"""

from __future__ import annotations

from vpndiag.diagnosis.ike_sa import INVALID_COOKIE, IkeSa
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times, tried
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, IkeNotify
from vpndiag.report.model import Cause, Evidence, Finding

_GARBLED = {1, 16, 23, 10, 11, 24}
"""Notifications that a wrong key brings about; 24 is AUTHENTICATION-FAILED."""
_NO_PROPOSAL, _IDENTITY = 14, 18
_PSK = (1, 65001)
_REPEATS = 2
"""Repeats of message 2 behind message 3, from which on it was not taken."""


def judge(view: View, sa: IkeSa) -> Ruling:
    """An SA whose first message is AM1, and that no quick mode followed."""
    if view.running:
        return rule("auth", "not_reached", reason="waiting", seen=sa.messages)
    proofs = sa.of("out" if sa.by_client else "in", "AM3")
    choices = sa.of("in" if sa.by_client else "out", "AM2")
    # INVALID-COOKIE says that an SA is not known any more, whatever has become of it before.
    refusals = [(m, n) for m, n in sa.notifies() + sa.notifies("out") if n.type != INVALID_COOKIE]
    if refusals:
        message, notify = refusals[0]
        code = _code(sa, message, notify, answered=bool(choices))
        said = evidence(f"{notify.name}", message)
        return _failed(sa, code, f"Aggressive mode ends with {notify.name}.", notify.name, said)
    if proofs:
        return _after_proof(view, sa, proofs, choices)
    if choices:
        return _after_choice(view, sa, choices)
    return rule("auth", "inconclusive", summary="aggressive mode not complete", seen=sa.messages)


def _code(sa: IkeSa, message: IkeMessage, notify: IkeNotify, *, answered: bool) -> str:
    if notify.type == _NO_PROPOSAL and not answered:
        return "ike.no-proposal-chosen"
    if notify.type == _IDENTITY:
        return "auth.identity-refused"
    if notify.type not in _GARBLED:
        return "auth.refused"
    by_gateway = (message.direction == "in") == sa.by_client
    return _not_taken(sa, by_gateway=by_gateway)


def _not_taken(sa: IkeSa, *, by_gateway: bool) -> str:
    """The finding where one side does not take the other's proof."""
    if not sa.by_certificate:
        return "auth.psk-mismatch"
    return "auth.certificate-refused" if by_gateway else "auth.certificate-untrusted"


_NO_SUCH_GROUP = (
    Cause("The group name or local identifier in the client's profile is missing or misspelt",
          "helpdesk", "Enter the one that the administrator gave, capitals included", "likely"),
    Cause("The gateway has no such group or peer (any more)", "gateway-admin",
          "Look in its IKE log, and for the name that the evidence shows", "likely"),
)  # fmt: skip


def identity_unknown(sa: IkeSa, said: list[Evidence]) -> Ruling:
    """The gateway refuses message 1 of aggressive mode, which names the client."""
    name = sa.offered.identity
    if name:
        said = [*said, evidence(f"the client calls itself {name}", sa.first)]
    detail = "The gateway does not know the identity, or group name, in the client's first message."
    found = finding("auth.identity-refused", *said, detail=detail, causes=_NO_SUCH_GROUP)
    own = not_reached("ike", "the gateway refuses the client's identity first").layer
    return rule("auth", "failed", found, summary="identity refused", seen=sa.messages, own=own)


def _after_proof(
    view: View, sa: IkeSa, proofs: list[IkeMessage], choices: list[IkeMessage]
) -> Ruling:
    again = [m for m in choices if m.t > proofs[0].t]
    if len(again) >= _REPEATS and not any(m.step.startswith("QM") for m in sa.messages):
        said = evidence(f"the gateway repeats message 2 {times(len(again))} behind message 3, the "
                        "client's proof", *again)  # fmt: skip
        return _failed(sa, _not_taken(sa, by_gateway=True), "The gateway does not take the "
                       "client's proof (message 3), or never gets it.", "message 3 not taken",
                       said)  # fmt: skip
    return rule(
        "auth", "passed", *exposed(view), summary="aggressive mode complete", seen=sa.messages
    )


def _after_choice(view: View, sa: IkeSa, choices: list[IkeMessage]) -> Ruling:
    refused = [
        m for m in sa.messages
        if m.step == "INFO" and m.direction != choices[0].direction and m.t >= choices[0].t
    ]  # fmt: skip
    if refused:
        said = evidence("the client answers message 2, the gateway's proof, with an encrypted "
                        "notification and goes no further", *refused[:2])  # fmt: skip
        return _failed(sa, _not_taken(sa, by_gateway=False), "The client does not accept the "
                       "gateway's proof in message 2.", "message 2 refused", said)  # fmt: skip
    asked = [m for m in sa.step("AM1") if m.t > choices[0].t]
    silence = view.unanswered(choices)
    if len(choices) > _REPEATS and not asked and silence is not None and view.conclusive(silence):
        said = evidence(f"message 2 sent {tried(len(choices), silence.seconds)}; the "
                        "client neither asks again nor goes on", *choices)  # fmt: skip
        detail = (
            "The client goes no further after message 2, in which the gateway proves itself: it "
            "does not accept the gateway's certificate most likely."
            if sa.by_certificate
            else "The client goes no further after message 2, which proves that the gateway knows "
            "the key: the keys differ most likely."
        )
        code = _not_taken(sa, by_gateway=False)
        return _failed(sa, code, detail, "no message 3", said)
    return rule("auth", "inconclusive", summary="aggressive mode not complete", seen=sa.messages)


def _failed(sa: IkeSa, code: str, detail: str, summary: str, said: object) -> Ruling:
    found = finding(code, said, detail=detail, confidence="medium")  # type: ignore[arg-type]
    return rule(code.partition(".")[0], "failed", found, summary=summary, seen=sa.messages)


def exposed(view: View) -> list[Finding]:
    """Aggressive mode with a pre-shared key shows a hash of it to whoever listens."""
    sa = view.primary
    if view.live or sa is None or not sa.aggressive:
        return []
    chosen = next((m for m in sa.step("AM2") if m.transforms), None)
    if chosen is None or not set(chosen.auth_methods) & set(_PSK):
        return []
    return [
        finding(
            "auth.aggressive-psk",
            evidence("message 2 shows the gateway's identity and a hash made with the key", chosen),
            detail="Aggressive mode with a pre-shared key: the key can be guessed offline.",
            severity="warning",
            confidence="certain",
        )
    ]
