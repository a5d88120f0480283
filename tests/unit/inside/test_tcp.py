"""The TCP of the questions inside, against a peer that is played packet by packet."""

from __future__ import annotations

import itertools
import random
from ipaddress import IPv4Address

import pytest

from tests.unit.inside.bench import draw
from vpndiag.probes.inside.check import Link
from vpndiag.probes.inside.tcp import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Segment,
    TcpClient,
    build_segment,
    parse_segment,
)
from vpndiag.protocols.inner.ip import TCP, IcmpFault, build_ip, parse_ip

HERE, THERE = IPv4Address("10.99.1.2"), IPv4Address("10.20.0.10")
START = 0xFFFFFF00
"""The peer's first sequence number: it wraps soon."""


class Talk:
    """A client, and a peer whose segments are written by the test."""

    def __init__(self, *, mru: int = 1400) -> None:
        link = Link(address=HERE, peer=None, dns=(), mru_out=mru, mru_in=mru, random=draw("tcp"),
                    emit=lambda o: None, t=lambda now: now)  # fmt: skip
        self.client = TcpClient(link, THERE, 445)
        self.now = 0.0
        self.client.open(self.now)
        (syn,) = self.sent()
        self.base = syn.sequence + 1
        """The client's first byte."""

    def sent(self) -> list[Segment]:
        found = [parse_segment(parse_ip(p)) for p in self.client.packets()]
        assert None not in found
        return found  # type: ignore[return-value]

    def peer(
        self,
        flags: int,
        at: int,
        data: bytes = b"",
        *,
        ack: int = 0,
        window: int = 65535,
        options: bytes = b"",
    ) -> list[Segment]:
        """The peer's segment at byte ``at`` of its stream (the SYN is -1); what the client sends
        because of it."""
        ports = (445, self.client.own_port)
        segment = build_segment(
            THERE, HERE, ports, flags, START + 1 + at, (self.base + ack) % (1 << 32), options, data
        )
        segment = _with_window(segment, window)
        self.client.receive(parse_ip(build_ip(THERE, HERE, TCP, segment)), self.now)
        return self.sent()

    def opened(self, window: int = 65535, mss: int = 1360) -> Talk:
        options = b"\x02\x04" + mss.to_bytes(2, "big")
        (ack,) = self.peer(SYN | ACK, -1, window=window, options=options)
        assert (ack.flags, ack.ack) == (ACK, START + 1)
        return self

    def wait(self) -> list[Segment]:
        """Until the client's timer."""
        timer = self.client.get_timer()
        assert timer is not None
        self.now = timer
        self.client.handle_timer(self.now)
        return self.sent()


def _with_window(segment: bytes, window: int) -> bytes:
    from vpndiag.protocols.inner.ip import checksum, pseudo_header

    bare = segment[:14] + window.to_bytes(2, "big") + b"\0\0" + segment[18:]
    total = checksum(pseudo_header(THERE, HERE, TCP, len(bare)) + bare)
    return bare[:16] + total.to_bytes(2, "big") + bare[18:]


def test_a_request_that_is_lost_is_sent_again_and_in_the_end_given_up() -> None:
    talk = Talk().opened()
    talk.client.request(b"question", talk.now)
    assert [s.data for s in talk.sent()] == [b"question"]
    again = [talk.wait() for _ in range(3)]
    assert [s.data for (s,) in again] == [b"question"] * 3
    assert talk.wait() == []
    assert (talk.client.end, talk.client.retransmissions) == ("lost", 3)


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_in_any_order_with_repeats_cut_otherwise_is_whole(seed: int) -> None:
    draw_ = random.Random(seed)
    answer = bytes(n % 251 for n in range(6000))
    talk = Talk().opened()
    cuts = [sorted({0, 6000, *draw_.sample(range(1, 6000), 9)}) for _ in range(2)]
    pieces = [(a, answer[a:b]) for line in cuts for a, b in itertools.pairwise(line)]
    draw_.shuffle(pieces)
    for at, data in pieces:
        (ack,) = talk.peer(ACK | PSH, at, data)
        assert ack.flags == ACK
    assert bytes(talk.client.answer) == answer
    assert not talk.client.gap, "nothing is missing any more"


