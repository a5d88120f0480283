"""ISAKMP messages (RFC 2408 section 3.1), and IKEv2 (RFC 7296) as far as recognising it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.constants import HeaderFlag, PayloadType, V2NotifyType, name_of
from vpndiag.protocols.ike.payloads import Payload, decode_payload
from vpndiag.protocols.wire import Reader, u16, u32
from vpndiag.records import record

HEADER_SIZE = 28
MAX_MESSAGE_SIZE = 0xFFFF
MAX_PAYLOADS = 512
"""Payloads of one message. Windows asks for a certificate of each root authority that it trusts."""
NON_ESP_MARKER = bytes(4)
"""Precedes every IKE message on UDP 4500 (RFC 3948 section 2.2); not part of the message."""

# As plain numbers: members of an enumeration are slow to compare.
_ENCRYPTION, _FRAGMENTATION = int(HeaderFlag.ENCRYPTION), int(PayloadType.FRAGMENTATION)
_HEAD = struct.Struct("!8s8sBBBBII")
_FIELDS = (
    (8, "initiator cookie"), (8, "responder cookie"), (1, "next payload"), (1, "version"),
    (1, "exchange type"), (1, "flags"), (4, "message id"), (4, "length"),
)  # fmt: skip

P = TypeVar("P", bound=Payload)


@record(frozen=True, slots=True)
class Header:
    """The fixed header. Cookies are 8 bytes; ``length`` counts the whole message in bytes."""

    initiator_cookie: bytes
    responder_cookie: bytes
    exchange: int
    message_id: int = 0
    flags: int = 0
    next_payload: int = 0
    major: int = 1
    minor: int = 0
    length: int = 0

    @property
    def encrypted(self) -> bool:
        """Whether the body is ciphertext. Fragments are sent in clear whatever the flag says."""
        return (
            self.major == 1
            and bool(self.flags & _ENCRYPTION)
            and self.next_payload != _FRAGMENTATION
        )

    def encode(self) -> bytes:
        """:raises LocalProtocolError: a field does not fit."""
        if len(self.initiator_cookie) != 8 or len(self.responder_cookie) != 8:
            raise LocalProtocolError("cookies have 8 bytes")
        if not (0 <= self.message_id < 1 << 32 and 0 <= self.length < 1 << 32):
            raise LocalProtocolError("message id or length does not fit 32 bits")
        return (
            self.initiator_cookie
            + self.responder_cookie
            + bytes((self.next_payload, self.major << 4 | self.minor, self.exchange, self.flags))
            + u32(self.message_id)
            + u32(self.length)
        )

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """The header at the start of ``data``; the length field is not checked here.

        :raises DecodeError: fewer than 28 bytes.
        """
        if len(data) < HEADER_SIZE:
            reader = Reader(data)
            for size, what in _FIELDS:
                reader.take(size, what)
        initiator, responder, next_payload, version, exchange, flags, message_id, length = (
            _HEAD.unpack_from(data)
        )
        return cls(
            initiator,
            responder,
            exchange,
            message_id,
            flags,
            next_payload,
            version >> 4,
            version & 0x0F,
            length,
        )


@record(frozen=True, slots=True)
class V2Payload:
    """One IKEv2 payload as the generic walk sees it."""

    type: int
    critical: bool
    body: bytes

    @property
    def notify_type(self) -> int | None:
        """The number of an IKEv2 Notify payload (RFC 7296 section 3.10), else None."""
        if self.type != PayloadType.V2_NOTIFY or len(self.body) < 4:
            return None
        return int.from_bytes(self.body[2:4], "big")


@record(frozen=True, slots=True)
class Message:
    """One message.

    ``ciphertext`` is not None when the body is encrypted, ``payloads`` is empty then.
    ``v2_payloads`` is filled in place of ``payloads`` when ``header.major`` is 2.
    ``trailing`` holds bytes behind the length that the header declares.
    """

    header: Header
    payloads: tuple[Payload, ...] = ()
    ciphertext: bytes | None = None
    v2_payloads: tuple[V2Payload, ...] = ()
    trailing: bytes = b""

    @property
    def is_ikev2(self) -> bool:
        return self.header.major == 2

    @property
    def v2_notify_types(self) -> tuple[int, ...]:
        """Numbers of the IKEv2 notifications in clear."""
        found = (payload.notify_type for payload in self.v2_payloads)
        return tuple(number for number in found if number is not None)

    @property
    def v2_fragment(self) -> bool:
        """Whether this is one fragment of an encrypted IKEv2 message (RFC 7383)."""
        return any(p.type == PayloadType.V2_ENCRYPTED_FRAGMENT for p in self.v2_payloads)

    @property
    def v2_text(self) -> str:
        """Such as ``IKEv2 answer, notify NO-PROPOSAL-CHOSEN``; empty for IKEv1."""
        if not self.is_ikev2:
            return ""
        kind = "answer" if self.header.flags & HeaderFlag.V2_RESPONSE else "request"
        names = ", ".join(name_of(V2NotifyType, n) for n in self.v2_notify_types)
        return f"IKEv2 {kind}" + (f", notify {names}" if names else "")

    def first(self, kind: type[P]) -> P | None:
        """The first payload of a class."""
        return next((p for p in self.payloads if isinstance(p, kind)), None)

    def all(self, kind: type[P]) -> tuple[P, ...]:
        """All payloads of a class, in order."""
        return tuple(p for p in self.payloads if isinstance(p, kind))

    def encode(self) -> bytes:
        """The message, with the length field (and, in clear, the next-payload field) computed.

        For an encrypted message ``header.next_payload`` must be the type of the first payload
        inside. ``trailing`` is not sent. IKEv2 messages cannot be made.

        :raises LocalProtocolError: a field does not fit, or an IKEv2 message.
        """
        if self.is_ikev2:
            raise LocalProtocolError("IKEv2 messages are only recognised, never sent")
        if self.ciphertext is not None:
            body = self.ciphertext
            first = self.header.next_payload
        else:
            body = encode_payloads(self.payloads)
            first = self.payloads[0].payload_type if self.payloads else PayloadType.NONE
        length = HEADER_SIZE + len(body)
        if length > MAX_MESSAGE_SIZE:
            raise LocalProtocolError(f"a message of {length} bytes does not fit a datagram")
        return replace(self.header, next_payload=first, length=length).encode() + body


@record(frozen=True, slots=True)
class PayloadChain:
    """Payloads of a decrypted body.

    ``encoded`` is their bytes as received, generic headers included; ``padding`` is what followed.
    """

    payloads: tuple[Payload, ...]
    encoded: bytes
    padding: bytes

    @property
    def after_first(self) -> bytes:
        """All bytes after the first payload: what HASH(1), HASH(2) and the informational hash
        cover (RFC 2409 sections 5.5 and 5.7)."""
        if not self.payloads:
            return b""
        return self.encoded[4 + len(self.payloads[0].body) :]

    def first(self, kind: type[P]) -> P | None:
        """The first payload of a class."""
        return next((p for p in self.payloads if isinstance(p, kind)), None)

    def all(self, kind: type[P]) -> tuple[P, ...]:
        """All payloads of a class, in order."""
        return tuple(p for p in self.payloads if isinstance(p, kind))


def encode_payloads(payloads: Sequence[Payload]) -> bytes:
    """The payloads with their generic headers, chained; received ones exactly as received.

    :raises LocalProtocolError: a payload is longer than 65535 bytes.
    """
    out: list[bytes] = []
    for index, payload in enumerate(payloads):
        following = payloads[index + 1].payload_type if index + 1 < len(payloads) else 0
        body = payload.body
        if 4 + len(body) > 0xFFFF:
            raise LocalProtocolError(f"{payload.label} payload is too long")
        out.append(bytes((following, 0)) + u16(4 + len(body)) + body)
    return b"".join(out)


def decode_payloads(first_type: int, body: bytes, base: int = HEADER_SIZE) -> PayloadChain:
    """The payloads of a decrypted body; what follows the last one is padding.

    A body decrypted with a wrong key nearly always ends in DecodeError here.

    :raises DecodeError: a payload does not decode, or there are more than :data:`MAX_PAYLOADS`.
    """
    payloads: list[Payload] = []
    current, at, end = first_type, 0, len(body)
    while current:
        if len(payloads) >= MAX_PAYLOADS:
            raise DecodeError(f"more than {MAX_PAYLOADS} payloads", base + at)
        size = body[at + 2] << 8 | body[at + 3] if at + 4 <= end else 0
        if size < 4 or at + size > end:
            _generic(Reader(body[at:], base + at))  # says what is wrong
        payloads.append(decode_payload(current, body[at + 4 : at + size], base + at + 4))
        current = body[at]
        at += size
    return PayloadChain(tuple(payloads), body[:at], body[at:])


def _generic(reader: Reader) -> tuple[int, bytes, int]:
    """Next payload type, body and body offset behind one generic header (RFC 2408 section 3.2)."""
    start = reader.offset
    following = reader.u8("next payload")
    reader.u8("reserved")
    length = reader.u16("payload length")
    if length < 4:
        raise DecodeError(f"payload length {length} is below 4", start + 2)
    offset = reader.offset
    return following, reader.take(length - 4, "payload body"), offset


def _walk_v2(first_type: int, body: bytes) -> tuple[V2Payload, ...]:
    reader = Reader(body, HEADER_SIZE)
    payloads: list[V2Payload] = []
    current = first_type
    while current != PayloadType.NONE:
        if len(payloads) >= MAX_PAYLOADS:
            raise DecodeError(f"more than {MAX_PAYLOADS} payloads", reader.offset)
        flags = reader.peek(2)[-1:]
        following, content, _ = _generic(reader)
        payloads.append(V2Payload(current, bool(flags[0] & 0x80), content))
        if current in (PayloadType.V2_ENCRYPTED, PayloadType.V2_ENCRYPTED_FRAGMENT):
            break  # its next-payload field names the first payload inside
        current = following
    return tuple(payloads)


def decode(data: bytes) -> Message:
    """One message, without the non-ESP marker of UDP 4500.

    Bytes behind the declared length, and behind the last payload of a clear message, are kept in
    ``trailing``.

    :raises DecodeError: truncated, too long, a malformed payload, or a major version other than
        1 and 2.
    """
    header = Header.decode(data)
    if header.major not in (1, 2):
        raise DecodeError(f"major version {header.major}", 17)
    if header.length < HEADER_SIZE or header.length > MAX_MESSAGE_SIZE:
        raise DecodeError(f"message length {header.length}", 24)
    if header.length > len(data):
        raise DecodeError(f"message length {header.length}, but only {len(data)} bytes", 24)
    body = data[HEADER_SIZE : header.length]
    trailing = data[header.length :]
    if header.major == 2:
        return Message(header, v2_payloads=_walk_v2(header.next_payload, body), trailing=trailing)
    if header.encrypted:
        return Message(header, ciphertext=body, trailing=trailing)
    chain = decode_payloads(header.next_payload, body)
    return Message(header, chain.payloads, trailing=chain.padding + trailing)
