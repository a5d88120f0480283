"""Hiding of AVP values (RFC 2661, 4.3)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.l2tp.avps import Avp, make
from vpndiag.protocols.l2tp.constants import AvpType
from vpndiag.protocols.wire import Reader, u16

RandomBytes = Callable[[int], bytes]


def _md5(*parts: bytes) -> bytes:
    return hashlib.md5(b"".join(parts), usedforsecurity=False).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))


def hide(avp: Avp, secret: bytes, random_vector: bytes, padding: bytes = b"") -> Avp:
    """``avp`` with its value hidden under the last Random Vector before it.

    :raises LocalProtocolError: RFC 2661 forbids to hide this attribute.
    """
    spec = avp.spec
    if avp.hidden or (spec is not None and not spec.may_hide):
        raise LocalProtocolError(f"{avp.name} must not be hidden")
    plain = u16(len(avp.value)) + avp.value + padding
    block = _md5(u16(avp.type), secret, random_vector)
    out = bytearray()
    for start in range(0, len(plain), 16):
        cipher = _xor(plain[start : start + 16], block)
        out += cipher
        block = _md5(secret, cipher)
    return replace(avp, value=bytes(out), hidden=True)


def reveal(avp: Avp, secret: bytes, random_vector: bytes) -> Avp:
    """The reverse of :func:`hide`.

    :raises DecodeError: the length inside does not fit, so the secret or the vector is another.
    """
    block = _md5(u16(avp.type), secret, random_vector)
    plain = bytearray()
    for start in range(0, len(avp.value), 16):
        cipher = avp.value[start : start + 16]
        plain += _xor(cipher, block)
        block = _md5(secret, cipher)
    reader = Reader(bytes(plain))
    length = reader.u16(f"hidden {avp.name} length")
    value = reader.take(length, f"hidden {avp.name}")
    return replace(avp, value=value, hidden=False, was_hidden=True)


def reveal_all(avps: Iterable[Avp], secret: bytes | None) -> tuple[Avp, ...]:
    """Reveal what can be; the rest stays ``hidden``. Each hidden AVP uses the last Random Vector
    before it."""
    vector: bytes | None = None
    result: list[Avp] = []
    for avp in avps:
        if avp.vendor == 0 and avp.type == AvpType.RANDOM_VECTOR:
            vector = avp.value
        if avp.hidden and secret is not None and vector is not None:
            # With a wrong secret it stays hidden, and whoever needs it says so.
            with contextlib.suppress(DecodeError):
                avp = reveal(avp, secret, vector)
        result.append(avp)
    return tuple(result)


def hide_some(
    avps: Iterable[Avp], kinds: Collection[int], secret: bytes, random_bytes: RandomBytes
) -> tuple[Avp, ...]:
    """Hide the attributes in ``kinds``, with a Random Vector right after the message type and up
    to 15 bytes of padding, so that the length of the value does not show."""
    source = tuple(avps)
    if not any(avp.type in kinds and avp.vendor == 0 for avp in source):
        return source
    vector = random_bytes(16)
    result = [source[0], make(AvpType.RANDOM_VECTOR, vector)]
    for avp in source[1:]:
        if avp.type in kinds and avp.vendor == 0:
            padding = random_bytes(-(len(avp.value) + 2) % 16)
            avp = hide(avp, secret, vector, padding)
        result.append(avp)
    return tuple(result)
