"""MD4 (RFC 1320), which MS-CHAP needs and OpenSSL 3 leaves to its legacy provider.

MD4 is broken as a hash; nothing but RFC 2759 may use this.
"""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFF
_ORDER = (
    tuple(range(16)),
    (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
    (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15),
)
_SHIFT = ((3, 7, 11, 19), (3, 5, 9, 13), (3, 9, 11, 15))
_ADD = (0, 0x5A827999, 0x6ED9EBA1)


def _mix(number: int, x: int, y: int, z: int) -> int:
    if number == 0:
        return (x & y) | (~x & z)
    if number == 1:
        return (x & y) | (x & z) | (y & z)
    return x ^ y ^ z


def md4(data: bytes) -> bytes:
    """The 16-byte MD4 digest of ``data``."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", len(data) * 8)
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    for start in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[start : start + 64])
        a, b, c, d = state
        for number in range(3):
            for step, index in enumerate(_ORDER[number]):
                total = (a + _mix(number, b, c, d) + words[index] + _ADD[number]) & _MASK
                shift = _SHIFT[number][step % 4]
                a, b, c, d = d, (total << shift | total >> (32 - shift)) & _MASK, b, c
        state = [(old + new) & _MASK for old, new in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)
