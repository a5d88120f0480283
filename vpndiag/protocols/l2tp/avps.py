"""Attribute-value pairs: the table of RFC 2661, 4.4 and the codec of 4.1."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.l2tp.constants import MAX_AVP, AvpType
from vpndiag.protocols.l2tp.values import AvpValue, Format, decode_format, encode_format
from vpndiag.protocols.wire import Reader, u16
from vpndiag.records import record

MAX_AVPS = 512
"""More in one message are refused."""

_M, _H, _L = 0x8000, 0x4000, 0x03FF
_HEAD = struct.Struct("!HHH")


@record(frozen=True, slots=True)
class AvpSpec:
    """``mandatory``: the M bit that RFC 2661 prescribes. ``may_hide``: hiding is allowed."""

    name: str
    format: Format
    mandatory: bool
    may_hide: bool


SPECS: dict[int, AvpSpec] = {
    AvpType.MESSAGE_TYPE: AvpSpec("Message Type", Format.U16, True, False),
    AvpType.RESULT_CODE: AvpSpec("Result Code", Format.RESULT, True, False),
    AvpType.PROTOCOL_VERSION: AvpSpec("Protocol Version", Format.VERSION, True, False),
    AvpType.FRAMING_CAPABILITIES: AvpSpec("Framing Capabilities", Format.U32, True, True),
    AvpType.BEARER_CAPABILITIES: AvpSpec("Bearer Capabilities", Format.U32, True, True),
    AvpType.TIE_BREAKER: AvpSpec("Tie Breaker", Format.TIE_BREAKER, False, False),
    AvpType.FIRMWARE_REVISION: AvpSpec("Firmware Revision", Format.U16, False, True),
    AvpType.HOST_NAME: AvpSpec("Host Name", Format.TEXT, True, False),
    AvpType.VENDOR_NAME: AvpSpec("Vendor Name", Format.TEXT, False, True),
    AvpType.ASSIGNED_TUNNEL_ID: AvpSpec("Assigned Tunnel ID", Format.U16, True, True),
    AvpType.RECEIVE_WINDOW_SIZE: AvpSpec("Receive Window Size", Format.U16, True, False),
    AvpType.CHALLENGE: AvpSpec("Challenge", Format.BYTES, True, True),
    AvpType.Q931_CAUSE_CODE: AvpSpec("Q.931 Cause Code", Format.CAUSE, True, False),
    AvpType.CHALLENGE_RESPONSE: AvpSpec("Challenge Response", Format.RESPONSE, True, True),
    AvpType.ASSIGNED_SESSION_ID: AvpSpec("Assigned Session ID", Format.U16, True, True),
    AvpType.CALL_SERIAL_NUMBER: AvpSpec("Call Serial Number", Format.U32, True, True),
    AvpType.MINIMUM_BPS: AvpSpec("Minimum BPS", Format.U32, True, True),
    AvpType.MAXIMUM_BPS: AvpSpec("Maximum BPS", Format.U32, True, True),
    AvpType.BEARER_TYPE: AvpSpec("Bearer Type", Format.U32, True, True),
    AvpType.FRAMING_TYPE: AvpSpec("Framing Type", Format.U32, True, True),
    AvpType.CALLED_NUMBER: AvpSpec("Called Number", Format.TEXT, True, True),
    AvpType.CALLING_NUMBER: AvpSpec("Calling Number", Format.TEXT, True, True),
    AvpType.SUB_ADDRESS: AvpSpec("Sub-Address", Format.TEXT, True, True),
    AvpType.TX_CONNECT_SPEED: AvpSpec("(Tx) Connect Speed", Format.U32, True, True),
    AvpType.PHYSICAL_CHANNEL_ID: AvpSpec("Physical Channel ID", Format.U32, False, True),
    AvpType.INITIAL_RECEIVED_LCP_CONFREQ: AvpSpec(
        "Initial Received LCP CONFREQ", Format.BYTES, False, True
    ),
    AvpType.LAST_SENT_LCP_CONFREQ: AvpSpec("Last Sent LCP CONFREQ", Format.BYTES, False, True),
    AvpType.LAST_RECEIVED_LCP_CONFREQ: AvpSpec(
        "Last Received LCP CONFREQ", Format.BYTES, False, True
    ),
    AvpType.PROXY_AUTHEN_TYPE: AvpSpec("Proxy Authen Type", Format.U16, False, True),
    AvpType.PROXY_AUTHEN_NAME: AvpSpec("Proxy Authen Name", Format.TEXT, False, True),
    AvpType.PROXY_AUTHEN_CHALLENGE: AvpSpec("Proxy Authen Challenge", Format.BYTES, False, True),
    AvpType.PROXY_AUTHEN_ID: AvpSpec("Proxy Authen ID", Format.PROXY_ID, False, True),
    AvpType.PROXY_AUTHEN_RESPONSE: AvpSpec("Proxy Authen Response", Format.BYTES, False, True),
    AvpType.CALL_ERRORS: AvpSpec("Call Errors", Format.CALL_ERRORS, True, True),
    AvpType.ACCM: AvpSpec("ACCM", Format.ACCM, True, True),
    AvpType.RANDOM_VECTOR: AvpSpec("Random Vector", Format.BYTES, True, False),
    AvpType.PRIVATE_GROUP_ID: AvpSpec("Private Group ID", Format.BYTES, False, True),
    AvpType.RX_CONNECT_SPEED: AvpSpec("Rx Connect Speed", Format.U32, False, True),
    AvpType.SEQUENCING_REQUIRED: AvpSpec("Sequencing Required", Format.EMPTY, True, False),
}


@record(frozen=True, slots=True)
class Avp:
    """One AVP, known or not.

    ``value`` is the attribute value as on the wire; while ``hidden`` is set it is the hidden
    subformat of 4.3 (``hidden.reveal`` clears it and sets ``was_hidden``). ``reserved`` holds the
    four reserved bits of the header.
    """

    type: int
    value: bytes
    mandatory: bool = True
    hidden: bool = False
    vendor: int = 0
    reserved: int = 0
    was_hidden: bool = False

    @property
    def spec(self) -> AvpSpec | None:
        """None for a vendor's own and for an unknown attribute."""
        return SPECS.get(self.type) if self.vendor == 0 else None

    @property
    def name(self) -> str:
        if self.spec is not None:
            return self.spec.name
        return f"vendor {self.vendor} attribute {self.type}" if self.vendor else f"AVP {self.type}"

    def decoded(self) -> AvpValue:
        """The typed value; raw bytes for an unknown or still hidden attribute.

        :raises DecodeError: the length does not fit the attribute.
        """
        spec = self.spec
        if spec is None or self.hidden:
            return self.value
        return decode_format(spec.format, self.value, spec.name)

    @property
    def typed(self) -> AvpValue | None:
        """:meth:`decoded`, or None where that raises."""
        return self.value if self.vendor or self.hidden else _typed(self.type, self.value)


