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


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_packet(src: str, dst: str, sport: int, dport: int, payload: bytes, ident: int = 0) -> bytes:
    """An IPv4 or IPv6 packet with this UDP datagram, checksums filled in.

    :raises ValueError: for bad or mixed addresses, or a payload that one datagram cannot hold.
    """
    one, two = (
        ipaddress.ip_address(src.partition("%")[0]),
        ipaddress.ip_address(dst.partition("%")[0]),
    )
    length = 8 + len(payload)
    if one.version != two.version or length > 65_535 - 20:
        raise ValueError("addresses of two families, or too long")
    head = struct.pack("!HHHH", sport, dport, length, 0)
    if one.version == 4:
        pseudo = one.packed + two.packed + struct.pack("!HH", 17, length)
    else:
        pseudo = one.packed + two.packed + struct.pack("!II", length, 17)
    check = _checksum(pseudo + head + payload) or 0xFFFF
    udp = head[:6] + struct.pack("!H", check) + payload
    if one.version == 6:
        return struct.pack("!IHBB", 0x60000000, length, 17, 64) + one.packed + two.packed + udp
    fields = (0x45, 0, 20 + length, ident & 0xFFFF, 0x4000, 64, 17)
    ends = one.packed + two.packed
    blank = struct.pack("!BBHHHBBH", *fields, 0) + ends
    return struct.pack("!BBHHHBBH", *fields, _checksum(blank)) + ends + udp


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def file_header(name: str = "", application: str = "vpndiag") -> bytes:
    """Section header and one raw-IP interface with nanosecond time stamps."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
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

    def __init__(self, path: str | Path, *, name: str = "") -> None:
        self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115
        self._file.write(file_header(name))
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
    ) -> None:
        """One datagram at ``time`` (seconds since 1970)."""
        self._ident += 1
        packet = udp_packet(src, dst, sport, dport, payload, self._ident)
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
