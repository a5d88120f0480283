"""What a UDP datagram is, by its ports and its shape."""

from __future__ import annotations

from vpndiag.capture import ip

_MAX_PAIRS = 4096
_MARKER = b"\0\0\0\0"
#: RFC 2408 section 3.1, RFC 2409 appendix A, IKEv2's from RFC 7296 section 3.1 on.
EXCHANGES = frozenset((1, 2, 3, 4, 5, 6, 32, 33, *range(34, 48)))
NO_COOKIE = bytes(8)
"""In the place of a responder that has not answered yet (RFC 2408 section 3.1)."""
LEAST_HEADER = 20
"""Bytes of an ISAKMP header that a snap length must leave: cookies, version, exchange, flags."""


def looks_like_ike(payload: bytes, length: int | None = None) -> bool:
    """Whether a datagram of ``length`` bytes (default: of the payload) has the shape of an ISAKMP
    message: a cookie, version 1.0 or 2.0 (3.0: a question of ours about sizes), a known exchange,
    and its own length (RFC 2408 section 3.1)."""
    return (
        len(payload) >= 28
        and payload[17] in (0x10, 0x20, 0x30)
        and payload[18] in EXCHANGES
        and int.from_bytes(payload[24:28], "big") == (len(payload) if length is None else length)
        and payload[:8] != NO_COOKIE
    )


def begins_like_ike(payload: bytes, length: int) -> bool:
    """The same of a datagram on IKE's own port that the capture cut off inside the header."""
    return (
        LEAST_HEADER <= len(payload) < 28 <= length
        and payload[17] in (0x10, 0x20)
        and payload[18] in EXCHANGES
        and payload[:8] != NO_COOKIE
    )


class Ports:
    """``odd``: addresses and ports, each way round, between which IKE behind a marker was seen."""

    def __init__(self) -> None:
        self.odd: set[bytes] = set()

    def kind(self, packet: ip.Packet, sport: int, dport: int, payload: bytes, length: int) -> str:
        """As in :class:`~vpndiag.capture.packets.Datagram`, or ``esp``, ``natt-keepalive``,
        ``wireguard`` and ``udp``, of which none is kept. ``length`` bytes were on the wire."""
        natt = sport == 4500 or dport == 4500
        marked = payload[:4] == _MARKER
        if not natt and self.odd:
            natt = (
                packet.src + packet.dst + bytes((sport >> 8, sport & 255, dport >> 8, dport & 255))
                in self.odd
            )
        if natt:
            if length == 1 and payload in (b"\xff", b""):
                return "natt-keepalive"
            if marked:
                return "ike-natt"
            if looks_like_ike(payload, length):
                return "ike"
            return "esp" if length >= 8 and len(payload) >= 4 else "other"
        shaped = len(payload) >= 28 and looks_like_ike(payload, length)
        if not shaped and marked and looks_like_ike(payload[4:], length - 4):
            self._pair(packet, sport, dport)
            return "ike-natt"
        if sport == 500 or dport == 500:
            if length == 1 and payload == b"\xff":
                return "natt-keepalive"
            return "ike" if shaped or begins_like_ike(payload, length) else "other"
        if shaped:
            return "ike"
        if sport == 1701 or dport == 1701:
            return "l2tp"
        if sport == 53 or dport == 53:
            return "dns"
        if payload[1:4] == b"\0\0\0" and (payload[0], length) in ((1, 148), (2, 92)):
            return "wireguard"
        if 51820 in (sport, dport) and payload[1:4] == b"\0\0\0" and payload[0] in (3, 4):
            return "wireguard"
        return "udp"

    def _pair(self, packet: ip.Packet, sport: int, dport: int) -> None:
        """IKE behind a marker between two odd ports: ESP between them is ours too."""
        if len(self.odd) < _MAX_PAIRS:
            one, two = sport.to_bytes(2, "big"), dport.to_bytes(2, "big")
            self.odd.add(packet.src + packet.dst + one + two)
            self.odd.add(packet.dst + packet.src + two + one)
