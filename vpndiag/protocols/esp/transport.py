"""Transport mode: the UDP datagram that ESP protects (RFC 3948, 3.1; RFC 768; RFC 8200, 8.1)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.esp.sa import NEXT_HEADER_UDP
from vpndiag.protocols.wire import Reader, u16, u32
from vpndiag.records import record

L2TP_PORT = 1701
UDP_HEADER = 8

Address = IPv4Address | IPv6Address


@record(frozen=True, slots=True)
class UdpDatagram:
    """``trailing``: bytes after the UDP length, such as traffic flow padding (RFC 4303, 2.7)."""

    source_port: int
    destination_port: int
    checksum: int
    payload: bytes
    trailing: bytes = b""


@record(frozen=True, slots=True)
class NullGuess:
    """A capture's ESP packet that reads as NULL encryption with an ICV of ``icv_length`` bytes."""

    icv_length: int
    datagram: UdpDatagram


def udp_checksum(source: Address, destination: Address, segment: bytes) -> int:
    """The checksum of ``segment`` (UDP header and data); its checksum field counts as it is.

    Over a segment with a zero field it is the value to send; over a received segment 0xFFFF means
    that it is right.

    :raises LocalProtocolError: an IPv4 and an IPv6 address.
    """
    if source.version != destination.version:
        raise LocalProtocolError("addresses of two IP versions")
    if source.version == 4:
        pseudo = source.packed + destination.packed + b"\x00\x11" + u16(len(segment) & 0xFFFF)
    else:
        pseudo = source.packed + destination.packed + u32(len(segment)) + b"\x00\x00\x00\x11"
    data = pseudo + segment
    if len(data) % 2:
        data += b"\x00"
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    # A computed zero is sent as all ones: zero means "no checksum".
    return ~total & 0xFFFF or 0xFFFF


def build_udp(
    source_port: int,
    destination_port: int,
    payload: bytes,
    *,
    addresses: tuple[Address, Address] | None = None,
) -> bytes:
    """A UDP header and ``payload``.

    Without ``addresses`` (source, destination, as the receiver will see them) the checksum is
    zero, which RFC 3948, 3.1.2 allows for IPv4 and which no NAT can make wrong. Over IPv6 a
    zero checksum is not allowed: pass the addresses.

    :raises LocalProtocolError: a payload that does not fit, or a port out of range.
    """
    length = UDP_HEADER + len(payload)
    if length > 0xFFFF or not 0 <= source_port <= 0xFFFF or not 0 <= destination_port <= 0xFFFF:
        raise LocalProtocolError("UDP payload too long or port out of range")
    head = u16(source_port) + u16(destination_port) + u16(length)
    if addresses is None:
        return head + b"\x00\x00" + payload
    checksum = udp_checksum(*addresses, head + b"\x00\x00" + payload)
    return head + u16(checksum) + payload


def l2tp_datagram(payload: bytes, ours: str, theirs: str) -> bytes:
    """``payload`` between the two L2TP ports; ``ours`` and ``theirs`` are IP literals, a scope ID
    allowed. Over IPv6 a UDP checksum is not optional (RFC 8200, 8.1)."""
    one, other = ip_address(ours.partition("%")[0]), ip_address(theirs.partition("%")[0])
    addresses = (one, other) if one.version == 6 == other.version else None
    return build_udp(L2TP_PORT, L2TP_PORT, payload, addresses=addresses)


def parse_udp(data: bytes) -> UdpDatagram:
    """The datagram inside a transport mode packet.

    The checksum is not checked: behind a NAT it is wrong by design (RFC 3948, 3.1.2).

    :raises DecodeError: shorter than its header or its length field says.
    """
    reader = Reader(data)
    source_port = reader.u16("UDP source port")
    destination_port = reader.u16("UDP destination port")
    length = reader.u16("UDP length")
    checksum = reader.u16("UDP checksum")
    if length < UDP_HEADER:
        raise DecodeError(f"UDP length {length} is shorter than its header", 4)
    payload = reader.take(length - UDP_HEADER, "UDP payload")
    return UdpDatagram(source_port, destination_port, checksum, payload, reader.rest())


def guess_null(
    packet: bytes,
    icv_lengths: tuple[int, ...] = (12, 16, 24, 32),
    *,
    any_port: bool = False,
) -> NullGuess | None:
    """Whether an ESP packet looks like NULL encryption around L2TP.

    All of: the next header is UDP, the padding is 1, 2, 3, ..., the UDP length fits exactly, and
    one port is 1701 or it is a control message (an LNS may answer from another port, RFC 2661
    section 8.1). Encrypted packets pass by chance about once in 2^50. ``any_port``: its SA is known
    to be NULL.
    """
    for icv_length in icv_lengths:
        body = packet[8 : len(packet) - icv_length]
        if len(packet) < 8 + UDP_HEADER + 2 + icv_length or body[-1] != NEXT_HEADER_UDP:
            continue
        pad = body[-2]
        end = len(body) - 2 - pad
        if end < UDP_HEADER or body[end:-2] != bytes(range(1, pad + 1)):
            continue
        try:
            datagram = parse_udp(body[:end])
        except DecodeError:
            continue
        ports = (datagram.source_port, datagram.destination_port)
        known = any_port or L2TP_PORT in ports or _is_control(datagram.payload)
        if known and not datagram.trailing:
            return NullGuess(icv_length, datagram)
    return None


def _is_control(data: bytes) -> bool:
    """An L2TP control message of the length that it says (RFC 2661 section 3.1)."""
    return data[:2] == b"\xc8\x02" and int.from_bytes(data[2:4], "big") == len(data)
