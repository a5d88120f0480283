"""TCP segments (RFC 9293 section 3.1): bytes to values and back."""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.protocols.inner.ip import TCP, IpPacket, checksum, pseudo_header
from vpndiag.protocols.wire import u16, u32
from vpndiag.records import record

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WINDOW = 65535
MODULUS = 1 << 32


def ahead(a: int, b: int) -> int:
    """How far ``a`` is beyond ``b`` in sequence space; negative: behind."""
    distance = (a - b) % MODULUS
    return distance - MODULUS if distance >= MODULUS // 2 else distance


def build_segment(
    source: IPv4Address,
    destination: IPv4Address,
    ports: tuple[int, int],
    flags: int,
    sequence: int,
    ack: int = 0,
    options: bytes = b"",
    data: bytes = b"",
) -> bytes:
    """A segment from ``ports[0]`` to ``ports[1]``, without the IP header."""
    segment = (
        u16(ports[0]) + u16(ports[1]) + u32(sequence % MODULUS) + u32(ack)
        + bytes(((20 + len(options)) // 4 << 4, flags)) + u16(WINDOW) + bytes(4)
        + options + data
    )  # fmt: skip
    covered = pseudo_header(source, destination, TCP, len(segment)) + segment
    return segment[:16] + u16(checksum(covered)) + segment[18:]


@record(frozen=True, slots=True)
class Segment:
    """A segment that came in, with a right checksum."""

    source_port: int
    destination_port: int
    sequence: int
    ack: int
    flags: int
    window: int
    options: bytes
    data: bytes


def parse_segment(packet: IpPacket) -> Segment | None:
    """None: no whole TCP segment with a right checksum."""
    body = packet.payload
    if packet.protocol != TCP or packet.fragment or len(body) < 20:
        return None
    offset = (body[12] >> 4) * 4
    if not 20 <= offset <= len(body):
        return None
    if checksum(pseudo_header(packet.source, packet.destination, TCP, len(body)) + body):
        return None
    return Segment(
        int.from_bytes(body[:2], "big"),
        int.from_bytes(body[2:4], "big"),
        int.from_bytes(body[4:8], "big"),
        int.from_bytes(body[8:12], "big"),
        body[13],
        int.from_bytes(body[14:16], "big"),
        body[20:offset],
        body[offset:],
    )


def mss_of(options: bytes) -> int | None:
    """The MSS option (kind 2) of a SYN; None: absent or broken."""
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == 0:
            return None
        if kind == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2:
            return None
        if kind == 2 and size == 4 and at + 4 <= len(options):
            return int.from_bytes(options[at + 2 : at + 4], "big")
        at += size
    return None
