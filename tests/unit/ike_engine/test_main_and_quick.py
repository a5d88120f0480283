"""Both engines complete main mode and quick mode, and agree on everything."""

from __future__ import annotations

import pytest

from vpndiag.protocols.ike import natt
from vpndiag.protocols.ike.algorithms import EncapsulationMode
from vpndiag.protocols.ike.config import VID_DPD
from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.events import (
    MessageReceived,
    MessageSent,
    NatDetected,
    PeerAuthenticated,
    PeerVendorIds,
    ProposalChosen,
    Protection,
    QuickModeEstablished,
)
from vpndiag.protocols.ike.payloads import VendorIdPayload
from vpndiag.protocols.ike.transforms import parse_esp, parse_ike

from .wire import CLIENT, SERVER, Link, initiator_config, link, of, one, responder_config


def assert_agreement(joined: Link) -> None:
    """One pair of ESP SAs, mirror images of each other."""
    assert joined.client.state is IkeState.ESTABLISHED
    assert joined.server.state is IkeState.ESTABLISHED
    ours = one(joined.client_events, QuickModeEstablished).child
    theirs = one(joined.server_events, QuickModeEstablished).child
    assert (ours.spi_in, ours.spi_out) == (theirs.spi_out, theirs.spi_in)
    assert (ours.enc_key_in, ours.auth_key_in) == (theirs.enc_key_out, theirs.auth_key_out)
    assert (ours.enc_key_out, ours.auth_key_out) == (theirs.enc_key_in, theirs.auth_key_in)
    assert ours.enc_key_in != ours.enc_key_out
    assert ours.mode is theirs.mode
    assert joined.client.keys_for_wireshark == joined.server.keys_for_wireshark


def test_six_and_three_messages_make_the_sas() -> None:
    joined = link().run()
    assert_agreement(joined)
    assert [event.name for event in of(joined.client_events, MessageSent)] == [
        "MM1", "MM3", "MM5", "QM1", "QM3",
    ]  # fmt: skip
    assert [event.name for event in of(joined.server_events, MessageSent)] == [
        "MM2", "MM4", "MM6", "QM2",
    ]  # fmt: skip
    assert {event.protection for event in of(joined.client_events, MessageReceived)} == {
        Protection.CLEAR,
        Protection.DECRYPTED,
    }
    received = [(e.name, e.protection) for e in of(joined.server_events, MessageReceived)]
    assert received == [
        ("MM1", Protection.CLEAR), ("MM3", Protection.CLEAR), ("MM5", Protection.DECRYPTED),
        ("QM1", Protection.DECRYPTED), ("QM3", Protection.DECRYPTED),
    ]  # fmt: skip
    assert one(joined.server_events, ProposalChosen).transform.short == "aes256-sha1-modp1024"
    assert one(joined.server_events, PeerVendorIds).vendor_ids == initiator_config().vendor_ids
    fourth = of(joined.server_events, MessageSent)[1]
    assert PayloadType.CERTREQ not in {p.payload_type for p in fourth.payloads}
    assert one(joined.client_events, PeerAuthenticated).identity.value_text == SERVER
    assert one(joined.server_events, PeerAuthenticated).identity.value_text == CLIENT


def test_without_nat_everything_stays_on_port_500_and_esp_is_plain_transport() -> None:
    joined = link().run()
    nat = one(joined.client_events, NatDetected)
    assert (nat.local_behind_nat, nat.remote_behind_nat) == (False, False)
    assert not any(packet.natt for packet in joined.sent)
    child = one(joined.client_events, QuickModeEstablished).child
    assert child.mode is EncapsulationMode.TRANSPORT
    assert child.nat_oa_initiator is None


