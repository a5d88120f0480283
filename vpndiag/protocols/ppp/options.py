"""Configuration options: the type-length-data list of Configure packets (RFC 1661 section 6).

An option is kept as its raw bytes, so that what is acknowledged or rejected is repeated byte for
byte; the family modules (:mod:`lcp_options`, :mod:`ipcp_options`, :mod:`ipv6cp_options`,
:mod:`ccp_options`) build, read and name options of one protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.wire import Reader
from vpndiag.records import record

MAX_OPTIONS = 256
"""More options than any packet has a use for; the rest of the packet is refused."""


@record(frozen=True, slots=True)
class Option:
    """One configuration option; ``data`` excludes type and length."""

    type: int
    data: bytes = b""

    def encode(self) -> bytes:
        """:raises LocalProtocolError: ``data`` is longer than 253 bytes."""
        if len(self.data) > 253:
            raise LocalProtocolError(f"option {self.type} is longer than 255 bytes")
        return bytes((self.type, len(self.data) + 2)) + self.data

    def number(self, size: int) -> int | None:
        """The data as an unsigned number of exactly ``size`` bytes; None if the size differs."""
        return int.from_bytes(self.data, "big") if len(self.data) == size else None


Options = tuple[Option, ...]


def encode_options(options: Iterable[Option]) -> bytes:
    return b"".join(option.encode() for option in options)


def decode_options(data: bytes, base: int = 0) -> Options:
    """Read a whole option list; ``base`` is its offset in the packet, for error positions.

    :raises DecodeError: a length below 2 or past the end, or more than :data:`MAX_OPTIONS`.
    """
    found: list[Option] = []
    at, end = 0, len(data)
    while at + 2 <= end and len(found) < MAX_OPTIONS:
        size = data[at + 1]
        if size < 2 or at + size > end:
            break
        found.append(_option(data[at], data[at + 2 : at + size]))
        at += size
    if at == end:
        return tuple(found)
    # What is wrong, in full.
    reader, found = Reader(data, base), []
    while len(reader):
        if len(found) >= MAX_OPTIONS:
            raise DecodeError("too many configuration options", reader.offset)
        kind = reader.u8("option type")
        length = reader.u8("option length")
        if length < 2:
            raise DecodeError(f"option {kind} has length {length}", reader.offset - 1)
        found.append(Option(kind, reader.take(length - 2, f"option {kind}")))
    return tuple(found)


@lru_cache(maxsize=1024)
def _option(kind: int, data: bytes) -> Option:
    """Most options are the same in every session."""
    return Option(kind, data)


def find(options: Iterable[Option], kind: int) -> Option | None:
    """The first option of type ``kind``."""
    return next((option for option in options if option.type == kind), None)


def raw_text(name: str, option: Option) -> str:
    """How an option whose data has no better reading is shown: ``name`` and hex data."""
    return f"{name} {option.data.hex()}" if option.data else name
