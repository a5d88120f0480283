"""Answers that get lost are given again; refusals and habits of gateways as configuration."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.ike_engine.wire import (
    Fate,
    Packet,
    link,
    of,
    one,
    responder_config,
)
from vpndiag.protocols.ike.config import ResponderConfig
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType
from vpndiag.protocols.ike.events import (
    DeleteReceived,
    DpdAcknowledged,
    Failed,
    MessageSent,
    NatDetected,
    NotifyReceived,
    PhaseOneEstablished,
    QuickModeEstablished,
    Rejected,
    Trust,
)
from vpndiag.protocols.ike.initiator import IkeInitiator


def losing(pick: Callable[[Packet], bool], count: int) -> Fate:
    """Lose the first ``count`` packets that ``pick`` picks."""
    left = count

    def fate(packet: Packet) -> list[float]:
        nonlocal left
        if left and pick(packet):
            left -= 1
            return []
        return [0.01]

    return fate


def informational(packet: Packet) -> bool:
    return not packet.to_server and packet.data[18] == ExchangeType.INFORMATIONAL


def _main_mode(first: int) -> Callable[[Packet], bool]:
    """Messages of main mode from the responder with this first payload; 5 is that of message 6."""

    def pick(packet: Packet) -> bool:
        sender = not packet.to_server and packet.data[18] == ExchangeType.MAIN_MODE
        return sender and packet.data[16] == first

    return pick


@pytest.mark.parametrize(("name", "first"), [("MM2", 1), ("MM4", 4), ("MM6", 5)])
def test_a_lost_answer_of_main_mode_is_given_again_when_asked_again(name: str, first: int) -> None:
    joined = link(fate=losing(_main_mode(first), 1)).run(15)
    assert of(joined.client_events, QuickModeEstablished)
    again = [e.name for e in of(joined.server_events, MessageSent) if e.retransmission]
    assert again == [name]


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_refused_quick_mode_is_refused_again_when_asked_again(lost: int) -> None:
    server = responder_config(refuse_quick_mode=NotifyType.NO_PROPOSAL_CHOSEN)
    joined = link(server=server, fate=losing(informational, lost)).run(15)
    failed = one(joined.client_events, Failed)
    assert failed.notify_type == NotifyType.NO_PROPOSAL_CHOSEN
    assert len(of(joined.server_events, Failed)) == 1, "decided once"


def test_a_dpd_question_repeated_is_answered_again() -> None:
    joined = link(fate=losing(informational, 2))
    joined.run(10, until=lambda: bool(of(joined.client_events, QuickModeEstablished)))
    joined.client.send_dpd(joined.now)
    joined.run(10)
    assert len(of(joined.client_events, DpdAcknowledged)) == 1


def test_qm2_is_repeated_until_qm3_comes() -> None:
    def qm3(packet: Packet) -> bool:
        return packet.to_server and packet.data[18] == 32 and len(packet.data) < 100

    joined = link(fate=losing(qm3, 2)).run(15)
    assert len(of(joined.server_events, QuickModeEstablished)) == 1


def test_the_initiator_can_say_qm3_again() -> None:
    joined = link()
    assert isinstance(joined.client, IkeInitiator)
    assert not joined.client.repeat_connection(), "before there is any"
    joined.run(10, until=lambda: bool(of(joined.server_events, QuickModeEstablished)))
    assert joined.client.repeat_connection()
    joined.run(2)
    again = [e for e in of(joined.client_events, MessageSent) if e.name == "QM3"]
    assert [e.retransmission for e in again] == [False, True]
    assert again[0].data == again[1].data
    assert len(of(joined.server_events, QuickModeEstablished)) == 1, "it changes nothing there"


@pytest.mark.parametrize("lost", [0, 2])
def test_a_peer_that_is_not_welcome_is_told_so_under_protection(lost: int) -> None:
    server = responder_config(refuse_peer=NotifyType.INVALID_ID_INFORMATION)
    joined = link(server=server, fate=losing(informational, lost)).run(15)
    note = one(joined.client_events, NotifyReceived)
    assert note.trust is Trust.AUTHENTICATED
    assert note.notification is not None
    assert note.notification.notify_type == NotifyType.INVALID_ID_INFORMATION
    assert one(joined.client_events, Failed).stage == "MM6"
    assert not of(joined.server_events, PhaseOneEstablished)


@pytest.mark.parametrize(
    "server",
    [responder_config(refuse_peer="delete"), responder_config(refuse_quick_mode="delete")],
)
def test_a_gateway_that_hangs_up_says_delete(server: ResponderConfig) -> None:
    joined = link(server=server).run(15)
    found = of(joined.client_events, DeleteReceived)
    assert found
    assert found[0].trust is Trust.AUTHENTICATED
    assert not of(joined.server_events, QuickModeEstablished)


def test_a_false_proof_is_not_taken() -> None:
    joined = link(server=responder_config(false_proof=True)).run(15)
    assert not of(joined.client_events, PhaseOneEstablished)
    assert {e.stage for e in of(joined.client_events, Rejected)} == {"MM6"}


@pytest.mark.parametrize("nat", [False, True])
def test_a_responder_without_plain_esp_claims_a_nat_only_where_there_is_none(nat: bool) -> None:
    joined = link(
        server=responder_config(force_encapsulation=True, allow_plain_transport=False), nat=nat
    ).run(10)
    assert one(joined.server_events, QuickModeEstablished).child.mode.is_udp
    found = one(joined.client_events, NatDetected)
    assert found.remote_behind_nat is not nat, "claimed by the responder"
    assert found.local_behind_nat is nat
