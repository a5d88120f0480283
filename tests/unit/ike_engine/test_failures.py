"""What goes wrong between honest peers: refusals, wrong keys, silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.algorithms import AuthMethod, EncapsulationMode, Encryption, Group, Hash
from vpndiag.protocols.ike.config import PfsPolicy, Refusal, WrongPsk
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType, ProtocolId
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.events import (
    Dropped,
    DropReason,
    Failed,
    FailureCode,
    MessageReceived,
    MessageSent,
    NotifyReceived,
    PhaseOneEstablished,
    ProposalChosen,
    Protection,
    QuickModeEstablished,
    Rejected,
    SecretMismatch,
    TimedOut,
    Trust,
)
from vpndiag.protocols.ike.exchange_main import read_key_exchange
from vpndiag.protocols.ike.message import Header, Message
from vpndiag.protocols.ike.payloads import IdPayload, KePayload, NoncePayload
from vpndiag.protocols.ike.retransmit import Schedule
from vpndiag.protocols.ike.transforms import ike_sa, parse_esp, parse_ike

from .wire import Packet, initiator_config, link, of, one, responder_config

FOREIGN = (parse_ike("aes128-sha256-modp2048"),)


def test_refused_proposals_are_told_at_once_and_the_run_goes_on() -> None:
    joined = link(initiator_config(transforms=FOREIGN)).run(0.1)
    notify = one(joined.client_events, NotifyReceived)
    assert notify.notification is not None
    assert notify.notification.notify_type == NotifyType.NO_PROPOSAL_CHOSEN
    assert notify.trust is Trust.CLEAR
    assert joined.client.state is IkeState.MM1_SENT
    assert one(joined.server_events, Rejected).code is FailureCode.NO_PROPOSAL
    joined.run()
    assert one(joined.client_events, TimedOut).waiting_for == "MM2"
    assert joined.client.state is IkeState.FAILED


def test_a_silent_refusal_ends_in_a_timeout_after_all_tries() -> None:
    joined = link(
        initiator_config(transforms=FOREIGN), responder_config(refusal=Refusal.SILENT)
    ).run()
    timeout = one(joined.client_events, TimedOut)
    assert (timeout.waiting_for, timeout.tries) == ("MM2", 10)
    sent = of(joined.client_events, MessageSent)
    assert len(sent) == 10
    assert len({event.data for event in sent}) == 1
    assert [event.retransmission for event in sent] == [False] + [True] * 9
    assert not of(joined.server_events, MessageSent)


def test_a_responder_that_wants_nat_traversal_is_silent_without() -> None:
    joined = link(initiator_config(vendor_ids=()), responder_config(require_natt_vid=True)).run()
    assert one(joined.client_events, TimedOut).waiting_for == "MM2"
    assert {event.reason for event in of(joined.server_events, Dropped)} == {
        DropReason.NO_NAT_TRAVERSAL
    }


def test_no_key_for_the_peer() -> None:
    joined = link(server=responder_config(psk=None)).run()
    assert one(joined.client_events, TimedOut).waiting_for == "MM2"
    assert {event.code for event in of(joined.server_events, Rejected)} == {FailureCode.NO_KEY}


def test_no_certificate_for_the_peer() -> None:
    signed = (parse_ike("aes256-sha1-modp1024", auth_method=AuthMethod.RSA_SIG),)
    joined = link(initiator_config(transforms=signed), responder_config(transforms=signed)).run()
    assert one(joined.client_events, TimedOut).waiting_for == "MM2"
    assert {event.code for event in of(joined.server_events, Rejected)} == {FailureCode.NO_KEY}


def test_who_is_turned_away_hears_it_again_when_it_asks_again() -> None:
    """The proof was right; the answer to it got lost."""
    joined = link(server=responder_config(refuse_peer=NotifyType.INVALID_ID_INFORMATION))
    lost: list[Packet] = []

    def fate(packet: Packet) -> list[float]:
        header = Header.decode(packet.data)
        if header.exchange == ExchangeType.INFORMATIONAL and not lost:
            lost.append(packet)
            return []
        return [0.01]

    joined.fate = fate
    joined.run()
    sent = [(e.name, e.retransmission) for e in of(joined.server_events, MessageSent)]
    assert sent == [("MM2", False), ("MM4", False), ("NOTIFY", False), ("NOTIFY", True)]
    assert one(joined.client_events, Failed).notify_type == NotifyType.INVALID_ID_INFORMATION
    assert not of(joined.server_events, PhaseOneEstablished)


@pytest.mark.parametrize("nat", [False, True])
def test_wrong_psk_against_silence(nat: bool) -> None:
    joined = link(
        initiator_config(psk=b"wrong"),
        responder_config(
            wrong_psk=WrongPsk.SILENT_RETRANSMIT_MM4, schedule=Schedule(2.0, 1.0, 2.0, 5)
        ),
        nat=nat,
    ).run()
    assert one(joined.client_events, TimedOut).waiting_for == "MM6"
    assert of(joined.server_events, SecretMismatch)
    names = [event.name for event in of(joined.server_events, MessageSent)]
    assert names == ["MM2", "MM4", "MM4", "MM4", "MM4", "MM4"]
    # MM4 belongs to port 500, wherever MM5 came from
    assert not any(event.natt for event in of(joined.server_events, MessageSent))


def test_wrong_psk_against_an_encrypted_notification() -> None:
    joined = link(initiator_config(psk=b"wrong")).run()
    notes = of(joined.client_events, NotifyReceived)
    assert {note.trust for note in notes} == {Trust.UNDECRYPTABLE}
    assert one(joined.client_events, TimedOut).waiting_for == "MM6"
    assert not of(joined.client_events, Failed)
    assert not of(joined.server_events, PhaseOneEstablished)
    fifth = of(joined.server_events, MessageReceived)[2]
    assert (fifth.name, fifth.protection) == ("MM5", Protection.UNDECRYPTABLE)


def test_wrong_psk_against_a_clear_notification() -> None:
    joined = link(
        initiator_config(psk=b"wrong"), responder_config(wrong_psk=WrongPsk.CLEAR_NOTIFY)
    ).run()
    notes = of(joined.client_events, NotifyReceived)
    assert {note.trust for note in notes} == {Trust.CLEAR}
    assert notes[0].notification is not None
    assert notes[0].notification.notify_type == NotifyType.PAYLOAD_MALFORMED
    assert one(joined.client_events, TimedOut).waiting_for == "MM6"


def refused(notify_type: NotifyType, client: dict[str, object], server: dict[str, object]) -> None:
    joined = link(initiator_config(**client), responder_config(**server)).run()
    assert joined.client.state is IkeState.ESTABLISHED
    failed = one(joined.client_events, Failed)
    assert (failed.stage, failed.code) == ("QM2", FailureCode.REFUSED_BY_PEER)
    assert failed.notify_type == notify_type
    note = of(joined.client_events, NotifyReceived)[-1]
    assert (note.trust, note.phase) == (Trust.AUTHENTICATED, 2)
    assert note.message_id == failed.message_id
    assert note.notification is not None
    assert (note.notification.protocol, len(note.notification.spi)) == (ProtocolId.ESP, 4)
    assert not of(joined.client_events, QuickModeEstablished)
    assert not of(joined.server_events, QuickModeEstablished)
    assert not of(joined.client_events, TimedOut)


def test_a_proven_quick_mode_with_a_nonce_too_short_is_malformed() -> None:
    """RFC 2409 section 5: 8 to 256 bytes."""
    joined = link().run()
    offer = initiator_config(nonce_size=4)
    message_id = joined.client.start_quick_mode(joined.now, offer)  # type: ignore[attr-defined]
    joined.run()
    failed = one(joined.server_events, Failed)
    assert (failed.stage, failed.code, failed.message_id) == (
        "QM1",
        FailureCode.MALFORMED,
        message_id,
    )
    assert one(joined.client_events, Failed).notify_type == NotifyType.PAYLOAD_MALFORMED


def test_refused_esp_proposals() -> None:
    refused(NotifyType.NO_PROPOSAL_CHOSEN, {"esp_transforms": (parse_esp("aes256-sha256"),)}, {})


def test_refused_tunnel_mode() -> None:
    refused(NotifyType.NO_PROPOSAL_CHOSEN, {"encapsulation": EncapsulationMode.TUNNEL}, {})


def test_refused_plain_transport() -> None:
    refused(NotifyType.NO_PROPOSAL_CHOSEN, {}, {"allow_plain_transport": False})


def test_refused_identities() -> None:
    def only_l2tp(initiator: IdPayload, responder: IdPayload) -> bool:
        return initiator.port == responder.port == 1701

    refused(NotifyType.INVALID_ID_INFORMATION, {"remote_port": 1702}, {"check_ids": only_l2tp})


def test_pfs_required_and_refused() -> None:
    refused(NotifyType.NO_PROPOSAL_CHOSEN, {}, {"pfs": PfsPolicy.REQUIRE})
    refused(NotifyType.NO_PROPOSAL_CHOSEN, {"pfs_group": 2}, {"pfs": PfsPolicy.REFUSE})


def test_pfs_required_and_given() -> None:
    joined = link(initiator_config(pfs_group=2), responder_config(pfs=PfsPolicy.REQUIRE)).run()
    assert one(joined.client_events, QuickModeEstablished)


def test_a_responder_that_dislikes_the_identity_says_so_under_protection() -> None:
    joined = link(server=responder_config(check_peer=lambda identity: False)).run()
    failed = one(joined.client_events, Failed)
    assert (failed.stage, failed.code) == ("MM6", FailureCode.REFUSED_BY_PEER)
    assert failed.notify_type == NotifyType.INVALID_ID_INFORMATION
    assert one(joined.client_events, NotifyReceived).trust is Trust.AUTHENTICATED
    assert one(joined.server_events, Failed).code is FailureCode.BAD_IDENTITY


def test_an_initiator_that_dislikes_the_identity_stops() -> None:
    joined = link(initiator_config(check_peer=lambda identity: False)).run()
    failed = one(joined.client_events, Failed)
    assert (failed.stage, failed.code) == ("MM6", FailureCode.BAD_IDENTITY)
    assert not of(joined.client_events, PhaseOneEstablished)


@pytest.mark.parametrize(
    "changes",
    [
        {"encryption": Encryption.CAMELLIA_CBC},
        {"group": Group.MODP2048_256},
        {"hash": Hash.TIGER},
        {"auth_method": AuthMethod.XAUTH_INIT_PSK},
    ],
)
def test_an_offer_beyond_the_engine_still_learns_whether_it_is_accepted(
    changes: dict[str, int],
) -> None:
    """A probe may ask for anything; the answer is told before the engine has to stop."""
    probe = replace(parse_ike("aes256-sha1-modp1024"), **changes)
    joined = link(initiator_config(transforms=(probe,)))
    mm1 = Header.decode(joined.client.datagrams_to_send(0)[0].data)
    header = Header(mm1.initiator_cookie, b"accepted", ExchangeType.MAIN_MODE)
    answer = Message(header, (ike_sa([probe]),)).encode()
    joined.deliver(Packet(False, answer, False))
    joined.flush()
    assert one(joined.client_events, ProposalChosen).transform.same_algorithms(probe)
    failed = one(joined.client_events, Failed)
    assert (failed.stage, failed.code) == ("MM3", FailureCode.UNSUPPORTED)


def test_an_initiator_without_a_key_stops_after_mm4() -> None:
    joined = link(initiator_config(psk=None)).run()
    failed = one(joined.client_events, Failed)
    assert (failed.stage, failed.code) == ("MM5", FailureCode.NO_KEY)
    assert joined.client.state is IkeState.FAILED


def test_every_quick_mode_can_be_refused_with_any_notification() -> None:
    refused(
        NotifyType.ATTRIBUTES_NOT_SUPPORTED,
        {},
        {"refuse_quick_mode": NotifyType.ATTRIBUTES_NOT_SUPPORTED},
    )


@pytest.mark.parametrize(("lost", "waiting_for"), [(1, "MM2"), (3, "MM4"), (5, "MM6"), (7, "QM2")])
def test_silence_is_named_by_the_message_that_did_not_come(lost: int, waiting_for: str) -> None:
    """From the n-th different datagram on nothing passes."""
    seen: list[bytes] = []

    def fate(packet: Packet) -> list[float]:
        if packet.data not in seen:
            seen.append(packet.data)
        return [0.01] if seen.index(packet.data) < lost else []

    joined = link(fate=fate).run()
    timeouts = of(joined.client_events, TimedOut)
    assert [timeout.waiting_for for timeout in timeouts] == [waiting_for]
    assert timeouts[0].tries == 10


def test_patience_decides_in_place_of_the_schedule() -> None:
    asked: list[tuple[str, int]] = []

    def patience(waiting_for: str, tries: int) -> float | None:
        asked.append((waiting_for, tries))
        return 0.2 if tries <= 3 else None

    joined = link(initiator_config(patience=patience), fate=lambda packet: []).run()
    assert one(joined.client_events, TimedOut).tries == 3
    assert asked == [("MM2", 1), ("MM2", 2), ("MM2", 3), ("MM2", 4)]


def test_a_responder_gives_up_half_open_peers() -> None:
    joined = link(fate=lambda packet: [0.01] if packet.to_server else []).run()
    assert one(joined.server_events, TimedOut).waiting_for == "MM3"
    assert joined.server.state is IkeState.FAILED


def test_wrong_use_is_our_own_error() -> None:
    joined = link()
    with pytest.raises(LocalProtocolError):
        joined.client.start(joined.now)  # type: ignore[attr-defined]
    with pytest.raises(LocalProtocolError):
        joined.client.start_quick_mode(joined.now)  # type: ignore[attr-defined]
    with pytest.raises(LocalProtocolError):
        joined.client.send_dpd(joined.now)  # type: ignore[attr-defined]
    with pytest.raises(LocalProtocolError):
        Schedule(initial=0)


def test_a_key_exchange_has_a_public_value_and_a_usable_nonce() -> None:
    public, nonce = KePayload(bytes(128)), NoncePayload(bytes(16))
    header = Header(bytes(8), bytes(8), ExchangeType.MAIN_MODE, 0)
    assert read_key_exchange(Message(header, (public, nonce))) == (public.data, nonce.data)
    for payloads in ((public,), (nonce,), (public, NoncePayload(bytes(7)))):
        with pytest.raises(DecodeError):
            read_key_exchange(Message(header, payloads))
