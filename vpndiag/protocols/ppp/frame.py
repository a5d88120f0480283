"""PPP frames as L2TP carries them: no flags, no FCS (RFC 1661 section 2, RFC 1662, RFC 2661)."""

from __future__ import annotations

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.wire import u16
from vpndiag.records import record

ADDRESS_CONTROL = b"\xff\x03"


@record(frozen=True, slots=True)
class Frame:
    """One PPP frame: ``protocol`` number and the information field, padding included."""

    protocol: int
    payload: bytes
    address_control: bool = True
    """FF 03 was present (false: left out, as ACFC allows)."""


def decode_frame(data: bytes) -> Frame:
    """Read a frame, with or without FF 03 and with one- or two-byte protocol field.

    Both compressed forms are accepted whether negotiated or not (RFC 1661 section 6.5 asks for
    that of the protocol field; FF 03 cannot be mistaken, since 0x00FF is reserved).

    :raises DecodeError: the frame ends before the protocol field, or the field is not a valid
        number (even last byte).
    """
    protocol, start = read_protocol(data)
    address_control = data[:2] == ADDRESS_CONTROL
    return Frame(protocol, data[start:], address_control)


def read_protocol(data: bytes) -> tuple[int, int]:
    """The protocol number of a frame, and where its information field begins.

    :raises DecodeError: as :func:`decode_frame`.
    """
    position = 2 if data[:2] == ADDRESS_CONTROL else 0
    if position >= len(data):
        raise DecodeError("PPP protocol field missing", position)
    first = data[position]
    if first & 1:
        return first, position + 1
    if position + 1 >= len(data):
        raise DecodeError("PPP protocol field cut short", position)
    second = data[position + 1]
    if not second & 1:
        raise DecodeError(f"PPP protocol field 0x{first:02x}{second:02x} is not odd", position)
    return first << 8 | second, position + 2


def encode_frame(protocol: int, payload: bytes) -> bytes:
    """FF 03, a two-byte protocol field and ``payload``: the form that every peer must accept."""
    return ADDRESS_CONTROL + u16(protocol) + payload
