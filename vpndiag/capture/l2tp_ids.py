"""Kind and numbers of an L2TP message, by a quick look (RFC 2661 sections 3.1 and 4)."""

from __future__ import annotations

TUNNEL, SESSION = 9, 14
"""AVPs Assigned Tunnel ID and Assigned Session ID."""
CALLING, PROXY_NAME = 22, 30
"""AVPs Calling Number, of ICRQ, and Proxy Authen Name, of ICCN: what a LAC knows of a caller."""
_HIDDEN = 0x40
_TYPE = bytes(4)
"""Vendor and type of the AVP Message Type, which comes first."""


def message_type(data: bytes) -> int:
    """L2TP control message type, 0 for ZLB and data, -1 when it cannot be told."""
    if len(data) < 12 or not data[0] & 0x80:
        return 0
    if len(data) < 20:
        return 0 if len(data) == 12 else -1
    return data[18] << 8 | data[19] if data[14:18] == _TYPE else -1


def header_ids(data: bytes) -> tuple[int, int]:
    """Tunnel and session ID of any message, as its receiver assigned them."""
    at = 4 if data[:1] and data[0] & 0x40 else 2
    if len(data) >= at + 4:
        return data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
    return int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")


def assigned(data: bytes, kind: int) -> int:
    """The number in the AVP ``kind`` (:data:`TUNNEL` or :data:`SESSION`) of a control message; 0:
    there is none, or it is hidden."""
    value = avp(data, kind)
    return int.from_bytes(value) if len(value) == 2 else 0


def avp(data: bytes, kind: int) -> bytes:
    """The value of the AVP ``kind`` of a control message; empty: there is none, or it is hidden."""
    at = 12
    end, wanted = len(data), kind.to_bytes(4)
    while at + 6 <= end:
        size = (data[at] << 8 | data[at + 1]) & 0x3FF
        if size < 6:
            break
        if data[at + 2 : at + 6] == wanted:  # vendor and type
            return b"" if data[at] & _HIDDEN else data[at + 6 : at + size]
        at += size
    return b""
