"""Deletion, dead peer detection, further quick modes, notifications."""

from __future__ import annotations

import pytest

from vpndiag.protocols.ike.algorithms import EspCipher
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType, ProtocolId
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.events import (
    Deleted,
    DeleteReceived,
    DpdAcknowledged,
    DpdReceived,
    Failed,
    FailureCode,
    MessageReceived,
    MessageSent,
    NotifyReceived,
    Protection,
    QuickModeEstablished,
    TimedOut,
    Trust,
)
from vpndiag.protocols.ike.message import Header
from vpndiag.protocols.ike.payloads import DeletePayload, HashPayload, NotificationPayload, Payload
from vpndiag.protocols.ike.transforms import parse_esp

from .wire import Link, initiator_config, link, of, one


def up() -> Link:
    joined = link().run()
    joined.client_events.clear()
    joined.server_events.clear()
    return joined


@pytest.mark.parametrize("by_client", [True, False])
def test_delete_takes_the_esp_sas_and_then_the_ike_sa(by_client: bool) -> None:
    joined = up()
    ends = [joined.client, joined.server]
    events = [joined.client_events, joined.server_events]
    if not by_client:
        ends.reverse()
        events.reverse()
    child = ends[0].children[0]  # type: ignore[attr-defined]
    ends[0].delete(joined.now)  # type: ignore[attr-defined]
    joined.run()
    esp, isakmp = of(events[1], DeleteReceived)
    assert (esp.protocol, esp.spis, esp.trust) == (
        ProtocolId.ESP,
        (child.spi_in,),
        Trust.AUTHENTICATED,
    )
    assert isakmp.protocol == ProtocolId.ISAKMP
    assert ends[1].children == ()  # type: ignore[attr-defined]
    assert ends[0].state is ends[1].state is IkeState.DELETED
    assert not one(events[0], Deleted).by_peer
    assert one(events[1], Deleted).by_peer
    assert joined.client.get_timer() is None


