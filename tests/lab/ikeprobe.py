"""Asking a gateway whether it answers IKE: one Main Mode message, its cookie kept for all tries.

A gateway counts half-open SAs by cookie (strongSwan ignores an address that has five), so the same
bytes are sent again and again.  Written apart from vpndiag: the lab must not share its mistakes.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time

from tests.lab.namespace import Namespace
from tests.lab.process import LabError

RFC3947 = hashlib.md5(b"RFC 3947").digest()  # what SoftEther insists on


def main_mode_1(cookie: bytes, nat_t: bytes = RFC3947) -> bytes:
    """Main Mode message 1: AES-256 or 3DES, SHA-1, PSK or RSA, MODP 2048 or 1024, 8 hours."""

    def attribute(kind: int, value: int) -> bytes:
        return struct.pack("!HH", 0x8000 | kind, value)

    transforms = b""
    offers = [
        (7, 256, 14, 1),
        (7, 256, 2, 1),
        (5, None, 2, 1),
        (7, 256, 14, 3),  # RSA signatures: Libreswan is silent to a method that it lacks
    ]
    for index, (cipher, bits, group, method) in enumerate(offers, 1):
        body = struct.pack("!BBH", index, 1, 0) + attribute(1, cipher) + attribute(2, 2)
        body += attribute(3, method) + attribute(4, group) + attribute(11, 1) + attribute(12, 28800)
        body += attribute(14, bits) if bits else b""
        following = 3 if index < len(offers) else 0
        transforms += struct.pack("!BBH", following, 0, 4 + len(body)) + body
    proposal = struct.pack("!BBBB", 1, 1, 0, len(offers)) + transforms
    sa = struct.pack("!II", 1, 1) + struct.pack("!BBH", 0, 0, 4 + len(proposal)) + proposal
    payloads = struct.pack("!BBH", 13, 0, 4 + len(sa)) + sa
    payloads += struct.pack("!BBH", 0, 0, 4 + len(nat_t)) + nat_t
    return (
        cookie + bytes(8) + struct.pack("!BBBBII", 1, 0x10, 2, 0, 0, 28 + len(payloads)) + payloads
    )


def ask_ike(
    source: Namespace, address: str, port: int = 500, *, timeout: float = 1.0, interval: float = 0.2
) -> bytes | None:
    """The gateway's first answer to Main Mode message 1, or None when ``timeout`` seconds pass."""
    cookie = b"vdlab" + os.urandom(3)
    packet = main_mode_1(cookie)
    marker = bytes(4) if port == 4500 else b""
    end = time.monotonic() + timeout
    with source.socket() as sock:
        sock.settimeout(interval)
        while time.monotonic() < end:
            try:
                sock.sendto(marker + packet, (address, port))
                data = sock.recv(65535)
            except TimeoutError:
                continue
            except OSError:  # an ICMP error: nobody listens yet
                time.sleep(min(interval, 0.05))
                continue
            if data[len(marker) :].startswith(cookie):
                return data[len(marker) :]
    return None


def ask_l2tp(source: Namespace, address: str, *, timeout: float = 1.0) -> bool:
    """Whether an L2TP server answers in the clear: SCCRQ, and StopCCN once it does."""

    def avp(kind: int, value: bytes) -> bytes:
        return struct.pack("!HHH", 0x8000 | (6 + len(value)), 0, kind) + value

    def control(tunnel: int, ns: int, nr: int, avps: bytes) -> bytes:
        return struct.pack("!HHHHHH", 0xC802, 12 + len(avps), tunnel, 0, ns, nr) + avps

    mine = 0x7D00 + os.urandom(1)[0]
    ask = (avp(0, b"\0\1") + avp(2, b"\1\0") + avp(3, bytes(3) + b"\3") + avp(7, b"vd-lab")
           + avp(9, struct.pack("!H", mine)))  # fmt: skip
    end = time.monotonic() + timeout
    with source.socket() as sock:
        sock.settimeout(0.2)
        while time.monotonic() < end:
            try:
                sock.sendto(control(0, 0, 0, ask), (address, 1701))
                data = sock.recv(65535)
            except TimeoutError:
                continue
            except OSError:
                time.sleep(0.05)
                continue
            if len(data) > 20 and data[0] & 0x80:
                theirs = _assigned_tunnel(data)
                stop = avp(0, b"\0\4") + avp(9, struct.pack("!H", mine)) + avp(1, b"\0\6")
                sock.sendto(control(theirs, 1, 1, stop), (address, 1701))
                return True
    return False


def _assigned_tunnel(data: bytes) -> int:
    offset = 12
    while offset + 6 <= len(data):
        length, vendor, kind = struct.unpack_from("!HHH", data, offset)
        if vendor == 0 and kind == 9:
            return int(struct.unpack_from("!H", data, offset + 6)[0])
        offset += max(length & 0x3FF, 6)
    return 0


def wait_for_ike(source: Namespace, address: str, timeout: float, log: str = "") -> float:
    """Wait for the first answer; returns the seconds it took.  Raises LabError."""
    begun = time.monotonic()
    if ask_ike(source, address, timeout=timeout, interval=0.1) is None:
        raise LabError(f"{address} did not answer IKE within {timeout} s\n{log}")
    return time.monotonic() - begun
