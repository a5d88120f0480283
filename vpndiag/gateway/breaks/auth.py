"""Breaks of phase 1 authentication: the key, identities, certificates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vpndiag.gateway import certificates
from vpndiag.gateway.breaks.register import Break, Change, Register
from vpndiag.gateway.config import GatewayConfig
from vpndiag.protocols.ike.algorithms import AuthMethod as IkeAuth
from vpndiag.protocols.ike.config import WrongPsk
from vpndiag.protocols.ike.constants import NotifyType
from vpndiag.protocols.ike.retransmit import Schedule
from vpndiag.protocols.ike.transforms import parse_ike
from vpndiag.tunnel.options import TunnelOptions

BREAKS = Register()
_add = BREAKS.add

_OTHER_KEY = {"psk": b"another key"}
_add(
    "auth.psk-mismatch",
    "another pre-shared key; message 5 is answered with a notification that cannot be read",
    config={**_OTHER_KEY, "wrong_psk": WrongPsk.ENCRYPTED_NOTIFY},
)
_add(
    "auth.psk-mismatch:silent",
    "another pre-shared key; message 4 is repeated",
    config={**_OTHER_KEY, "wrong_psk": WrongPsk.SILENT_RETRANSMIT_MM4},
)
_add(
    "auth.psk-mismatch:clear",
    "another pre-shared key; message 5 is answered with PAYLOAD-MALFORMED in clear",
    config={**_OTHER_KEY, "wrong_psk": WrongPsk.CLEAR_NOTIFY},
)
_add(
    "auth.psk-mismatch:mute",
    "another pre-shared key; message 5 is not answered at all",
    config={
        **_OTHER_KEY,
        "wrong_psk": WrongPsk.SILENT_RETRANSMIT_MM4,
        "schedule": Schedule(30.0, 1.0, 30.0, 1),
    },
)
_add(
    "auth.psk-mismatch:notified",
    "message 5 is answered with a protected INVALID-HASH-INFORMATION",
    after_mm5=NotifyType.INVALID_HASH_INFORMATION,
)
_add(
    "auth.identity-refused",
    "the key is right, the client's identity is not welcome",
    after_mm5=NotifyType.INVALID_ID_INFORMATION,
)
_add(
    "auth.refused",
    "message 5 is answered with ADDRESS-NOTIFICATION",
    after_mm5=NotifyType.ADDRESS_NOTIFICATION,
)
_add("auth.hung-up", "message 5 is answered with a Delete", after_mm5="delete")
_add("auth.gateway-unproven", "the gateway's HASH_R is wrong", false_proof=True)


def both_certified(
    gateway: GatewayConfig, options: TunnelOptions, now: float, **changes: Any
) -> tuple[GatewayConfig, TunnelOptions]:
    """Both sides with certificates of one authority; ``changes`` spoil the gateway's."""
    ca = certificates.authority("vpndiag demo authority", now)
    issuer = ca
    if changes.pop("untrusted", False):
        issuer = certificates.authority("an authority that nobody trusts", now)
    subject = changes.pop("subject", certificates.GATEWAY_NAME)
    anchors = changes.pop("anchors", (ca.der,))
    transforms = tuple(
        parse_ike(name, auth_method=IkeAuth.RSA_SIG)
        for name in ("aes256-sha256-modp2048", "aes256-sha1-modp2048")
    )
    return (
        replace(
            gateway,
            ike_transforms=transforms,
            credentials=certificates.issue(issuer, subject, now, **changes),
            trust_anchors=anchors,
            verify_time=now,
        ),
        replace(
            options,
            credentials=certificates.issue(ca, "client.vpndiag.example", now),
            trust_anchors=(ca.der,),
            expected_name=certificates.GATEWAY_NAME,
            verify_time=now,
        ),
    )


def _add_certificate(name: str, what: str, change: Change) -> None:
    BREAKS[name] = Break(name, what, change)


def _foreign_client(
    gateway: GatewayConfig, options: TunnelOptions, now: float
) -> tuple[GatewayConfig, TunnelOptions]:
    other = certificates.authority("an authority that nobody trusts", now)
    gateway, options = both_certified(gateway, options, now)
    return gateway, replace(options, credentials=certificates.issue(other, "client", now))


_add_certificate(
    "auth.certificate-wanted",
    "the gateway takes certificates only, and the client has a key",
    lambda g, o, now: (both_certified(g, o, now)[0], o),
)
_add_certificate(
    "auth.psk-wanted",
    "the gateway takes a pre-shared key only, and the client has a certificate",
    lambda g, o, now: (g, both_certified(g, o, now)[1]),
)
_add_certificate(
    "auth.certificate-expired",
    "the gateway's certificate expired a week ago",
    lambda g, o, now: both_certified(g, o, now, end_days=-7),
)
_add_certificate(
    "auth.certificate-not-yet-valid",
    "the gateway's certificate is valid from next week",
    lambda g, o, now: both_certified(g, o, now, start_days=7),
)
_add_certificate(
    "auth.certificate-untrusted",
    "the gateway's certificate is of an unknown authority",
    lambda g, o, now: both_certified(g, o, now, untrusted=True),
)
_add_certificate(
    "auth.certificate-name",
    "the gateway's certificate is for another name",
    lambda g, o, now: both_certified(g, o, now, subject="mail.vpndiag.example"),
)
_add_certificate(
    "auth.certificate-bad-signature",
    "the gateway signs with a key that is not its certificate's",
    lambda g, o, now: both_certified(g, o, now, other_key=True),
)
_add_certificate(
    "auth.certificate-refused",
    "the gateway does not trust the client's certificate",
    _foreign_client,
)