def test_a_gap_is_told_while_it_lasts() -> None:
    talk = Talk().opened()
    talk.peer(ACK, 100, b"later")
    assert talk.client.gap and talk.client.answer == b""
    talk.peer(ACK, 0, b"x" * 100)
    assert not talk.client.gap and talk.client.answer.endswith(b"xlater")


def test_an_end_counts_when_all_before_it_arrived() -> None:
    talk = Talk().opened()
    talk.peer(FIN | ACK, 3)
    assert not talk.client.peer_closed
    talk.peer(ACK, 0, b"abc")
    (ack,) = talk.peer(FIN | ACK, 3)
    assert talk.client.peer_closed
    assert ack.ack == (START + 1 + 3 + 1) % (1 << 32)


def test_a_closed_window_is_asked_with_single_bytes_until_it_opens() -> None:
    talk = Talk().opened(window=0)
    talk.client.request(b"question", talk.now)
    assert [s.data for s in talk.sent()] == [b"q"]
    assert talk.peer(ACK, 0, ack=0, window=0) == []
    assert [s.data for s in talk.wait()] == [b"q"]
    assert [s.data for s in talk.peer(ACK, 0, ack=0, window=5)] == [b"quest"]
    assert [s.data for s in talk.peer(ACK, 0, ack=5, window=100)] == [b"ion"]
    talk.peer(ACK, 0, ack=8)
    assert talk.client.acknowledged


def test_what_is_acknowledged_in_part_is_not_sent_twice() -> None:
    talk = Talk().opened(mss=100)
    talk.client.request(bytes(250), talk.now)
    assert [len(s.data) for s in talk.sent()] == [100, 100, 50]
    assert talk.peer(ACK, 0, ack=100) == []
    assert [len(s.data) for s in talk.wait()] == [100, 50]


def test_the_servers_mss_and_the_links_size_bound_the_segments() -> None:
    talk = Talk(mru=576).opened(mss=1360)
    talk.client.request(bytes(600), talk.now)
    assert [len(s.data) for s in talk.sent()] == [536, 64]


def test_fragmentation_needed_makes_the_segments_smaller() -> None:
    talk = Talk().opened()
    talk.client.request(bytes(1300), talk.now)
    assert [len(s.data) for s in talk.sent()] == [1300]
    ports = (talk.client.own_port, 445)
    told = IcmpFault("fragmentation-needed", IPv4Address("10.99.0.1"), THERE, TCP, ports, 1000)
    talk.client.fault(told, talk.now)
    assert [len(s.data) for s in talk.sent()] == [960, 340]
    untold = IcmpFault("fragmentation-needed", IPv4Address("10.99.0.1"), THERE, TCP, ports, None)
    talk.client.fault(untold, talk.now)
    assert [len(s.data) for s in talk.sent()] == [536, 536, 228]


def test_only_the_next_number_resets() -> None:
    """RFC 5961 section 3.2: another one in the window is asked about."""
    talk = Talk().opened()
    (challenge,) = talk.peer(RST, 500)
    assert (challenge.flags, challenge.ack) == (ACK, START + 1)
    assert (talk.client.end, talk.client.doubtful_reset) == ("", True)
    assert talk.peer(RST, -70_000) == [], "far outside of the window: nothing"
    talk.peer(RST, 0)
    assert talk.client.end == "reset"


def test_a_syn_in_a_connection_is_answered_and_changes_nothing() -> None:
    talk = Talk().opened()
    (ack,) = talk.peer(SYN, 77)
    assert (ack.flags, ack.ack, talk.client.end) == (ACK, START + 1, "")


@pytest.mark.parametrize("ack", [-1, 1, 5000])
def test_a_refusal_must_acknowledge_the_request(ack: int) -> None:
    talk = Talk()
    talk.peer(RST | ACK, 0, ack=ack)
    talk.peer(SYN | ACK, -1, ack=ack)
    assert (talk.client.end, talk.client.established) == ("", False)
    talk.peer(RST | ACK, 0)
    assert talk.client.end == "refused"


def test_a_wrong_checksum_is_nothing() -> None:
    talk = Talk().opened()
    segment = build_segment(THERE, HERE, (445, talk.client.own_port), RST, START + 1, talk.base)
    segment = segment[:16] + bytes((segment[16] ^ 1, segment[17])) + segment[18:]
    talk.client.receive(parse_ip(build_ip(THERE, HERE, TCP, segment)), talk.now)
    assert talk.client.end == ""
