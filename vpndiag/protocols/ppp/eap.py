"""EAP packets (RFC 3748 section 4) and the MS-CHAPv2 method inside (type 26,
draft-kamath-pppext-eap-mschapv2)."""

from __future__ import annotations

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp.packet import encode_header, read_header
from vpndiag.protocols.wire import Reader, u16
from vpndiag.records import record

REQUEST, RESPONSE, SUCCESS, FAILURE = 1, 2, 3, 4
CODE_NAMES = {REQUEST: "Request", RESPONSE: "Response", SUCCESS: "Success", FAILURE: "Failure"}

IDENTITY = 1
NOTIFICATION = 2
NAK = 3
MD5_CHALLENGE = 4
MSCHAPV2 = 26

TYPE_NAMES = {
    IDENTITY: "Identity",
    NOTIFICATION: "Notification",
    NAK: "Nak",
    MD5_CHALLENGE: "MD5-Challenge",
    5: "OTP",
    6: "GTC",
    13: "TLS",
    17: "LEAP",
    18: "SIM",
    21: "TTLS",
    23: "AKA",
    25: "PEAP",
    MSCHAPV2: "MS-CHAPv2",
    43: "FAST",
    50: "AKA'",
    55: "TEAP",
    254: "Expanded",
}


@record(frozen=True, slots=True)
class EapPacket:
    """``type`` is None in Success and Failure; ``data`` is what follows the type."""

    code: int
    identifier: int
    type: int | None = None
    data: bytes = b""


def type_name(kind: int) -> str:
    return TYPE_NAMES.get(kind) or f"type-{kind}"


def encode_eap(packet: EapPacket) -> bytes:
    head = b"" if packet.type is None else bytes((packet.type,))
    return encode_header(packet.code, packet.identifier, head + packet.data)


def decode_eap(data: bytes) -> EapPacket:
    """:raises DecodeError: cut, an unknown code, or a Request or Response without a type."""
    code, identifier, body = read_header(data, "EAP")
    if code in (REQUEST, RESPONSE):
        reader = Reader(body, 4)
        return EapPacket(code, identifier, reader.u8("EAP type"), reader.rest())
    if code in (SUCCESS, FAILURE):
        return EapPacket(code, identifier, None, body)
    raise DecodeError(f"EAP code {code}", 0)


def eap_text(packet: EapPacket) -> str:
    """One printable line."""
    head = f"EAP {CODE_NAMES[packet.code]} id {packet.identifier}"
    if packet.type is None:
        return head
    head += f": {type_name(packet.type)}"
    if packet.type in (IDENTITY, NOTIFICATION):
        return f"{head} {ascii(packet.data)[1:]}"
    if packet.type == NAK:
        return f"{head}, wants {', '.join(map(type_name, packet.data)) or 'nothing'}"
    if packet.type == MSCHAPV2 and packet.data:
        return f"{head} {OP_NAMES.get(packet.data[0]) or packet.data[0]}"
    return head


OP_CHALLENGE, OP_RESPONSE, OP_SUCCESS, OP_FAILURE, OP_CHANGE_PASSWORD = 1, 2, 3, 4, 7
OP_NAMES = {
    OP_CHALLENGE: "Challenge",
    OP_RESPONSE: "Response",
    OP_SUCCESS: "Success",
    OP_FAILURE: "Failure",
    OP_CHANGE_PASSWORD: "Change-Password",
}


TLS_METHODS = (13, 21, 25)
"""EAP-TLS (RFC 5216), EAP-TTLS (RFC 5281) and PEAP carry TLS records in the same way."""
_LENGTH_INCLUDED = 0x80
_ALERT = 21
_ALERTS = {
    0: "close notify", 10: "unexpected message", 40: "handshake failure", 42: "bad certificate",
    43: "unsupported certificate", 44: "certificate revoked", 45: "certificate expired",
    46: "certificate unknown", 48: "unknown CA", 49: "access denied", 50: "decode error",
    51: "decrypt error", 70: "protocol version", 71: "insufficient security",
    80: "internal error", 90: "user canceled", 116: "certificate required",
}  # fmt: skip


def tls_alert(data: bytes) -> str | None:
    """The name of a TLS alert that can be read in the type data of such a method: one that is not
    encrypted (RFC 5246 section 7.2). None: it carries something else."""
    body = data[5:] if data[:1] and data[0] & _LENGTH_INCLUDED else data[1:]
    if len(body) != 7 or body[0] != _ALERT or body[3:5] != b"\0\2":
        return None
    return _ALERTS.get(body[6]) or f"alert {body[6]}"


@record(frozen=True, slots=True)
class Mschapv2Message:
    """One MS-CHAPv2 message inside EAP. ``value`` and ``name`` belong to Challenge and Response,
    ``message`` to Success and Failure."""

    op: int
    identifier: int = 0
    value: bytes = b""
    name: bytes = b""
    message: bytes = b""


def encode_mschapv2(packet: Mschapv2Message) -> bytes:
    """The type data. A Success or Failure of the peer is the op code alone, and not made here."""
    if packet.op in (OP_CHALLENGE, OP_RESPONSE):
        body = bytes((len(packet.value),)) + packet.value + packet.name
    else:
        body = packet.message
    return bytes((packet.op, packet.identifier)) + u16(len(body) + 4) + body


def decode_mschapv2(data: bytes) -> Mschapv2Message:
    """Read type data. MS-Length is not trusted: the EAP length rules (real peers differ here).

    :raises DecodeError: cut.
    """
    reader = Reader(data, 5)
    op = reader.u8("MS-CHAPv2 op code")
    if not len(reader):
        return Mschapv2Message(op)
    identifier = reader.u8("MS-CHAPv2 identifier")
    reader.u16("MS-Length")
    if op in (OP_CHALLENGE, OP_RESPONSE):
        value = reader.take(reader.u8("value size"), "value")
        return Mschapv2Message(op, identifier, value, reader.rest())
    return Mschapv2Message(op, identifier, message=reader.rest())