@pytest.mark.parametrize("cipher", ["des", "3des", "aes128", "aes192", "aes256"])
@pytest.mark.parametrize("hash_", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_every_cipher_with_every_hash(cipher: str, hash_: str) -> None:
    transform = parse_ike(f"{cipher}-{hash_}-modp768")
    joined = link(
        initiator_config(transforms=(transform,)), responder_config(transforms=(transform,))
    ).run()
    assert_agreement(joined)


@pytest.mark.parametrize(
    "group", ["modp768", "modp1536", "modp2048", "modp3072", "ecp256", "ecp384", "ecp521"]
)
def test_every_group(group: str) -> None:
    transform = parse_ike(f"aes128-sha1-{group}")
    joined = link(
        initiator_config(transforms=(transform,)), responder_config(transforms=(transform,))
    ).run()
    assert_agreement(joined)


@pytest.mark.parametrize("group", ["modp1024", "ecp256"])
def test_pfs(group: str) -> None:
    pfs = parse_ike(f"aes128-sha1-{group}").group
    joined = link(initiator_config(pfs_group=pfs)).run()
    assert_agreement(joined)
    assert one(joined.server_events, QuickModeEstablished).child.pfs_group == pfs


def test_the_initiators_first_acceptable_transform_wins() -> None:
    offered = tuple(
        map(parse_ike, ("aes128-md5-modp1024", "3des-sha1-modp1024", "aes256-sha1-modp1024"))
    )
    joined = link(initiator_config(transforms=offered)).run()
    chosen = one(joined.client_events, ProposalChosen)
    assert (chosen.transform.short, chosen.number) == ("3des-sha1-modp1024", 2)
    assert_agreement(joined)


def test_the_initiators_first_acceptable_esp_transform_wins() -> None:
    offered = tuple(map(parse_esp, ("aes256-sha256", "3des-sha1", "aes128-sha1")))
    joined = link(initiator_config(esp_transforms=offered)).run()
    assert one(joined.client_events, QuickModeEstablished).child.transform.short == "3des-sha1"


@pytest.mark.parametrize(
    ("vendor_id", "mode"),
    [
        (natt.VID_RFC3947, EncapsulationMode.UDP_TRANSPORT),
        (natt.VID_DRAFT_03, EncapsulationMode.UDP_TRANSPORT_DRAFT),
        (natt.VID_DRAFT_02, EncapsulationMode.UDP_TRANSPORT_DRAFT),
        (natt.VID_DRAFT_02_NEWLINE, EncapsulationMode.UDP_TRANSPORT_DRAFT),
    ],
)
def test_behind_nat_each_dialect_floats_and_encapsulates(
    vendor_id: bytes, mode: EncapsulationMode
) -> None:
    joined = link(initiator_config(vendor_ids=(vendor_id, VID_DPD)), nat=True).run()
    assert_agreement(joined)
    assert one(joined.client_events, NatDetected).local_behind_nat
    assert one(joined.server_events, NatDetected).remote_behind_nat
    # MM1 to MM4 on 500, everything from MM5 on the other port
    assert [packet.natt for packet in joined.sent] == [False] * 4 + [True] * 5
    child = one(joined.server_events, QuickModeEstablished).child
    assert child.mode is mode
    assert str(child.nat_oa_initiator) == CLIENT


def test_draft_00_encapsulates_without_leaving_port_500() -> None:
    joined = link(initiator_config(vendor_ids=(natt.VID_DRAFT_00,)), nat=True).run()
    assert_agreement(joined)
    assert not any(packet.natt for packet in joined.sent)


def test_rfc_3947_sends_both_original_addresses() -> None:
    joined = link(nat=True).run()
    child = one(joined.server_events, QuickModeEstablished).child
    assert (str(child.nat_oa_initiator), str(child.nat_oa_responder)) == (CLIENT, SERVER)


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_falsified_hash_provokes_encapsulation_without_a_nat(side: str) -> None:
    joined = link(
        initiator_config(force_encapsulation=side == "client"),
        responder_config(force_encapsulation=side == "server"),
    ).run()
    assert_agreement(joined)
    child = one(joined.client_events, QuickModeEstablished).child
    assert child.mode is EncapsulationMode.UDP_TRANSPORT
    ours = one(joined.client_events if side == "client" else joined.server_events, NatDetected)
    assert ours.forced


def test_without_a_common_dialect_there_is_no_nat_detection() -> None:
    joined = link(initiator_config(vendor_ids=()), nat=True).run()
    assert not of(joined.client_events, NatDetected)
    assert_agreement(joined)


def test_the_same_seeds_make_the_same_bytes() -> None:
    first, second, other = link().run(), link().run(), link(seed="another").run()
    assert [p.data for p in first.sent] == [p.data for p in second.sent]
    assert [p.data for p in first.sent] != [p.data for p in other.sent]


def test_vendor_ids_of_message_4_are_heard_as_well() -> None:
    """Cisco says there that it knows dead peer detection."""
    joined = link(server=responder_config(vendor_ids=(natt.VID_RFC3947,)))
    send = joined.server._send_main  # type: ignore[attr-defined]

    def with_vendor_id(name, payloads, **how):  # type: ignore[no-untyped-def]
        more = (VendorIdPayload(VID_DPD),) if name == "MM4" else ()
        return send(name, (*payloads, *more), **how)

    joined.server._send_main = with_vendor_id  # type: ignore[attr-defined]
    assert_agreement(joined.run())
    first, second = of(joined.client_events, PeerVendorIds)
    assert VID_DPD not in first.vendor_ids
    assert second.vendor_ids == (VID_DPD,)
