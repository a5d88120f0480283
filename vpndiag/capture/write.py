"""Writing captures: pcapng with nanoseconds and comments, of datagrams that a socket sent and
received.

Link type 101 (raw IP): a socket shows no Ethernet header, and an invented one would be a lie in a
file that is evidence. IPv4 and IPv6 may be mixed in one file."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

LINKTYPE_RAW = 101
MAX_COMMENT = 16_384

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_packet(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    payload: bytes,
    ident: int = 0,
    ttl: int = 64,
    *,
    whole: bool = True,
) -> bytes:
    """An IPv4 or IPv6 packet with this UDP datagram, checksums filled in. ``whole``: with
    don't-fragment (IPv4).

    :raises ValueError: for bad or mixed addresses, or a payload that one datagram cannot hold.
    """
    one, two = _ends(src, dst)
    length = 8 + len(payload)
    if length > 65_535 - 20:
        raise ValueError("too long for one datagram")
    head = struct.pack("!HHHH", sport, dport, length, 0)
    if one.version == 4:
        pseudo = one.packed + two.packed + struct.pack("!HH", 17, length)
    else:
        pseudo = one.packed + two.packed + struct.pack("!II", length, 17)
    check = _checksum(pseudo + head + payload) or 0xFFFF
    data = head[:6] + struct.pack("!H", check) + payload
    return ip_packet(src, dst, 17, data, ident, ttl, whole=whole)


def _ends(src: str, dst: str) -> tuple[_Address, _Address]:
    one = ipaddress.ip_address(src.partition("%")[0])
    two = ipaddress.ip_address(dst.partition("%")[0])
    if one.version != two.version:
        raise ValueError("addresses of two families")
    return one, two


def ip_packet(
    src: str,
    dst: str,
    protocol: int,
    payload: bytes,
    ident: int = 0,
    ttl: int = 64,
    *,
    whole: bool = True,
) -> bytes:
    """An IPv4 or IPv6 packet of any protocol (ESP: 50).

    :raises ValueError: for bad or mixed addresses, or a payload that does not fit.
    """
    one, two = _ends(src, dst)
    if len(payload) > 65_535 - 20:
        raise ValueError("too long for one packet")
    ends = one.packed + two.packed
    if one.version == 6:
        return struct.pack("!IHBB", 0x60000000, len(payload), protocol, ttl) + ends + payload
    flags = 0x4000 if whole else 0
    fields = (0x45, 0, 20 + len(payload), ident & 0xFFFF, flags, ttl, protocol)
    blank = struct.pack("!BBHHHBBH", *fields, 0) + ends
    return struct.pack("!BBHHHBBH", *fields, _checksum(blank)) + ends + payload


def icmp_error(
    reporter: str, icmp_type: int, code: int, quoted: bytes, *, mtu: int = 0, ident: int = 0
) -> bytes:
    """An ICMP or ICMPv6 error from ``reporter`` about ``quoted``, an IP packet that it goes back
    to the source of (RFC 792, RFC 4443). The error queue of a socket gives the type, the code and
    the sender; the packet is put together again from these.

    :raises ValueError: for a bad address, or one of another family than the quoted packet.
    """
    version = quoted[0] >> 4
    source = str(ipaddress.ip_address(quoted[12:16] if version == 4 else quoted[8:24]))
    one, two = _ends(reporter, source)
    kept = quoted[: 20 + 8 if version == 4 else 40 + 8]
    if version == 4:
        body = struct.pack("!BBHHH", icmp_type, code, 0, 0, mtu & 0xFFFF) + kept
        body = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
        return ip_packet(reporter, source, 1, body, ident)
    body = struct.pack("!BBHI", icmp_type, code, 0, mtu) + kept
    pseudo = one.packed + two.packed + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    return ip_packet(reporter, source, 58, body, ident)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def file_header(name: str = "", application: str = "vpndiag", comment: str = "") -> bytes:
    """Section header and one raw-IP interface with nanosecond time stamps."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    if comment:
        section += _option(1, comment.encode()[:MAX_COMMENT])
    section += _option(4, application.encode()[:255]) + _option(0, b"")
    interface = struct.pack("<HHI", LINKTYPE_RAW, 0, 0)
    if name:
        interface += _option(2, name.encode()[:255])
    interface += _option(9, b"\x09") + _option(0, b"")
    return _block(0x0A0D0D0A, section) + _block(1, interface)


def packet_block(time_ns: int, packet: bytes, comment: str = "") -> bytes:
    """An enhanced packet block."""
    head = struct.pack("<IIIII", 0, time_ns >> 32, time_ns & 0xFFFFFFFF, len(packet), len(packet))
    body = head + packet + bytes(-len(packet) % 4)
    if comment:
        body += _option(1, comment.encode()[:4096]) + _option(0, b"")
    return _block(6, body)


class CaptureWriter:
    """A pcapng file in the making; every packet is a whole block handed to the operating system
    at once, so an interruption leaves a readable file.

    :raises OSError: when the file cannot be created or written.
    """

    def __init__(self, path: str | Path, *, name: str = "", comment: str = "") -> None:
        self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115
        self._file.write(file_header(name, comment=comment))
        self._ident = 0

    def write(
        self,
        time: float,
        src: str,
        dst: str,
        sport: int,
        dport: int,
        payload: bytes,
        comment: str = "",
        ttl: int = 64,
        whole: bool = True,
    ) -> None:
        """One datagram at ``time`` (seconds since 1970)."""
        self._ident += 1
        packet = udp_packet(src, dst, sport, dport, payload, self._ident, ttl, whole=whole)
        self._file.write(packet_block(round(time * 1e9), packet, comment))

    def write_packet(self, time: float, packet: bytes, comment: str = "") -> None:
        """A whole IP packet."""
        self._file.write(packet_block(round(time * 1e9), packet, comment))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