def test_delete_twice_and_before_the_start_is_harmless() -> None:
    joined = link()
    joined.client.delete(joined.now)  # type: ignore[attr-defined]
    joined.client.delete(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert one(joined.client_events, Deleted)
    assert joined.client.state is IkeState.DELETED


def test_before_the_peer_is_proven_nothing_is_sent_to_delete_it() -> None:
    """The IV of a deletion depends on MM6: without it nobody could read it."""
    joined = link(fate=lambda packet: [] if Header.decode(packet.data).encrypted else [0.01])
    joined.run(5, until=lambda: joined.client.state is IkeState.MM5_SENT)
    joined.client.delete(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert [event.name for event in of(joined.client_events, MessageSent)] == ["MM1", "MM3", "MM5"]
    assert joined.client.state is IkeState.DELETED


def test_a_peers_answers_to_our_deletion_are_told_and_no_failure() -> None:
    """SoftEther deletes everything once more."""
    joined = up()
    server = joined.server
    cookies = server.initiator_cookie + server.responder_cookie
    joined.client.delete(joined.now)  # type: ignore[attr-defined]
    server._send_info("DELETE", (DeletePayload(ProtocolId.ISAKMP, (cookies,)),))  # type: ignore[attr-defined]
    joined.run()
    assert one(joined.client_events, DeleteReceived)
    assert not of(joined.client_events, Failed)
    assert joined.client.state is IkeState.DELETED


def test_a_peer_that_names_our_spi_in_a_deletion_is_understood() -> None:
    """RFC 2408 wants the sender's own; strongSwan names the initiator's when it cannot install."""
    joined = up()
    spi = joined.client.children[0].spi_in  # type: ignore[attr-defined]
    joined.server._send_info("DELETE", (DeletePayload(ProtocolId.ESP, (spi,)),))  # type: ignore[attr-defined]
    joined.run()
    assert one(joined.client_events, DeleteReceived).spis == (spi,)
    assert joined.client.children == ()  # type: ignore[attr-defined]


def test_dead_peer_detection_both_ways() -> None:
    joined = up()
    first = joined.client.send_dpd(joined.now)  # type: ignore[attr-defined]
    joined.run()
    second = joined.client.send_dpd(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert second == first + 1
    assert [event.sequence for event in of(joined.server_events, DpdReceived)] == [first, second]
    assert [e.sequence for e in of(joined.client_events, DpdAcknowledged)] == [first, second]
    joined.server.send_dpd(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert one(joined.client_events, DpdReceived)
    assert one(joined.server_events, DpdAcknowledged)


def test_a_dead_peer_is_found_out() -> None:
    joined = up()
    joined.fate = lambda packet: []
    joined.client.send_dpd(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert one(joined.client_events, TimedOut).waiting_for == "DPD-ACK"


def test_several_quick_modes_live_under_one_ike_sa() -> None:
    joined = up()
    ids = {joined.client.start_quick_mode(joined.now) for _ in range(5)}  # type: ignore[attr-defined]
    ids.add(joined.server.start_quick_mode(joined.now))  # type: ignore[attr-defined]
    joined.run()
    assert len(ids) == 6
    ours = {e.child.message_id: e.child for e in of(joined.client_events, QuickModeEstablished)}
    theirs = {e.child.message_id: e.child for e in of(joined.server_events, QuickModeEstablished)}
    assert set(ours) == set(theirs) == ids
    for message_id, child in ours.items():
        assert child.enc_key_in == theirs[message_id].enc_key_out
    assert len({child.enc_key_in for child in ours.values()}) == 6


def test_a_quick_mode_may_ask_for_something_else_than_configured() -> None:
    joined = up()
    other = initiator_config(esp_transforms=(parse_esp("3des-sha1"),), pfs_group=2)
    joined.client.start_quick_mode(joined.now, other)  # type: ignore[attr-defined]
    joined.run()
    child = one(joined.client_events, QuickModeEstablished).child
    assert (child.transform.cipher, child.pfs_group) == (EspCipher.TRIPLE_DES, 2)


def test_rekeying_keeps_the_old_pair_until_it_is_deleted() -> None:
    joined = up()
    old = joined.client.children[0]  # type: ignore[attr-defined]
    joined.client.start_quick_mode(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert len(joined.server.children) == 2  # type: ignore[attr-defined]
    joined.client.delete_child(old.spi_in, joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert old.spi_in not in {c.spi_out for c in joined.server.children}  # type: ignore[attr-defined]
    assert len(joined.server.children) == 1  # type: ignore[attr-defined]


def test_a_quick_mode_of_the_responder_can_be_refused() -> None:
    joined = link(initiator_config(accept_peer_quick_mode=False)).run()
    joined.server_events.clear()
    joined.server.start_quick_mode(joined.now)  # type: ignore[attr-defined]
    joined.run()
    failed = one(joined.server_events, Failed)
    assert (failed.code, failed.notify_type) == (
        FailureCode.REFUSED_BY_PEER,
        NotifyType.NO_PROPOSAL_CHOSEN,
    )
    assert joined.client.state is IkeState.ESTABLISHED


def test_an_initiator_that_cannot_use_our_answer_ends_its_quick_mode() -> None:
    """strongSwan that fails to install the SAs sends an error about its SPI in place of QM3."""
    joined = link()
    joined.run(until=lambda: bool(joined.server._quick))  # type: ignore[attr-defined]
    (quick,) = joined.server._quick.values()  # type: ignore[attr-defined]
    joined.client._send_notify(NotifyType.NO_PROPOSAL_CHOSEN, ProtocolId.ESP, quick.child.spi_out)  # type: ignore[attr-defined]
    joined.flush()
    joined._queue.pop(0)  # QM2
    joined.fate = lambda packet: []
    joined.run(0.05)
    failed = one(joined.server_events, Failed)
    assert (failed.stage, failed.code) == ("QM3", FailureCode.REFUSED_BY_PEER)
    assert failed.message_id == quick.message_id
    assert not quick.timer.running


@pytest.mark.parametrize("others", [True, False], ids=["another SA's", "this SA's"])
def test_cookies_tell_which_sa_a_refusal_is_about(others: bool) -> None:
    """SoftEther refuses the message 1 of a further main mode under the IKE SA that it has."""
    joined = link()
    joined.run(until=lambda: bool(joined.client._quick))  # type: ignore[attr-defined]
    cookies = joined.client.initiator_cookie + joined.client.responder_cookie
    spi = b"\x11" * 8 + bytes(8) if others else cookies
    joined._queue.clear()  # QM1, which will be sent again
    joined.server._send_notify(NotifyType.NO_PROPOSAL_CHOSEN, ProtocolId.ISAKMP, spi)  # type: ignore[attr-defined]
    joined.flush()
    joined.run()
    assert bool(of(joined.client_events, Failed)) is not others
    assert bool(joined.client.children) is others  # type: ignore[attr-defined]


def test_initial_contact_is_told_and_believed() -> None:
    joined = link().run()
    notes = [note.notification for note in of(joined.server_events, NotifyReceived)]
    assert [note.notify_type for note in notes if note] == [NotifyType.INITIAL_CONTACT]
    silent = link(initiator_config(initial_contact=False)).run()
    assert not of(silent.server_events, NotifyReceived)


def test_messages_are_reported_with_their_payloads_in_clear() -> None:
    joined = up()
    joined.client.send_dpd(joined.now)  # type: ignore[attr-defined]
    joined.run()
    received = one(joined.server_events, MessageReceived)
    assert received.protection is Protection.DECRYPTED
    assert [payload.label for payload in received.payloads] == ["HASH", "NOTIFICATION"]


@pytest.mark.parametrize(
    ("before", "protection"),
    [((HashPayload(bytes(20)),), Protection.BAD_HASH), ((), Protection.DECRYPTED)],
    ids=["a wrong hash", "none"],
)
def test_what_is_encrypted_and_not_proven_is_told_and_changes_nothing(
    before: tuple[Payload, ...], protection: Protection
) -> None:
    """Not even what it would end: the IKE SA."""
    joined = up()
    server = joined.server
    cookies = server.initiator_cookie + server.responder_cookie
    payloads = (
        *before,
        NotificationPayload(NotifyType.INVALID_SPI, ProtocolId.ESP),
        DeletePayload(ProtocolId.ISAKMP, (cookies,)),
    )
    server._send("INFO", ExchangeType.INFORMATIONAL, payloads, message_id=77)
    joined.run()
    assert one(joined.client_events, MessageReceived).protection is protection
    assert one(joined.client_events, NotifyReceived).trust is Trust.UNAUTHENTICATED
    assert one(joined.client_events, DeleteReceived).trust is Trust.UNAUTHENTICATED
    assert joined.client.state is IkeState.ESTABLISHED
    assert joined.client.children  # type: ignore[attr-defined]
