"""Reliable delivery by itself: numbers modulo 2^16, window, reordering, back-off."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp.avps import make
from vpndiag.protocols.l2tp.constants import AvpType, MessageType
from vpndiag.protocols.l2tp.message import ControlMessage
from vpndiag.protocols.l2tp.reliable import Arrival, ReliableChannel, RetransmitConfig, before

HELLO = (make(AvpType.MESSAGE_TYPE, MessageType.HELLO),)


def hello(ns: int, nr: int = 0) -> ControlMessage:
    return ControlMessage(1, 0, ns, nr, HELLO)


@settings(deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(1, 0x8000))
def test_the_preceding_32768_numbers_come_before(number: int, distance: int) -> None:
    assert before((number - distance) & 0xFFFF, number)
    assert not before(number, number)
    if distance < 0x8000:
        assert not before((number + distance) & 0xFFFF, number)


@pytest.mark.parametrize("start", [0, 0xFFFD])
def test_reordered_messages_are_delivered_in_order(start: int) -> None:
    channel = ReliableChannel(RetransmitConfig())
    channel.expected = start
    order = [2, 0, 2, 3, 1, 1]
    arrivals, delivered = [], []
    for step in order:
        arrival, ready = channel.receive(hello((start + step) & 0xFFFF), 0.0)
        arrivals.append(arrival)
        delivered += [(m.ns - start) & 0xFFFF for m in ready]
    assert delivered == [0, 1, 2, 3]
    assert arrivals == [
        Arrival.EARLY,
        Arrival.NEW,
        Arrival.DUPLICATE,
        Arrival.EARLY,
        Arrival.NEW,
        Arrival.DUPLICATE,
    ]


def test_the_reorder_buffer_is_bounded() -> None:
    channel = ReliableChannel(RetransmitConfig(reorder=2))
    assert [channel.receive(hello(ns), 0.0)[0] for ns in (1, 2, 3, 30000)] == [
        Arrival.EARLY,
        Arrival.EARLY,
        Arrival.TOO_FAR,
        Arrival.TOO_FAR,
    ]


def test_a_duplicate_is_acknowledged_again_and_a_zlb_is_not() -> None:
    channel = ReliableChannel(RetransmitConfig())
    for _ in range(2):
        channel.receive(hello(0), 0.0)
        (sent,) = channel.transmissions(0.0, 9)
        assert (sent.message.is_zlb, sent.message.nr, sent.message.tunnel_id) == (True, 1, 9)
    channel.receive(ControlMessage(1, 0, 5, 0), 0.0)
    assert channel.transmissions(0.0, 9) == []


def test_a_message_carries_the_acknowledgement() -> None:
    channel = ReliableChannel(RetransmitConfig())
    channel.receive(hello(0), 0.0)
    channel.send(9, 0, HELLO)
    (sent,) = channel.transmissions(0.0, 9)
    assert (sent.message.is_zlb, sent.message.nr) == (False, 1)


def test_the_window_of_the_peer_holds_messages_back() -> None:
    channel = ReliableChannel(RetransmitConfig())
    channel.peer_window = 2
    for _ in range(5):
        channel.send(9, 0, HELLO)
    assert [t.message.ns for t in channel.transmissions(0.0, 9)] == [0, 1]
    assert channel.transmissions(0.0, 9) == []
    channel.receive(ControlMessage(1, 0, 0, 1), 0.0)
    assert [t.message.ns for t in channel.transmissions(0.0, 9)] == [2]
    channel.receive(ControlMessage(1, 0, 0, 3), 0.0)
    assert [t.message.ns for t in channel.transmissions(0.0, 9)] == [3, 4]
    channel.send(9, 0, HELLO, last=True)
    assert [t.message.ns for t in channel.transmissions(0.0, 9)] == [5]


def test_an_impossible_acknowledgement_acknowledges_nothing() -> None:
    channel = ReliableChannel(RetransmitConfig())
    channel.send(9, 0, HELLO)
    channel.transmissions(0.0, 9)
    channel.receive(ControlMessage(1, 0, 0, 5), 0.0)
    assert not channel.idle


def test_back_off_doubles_to_its_cap_and_a_retransmission_has_the_current_nr() -> None:
    channel = ReliableChannel(RetransmitConfig(first=0.5, cap=2, tries=5))
    channel.send(9, 0, HELLO)
    channel.transmissions(0.0, 9)
    channel.receive(hello(0), 0.0)
    times = []
    while (due := channel.timer()) is not None:
        if channel.handle_timer(due) is not None:
            break
        (sent,) = channel.transmissions(due, 9)
        times.append((due, sent.retransmission, sent.message.nr))
    assert times == [(0.5, 1, 1), (1.5, 2, 1), (3.5, 3, 1), (5.5, 4, 1)]
    assert due == 7.5


@pytest.mark.parametrize("options", [{"first": 0}, {"cap": 0.1}, {"tries": 0}, {"reorder": -1}])
def test_impossible_settings(options: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError):
        RetransmitConfig(**options)
