"""The network behind the gateway: hosts that answer pings, DNS and a little HTTP.

IPv4 only, no fragments. Enough to tell a tunnel that carries data from one that does not.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from ipaddress import IPv4Address

from vpndiag.gateway.config import GatewayConfig
from vpndiag.gateway.zone import answer_query
from vpndiag.protocols.inner.ip import checksum
from vpndiag.protocols.wire import u16, u32
from vpndiag.records import record

ICMP, TCP, UDP = 1, 6, 17
MAX_CONNECTIONS = 256
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
_PAGE = b"HTTP/1.0 200 OK\r\nServer: vpndiag\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_UNREACHABLE, _PORT, _HOST, _TOO_BIG = 3, 3, 1, 4
_TIME_EXCEEDED = 11


def ip_packet(
    source: IPv4Address, destination: IPv4Address, protocol: int, payload: bytes
) -> bytes:
    """An IPv4 packet without options."""
    head = b"\x45\0" + u16(20 + len(payload)) + b"\0\0\x40\0" + bytes((64, protocol)) + b"\0\0"
    head += source.packed + destination.packed
    return head[:10] + u16(checksum(head)) + head[12:] + payload


def _pseudo(source: IPv4Address, destination: IPv4Address, protocol: int, size: int) -> bytes:
    return source.packed + destination.packed + bytes((0, protocol)) + u16(size)


@record(frozen=True, slots=True)
class _Packet:
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    payload: bytes
    raw: bytes

    @property
    def ttl(self) -> int:
        return self.raw[8]


def _parse(packet: bytes) -> _Packet | None:
    """None for anything but a whole, unfragmented IPv4 packet with a right header checksum."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    size, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    if size < 20 or total < size or total > len(packet) or checksum(packet[:size]):
        return None
    if int.from_bytes(packet[6:8], "big") & 0x3FFF:
        return None
    return _Packet(
        IPv4Address(packet[12:16]),
        IPv4Address(packet[16:20]),
        packet[9],
        packet[size:total],
        packet[:total],
    )


_RCODES = {"servfail": 2, "nxdomain": 3, "refused": 5}


def _refusal(query: bytes, fault: str) -> bytes | None:
    """The question with an error in place of an answer."""
    if len(query) < 12 or query[2] & 0x80:
        return None
    flags = bytes((0x81, 0x80 | _RCODES[fault]))
    return query[:2] + flags + query[4:6] + bytes(6) + query[12:]


