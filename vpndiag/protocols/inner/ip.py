"""IPv4, ICMP and UDP as far as the questions inside the tunnel, and captures of them, need them
(RFC 791, 792, 768).

Written by hand: Scapy takes longer to import than a whole healthy run inside takes.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.wire import Reader, u16
from vpndiag.records import record

ICMP, TCP, UDP = 1, 6, 17
ECHO_REPLY, UNREACHABLE, ECHO, TIME_EXCEEDED = 0, 3, 8, 11
HEADER = 20
ECHO_HEADERS = 28
"""IP and ICMP header of an echo request."""

_UNREACHABLE = {
    0: "net-unreachable", 1: "host-unreachable", 2: "protocol-unreachable", 3: "port-unreachable",
    4: "fragmentation-needed", 5: "net-unreachable", 6: "net-unreachable", 7: "host-unreachable",
    9: "prohibited", 10: "prohibited", 11: "net-unreachable", 12: "host-unreachable",
    13: "prohibited",
}  # fmt: skip


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@record(frozen=True, slots=True)
class IpPacket:
    """An IPv4 packet. ``size`` is its total length; ``fragment``: it is part of a larger one."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    payload: bytes
    dont_fragment: bool = False
    fragment: bool = False
    first: bool = False
    """It is the first of the fragments."""
    ttl: int = 64
    size: int = 0


@record(frozen=True, slots=True)
class IcmpFault:
    """An ICMP error: who sent it, and the packet of ours that it quotes. ``ports`` are source and
    destination port of the quoted packet, or identifier and sequence number of a quoted echo."""

    what: str
    reporter: IPv4Address
    destination: IPv4Address
    protocol: int
    ports: tuple[int, int]
    mtu: int | None = None


def build_ip(
    source: IPv4Address,
    destination: IPv4Address,
    protocol: int,
    payload: bytes,
    *,
    dont_fragment: bool = False,
    identification: int = 0,
    ttl: int = 64,
) -> bytes:
    """A packet without options."""
    head = (
        b"\x45\0" + u16(HEADER + len(payload)) + u16(identification)
        + (b"\x40\0" if dont_fragment else b"\0\0") + bytes((ttl, protocol)) + b"\0\0"
        + source.packed + destination.packed
    )  # fmt: skip
    return head[:10] + u16(checksum(head)) + head[12:] + payload


def parse_ip(data: bytes) -> IpPacket:
    """:raises DecodeError: not a whole IPv4 packet with a right header checksum."""
    r = Reader(data)
    first = r.u8("version")
    size = (first & 15) * 4
    if first >> 4 != 4 or size < HEADER or size > len(data):
        raise DecodeError("not an IPv4 header")
    r.u8("type of service")
    total = r.u16("total length")
    if not size <= total <= len(data):
        raise DecodeError("total length", 2)
    if checksum(data[:size]):
        raise DecodeError("IPv4 header checksum", 10)
    r.u16("identification")
    flags = r.u16("fragment offset")
    ttl, protocol = r.u8("ttl"), r.u8("protocol")
    return IpPacket(
        IPv4Address(data[12:16]),
        IPv4Address(data[16:20]),
        protocol,
        data[size:total],
        bool(flags & 0x4000),
        bool(flags & 0x3FFF),
        flags & 0x3FFF == 0x2000,
        ttl,
        total,
    )


def build_echo(identifier: int, sequence: int, data: bytes) -> bytes:
    """An ICMP echo request."""
    body = bytes((ECHO, 0)) + b"\0\0" + u16(identifier) + u16(sequence) + data
    return body[:2] + u16(checksum(body)) + body[4:]


def parse_echo_reply(packet: IpPacket) -> tuple[int, int] | None:
    """Identifier and sequence number of a whole echo reply; None: it is none."""
    body = packet.payload
    if packet.protocol != ICMP or packet.fragment or len(body) < 8:
        return None
    if body[0] != ECHO_REPLY or body[1] != 0 or checksum(body):
        return None
    return _identified(body)


def parse_echo_fragment(packet: IpPacket) -> tuple[int, int] | None:
    """The same of the first fragment of an echo reply, whose checksum cannot be verified."""
    body = packet.payload
    if packet.protocol != ICMP or not packet.first or len(body) < 8 or body[0] or body[1]:
        return None
    return _identified(body)


def _identified(body: bytes) -> tuple[int, int]:
    return int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big")


def parse_fault(packet: IpPacket) -> IcmpFault | None:
    """The ICMP error in ``packet``; None: it is none that quotes an IPv4 packet."""
    body = packet.payload
    if packet.protocol != ICMP or packet.fragment or len(body) < 8 + HEADER + 8:
        return None
    kind, code = body[0], body[1]
    if kind == UNREACHABLE:
        what = _UNREACHABLE.get(code, "other")
    elif kind == TIME_EXCEEDED:
        what = "ttl-exceeded" if code == 0 else "reassembly-timeout"
    else:
        return None
    if checksum(body):
        return None
    quoted = body[8:]
    size = (quoted[0] & 15) * 4
    if quoted[0] >> 4 != 4 or size < HEADER or len(quoted) < size + 8:
        return None
    inner = quoted[size : size + 8]
    protocol = quoted[9]
    at = 4 if protocol == ICMP else 0
    ports = int.from_bytes(inner[at : at + 2], "big"), int.from_bytes(inner[at + 2 : at + 4], "big")
    mtu = int.from_bytes(body[6:8], "big") or None
    return IcmpFault(
        what,
        packet.source,
        IPv4Address(quoted[16:20]),
        protocol,
        ports,
        mtu if what == "fragmentation-needed" else None,
    )


def pseudo_header(packet_source: IPv4Address, destination: IPv4Address, protocol: int,
                  size: int) -> bytes:  # fmt: skip
    """What the checksums of UDP and TCP cover besides (RFC 768)."""
    return packet_source.packed + destination.packed + bytes((0, protocol)) + u16(size)


def build_udp(
    source: IPv4Address, destination: IPv4Address, ports: tuple[int, int], data: bytes
) -> bytes:
    """A UDP datagram from ``ports[0]`` to ``ports[1]``, without the IP header."""
    head = u16(ports[0]) + u16(ports[1]) + u16(8 + len(data))
    covered = pseudo_header(source, destination, UDP, 8 + len(data)) + head + b"\0\0" + data
    return head + u16(checksum(covered) or 0xFFFF) + data


def parse_udp(packet: IpPacket) -> tuple[int, int, bytes] | None:
    """Source port, destination port and data; None: no whole UDP datagram with a right checksum."""
    body = packet.payload
    if packet.protocol != UDP or packet.fragment or len(body) < 8:
        return None
    size = int.from_bytes(body[4:6], "big")
    if not 8 <= size <= len(body):
        return None
    body = body[:size]
    covered = pseudo_header(packet.source, packet.destination, UDP, size) + body
    if body[6:8] != b"\0\0" and checksum(covered):
        return None
    return int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big"), body[8:]
