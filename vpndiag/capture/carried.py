"""What L2TP data messages carry, by a quick look (RFC 2661 section 3.1, RFC 1661 section 2)."""

from __future__ import annotations

from typing import Literal

from vpndiag.protocols.l2tp.message import peek_data

PppKind = Literal["control", "echo", "data"]

_HEADER = b"\xff\x03"
"""Address and control field, which may be left out (RFC 1661 section 6.6)."""
_ECHOES = (b"\xc0\x21\x09", b"\xc0\x21\x0a", b"\xc0\x21\x0b")


def l2tp_data(data: bytes) -> tuple[int, int, bytes] | None:
    """Tunnel ID, session ID and PPP frame of an L2TPv2 data message (RFC 2661 section 3.1), else
    None."""
    usual = peek_data(data)
    if usual is not None:
        return *usual, data[6:]
    if len(data) < 6 or data[0] & 0x80 or data[1] & 15 != 2:
        return None
    flags = data[0]
    at = 2 + (2 if flags & 0x40 else 0)
    tunnel = int.from_bytes(data[at : at + 2], "big")
    session = int.from_bytes(data[at + 2 : at + 4], "big")
    at += 4 + (4 if flags & 0x08 else 0)
    if flags & 0x02:
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    return tunnel, session, data[at:]


def inner_packet(ppp: bytes) -> bytes | None:
    """The IPv4 packet in a PPP frame (RFC 1661 section 6.5 shortens its protocol field)."""
    ppp = ppp.removeprefix(_HEADER)
    if ppp[:2] == b"\x00\x21":
        return ppp[2:]
    return ppp[1:] if ppp[:1] == b"\x21" else None


def ppp_kind(ppp: bytes) -> PppKind:
    """What a PPP frame is: of a control protocol (RFC 1661 section 2), an LCP Echo-Request,
    Echo-Reply or Discard-Request, or users' data."""
    at = 2 if ppp[:2] == _HEADER else 0
    first = ppp[at] if at < len(ppp) else 0
    if first < 0x80 or first & 1:
        return "data"
    return "echo" if ppp[at : at + 3] in _ECHOES else "control"
