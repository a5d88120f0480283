"""The UDP flow on loopback: what it sends, what it sees, and what it tells about errors."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.observe.icmp import icmp_what
from vpndiag.tunnel.flow import address_towards, gateway_sockaddr, same_host
from vpndiag.tunnel.icmp import errno_name, parse_extended_error
from vpndiag.tunnel.raw_esp import RawEsp
from vpndiag.tunnel.udp import CannotOpen, Datagram, IcmpReport, SendFailed, UdpFlow

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's error queue")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


LOOPBACKS = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
]


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await main()

    asyncio.run(bounded())


@contextmanager
def peer(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(2)
        yield sock


def closed_port(host: str) -> int:
    with peer(host) as sock:
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("use_thread", [False, True], ids=["add_reader", "thread"])
@pytest.mark.parametrize("mode", ["error-queue", "connected", "plain"])
@pytest.mark.parametrize("host", LOOPBACKS)
def test_datagrams_go_both_ways(host: str, mode: str, use_thread: bool) -> None:
    async def main() -> None:
        with peer(host) as one, peer(host) as two:
            flow = await UdpFlow.open(host, mode=mode, use_thread=use_thread)  # type: ignore[arg-type]
            for gateway in (one, two):
                port = gateway.getsockname()[1]
                flow.send(b"question", port)
                data, source = gateway.recvfrom(100)
                assert data == b"question"
                assert source[:2] == flow.local_address
                gateway.sendto(b"answer", source)
                got = await flow.receive(2)
                assert isinstance(got, Datagram)
                assert (got.data, got.address, got.port) == (b"answer", host, port)
                assert not got.unexpected
            flow.close()
            assert await flow.receive(0.1) is None

    run(main)


@pytest.mark.parametrize("mode", ["error-queue", "connected", "plain"])
def test_datagrams_from_a_port_never_asked_are_delivered_and_flagged(mode: str) -> None:
    async def main() -> None:
        with peer() as asked, peer() as stranger:
            flow = await UdpFlow.open("127.0.0.1", mode=mode)  # type: ignore[arg-type]
            flow.send(b"x", asked.getsockname()[1])
            stranger.sendto(b"boo", flow.local_address)
            got = await flow.receive(2)
            assert isinstance(got, Datagram)
            assert got.unexpected
            flow.close()

    run(main)


@linux
def test_datagrams_from_another_address_are_flagged() -> None:
    async def main() -> None:
        with peer() as asked, peer("127.0.0.2") as stranger:
            flow = await UdpFlow.open("127.0.0.1")
            flow.send(b"x", asked.getsockname()[1])
            stranger.sendto(b"boo", flow.local_address)
            got = await flow.receive(2)
            assert isinstance(got, Datagram)
            assert (got.address, got.unexpected) == ("127.0.0.2", True)
            flow.close()

    run(main)


@linux
@pytest.mark.parametrize("use_thread", [False, True], ids=["add_reader", "thread"])
@pytest.mark.parametrize("host", LOOPBACKS)
def test_port_unreachable_tells_reporter_and_port(host: str, use_thread: bool) -> None:
    port = closed_port(host)

    async def main() -> None:
        flow = await UdpFlow.open(host, clock=lambda: 42.0, use_thread=use_thread)
        assert flow.icmp_seen == "full"
        flow.send(b"anyone?", port)
        got = await flow.receive(2)
        expected = (1, 4) if ":" in host else (3, 3)
        assert got == IcmpReport(*expected, "port-unreachable", host, port, None, 42.0)
        flow.close()

    run(main)


@linux
def test_a_pending_icmp_error_does_not_eat_the_next_packet() -> None:
    dead = closed_port("127.0.0.1")

    async def main() -> None:
        with peer() as alive:
            flow = await UdpFlow.open("127.0.0.1")
            flow.send(b"a", dead)  # on loopback the error is queued before send returns
            flow.send(b"b", alive.getsockname()[1])
            assert alive.recv(10) == b"b"
            got = await flow.receive(2)
            assert isinstance(got, IcmpReport)
            assert got.quoted_port == dead
            assert await flow.receive(0.05) is None
            flow.close()

    run(main)


def test_connected_sockets_see_port_unreachable_without_reporter() -> None:
    dead = closed_port("127.0.0.1")

    async def main() -> None:
        with peer() as alive:
            flow = await UdpFlow.open("127.0.0.1", mode="connected")
            assert flow.icmp_seen == "refused-only"
            flow.send(b"b", alive.getsockname()[1])
            flow.send(b"a", dead)
            got = await flow.receive(2)
            assert isinstance(got, IcmpReport)
            assert (got.what, got.reporter, got.quoted_port) == ("port-unreachable", None, dead)
            flow.close()

    run(main)


def test_the_preferred_port_is_used_when_free_and_left_when_taken() -> None:
    async def main() -> None:
        with peer() as taken:
            port = taken.getsockname()[1]
            flow = await UdpFlow.open("127.0.0.1", prefer_port=port)
            assert flow.local_address[1] not in (0, port)
            flow.close()
        flow = await UdpFlow.open("127.0.0.1", prefer_port=port)
        assert flow.local_address == ("127.0.0.1", port)
        flow.close()

    run(main)


def test_connected_mode_does_not_share_a_port_that_another_program_shares() -> None:
    if not hasattr(socket, "SO_REUSEPORT"):
        pytest.skip("no SO_REUSEPORT")

    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            flow = await UdpFlow.open("127.0.0.1", prefer_port=port, mode="connected")
            assert flow.local_address[1] != port
            flow.close()

    run(main)


def test_a_taken_port_without_alternative_cannot_be_opened() -> None:
    async def main() -> None:
        with peer() as taken:
            with pytest.raises(CannotOpen) as caught:
                await UdpFlow.open("127.0.0.1", local_port=taken.getsockname()[1])
            assert caught.value.errno_name == "EADDRINUSE"

    run(main)


@pytest.mark.parametrize("bad", ["vpn.example.com", "", "1.2.3.4.5", "[::1]", "a\0b"])
def test_only_ip_literals_open(bad: str) -> None:
    async def main() -> None:
        with pytest.raises(CannotOpen):
            await UdpFlow.open(bad)

    run(main)


def test_a_packet_too_large_is_a_send_failure_not_an_exception() -> None:
    async def main() -> None:
        flow = await UdpFlow.open("127.0.0.1", clock=lambda: 7.0)
        flow.send(bytes(65536), 500)
        got = await flow.receive(1)
        assert isinstance(got, SendFailed)
        assert (got.errno_name, got.port, got.time) == ("EMSGSIZE", 500, 7.0)
        flow.close()
        flow.send(b"late", 500)
        late = await flow.receive(1)
        assert isinstance(late, SendFailed)
        assert late.errno_name == "EBADF"

    run(main)


def test_the_largest_datagram_arrives_whole() -> None:
    async def main() -> None:
        with peer() as gateway:
            flow = await UdpFlow.open("127.0.0.1")
            flow.send(b"x", gateway.getsockname()[1])
            gateway.sendto(bytes(range(256)) * 200, gateway.recvfrom(10)[1])
            got = await flow.receive(2)
            assert isinstance(got, Datagram)
            assert got.data == bytes(range(256)) * 200
            flow.close()

    run(main)


def test_a_flood_is_bounded_and_counted() -> None:
    async def main() -> None:
        with peer() as gateway:
            flow = await UdpFlow.open("127.0.0.1", queue_limit=5)
            flow.send(b"x", gateway.getsockname()[1])
            to = gateway.recvfrom(10)[1]
            for number in range(12):
                gateway.sendto(bytes([number]), to)
            while flow.dropped < 7:
                await asyncio.sleep(0)
            kept = [await flow.receive(0) for _ in range(6)]
            assert [k.data for k in kept if isinstance(k, Datagram)] == [
                bytes([n]) for n in range(5)
            ]
            assert kept[5] is None
            flow.close()

    run(main)


def test_events_go_to_the_callback_and_it_may_close_the_flow() -> None:
    async def main() -> None:
        with peer() as gateway:
            flow = await UdpFlow.open("127.0.0.1")
            seen: list[object] = []
            done = asyncio.Event()

            def take(event: object) -> None:
                seen.append(event)
                flow.close()
                done.set()

            flow.on_event = take
            flow.send(b"x", gateway.getsockname()[1])
            to = gateway.recvfrom(10)[1]
            gateway.sendto(b"1", to)
            gateway.sendto(b"2", to)
            await done.wait()
            await asyncio.sleep(0)
            assert len(seen) == 1

    run(main)


def test_close_wakes_the_receiver() -> None:
    async def main() -> None:
        flow = await UdpFlow.open("127.0.0.1")
        asyncio.get_running_loop().call_soon(flow.close)
        assert await flow.receive(None) is None
        flow.close()

    run(main)


@linux
@pytest.mark.parametrize("host", LOOPBACKS)
def test_dont_fragment_can_be_switched(host: str) -> None:
    async def main() -> None:
        flow = await UdpFlow.open(host)
        assert flow.set_dont_fragment(True)
        assert flow.set_dont_fragment(False)
        flow.close()

    run(main)


def test_ports_outside_the_range_are_a_mistake_of_the_caller() -> None:
    async def main() -> None:
        flow = await UdpFlow.open("127.0.0.1")
        for port in (0, -1, 65536):
            with pytest.raises(ValueError, match="port"):
                flow.send(b"", port)
        flow.close()

    run(main)


def test_plain_esp_opens_or_says_why_not() -> None:
    async def main() -> None:
        flow, reason = await RawEsp.open("127.0.0.1")
        if flow is None:
            assert reason
            return
        assert reason == ""
        flow.send(b"\0\0\1\0\0\0\0\1payload")
        got = await flow.receive(2)  # loopback: our own packet comes back
        assert isinstance(got, Datagram)
        assert (got.data, got.address, got.port) == (b"\0\0\1\0\0\0\0\1payload", "127.0.0.1", 0)
        flow.close()

    run(main)


@pytest.mark.parametrize(
    ("icmp_type", "code", "ipv6", "what"),
    [
        (3, 0, False, "net-unreachable"),
        (3, 1, False, "host-unreachable"),
        (3, 2, False, "protocol-unreachable"),
        (3, 4, False, "fragmentation-needed"),
        (3, 13, False, "prohibited"),
        (11, 0, False, "ttl-exceeded"),
        (11, 1, False, "reassembly-timeout"),
        (3, 5, False, "other"),
        (1, 1, True, "prohibited"),
        (2, 0, True, "fragmentation-needed"),
        (3, 0, True, "ttl-exceeded"),
        (1, 3, True, "host-unreachable"),
        (4, 1, True, "protocol-unreachable"),
        (99, 9, True, "other"),
    ],
)
def test_icmp_names(icmp_type: int, code: int, ipv6: bool, what: str) -> None:
    assert icmp_what(icmp_type, code, ipv6=ipv6) == what


def test_an_extended_error_of_a_router_that_wants_smaller_packets() -> None:
    head = struct.pack("=IBBBBII", 90, 2, 3, 4, 0, 1400, 0)
    offender = struct.pack("=H", socket.AF_INET) + bytes([0, 0, 192, 0, 2, 1]) + bytes(8)
    record = parse_extended_error(head + offender)
    assert record is not None
    assert (record.local, record.info, record.reporter) == (False, 1400, "192.0.2.1")


@given(st.binary(max_size=64))
def test_any_control_message_is_survived(data: bytes) -> None:
    parse_extended_error(data)


def test_windows_error_numbers_have_their_posix_names() -> None:
    assert errno_name(10054) == "ECONNRESET"
    assert errno_name(None) == "EUNKNOWN"


def test_scope_ids_count_only_where_both_sides_have_one() -> None:
    assert same_host("fe80::1%eth0", "fe80::1")
    assert not same_host("fe80::1%1", "fe80::1%2")
    assert not same_host("192.0.2.1", "192.0.2.2")
    assert same_host("2001:db8:0::1", "2001:db8::1")


class LinkLocal:
    """A socket on a machine with a link-local address."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> LinkLocal:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, _: object) -> None:
        pass

    def getsockname(self) -> tuple[str, int, int, int]:
        return "fe80::2", 1234, 0, 1


def test_a_link_local_address_of_this_machine_names_its_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vpndiag.tunnel.flow.socket.socket", LinkLocal)
    local = address_towards("fe80::1%1")
    assert local == "fe80::2%1"
    assert gateway_sockaddr(local, 500)[1][3] == 1
