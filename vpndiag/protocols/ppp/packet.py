"""The packets of LCP and the network control protocols (RFC 1661 section 5, RFC 1570).

One header (code, identifier, length) and one class for each shape of body. ``decode_packet`` never
drops anything: an unknown code, or a body that does not decode, is a different class, not a loss.
"""

from __future__ import annotations

from enum import IntEnum

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp import (
    ccp_options,
    ipcp_options,
    ipv6cp_options,
    lcp_options,
    protocols,
)
from vpndiag.protocols.ppp.options import Option, Options, decode_options, encode_options, raw_text
from vpndiag.protocols.wire import Reader, u16, u32
from vpndiag.records import record


class Code(IntEnum):
    """Packet codes; 8 to 13 exist in LCP only, 14 and 15 in CCP only."""

    CONFIGURE_REQUEST = 1
    CONFIGURE_ACK = 2
    CONFIGURE_NAK = 3
    CONFIGURE_REJECT = 4
    TERMINATE_REQUEST = 5
    TERMINATE_ACK = 6
    CODE_REJECT = 7
    PROTOCOL_REJECT = 8
    ECHO_REQUEST = 9
    ECHO_REPLY = 10
    DISCARD_REQUEST = 11
    IDENTIFICATION = 12
    TIME_REMAINING = 13
    RESET_REQUEST = 14
    RESET_ACK = 15

    @property
    def label(self) -> str:
        """``"Configure-Request"``."""
        return "-".join(word.capitalize() for word in self.name.split("_"))


_LABELS = {int(code): code.label for code in Code}


def code_name(code: int) -> str:
    return _LABELS.get(code) or f"Code-{code}"


@record(frozen=True, slots=True)
class Configure:
    """Configure-Request, -Ack, -Nak or -Reject."""

    code: int
    identifier: int
    options: Options = ()

    def body(self) -> bytes:
        return encode_options(self.options)


@record(frozen=True, slots=True)
class Terminate:
    """Terminate-Request or -Ack; ``message`` is the peer's raw text, often empty."""

    code: int
    identifier: int
    message: bytes = b""

    def body(self) -> bytes:
        return self.message


@record(frozen=True, slots=True)
class CodeReject:
    """``rejected`` is the refused packet from its code on, perhaps cut."""

    identifier: int
    rejected: bytes
    code: int = Code.CODE_REJECT

    def body(self) -> bytes:
        return self.rejected


@record(frozen=True, slots=True)
class ProtocolReject:
    """``protocol`` is the refused protocol number, ``information`` its packet, perhaps cut."""

    identifier: int
    protocol: int
    information: bytes = b""
    code: int = Code.PROTOCOL_REJECT

    def body(self) -> bytes:
        return u16(self.protocol) + self.information


@record(frozen=True, slots=True)
class MagicPacket:
    """Echo-Request, Echo-Reply, Discard-Request and Identification: a magic number (0 when none
    was negotiated) and data (for Identification a text)."""

    code: int
    identifier: int
    magic: int
    data: bytes = b""

    def body(self) -> bytes:
        return u32(self.magic) + self.data


@record(frozen=True, slots=True)
class TimeRemaining:
    """``seconds`` until the peer ends the session (RFC 1570 section 1.2)."""

    identifier: int
    magic: int
    seconds: int
    message: bytes = b""
    code: int = Code.TIME_REMAINING

    def body(self) -> bytes:
        return u32(self.magic) + u32(self.seconds) + self.message


@record(frozen=True, slots=True)
class OtherPacket:
    """A code without a class here (CCP resets too), or a body that does not decode: then
    ``malformed`` tells why."""

    code: int
    identifier: int
    data: bytes = b""
    malformed: str | None = None

    def body(self) -> bytes:
        return self.data


ControlPacket = (
    Configure | Terminate | CodeReject | ProtocolReject | MagicPacket | TimeRemaining | OtherPacket
)

_CONFIGURE = frozenset((1, 2, 3, 4))
_TERMINATE = frozenset((5, 6))
_MAGIC = frozenset((9, 10, 11, 12))
"""Codes with one shape of body, as plain numbers: members of an enumeration are slow to compare."""


