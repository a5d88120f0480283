"""Tunnel authentication, CHAP-like (RFC 2661, 4.2 and 5.1.1)."""

from __future__ import annotations

import hashlib
import hmac

from vpndiag.protocols.l2tp.constants import MessageType


def challenge_response(carrier: MessageType, secret: bytes, challenge: bytes) -> bytes:
    """The 16-byte Challenge Response.

    ``carrier`` is the message that carries the response: SCCRP or SCCCN.
    """
    data = bytes((carrier,)) + secret + challenge
    return hashlib.md5(data, usedforsecurity=False).digest()


def response_matches(
    carrier: MessageType, secret: bytes, challenge: bytes, response: bytes
) -> bool:
    return hmac.compare_digest(challenge_response(carrier, secret, challenge), response)
