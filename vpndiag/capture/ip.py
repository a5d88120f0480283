"""IPv4 and IPv6 headers (RFC 791, RFC 8200), as far as finding the payload and fragments needs."""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from typing import NamedTuple

ICMP, IPIP, TCP, UDP, IP6IN, GRE, ESP, AH, ICMP6, L2TP3 = 1, 4, 6, 17, 41, 47, 50, 51, 58, 115
_HOP, _ROUTING, _FRAGMENT, _OPTIONS, _MOBILITY, _NONE = 0, 43, 44, 60, 135, 59
_MAX_HEADERS = 16
#: Total length, identification, flags and offset, TTL, protocol, addresses.
_HEADER4 = struct.Struct("!2xHHHBB2x4s4s").unpack_from


class Packet(NamedTuple):
    """Addresses packed (4 or 16 bytes). The payload is ``data[start:end]``; ``missing`` bytes of it
    were not captured. ``offset``/``more``: fragment offset in bytes, more-fragments bit. ``ah``
    tells that an authentication header was stepped over."""

    src: bytes
    dst: bytes
    protocol: int
    start: int
    end: int
    missing: int
    ident: int
    offset: int
    more: bool
    ttl: int
    ah: bool


@lru_cache(maxsize=4096)
def address(packed: bytes) -> str:
    """Text of a packed IPv4 or IPv6 address."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def parse_ip(data: bytes, at: int) -> Packet | None:
    """The IP packet at ``at``; None when it is none, or cut off inside its headers."""
    if len(data) <= at:
        return None
    version = data[at] >> 4
    if version == 4:
        return _parse4(data, at)
    return _parse6(data, at) if version == 6 else None


def _parse4(data: bytes, at: int) -> Packet | None:
    start, have = at + (data[at] & 15) * 4, len(data)
    if start < at + 20 or have < start:
        return None
    total, ident, flags, ttl, protocol, src, dst = _HEADER4(data, at)
    # Zero: left to the network card to fill in (segmentation offload).
    end = at + total if total else have
    if end < start:
        return None
    offset, more = (flags & 0x1FFF) * 8, bool(flags & 0x2000)
    if protocol != AH and end <= have:
        return Packet(src, dst, protocol, start, end, 0, ident, offset, more, ttl, False)
    return _finish(data, src, dst, protocol, start, end, ident, offset, more, ttl)


def _parse6(data: bytes, at: int) -> Packet | None:
    if len(data) < at + 40:
        return None
    length = data[at + 4] << 8 | data[at + 5]
    start = at + 40
    end = start + length if length else len(data)
    protocol, ident, offset, more = data[at + 6], 0, 0, False
    for _ in range(_MAX_HEADERS):
        if protocol == _FRAGMENT:
            if len(data) < start + 8:
                return None
            word = data[start + 2] << 8 | data[start + 3]
            protocol, offset, more = data[start], word & 0xFFF8, bool(word & 1)
            ident = int.from_bytes(data[start + 4 : start + 8], "big")
            start += 8
            if offset:
                break
        elif protocol in (_HOP, _ROUTING, _OPTIONS, _MOBILITY):
            if len(data) < start + 8:
                return None
            protocol, start = data[start], start + 8 + data[start + 1] * 8
        else:
            break
    if start > end:
        return None
    src, dst = bytes(data[at + 8 : at + 24]), bytes(data[at + 24 : at + 40])
    return _finish(data, src, dst, protocol, start, end, ident, offset, more, data[at + 7])


def _finish(
    data: bytes,
    src: bytes,
    dst: bytes,
    protocol: int,
    start: int,
    end: int,
    ident: int,
    offset: int,
    more: bool,
    ttl: int,
) -> Packet:
    seen_ah = False
    if protocol == AH and not offset and len(data) >= start + 12:
        # RFC 4302 section 2.2: length in 32-bit words, minus 2.
        size = (data[start + 1] + 2) * 4
        if start + size <= end:
            protocol, start, seen_ah = data[start], start + size, True
    have = len(data)
    missing = end - max(have, start) if end > have else 0
    stop = min(end, have)
    return Packet(
        src, dst, protocol, start, max(stop, start), missing, ident, offset, more, ttl, seen_ah
    )