@lru_cache(maxsize=1024)
def _typed(kind: int, value: bytes) -> AvpValue | None:
    """Most values are the same in every session."""
    spec = SPECS.get(kind)
    try:
        return value if spec is None else decode_format(spec.format, value, spec.name)
    except DecodeError:
        return None


def make(kind: AvpType, value: AvpValue) -> Avp:
    """An AVP of RFC 2661 with the M bit that the RFC prescribes.

    :raises LocalProtocolError: the value does not fit.
    """
    spec = SPECS[kind]
    try:
        data = encode_format(spec.format, value)
        decode_format(spec.format, data, spec.name)
    except (DecodeError, OverflowError) as error:
        raise LocalProtocolError(f"{spec.name}: {value!r} does not fit") from error
    return Avp(kind, data, mandatory=spec.mandatory)


def encode_avp(avp: Avp) -> bytes:
    """:raises LocalProtocolError: longer than 1023 bytes, or a field out of range."""
    length = 6 + len(avp.value)
    if length > MAX_AVP:
        raise LocalProtocolError(f"{avp.name} of {length} bytes is too long")
    if not (0 <= avp.type <= 0xFFFF and 0 <= avp.vendor <= 0xFFFF and 0 <= avp.reserved <= 15):
        raise LocalProtocolError(f"{avp.name} has a field out of range")
    flags = (_M if avp.mandatory else 0) | (_H if avp.hidden else 0) | avp.reserved << 10
    return u16(flags | length) + u16(avp.vendor) + u16(avp.type) + avp.value


def encode_avps(avps: Iterable[Avp]) -> bytes:
    return b"".join(encode_avp(avp) for avp in avps)


def read_values(data: bytes, at: int) -> dict[int, AvpValue | None] | None:
    """The typed values of the attributes of vendor 0 from ``at`` to the end of ``data``, the first
    of each; None for one that is hidden or malformed. None: something is wrong, and
    :func:`decode_avps` says what."""
    found: dict[int, AvpValue | None] = {}
    end = len(data)
    if end - at > MAX_AVPS * 6:
        return None
    while at + 6 <= end:
        length = (data[at] << 8 | data[at + 1]) & _L
        if length < 6 or at + length > end:
            return None
        vendor, kind, value = _meaning(data[at : at + length])
        if not vendor and kind not in found:
            found[kind] = value
        at += length
    return found if at == end else None


@lru_cache(maxsize=1024)
def _meaning(data: bytes) -> tuple[int, int, AvpValue | None]:
    """Vendor, type and typed value of an AVP of the right length; most are the same in every
    session."""
    avp = _whole(data)
    return avp.vendor, avp.type, None if avp.hidden else avp.typed


def decode_avps(reader: Reader) -> tuple[Avp, ...]:
    """All AVPs to the end of ``reader``, in order, whatever they are.

    :raises DecodeError: a length below 6 or beyond the message, or more than 512 AVPs.
    """
    found: list[Avp] = []
    while len(reader):
        if len(found) == MAX_AVPS:
            raise DecodeError(f"more than {MAX_AVPS} AVPs", reader.offset)
        start = reader.offset
        length = int.from_bytes(reader.peek(2), "big") & _L
        if length < 6 or length > len(reader):
            _refuse(reader, start)
        found.append(_whole(reader.take(length, "AVP")))
    return tuple(found)


@lru_cache(maxsize=1024)
def _whole(data: bytes) -> Avp:
    """An AVP of the right length; most are the same in every session."""
    head, vendor, kind = _HEAD.unpack_from(data)
    reserved = head >> 10 & 0x0F
    return Avp(kind, data[6:], bool(head & _M), bool(head & _H), vendor=vendor, reserved=reserved)


def _refuse(reader: Reader, start: int) -> None:
    length = reader.u16("AVP flags and length") & _L
    if length < 6:
        raise DecodeError(f"AVP length {length} is shorter than its header", start)
    reader.u16("AVP vendor")
    reader.u16("AVP type")
    reader.take(length - 6, "AVP value")
