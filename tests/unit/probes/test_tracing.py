"""A trace on real sockets, to this very computer."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Any

import pytest

from vpndiag.observations import PathTrace
from vpndiag.probes.way.trace import TRACEROUTE_PORT, What
from vpndiag.probes.way.tracing import ORDINARY, CannotTrace, Tracer
from vpndiag.tunnel import udp
from vpndiag.tunnel.recorder import Address


class Peer(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(b"answer", addr)


class Numbers:
    """Numbers packets, and keeps what it was told of them."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def packet(self, source: Address, destination: Address, data: bytes, ttl: int = 64) -> int:
        self.told.append((source, destination, data, ttl))
        return len(self.told)

    def icmp(
        self, reporter: str | None, icmp_type: int, code: int, source: Address,
        destination: Address, mtu: int | None = None,
    ) -> tuple[int, ...]:  # fmt: skip
        self.told.append((reporter, icmp_type, code, source, destination))
        return (len(self.told),)


def closed_port(family: int, host: str) -> int:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's error queue")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ends_are_told_apart(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        closed = closed_port(family, host)
    except OSError:
        pytest.skip("no IPv6 here")
    numbers = Numbers()

    async def story() -> list[PathTrace]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Peer, local_addr=(host, 0))
        try:
            payloads: dict[What, tuple[int, bytes]] = {
                "ike": (transport.get_extra_info("sockname")[1], b"question"),
                "ike-natt": (closed, b"question"),
                "udp": (TRACEROUTE_PORT, ORDINARY),
            }
            tracer = Tracer(host, payloads, numbers=numbers)
            await tracer.run()
            return tracer.trace.result(0.0, host)
        finally:
            transport.close()

    begun = time.monotonic()
    found = {t.what: t for t in asyncio.run(story())}
    assert {(t.end, t.end_ttl, t.end_by) for t in found.values()} == {("reached", 1, host)}
    assert [found[w].end_how for w in ("ike", "ike-natt", "udp")] == [
        "answer", "port-unreachable", "port-unreachable",
    ]  # fmt: skip
    assert all(t.frames for t in found.values())
    assert any(told[2:] == (b"question", 1) for told in numbers.told)
    assert time.monotonic() - begun < 2.0


def test_a_system_without_routers_answers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "platform_mode", lambda: "plain")

    async def story() -> None:
        await Tracer("127.0.0.1", {"ike": (closed_port(socket.AF_INET, "127.0.0.1"), b"x")}).run()

    with pytest.raises(CannotTrace):
        asyncio.run(story())
