"""Why PPP ended, as a side of L2TP tells it in CDN: the AVP of RFC 3145."""

from __future__ import annotations

TYPE = 46
_HEAD = 5
"""Bytes before the message: the code, a control protocol's number, and which side it is about."""
_CODES = {
    1: "administrative disconnect",
    2: "LCP is not renegotiated, and no proxy LCP was sent",
    3: "normal disconnection, LCP Terminate-Request sent",
    4: "compulsory encryption was refused",
    5: "LCP timed out",
    6: "no LCP packets were recognized",
    7: "LCP magic number error, the link may be looped back",
    8: "LCP echoes were not answered",
    9: "unexpected endpoint discriminator for the bundle",
    10: "unexpected MRRU for the bundle",
    11: "unexpected short sequence numbers for the bundle",
    12: "compulsory callback was refused",
    13: "authentication timed out",
    14: "unexpected name for the bundle",
    15: "authentication protocol not acceptable",
    16: "authentication failed: bad name, password or secret",
    17: "network control protocol timed out",
    18: "no network control protocol came up",
    19: "network control protocol did not converge",
    20: "the user is not allowed any address",
}
"""RFC 3145 section 3."""


def cause(value: bytes) -> tuple[str, bytes]:
    """What the code of such an AVP means, and the sender's own text; both empty where there is
    nothing to tell, or the value is cut."""
    if len(value) < _HEAD:
        return "", b""
    code = int.from_bytes(value[:2], "big")
    return _CODES.get(code, f"cause {code}") if code else "", value[_HEAD:]
