"""Data attributes: type/value and type/length/value (RFC 2408 section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.wire import Reader, u16
from vpndiag.records import record

MAX_ATTRIBUTES = 64
"""Attributes of one transform or configuration payload."""

_BASIC = 0x8000


@record(frozen=True, slots=True)
class Attribute:
    """One data attribute.

    ``type`` is the 15-bit attribute type; ``value`` the value in network byte order; ``basic``
    tells the form on the wire: True for type/value with exactly two bytes (AF bit set).
    """

    type: int
    value: bytes
    basic: bool = False

    @classmethod
    def tv(cls, type_: int, number: int) -> Attribute:
        """A basic attribute (AF bit set) with a 16-bit number."""
        return cls(type_, number.to_bytes(2, "big"), True)

    @classmethod
    def tlv(cls, type_: int, value: bytes) -> Attribute:
        """A variable-length attribute."""
        return cls(type_, value, False)

    @classmethod
    def number(cls, type_: int, number: int) -> Attribute:
        """Basic when the number fits 16 bits, else a TLV of four or more bytes.

        Life durations above 65535 need the second form; RFC 2407 section 4.5 leaves the length
        open, four bytes are what everybody sends.
        """
        if number <= 0xFFFF:
            return cls.tv(type_, number)
        return cls.tlv(type_, number.to_bytes(max(4, (number.bit_length() + 7) // 8), "big"))

    @property
    def int_value(self) -> int:
        """The value as an unsigned number (0 when empty)."""
        return int.from_bytes(self.value, "big")

    def encode(self) -> bytes:
        """:raises LocalProtocolError: type or value do not fit."""
        if not 0 <= self.type < _BASIC:
            raise LocalProtocolError(f"attribute type {self.type} is out of range")
        if self.basic:
            if len(self.value) != 2:
                raise LocalProtocolError("a basic attribute has exactly two bytes")
            return u16(self.type | _BASIC) + self.value
        if len(self.value) > 0xFFFF:
            raise LocalProtocolError("attribute value is too long")
        return u16(self.type) + u16(len(self.value)) + self.value


def decode_attributes(reader: Reader) -> tuple[Attribute, ...]:
    """All attributes that ``reader`` still holds, in order.

    :raises DecodeError: truncated, or more than :data:`MAX_ATTRIBUTES`.
    """
    attributes: list[Attribute] = []
    while len(reader):
        if len(attributes) >= MAX_ATTRIBUTES:
            raise DecodeError(f"more than {MAX_ATTRIBUTES} attributes", reader.offset)
        head = reader.u16("attribute type")
        if head & _BASIC:
            attributes.append(
                Attribute(head & 0x7FFF, reader.take(2, "basic attribute value"), True)
            )
        else:
            length = reader.u16("attribute length")
            attributes.append(Attribute(head, reader.take(length, "attribute value"), False))
    return tuple(attributes)


def encode_attributes(attributes: Iterable[Attribute]) -> bytes:
    """The attributes one after the other, in the order given."""
    return b"".join(attribute.encode() for attribute in attributes)