class Inside:
    """Stateless but for a bounded table of TCP connections. Bytes come from a client of the
    gateway, and anything may be in them."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._hosts = {config.gateway_inside, *config.hosts, *config.dns}
        self._tcp: OrderedDict[tuple[object, ...], int] = OrderedDict()

    def answer(self, packet: bytes, client: IPv4Address | None) -> list[bytes]:
        """What comes back for ``packet`` of the client that was given the address ``client``;
        packets from any other address are dropped."""
        parsed = _parse(packet)
        if parsed is None or (client is not None and parsed.source != client):
            return []
        faults = self._config.faults
        if parsed.destination != self._config.gateway_inside:
            if not faults.forwarding:
                return []
            if parsed.ttl <= 1:
                return [self._error(parsed, 0, kind=_TIME_EXCEEDED)]
            if not faults.way_back:
                return []
        if faults.inside_mtu:
            if len(packet) > faults.inside_mtu:
                return []
            return [r for r in self._answer(parsed, packet) if len(r) <= faults.inside_mtu]
        return self._answer(parsed, packet)

    def _answer(self, parsed: _Packet, packet: bytes) -> list[bytes]:
        if len(packet) > self._config.mru and packet[6] & 0x40:
            return [self._error(parsed, _TOO_BIG, u16(0) + u16(self._config.mru))]
        if parsed.destination not in self._hosts:
            return [self._error(parsed, _HOST)]
        if parsed.protocol == ICMP:
            return self._ping(parsed)
        if parsed.protocol == UDP:
            return self._udp(parsed)
        if parsed.protocol == TCP:
            return self._tcp_segment(parsed)
        return [self._error(parsed, 2)]

    def _error(
        self, parsed: _Packet, code: int, rest: bytes = bytes(4), kind: int = _UNREACHABLE
    ) -> bytes:
        body = bytes((kind, code)) + b"\0\0" + rest + parsed.raw[:28]
        body = body[:2] + u16(checksum(body)) + body[4:]
        own = kind == _TIME_EXCEEDED or code in (_HOST, _TOO_BIG)
        source = self._config.gateway_inside if own else parsed.destination
        return ip_packet(source, parsed.source, ICMP, body)

    def _ping(self, parsed: _Packet) -> list[bytes]:
        if parsed.payload[:1] != b"\x08" or checksum(parsed.payload):
            return []
        body = b"\0\0\0\0" + parsed.payload[4:]
        body = body[:2] + u16(checksum(body)) + body[4:]
        return [ip_packet(parsed.destination, parsed.source, ICMP, body)]

    def _udp(self, parsed: _Packet) -> list[bytes]:
        data = parsed.payload
        if len(data) < 8 or not 8 <= int.from_bytes(data[4:6], "big") <= len(data):
            return []
        fault = self._config.faults.inside_dns
        if (
            data[2:4] != u16(53)
            or parsed.destination not in self._config.dns
            or fault == "unreachable"
        ):
            return [self._error(parsed, _PORT)]
        query = data[8 : int.from_bytes(data[4:6], "big")]
        if fault == "silent":
            return []
        reply = _refusal(query, fault) if fault else answer_query(self._config.zone, query)
        if reply is None:
            return []
        head = data[2:4] + data[:2] + u16(8 + len(reply)) + b"\0\0"
        pseudo = _pseudo(parsed.destination, parsed.source, UDP, 8 + len(reply))
        total = checksum(pseudo + head + reply) or 0xFFFF
        return [ip_packet(parsed.destination, parsed.source, UDP, head[:6] + u16(total) + reply)]

    def _tcp_segment(self, parsed: _Packet) -> list[bytes]:
        data = parsed.payload
        if len(data) < 20:
            return []
        offset = (data[12] >> 4) * 4
        if offset < 20 or offset > len(data):
            return []
        source, port = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        seq, ack = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
        flags, body = data[13], data[offset:]
        fault = self._config.faults.inside_tcp
        if fault == "silent":
            return []
        key = (parsed.source, source, parsed.destination, port)
        if flags & _RST:
            self._tcp.pop(key, None)
            return []

        def reply(flags: int, our_seq: int, our_ack: int, payload: bytes = b"") -> bytes:
            options = b"\x02\x04" + u16(self._config.mru - 40) if flags & _SYN else b""
            segment = (
                u16(port) + u16(source) + u32(our_seq & 0xFFFFFFFF) + u32(our_ack & 0xFFFFFFFF)
                + bytes(((20 + len(options)) // 4 << 4, flags)) + u16(8192) + bytes(4)
                + options + payload
            )  # fmt: skip
            pseudo = _pseudo(parsed.destination, parsed.source, TCP, len(segment))
            segment = segment[:16] + u16(checksum(pseudo + segment)) + segment[18:]
            return ip_packet(parsed.destination, parsed.source, TCP, segment)

        if flags & _SYN:
            if port not in self._config.tcp_ports:
                return [reply(_RST | _ACK, 0, seq + 1)]
            start = int.from_bytes(sha256(repr(key).encode() + u32(seq)).digest()[:4], "big")
            self._tcp[key] = start
            if len(self._tcp) > MAX_CONNECTIONS:
                self._tcp.popitem(last=False)
            return [reply(_SYN | _ACK, start, seq + 1)]
        known = self._tcp.get(key)
        if known is None:
            return [reply(_RST, ack, 0)]
        if body and fault:
            if fault == "reset":
                return [reply(_RST, ack, 0)]
            return [reply(_ACK, known + 1, seq + len(body))]
        if body:
            # One request, one answer, and the end. A repeat gets the same again.
            page = _PAGE if port == 80 else b""
            return [reply(_ACK | _PSH | _FIN, known + 1, seq + len(body), page)]
        if flags & _FIN:
            self._tcp.pop(key, None)
            return [reply(_ACK | _FIN, ack, seq + 1)]
        return []
