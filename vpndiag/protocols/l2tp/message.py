"""The L2TP header and its messages (RFC 2661, 3.1).

A datagram is a :class:`ControlMessage`, a :class:`DataMessage`, or, when its version is not 2, an
:class:`OtherVersion`, which is reported and not looked into.
"""

from __future__ import annotations

import struct

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.l2tp.avps import Avp, decode_avps, encode_avps, read_values
from vpndiag.protocols.l2tp.constants import AvpType, message_name
from vpndiag.protocols.l2tp.values import AvpValue, ResultCode
from vpndiag.protocols.wire import Reader, u16
from vpndiag.records import record

_T, _L, _S, _O, _P, _VERSION = 0x8000, 0x4000, 0x0800, 0x0200, 0x0100, 0x000F
_SHORT, _CONTROL = struct.Struct("!HH").unpack_from, struct.Struct("!HHHHH").unpack_from
_VERSIONS = {1: "L2F", 3: "L2TPv3"}


@record(frozen=True, slots=True)
class ControlMessage:
    """A control message; without AVPs it is a ZLB, a bare acknowledgement.

    ``flags`` are the received header bits; ``trailing`` are bytes after the length of the header.
    """

    tunnel_id: int
    session_id: int
    ns: int
    nr: int
    avps: tuple[Avp, ...] = ()
    flags: int = _T | _L | _S | 2
    trailing: bytes = b""

    @property
    def is_zlb(self) -> bool:
        return not self.avps

    @property
    def message_type(self) -> int | None:
        """From the Message Type AVP (the first one there is); None for a ZLB or without it."""
        value = self.value(AvpType.MESSAGE_TYPE)
        return value if isinstance(value, int) else None

    @property
    def name(self) -> str:
        """``SCCRQ``, ``ZLB``, ``type 99``, or ``untyped`` without a Message Type AVP."""
        kind = self.message_type
        if kind is None and not self.is_zlb:
            return "untyped"
        return message_name(kind)

    def find(self, kind: int) -> Avp | None:
        """The first AVP of vendor 0 and this type."""
        for avp in self.avps:
            if avp.type == kind and avp.vendor == 0:
                return avp
        return None

    def value(self, kind: int) -> AvpValue | None:
        """Its typed value; None when it is absent, still hidden or malformed."""
        avp = self.find(kind)
        return None if avp is None or avp.hidden else avp.typed

    def number(self, kind: int) -> int | None:
        value = self.value(kind)
        return value if isinstance(value, int) else None

    def data(self, kind: int) -> bytes | None:
        value = self.value(kind)
        return value if isinstance(value, bytes) else None

    def values(self) -> dict[int, AvpValue | None]:
        """What :meth:`value` says of each attribute that is here."""
        found: dict[int, AvpValue | None] = {}
        for avp in self.avps:
            if avp.vendor == 0 and avp.type not in found:
                found[avp.type] = None if avp.hidden else avp.typed
        return found

    @property
    def result(self) -> ResultCode | None:
        """Of StopCCN and CDN."""
        value = self.value(AvpType.RESULT_CODE)
        return value if isinstance(value, ResultCode) else None


@record(frozen=True, slots=True)
class DataMessage:
    """A PPP frame. ``ns`` and ``nr`` are None without sequence numbers, ``offset`` is the size of
    the offset padding or None without that field."""

    tunnel_id: int
    session_id: int
    payload: bytes
    ns: int | None = None
    nr: int | None = None
    offset: int | None = None
    has_length: bool = True
    priority: bool = False
    trailing: bytes = b""


@record(frozen=True, slots=True)
class OtherVersion:
    """``name`` is L2F, L2TPv3 or ``version n``."""

    version: int
    name: str
    data: bytes


Message = ControlMessage | DataMessage | OtherVersion


