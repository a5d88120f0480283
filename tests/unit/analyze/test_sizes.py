"""Which lost pings show that large packets are lost, and which show nothing."""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.capture.packets import Message
from vpndiag.capture.sizes import MANY, large_lost
from vpndiag.observations import LargeLost
from vpndiag.protocols.inner.ip import ICMP, TCP, build_echo, build_ip
from vpndiag.protocols.inner.tcp import ACK, SYN, build_segment

OWN, HOST = IPv4Address("10.9.0.2"), IPv4Address("10.20.0.10")
CLIENT, GATEWAY = ("192.0.2.10", 1701), ("203.0.113.5", 1701)


class Line:
    def __init__(self) -> None:
        self.packets: list[Message] = []
        self.sequence = 0

    def put(self, packet: bytes, out: bool = True) -> None:
        ends = (CLIENT, GATEWAY) if out else (GATEWAY, CLIENT)
        number = len(self.packets) + 1
        kept, rest = packet[:64], max(0, len(packet) - 64)
        self.packets.append(Message((number,), number * 1_000_000_000, *ends, kept, missing=rest))

    def ping(self, size: int, answered: bool, times: int = 1) -> None:
        for _ in range(times):
            self.sequence += 1
            echo = build_echo(7, self.sequence, bytes(size - 28))
            self.put(build_ip(OWN, HOST, ICMP, echo))
            if answered:
                self.put(build_ip(HOST, OWN, ICMP, b"\0" + echo[1:]), out=False)

    def connection(self) -> None:
        """A small segment that is acknowledged."""
        for out, flags, seq, ack, data in (
            (True, SYN, 0, 0, b""),
            (False, SYN | ACK, 0, 1, b""),
            (True, ACK, 1, 1, bytes(100)),
            (False, ACK, 1, 101, b""),
        ):
            ends, ports = ((OWN, HOST), (50000, 80)) if out else ((HOST, OWN), (80, 50000))
            segment = build_segment(*ends, ports, flags, seq, ack, b"", data)
            self.put(build_ip(*ends, TCP, segment), out)

    @property
    def lost(self) -> list[LargeLost]:
        end_ns = (len(self.packets) + 5) * 1_000_000_000
        return large_lost(self.packets, lambda m: m.src == CLIENT, lambda ns: ns / 1e9, end_ns)


def test_large_pings_are_lost_where_small_ones_come_back() -> None:
    line = Line()
    line.ping(60, answered=True, times=3)
    line.ping(1400, answered=False, times=3)
    assert [(o.how, o.size, o.tries) for o in line.lost] == [("echo", 1400, 3)]


def test_what_is_lost_between_is_no_sign_of_chance() -> None:
    """A search for the largest size that passes: nothing of 500 bytes or more comes back."""
    line = Line()
    line.ping(490, answered=True, times=2)
    for size in (1400, 565, 523, 502):
        line.ping(size, answered=False, times=2)
    assert [(o.size, o.passed) for o in line.lost] == [(1400, 490)]
    line.ping(400, answered=False)
    assert line.lost == [], "smaller than others that came back"


def test_a_host_that_answers_no_ping_at_all_shows_nothing_of_sizes() -> None:
    line = Line()
    line.connection()
    line.ping(1400, answered=False, times=20)
    assert line.lost == []


def test_the_first_answer_of_a_server_lacks_its_large_packets() -> None:
    """The handshake passes, and the answer's small end, which the client cannot take without the
    rest."""
    line = Line()
    for out, flags, seq, ack, size in (
        (True, SYN, 0, 0, 0),
        (False, SYN | ACK, 0, 1, 0),
        (True, ACK, 1, 1, 300),
        (False, ACK, 2801, 301, 200),
        (True, ACK, 301, 1, 0),
    ):
        ends, ports = ((OWN, HOST), (50000, 443)) if out else ((HOST, OWN), (443, 50000))
        segment = build_segment(*ends, ports, flags, seq, ack, b"", bytes(size))
        line.put(build_ip(*ends, TCP, segment), out)
    assert [(o.how, o.direction, o.passed) for o in line.lost] == [("gap", "in", 40)]


def test_where_small_ones_get_lost_too_it_takes_more() -> None:
    line = Line()
    line.ping(60, answered=True, times=3)
    line.ping(60, answered=False, times=2)
    line.ping(1400, answered=False, times=MANY - 1)
    assert line.lost == []
    line.ping(1400, answered=False)
    assert [o.tries for o in line.lost] == [MANY]
