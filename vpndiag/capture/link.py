"""Link layers: from a frame to the network packet inside.

Link types as in tcpdump.org's registry. The result names what follows by its Ethernet type; PPP
frames that carry no IP come out as ETH_PPP with the offset of their protocol field, and so does
PPPoE's PADT, with that of its tags."""

from __future__ import annotations

from collections.abc import Callable

ETH_IP4, ETH_IP6, ETH_PPP = 0x0800, 0x86DD, 0x880B
_PPPOE_DISCOVERY, _PPPOE, _MPLS = 0x8863, 0x8864, (0x8847, 0x8848)
PADT = b"\x11\xa7"
"""Version, type and code of the PPPoE packet that ends a session (RFC 2516 section 5.5)."""
#: 802.1Q, 802.1ad, and the two older QinQ types.
_VLAN = frozenset((0x8100, 0x88A8, 0x9100, 0x9200))
_MAX_TAGS = 16

#: (Ethernet type, offset of the payload).
Inner = tuple[int, int]


def typed(data: bytes, kind: int, at: int) -> Inner | None:
    """Follow tags, PPPoE and MPLS from Ethernet type ``kind`` with its payload at ``at``."""
    for _ in range(_MAX_TAGS):
        if kind in _VLAN:
            if len(data) < at + 4:
                return None
            kind = data[at + 2] << 8 | data[at + 3]
            at += 4
        elif kind == _PPPOE:
            # RFC 2516 section 4: version and type 0x11, code 0 for session data, session, length.
            return ppp(data, at + 6) if data[at : at + 2] == b"\x11\x00" else None
        elif kind == _PPPOE_DISCOVERY and data[at : at + 2] == PADT and len(data) >= at + 6:
            return ETH_PPP, at + 6
        elif kind in _MPLS:
            return _mpls(data, at)
        else:
            return kind, at
    return None


def _mpls(data: bytes, at: int) -> Inner | None:
    """RFC 3032: labels until the bottom of the stack, then IP told by its version nibble, or
    Ethernet behind a control word, which begins with a zero (RFC 4448 section 4.6)."""
    for _ in range(_MAX_TAGS):
        if len(data) < at + 5:
            return None
        at += 4
        if data[at - 2] & 1:
            return ethernet(data, at + 4) if data[at] < 0x10 else _raw(data, at)
    return None


def _raw(data: bytes, at: int = 0) -> Inner | None:
    version = data[at] >> 4 if len(data) > at else 0
    return (ETH_IP4, at) if version == 4 else (ETH_IP6, at) if version == 6 else None


def ppp(data: bytes, at: int) -> Inner | None:
    """A PPP frame at ``at``, with or without address and control (RFC 1661 section 6.6) and with a
    one- or two-byte protocol (6.5)."""
    if data[at : at + 2] == b"\xff\x03":
        at += 2
    if len(data) < at + 2:
        return None
    if data[at] & 1:
        protocol, payload = data[at], at + 1
    else:
        protocol, payload = data[at] << 8 | data[at + 1], at + 2
    if protocol == 0x0021:
        return ETH_IP4, payload
    if protocol == 0x0057:
        return ETH_IP6, payload
    return ETH_PPP, at


def ethernet(data: bytes, at: int = 0) -> Inner | None:
    """What an Ethernet frame at ``at`` carries."""
    at += 14
    if len(data) < at:
        return None
    kind = data[at - 2] << 8 | data[at - 1]
    if kind in (ETH_IP4, ETH_IP6):
        return kind, at
    if kind < 0x600:
        # IEEE 802.3 length, then LLC; SNAP carries an Ethernet type.
        if data[at : at + 6] == b"\xaa\xaa\x03\x00\x00\x00" and len(data) >= at + 8:
            return typed(data, data[at + 6] << 8 | data[at + 7], at + 8)
        return None
    return typed(data, kind, at)


def _sll(data: bytes) -> Inner | None:
    return typed(data, data[14] << 8 | data[15], 16) if len(data) >= 16 else None


def _sll2(data: bytes) -> Inner | None:
    return typed(data, data[0] << 8 | data[1], 20) if len(data) >= 20 else None


#: Address families as BSD, macOS, Linux and Windows number them.
_FAMILY = {2: ETH_IP4, 10: ETH_IP6, 23: ETH_IP6, 24: ETH_IP6, 28: ETH_IP6, 30: ETH_IP6}


def _null(data: bytes) -> Inner | None:
    """Either byte order, which is that of the machine that captured."""
    if len(data) < 4:
        return None
    family = int.from_bytes(data[:4], "little")
    if family > 0xFFFF:
        family = int.from_bytes(data[:4], "big")
    kind = _FAMILY.get(family)
    return (kind, 4) if kind else None


def _ppp_serial(data: bytes) -> Inner | None:
    """PPP, or Cisco HDLC, which has an Ethernet type after a unicast or multicast address byte."""
    if data[:1] in (b"\x0f", b"\x8f") and len(data) >= 4:
        return typed(data, data[2] << 8 | data[3], 4)
    return ppp(data, 0)


def _ppp_direction(data: bytes) -> Inner | None:
    """One byte of direction before PPP; with pppd's type it stands in the place of the address."""
    return ppp(data, 2) if data[1:2] == b"\x03" else ppp(data, 1)


def _ppp_ether(data: bytes) -> Inner | None:
    return ppp(data, 6) if data[:2] == b"\x11\x00" else None


def _only(kind: int) -> Callable[[bytes], Inner | None]:
    return lambda data: (kind, 0) if data else None


_LINKS: dict[int, Callable[[bytes], Inner | None]] = {
    0: _null,
    1: ethernet,
    9: _ppp_serial,
    12: _raw,
    14: _raw,
    50: _ppp_serial,
    51: _ppp_ether,
    101: _raw,
    104: _ppp_serial,
    108: _null,
    113: _sll,
    166: _ppp_direction,
    204: _ppp_direction,
    228: _only(ETH_IP4),
    229: _only(ETH_IP6),
    276: _sll2,
}


def supported(linktype: int) -> bool:
    """Whether :func:`network` knows this link type."""
    return linktype in _LINKS


def network(linktype: int, data: bytes) -> Inner | None:
    """(Ethernet type, payload offset) of a frame; None when there is nothing to follow."""
    read = _LINKS.get(linktype)
    return read(data) if read is not None else None