def decode(datagram: bytes) -> Message:
    """One UDP payload.

    Reserved header bits are ignored, as the RFC asks.

    :raises DecodeError: shorter than its header or length field, a control message without length
        or sequence numbers, or malformed AVPs.
    """
    usual = peek_data(datagram)
    if usual is not None:
        return DataMessage(*usual, datagram[6:], has_length=False)
    reader = Reader(datagram)
    flags = reader.u16("L2TP flags")
    version = flags & _VERSION
    if version != 2:
        return OtherVersion(version, _VERSIONS.get(version, f"version {version}"), datagram)
    trailing = b""
    if flags & _L:
        length = reader.u16("L2TP length")
        if length < 4:
            raise DecodeError(f"L2TP length {length} is shorter than its header", 2)
        body = reader.sub(length - 4, "L2TP message")
        trailing = reader.rest()
    else:
        body = reader
    tunnel_id = body.u16("tunnel ID")
    session_id = body.u16("session ID")
    numbers: tuple[int, int] | None = None
    if flags & _S:
        numbers = body.u16("Ns"), body.u16("Nr")
    if flags & _T:
        if numbers is None or not flags & _L:
            raise DecodeError("control message without length or sequence numbers")
        if flags & _O:
            body.take(body.u16("offset size"), "offset padding")
        avps = decode_avps(body)
        return ControlMessage(tunnel_id, session_id, *numbers, avps, flags, trailing)
    offset: int | None = None
    if flags & _O:
        offset = body.u16("offset size")
        body.take(offset, "offset padding")
    return DataMessage(
        tunnel_id,
        session_id,
        body.rest(),
        ns=numbers[0] if numbers else None,
        nr=numbers[1] if numbers else None,
        offset=offset,
        has_length=bool(flags & _L),
        priority=bool(flags & _P),
        trailing=trailing,
    )


def peek_control(
    datagram: bytes,
) -> tuple[int, int, int, int, dict[int, AvpValue | None]] | None:
    """Tunnel and session ID, Ns, Nr and :meth:`ControlMessage.values` of a control message in its
    usual form, of 12 bytes for a ZLB. None: as :func:`peek_data`."""
    if datagram[:2] != b"\xc8\x02" or len(datagram) < 12:
        return None
    length, tunnel_id, session_id, ns, nr = _CONTROL(datagram, 2)
    values = read_values(datagram, 12) if length == len(datagram) else None
    return None if values is None else (tunnel_id, session_id, ns, nr, values)


def peek_data(datagram: bytes) -> tuple[int, int] | None:
    """Tunnel and session ID of a data message in its usual form, without any field that may be left
    out: the PPP frame begins at byte 6. None: it is another message, or has another form."""
    usual = datagram[:2] == b"\x00\x02" and len(datagram) >= 6
    return _SHORT(datagram, 2) if usual else None


def encode_control(message: ControlMessage) -> bytes:
    """Flags are always those of RFC 2661, whatever ``message.flags`` holds.

    :raises LocalProtocolError: longer than 65535 bytes, or a field out of range.
    """
    body = encode_avps(message.avps)
    fields = (12 + len(body), message.tunnel_id, message.session_id, message.ns, message.nr)
    return u16(_T | _L | _S | 2) + _fields(*fields) + body


def encode_data(message: DataMessage) -> bytes:
    """:raises LocalProtocolError: longer than 65535 bytes, or a field out of range."""
    flags = 2 | (_P if message.priority else 0)
    tail = _fields(message.tunnel_id, message.session_id)
    if message.ns is not None:
        flags |= _S
        tail += _fields(message.ns, message.nr or 0)
    if message.offset is not None:
        flags |= _O
        tail += _fields(message.offset) + bytes(message.offset)
    tail += message.payload
    if message.has_length:
        return u16(flags | _L) + _fields(4 + len(tail)) + tail
    return u16(flags) + tail


def _fields(*numbers: int) -> bytes:
    if any(not 0 <= number <= 0xFFFF for number in numbers):
        raise LocalProtocolError("L2TP message too long or field out of range")
    return b"".join(u16(number) for number in numbers)


def peek_tunnel_id(datagram: bytes) -> int | None:
    """The tunnel ID of a version 2 datagram, to hand it to the right engine; None if there is none.

    0 is a new SCCRQ (or a StopCCN of a peer that knows no ID yet).
    """
    if len(datagram) < 6:
        return None
    flags = int.from_bytes(datagram[:2], "big")
    start = 4 if flags & _L else 2
    if flags & _VERSION != 2:
        return None
    return int.from_bytes(datagram[start : start + 2], "big")