def read_header(data: bytes, what: str) -> tuple[int, int, bytes]:
    """Code, identifier and body of any packet with the common header; padding is cut off.

    :raises DecodeError: shorter than 4 bytes, or than its Length field says.
    """
    if len(data) >= 4 and 4 <= (length := data[2] << 8 | data[3]) <= len(data):
        return data[0], data[1], data[4:length]
    reader = Reader(data)
    code = reader.u8(f"{what} code")
    identifier = reader.u8(f"{what} identifier")
    length = reader.u16(f"{what} length")
    if length < 4:
        raise DecodeError(f"{what} length field is {length}", 2)
    return code, identifier, reader.take(length - 4, f"{what} body")


def encode_header(code: int, identifier: int, body: bytes) -> bytes:
    """Code, identifier, length and ``body``."""
    return bytes((code, identifier)) + u16(len(body) + 4) + body


def encode_packet(packet: ControlPacket) -> bytes:
    return encode_header(packet.code, packet.identifier, packet.body())


def _body(protocol: int, code: int, identifier: int, body: bytes) -> ControlPacket:
    if code in _CONFIGURE:
        return Configure(code, identifier, decode_options(body, 4))
    if code in _TERMINATE:
        return Terminate(code, identifier, body)
    if code == Code.CODE_REJECT:
        return CodeReject(identifier, body)
    if protocol == protocols.LCP:
        reader = Reader(body, 4)
        if code == Code.PROTOCOL_REJECT:
            return ProtocolReject(identifier, reader.u16("rejected protocol"), reader.rest())
        if code in _MAGIC:
            return MagicPacket(code, identifier, reader.u32("magic number"), reader.rest())
        if code == Code.TIME_REMAINING:
            magic = reader.u32("magic number")
            return TimeRemaining(identifier, magic, reader.u32("seconds"), reader.rest())
    return OtherPacket(code, identifier, body)


def decode_packet(protocol: int, data: bytes) -> ControlPacket:
    """Read a packet of LCP or of a network control protocol (``protocol`` is its PPP number).

    A body that does not decode gives :class:`OtherPacket` with ``malformed`` set.

    :raises DecodeError: the header itself is cut or its length wrong.
    """
    code, identifier, body = read_header(data, protocols.protocol_name(protocol))
    try:
        return _body(protocol, code, identifier, body)
    except DecodeError as error:
        return OtherPacket(code, identifier, body, str(error))


_OPTION_TEXT = {
    protocols.LCP: lcp_options.text,
    protocols.IPCP: ipcp_options.text,
    protocols.IPV6CP: ipv6cp_options.text,
    protocols.CCP: ccp_options.text,
}


def option_text(protocol: int, option: Option) -> str:
    """Readable form of one option of ``protocol``."""
    reader = _OPTION_TEXT.get(protocol)
    return reader(option) if reader else raw_text(f"Option-{option.type}", option)


def packet_text(protocol: int, packet: ControlPacket) -> str:
    """One line such as ``"LCP Configure-Request id 1: MRU 1400, Magic 0x00000001"``.

    Bytes of the peer's choosing appear as ``ascii()`` shows them, so the line is safe to print.
    """
    head = f"{protocols.protocol_name(protocol)} {code_name(packet.code)} id {packet.identifier}"
    match packet:
        case Configure():
            tail = ", ".join(option_text(protocol, option) for option in packet.options)
        case Terminate():
            tail = ascii(packet.message)[1:] if packet.message else ""
        case ProtocolReject():
            tail = protocols.protocol_name(packet.protocol)
        case CodeReject():
            tail = code_name(packet.rejected[0]) if packet.rejected else ""
        case MagicPacket():
            tail = f"Magic 0x{packet.magic:08x}"
            if packet.data:
                tail += f" {ascii(packet.data)[1:]}"
        case TimeRemaining():
            tail = f"{packet.seconds} s"
        case OtherPacket():
            tail = f"malformed: {packet.malformed}" if packet.malformed else packet.data.hex()
    return f"{head}: {tail}" if tail else head
