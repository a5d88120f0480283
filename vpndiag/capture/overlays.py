"""Whole frames inside IP packets: what a switch or router mirrors to another place, and networks
on top of networks.

Each function gives (Ethernet type, offset) of the network packet inside, as
:mod:`vpndiag.capture.link` does, or None."""

from __future__ import annotations

from vpndiag.capture.link import Inner, ethernet, typed

_BRIDGED, _ERSPAN_2, _ERSPAN_3 = 0x6558, 0x88BE, 0x22EB
_VXLAN, _GENEVE, _TZSP = (4789, 8472), 6081, 37008
PORTS = frozenset((*_VXLAN, _GENEVE, _TZSP))
"""UDP ports that these are sent to."""
_MAX_FIELDS = 64


def in_gre(data: bytes, at: int, kind: int, numbered: bool) -> Inner | None:
    """Behind a GRE header of protocol type ``kind``: a bridged frame (RFC 7637), a mirrored one
    (draft-foschiano-erspan-03), a packet. ``numbered``: the header has a sequence number."""
    if kind == _BRIDGED:
        return ethernet(data, at)
    if kind == _ERSPAN_2:
        # Section 4.1: the old kind has neither a sequence number nor a header of its own.
        return ethernet(data, at + 8 if numbered else at)
    if kind == _ERSPAN_3 and len(data) >= at + 12:
        # Section 4.2: type of the frame (0: Ethernet), and whether eight more bytes follow.
        more = 8 if data[at + 11] & 1 else 0
        return ethernet(data, at + 12 + more) if data[at + 10] >> 2 & 31 == 0 else None
    return typed(data, kind, at)


def in_udp(data: bytes, at: int, port: int) -> Inner | None:
    """Behind a UDP header with this destination port."""
    if len(data) < at + 8:
        return None
    if port in _VXLAN:
        # RFC 7348 section 5: only the I flag is set.
        plain = data[at] & 0x08 and not data[at] & 0xF7 and not data[at + 7]
        return ethernet(data, at + 8) if plain else None
    if port == _GENEVE:
        # RFC 8926 section 3.4: version 0, length of the options in words, protocol.
        if data[at] >> 6:
            return None
        kind, inside = data[at + 2] << 8 | data[at + 3], at + 8 + 4 * (data[at] & 0x3F)
        return ethernet(data, inside) if kind == _BRIDGED else typed(data, kind, inside)
    return _tzsp(data, at) if port == _TZSP else None


def _tzsp(data: bytes, at: int) -> Inner | None:
    """TaZmen Sniffer Protocol, with which RouterOS streams what its sniffer sees: version 1, type
    0, Ethernet; then fields up to the end mark."""
    if data[at : at + 4] != b"\x01\x00\x00\x01":
        return None
    at += 4
    for _ in range(_MAX_FIELDS):
        field = data[at : at + 2]
        if field[:1] == b"\x01":
            return ethernet(data, at + 1)
        if not field:
            return None
        at += 1 if field[0] == 0 else 2 + (field[1] if len(field) == 2 else 0)
    return None
