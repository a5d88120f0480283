"""Is anybody there? Other services of the same host, other addresses of it, another gateway."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Literal

from vpndiag.observations.way import ControlCheck
from vpndiag.protocols.esp.udp import with_marker
from vpndiag.tunnel.flow import CannotOpen, Datagram, IcmpReport, gateway_sockaddr
from vpndiag.tunnel.udp import UdpFlow

Clock = Callable[[], float]
"""Seconds since the start of the run."""
Outcome = Literal["answered", "refused", "unreachable", "silent", "no-address", "cannot-tell"]

TCP_PORTS = (443, 80, 22)
"""Services that machines with a VPN gateway have oftener than others; that a port is closed
(refused) shows a living machine just as well."""
PATIENCE = 2.0
IKE_TRIES = 3

_REFUSED = {errno.ECONNREFUSED, errno.ECONNRESET, 10061, 10054}
_UNREACHABLE = {
    getattr(errno, name)
    for name in ("EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EHOSTDOWN")
    if hasattr(errno, name)
} | {10051, 10065}


async def tcp(address: str, port: int, now: Clock) -> ControlCheck:
    """Connect and hang up."""
    begun = now()
    outcome: Outcome
    try:
        async with asyncio.timeout(PATIENCE):
            _reader, writer = await asyncio.open_connection(address, port)
        writer.close()
        outcome = "answered"
    except TimeoutError:
        outcome = "silent"
    except OSError as error:
        if error.errno in _REFUSED:
            outcome = "refused"
        else:
            outcome = "unreachable" if error.errno in _UNREACHABLE else "cannot-tell"
    return ControlCheck(
        t=now(), role="gateway", what="tcp", target=address, address=address, port=port,
        outcome=outcome, seconds=now() - begun,
    )  # fmt: skip


async def echo(address: str, now: Clock) -> ControlCheck:
    """ICMP echo through a datagram socket, which Linux (net.ipv4.ping_group_range) and macOS give
    to ordinary users; Windows does not."""
    begun = now()
    outcome = await _echo(address)
    return ControlCheck(
        t=now(), role="gateway", what="icmp-echo", target=address, address=address,
        outcome=outcome, seconds=now() - begun,
    )  # fmt: skip


async def _echo(address: str) -> Outcome:
    if sys.platform == "win32":
        return "cannot-tell"
    family, target = gateway_sockaddr(address, 0)
    v6 = family == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    request, reply = (128, 129) if v6 else (8, 0)
    token = os.urandom(16)
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
            sock.setblocking(False)
            for number in range(1, 4):
                packet = struct.pack("!BBHHH", request, 0, 0, 0, number) + token
                packet = packet[:2] + _checksum(packet) + packet[4:]
                sock.sendto(packet, target)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE / 3):
                        while True:
                            data = await loop.sock_recv(sock, 2048)
                            # macOS hands over the IPv4 header as well
                            if token in data and (data[0] == reply or data[0] >> 4 == 4):
                                return "answered"
    except OSError as error:
        return "unreachable" if error.errno in _UNREACHABLE else "cannot-tell"
    return "silent"


def _checksum(data: bytes) -> bytes:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)


async def ike(
    role: Literal["other-address", "reference"],
    target: str,
    address: str,
    port: int,
    message: bytes,
    now: Clock,
) -> ControlCheck:
    """Message 1 of main mode to UDP ``port`` of ``address``, with the marker to 4500; any answer
    with its cookie counts."""
    begun = now()
    data = with_marker(message) if port == 4500 else message
    outcome: Outcome = "silent"
    flow: UdpFlow | None = None
    try:
        flow = await UdpFlow.open(address)
        for _ in range(IKE_TRIES):
            flow.send(data, port)
            until = time.monotonic() + PATIENCE / IKE_TRIES
            while outcome == "silent" and (left := until - time.monotonic()) > 0:
                event = await flow.receive(left)
                if isinstance(event, Datagram) and message[:8] in event.data[:12]:
                    outcome = "answered"
                elif isinstance(event, IcmpReport):
                    outcome = "refused" if event.what == "port-unreachable" else "unreachable"
            if outcome != "silent":
                break
    except CannotOpen:
        # No way there from here, as over IPv6 in most networks: that says nothing of the address.
        outcome = "cannot-tell" if role == "other-address" else "unreachable"
    finally:
        if flow is not None:
            flow.close()
    return ControlCheck(
        t=now(), role=role, what="ike", target=target, address=address, port=port,
        outcome=outcome, seconds=now() - begun,
    )  # fmt: skip
