"""What a UDP datagram is, by its ports and its shape."""

from __future__ import annotations

from vpndiag.capture import ip

_MAX_PAIRS = 4096
_FIRST_ANSWERS = frozenset(b"\x80\x08\0\0\0\0\0" + bytes((kind,)) for kind in (2, 4))
"""The AVP Message Type of SCCRP and StopCCN, always the first one (RFC 2661 section 4.4.1)."""
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


def first_l2tp_answer(payload: bytes, length: int) -> bool:
    """Whether this is an LNS's first answer: SCCRP or StopCCN with the numbers 0 and 1, of the
    length that its header says (RFC 2661 section 3.1)."""
    return (
        payload[12:20] in _FIRST_ANSWERS
        and payload[:2] == b"\xc8\x02"
        and payload[6:12] == b"\0\0\0\0\0\1"
        and int.from_bytes(payload[2:4], "big") == length
    )


class Ports:
    """``odd``: addresses and ports, each way round, between which IKE behind a marker was seen.
    ``l2tp``: those of an LNS that answers from a port of its own choice (RFC 2661 section 8.1) to a
    client that has one as well."""

    def __init__(self) -> None:
        self.odd: set[bytes] = set()
        self.l2tp: set[bytes] = set()

    def kind(self, packet: ip.Packet, sport: int, dport: int, payload: bytes, length: int) -> str:
        """As in :class:`~vpndiag.capture.packets.Datagram`, or ``esp``, ``natt-keepalive``,
        ``wireguard`` and ``udp``, of which none is kept. ``length`` bytes were on the wire."""
        natt = sport == 4500 or dport == 4500
        marked = payload[:4] == _MARKER
        if not natt and self.odd:
            natt = _packed(packet, sport, dport) in self.odd
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
            self._pair(self.odd, packet, sport, dport)
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
        if self.l2tp and _packed(packet, sport, dport) in self.l2tp:
            return "l2tp"
        if payload[12:20] in _FIRST_ANSWERS and first_l2tp_answer(payload, length):
            self._pair(self.l2tp, packet, sport, dport)
            return "l2tp"
        if payload[1:4] == b"\0\0\0" and (payload[0], length) in ((1, 148), (2, 92)):
            return "wireguard"
        if 51820 in (sport, dport) and payload[1:4] == b"\0\0\0" and payload[0] in (3, 4):
            return "wireguard"
        return "udp"

    @staticmethod
    def _pair(pairs: set[bytes], packet: ip.Packet, sport: int, dport: int) -> None:
        """What else is between these two ends is of the same kind, each way round."""
        if len(pairs) < _MAX_PAIRS:
            pairs.add(_packed(packet, sport, dport))
            pairs.add(_packed(packet._replace(src=packet.dst, dst=packet.src), dport, sport))


def _packed(packet: ip.Packet, sport: int, dport: int) -> bytes:
    return packet.src + packet.dst + bytes((sport >> 8, sport & 255, dport >> 8, dport & 255))
