"""The typed values of AVPs (RFC 2661, 4.4): fixed formats to Python and back."""

from __future__ import annotations

from enum import Enum

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.wire import Reader, u16, u32
from vpndiag.records import record


class Format(Enum):
    """How the value of an attribute is laid out."""

    U16 = "u16"
    U32 = "u32"
    BYTES = "bytes"
    TEXT = "text"
    EMPTY = "empty"
    TIE_BREAKER = "tie-breaker"
    RESPONSE = "response"
    RESULT = "result"
    VERSION = "version"
    CAUSE = "cause"
    CALL_ERRORS = "call-errors"
    ACCM = "accm"
    PROXY_ID = "proxy-id"


@record(frozen=True, slots=True)
class ResultCode:
    """Result Code AVP. ``error`` is None when the peer left it out; ``message`` is raw."""

    result: int
    error: int | None = None
    message: bytes = b""

    def encode(self) -> bytes:
        if self.error is None and not self.message:
            return u16(self.result)
        return u16(self.result) + u16(self.error or 0) + self.message


@record(frozen=True, slots=True)
class ProtocolVersion:
    version: int
    revision: int

    def encode(self) -> bytes:
        return bytes((self.version, self.revision))


@record(frozen=True, slots=True)
class Q931Cause:
    """Q.931 Cause Code AVP; ``advisory`` is raw."""

    cause: int
    message: int
    advisory: bytes = b""

    def encode(self) -> bytes:
        return u16(self.cause) + bytes((self.message,)) + self.advisory


@record(frozen=True, slots=True)
class CallErrors:
    crc_errors: int
    framing_errors: int
    hardware_overruns: int
    buffer_overruns: int
    timeout_errors: int
    alignment_errors: int

    def encode(self) -> bytes:
        return b"\x00\x00" + b"".join(
            u32(number)
            for number in (
                self.crc_errors,
                self.framing_errors,
                self.hardware_overruns,
                self.buffer_overruns,
                self.timeout_errors,
                self.alignment_errors,
            )
        )


@record(frozen=True, slots=True)
class Accm:
    """Async control character maps."""

    send: int
    receive: int

    def encode(self) -> bytes:
        return b"\x00\x00" + u32(self.send) + u32(self.receive)


@record(frozen=True, slots=True)
class ProxyAuthenId:
    identifier: int

    def encode(self) -> bytes:
        return bytes((0, self.identifier))


AvpValue = (
    int | bytes | ResultCode | ProtocolVersion | Q931Cause | CallErrors | Accm | ProxyAuthenId
)


def decode_format(form: Format, data: bytes, what: str) -> AvpValue:
    """The value of ``data`` (text stays bytes).

    Extra bytes after a fixed-size value are an error, except after a result code, whose tail is
    its message.

    :raises DecodeError: the length is wrong.
    """
    reader = Reader(data)
    value = _decode(form, reader, what)
    if len(reader):
        raise DecodeError(f"{what}: {len(reader)} extra bytes", reader.offset)
    return value


def _decode(form: Format, reader: Reader, what: str) -> AvpValue:
    match form:
        case Format.U16:
            return reader.u16(what)
        case Format.U32:
            return reader.u32(what)
        case Format.EMPTY:
            return b""
        case Format.TIE_BREAKER:
            return reader.take(8, what)
        case Format.RESPONSE:
            return reader.take(16, what)
        case Format.RESULT:
            result = reader.u16(what)
            error = reader.u16(what) if len(reader) else None
            return ResultCode(result, error, reader.rest())
        case Format.VERSION:
            return ProtocolVersion(reader.u8(what), reader.u8(what))
        case Format.CAUSE:
            return Q931Cause(reader.u16(what), reader.u8(what), reader.rest())
        case Format.CALL_ERRORS:
            reader.u16(what)
            numbers = [reader.u32(what) for _ in range(6)]
            return CallErrors(*numbers)
        case Format.ACCM:
            reader.u16(what)
            return Accm(reader.u32(what), reader.u32(what))
        case Format.PROXY_ID:
            reader.u8(what)
            return ProxyAuthenId(reader.u8(what))
        case Format.BYTES | Format.TEXT:
            return reader.rest()


def encode_format(form: Format, value: AvpValue) -> bytes:
    """The reverse of :func:`decode_format` for a value of the right type."""
    if isinstance(value, int):
        return u32(value) if form is Format.U32 else u16(value)
    if isinstance(value, bytes):
        return value
    return value.encode()
