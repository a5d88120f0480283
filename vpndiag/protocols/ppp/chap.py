"""CHAP packets and the MD5 algorithm (RFC 1994)."""

from __future__ import annotations

import hashlib

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp.packet import encode_header, read_header
from vpndiag.protocols.wire import Reader
from vpndiag.records import record

CHALLENGE, RESPONSE, SUCCESS, FAILURE = 1, 2, 3, 4
NAMES = {CHALLENGE: "Challenge", RESPONSE: "Response", SUCCESS: "Success", FAILURE: "Failure"}


@record(frozen=True, slots=True)
class ChapValue:
    """Challenge or Response: ``value`` and the sender's ``name``."""

    code: int
    identifier: int
    value: bytes
    name: bytes = b""


@record(frozen=True, slots=True)
class ChapResult:
    """Success or Failure with the raw message."""

    code: int
    identifier: int
    message: bytes = b""


ChapPacket = ChapValue | ChapResult


def encode_chap(packet: ChapPacket) -> bytes:
    if isinstance(packet, ChapValue):
        body = bytes((len(packet.value),)) + packet.value + packet.name
    else:
        body = packet.message
    return encode_header(packet.code, packet.identifier, body)


def decode_chap(data: bytes) -> ChapPacket:
    """:raises DecodeError: cut, or an unknown code."""
    code, identifier, body = read_header(data, "CHAP")
    if code in (CHALLENGE, RESPONSE):
        reader = Reader(body, 4)
        value = reader.take(reader.u8("CHAP value size"), "CHAP value")
        return ChapValue(code, identifier, value, reader.rest())
    if code in (SUCCESS, FAILURE):
        return ChapResult(code, identifier, body)
    raise DecodeError(f"CHAP code {code}", 0)


def chap_text(packet: ChapPacket) -> str:
    """One printable line."""
    head = f"CHAP {NAMES[packet.code]} id {packet.identifier}"
    if isinstance(packet, ChapValue):
        return f"{head}: name {ascii(packet.name)[1:]}"
    return f"{head}: {ascii(packet.message)[1:]}" if packet.message else head


def md5_response(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """MD5 over identifier, secret and challenge (RFC 1994 section 4.1; RFC 3748 section 5.4)."""
    digest = hashlib.md5(bytes((identifier,)) + secret + challenge, usedforsecurity=False)
    return digest.digest()
