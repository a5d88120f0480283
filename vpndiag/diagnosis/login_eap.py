"""Logins by EAP: methods that were refused, and those that carry TLS (EAP-TLS, PEAP, EAP-TTLS)."""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule
from vpndiag.observations import Observation, PppMessage
from vpndiag.report.model import Cause, Confidence, Evidence

REFUSED = {
    "TLS": "The server refuses the login by EAP-TLS: it does not take the client's certificate, or "
    "the client did not take the server's.",
    "PEAP": "The server refuses the login inside PEAP: user name, password or the method inside do "
    "not fit, or the client did not take the server's certificate.",
    "TTLS": "The server refuses the login inside EAP-TTLS: user name or password do not fit, or "
    "the client did not take the server's certificate.",
}
"""By method: what a refusal of it says, where no alert can be read."""
_OF_USER = Cause(
    "The user's certificate is missing, expired, revoked, or of an authority that the "
    "authentication server does not trust", "helpdesk",
    "Look at the certificate on the computer, and in the RADIUS log", "likely",
)  # fmt: skip
_OF_SERVER = Cause(
    "The computer does not trust the authentication server's certificate", "helpdesk",
    "Install the issuing authority, or enter the server's name in the profile", "likely",
)  # fmt: skip
CAUSES = (
    _OF_USER,
    _OF_SERVER,
    Cause("The account behind the certificate is locked or may not dial in", "helpdesk",
          "Check it in the directory", "possible"),
)  # fmt: skip
_EXPIRED = Cause(
    "The authentication server's certificate has expired, or is for another name", "gateway-admin",
    "Renew it on the RADIUS server (NPS, FreeRADIUS)", "possible",
)  # fmt: skip
_TERMS = ("handshake failure", "protocol version", "insufficient security")
_TERMS_CAUSES = (
    Cause("Computer and authentication server have no TLS version or cipher in common (an old "
          "server does TLS 1.0 only)", "gateway-admin",
          "Bring the RADIUS server up to TLS 1.2", "likely"),
    Cause("The server asks for a certificate of the user, and there is none", "helpdesk",
          "Install the user's certificate", "possible"),
)  # fmt: skip
_MARK = "TLS alert: "


def alerted(packets: list[PppMessage]) -> Ruling | None:
    """One side says in TLS why it goes no further (RFC 5216 section 2.1.3)."""
    alerts = [m for m in packets if m.protocol == "EAP" and m.message.startswith(_MARK)]
    alerts = [m for m in alerts if not m.message.endswith("close notify")]
    if not alerts:
        return None
    m = alerts[0]
    what = m.message.removeprefix(_MARK)
    who = "client" if m.direction == "out" else "server"
    causes: tuple[Cause, ...] = (_OF_USER,)
    if what in _TERMS:
        detail = f"The {who} ends the TLS of EAP-{m.method}: {what}."
        causes = _TERMS_CAUSES
    elif m.direction == "out":
        detail = f"The client does not accept the authentication server's certificate: {what}."
        causes = (_OF_SERVER, _EXPIRED)
    else:
        detail = f"The authentication server does not accept the client's certificate: {what}."
    return rule(
        "login",
        "failed",
        finding(
            "login.certificate-refused",
            evidence(f"the {who} says in EAP-{m.method}: {m.message}", m),
            detail=detail,
            causes=causes,
        ),
        summary=detail.rstrip("."),
        seen=packets,
    )


def notices(packets: list[PppMessage]) -> list[PppMessage]:
    """What the server wants shown to the user, the last of it (RFC 3748 section 5.2)."""
    found = [m for m in packets if m.direction == "in" and m.method == "Notification" and m.message]
    return found[-1:]


def methods(packets: list[PppMessage]) -> str:
    """Which EAP methods the server asked for, and what the client would do instead."""
    asked = dict.fromkeys(
        m.method for m in packets if m.direction == "in" and m.code == "Request"
        and m.method not in ("Identity", "Notification")
    )  # fmt: skip
    naks = [m for m in packets if m.direction == "out" and m.method == "Nak" and m.message]
    if not asked or not naks:
        return ""
    return f" (the server asks for {', '.join(asked)}; the client {naks[-1].message})"


def no_method(
    naks: list[PppMessage],
    then: Evidence,
    detail: str,
    confidence: Confidence,
    seen: Sequence[Observation],
) -> Ruling:
    return rule(
        "login",
        "failed",
        finding("login.eap-method", evidence("EAP methods were refused", *naks[:2]), then,
                detail=detail, confidence=confidence),
        summary="no EAP method in common",
        seen=seen,
    )  # fmt: skip
