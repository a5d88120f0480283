"""Loss, duplication and reordering: the outcome is the same, and stays the same."""

from __future__ import annotations

import pytest

from vpndiag.protocols.ike.constants import ExchangeType
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.events import (
    MessageReceived,
    MessageSent,
    PhaseOneEstablished,
    QuickModeEstablished,
)
from vpndiag.protocols.ike.message import Header
from vpndiag.protocols.ike.retransmit import Due, Retransmitter, Schedule

from .test_main_and_quick import assert_agreement
from .wire import Packet, chaos, initiator_config, link, of, one, responder_config

PATIENT = Schedule(tries=40)


@pytest.mark.parametrize("seed", range(25))
def test_a_bad_network_only_costs_time(seed: int) -> None:
    joined = link(
        initiator_config(schedule=PATIENT),
        responder_config(schedule=PATIENT, half_open_timeout=60.0),
        fate=chaos(seed, loss=0.3, duplicates=0.3, jitter=1.5),
        nat=bool(seed % 2),
        seed=str(seed),
    ).run(120)
    assert joined.client.state is joined.server.state is IkeState.ESTABLISHED
    ours = one(joined.client_events, QuickModeEstablished).child
    # QM3 is answered by nobody: it may be lost for good, and then only ESP can show it.
    theirs = of(joined.server_events, QuickModeEstablished)
    if theirs:
        assert theirs[0].child.enc_key_in == ours.enc_key_out
    one(joined.client_events, PhaseOneEstablished)
    one(joined.server_events, PhaseOneEstablished)


@pytest.mark.parametrize("number", range(9))
def test_any_single_message_may_be_lost(number: int) -> None:
    first: list[bytes] = []

    def fate(packet: Packet) -> list[float]:
        if packet.data not in first:
            first.append(packet.data)
            if len(first) - 1 == number:
                return []
        return [0.01]

    joined = link(server=responder_config(repeat_responses=True), fate=fate).run()
    assert_agreement(joined)


def test_everything_twice_changes_nothing() -> None:
    joined = link(fate=lambda packet: [0.01, 0.015]).run()
    assert_agreement(joined)
    # Each of our messages went out once for its cause and at most once for each repeat heard.
    for events in (joined.client_events, joined.server_events):
        repeats = sum(event.repeat for event in of(events, MessageReceived))
        assert sum(event.retransmission for event in of(events, MessageSent)) <= repeats


def test_retransmissions_are_the_same_bytes() -> None:
    joined = link(fate=chaos(7, loss=0.4, duplicates=0.0, jitter=0.1)).run()
    by_name: dict[str, set[bytes]] = {}
    for event in of(joined.client_events, MessageSent):
        by_name.setdefault(event.name, set()).add(event.data)
    assert {len(datas) for datas in by_name.values()} == {1}


def test_a_quick_mode_that_overtakes_the_end_of_phase_1_is_kept() -> None:
    """The responder starts a quick mode whose QM1 arrives before MM6."""

    def fate(packet: Packet) -> list[float]:
        header = Header.decode(packet.data)
        late = not packet.to_server and header.encrypted
        return [0.3] if late and header.exchange == ExchangeType.MAIN_MODE else [0.01]

    joined = link(initiator_config(auto_quick=False), fate=fate)
    joined.run(until=lambda: joined.server.state is IkeState.ESTABLISHED)
    assert joined.client.state is IkeState.MM5_SENT
    joined.server.start_quick_mode(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert_agreement(joined)
    assert not one(joined.client_events, QuickModeEstablished).child.initiated


def test_old_duplicates_after_the_end_are_reported_and_ignored() -> None:
    joined = link().run()
    before = [len(of(events, MessageSent)) for events in (joined.client_events,)]
    for packet in [p for p in joined.sent if not p.to_server][:3]:
        joined.deliver(packet)
    joined.run()
    assert [len(of(joined.client_events, MessageSent))] == before
    assert sum(event.repeat for event in of(joined.client_events, MessageReceived)) == 3


def test_the_default_schedule() -> None:
    schedule = Schedule()
    assert [schedule.interval(number) for number in range(1, 5)] == [0.5, 0.75, 1.0, 1.0]
    assert schedule.total() == pytest.approx(9.25)


def test_a_constant_schedule_and_one_that_doubles() -> None:
    assert [Schedule(2.0, 1.0, 2.0, 3).interval(n) for n in (1, 2, 3)] == [2.0, 2.0, 2.0]
    assert [Schedule(1.0, 2.0, 16.0, 9).interval(n) for n in range(1, 7)] == [1, 2, 4, 8, 16, 16]


def test_an_early_call_of_the_timer_does_nothing() -> None:
    timer = Retransmitter(Schedule(tries=2))
    timer.start("MM2", 10.0)
    assert timer.poll(10.4) is Due.NOTHING
    assert timer.poll(10.5) is Due.RESEND
    assert timer.poll(10.5) is Due.NOTHING
    assert timer.poll(11.25) is Due.GIVE_UP
    assert timer.poll(99.0) is Due.NOTHING
    assert not timer.running
