"""Whole messages: a captured Windows one, IKEv2 recognition, limits, and fuzzing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.constants import ExchangeType, HeaderFlag, PayloadType
from vpndiag.protocols.ike.message import (
    MAX_PAYLOADS,
    Header,
    Message,
    decode,
    decode_payloads,
    encode_payloads,
)
from vpndiag.protocols.ike.payloads import (
    CertRequestPayload,
    FragmentPayload,
    HashPayload,
    NoncePayload,
    RawPayload,
    SaPayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.profiles import BROAD, WINDOWS
from vpndiag.protocols.ike.transforms import IkeTransform, ike_sa
from vpndiag.protocols.ike.vendor_ids import fingerprint, identify

WINDOWS_7_MM1 = bytes.fromhex(
    "02ff9c3c129214c500000000000000000110020000000000000001800d0000d40000000100000001000000c8"
    "01010005030000280101000080010007800e0100800200028004001480030001800b0001000c000400007080"
    "030000280201000080010007800e0080800200028004001380030001800b0001000c00040000708003000028"
    "0301000080010007800e0100800200028004000e80030001800b0001000c0004000070800300002404010000"
    "80010005800200028004000e80030001800b0001000c00040000708000000024050100008001000580020002"
    "8004000280030001800b0001000c0004000070800d0000181e2b516905991c7d7c96fcbfb587e46100000008"
    "0d0000144a131c81070358455c5728f20e95452f0d00001490cb80913ebb696e086381b5ec427b1f0d000014"
    "4048b7d56ebce88525e7de7f00d6c2d30d000014fb1de3cdf341b7ea16b7e5be0855f1200d00001426244d38"
    "eddb61b3172a36e3d0cfb81900000014e3a5966a76379fe707228231e5ce8652"
)


def test_windows_first_message_decodes_and_encodes_to_the_byte() -> None:
    message = decode(WINDOWS_7_MM1)
    assert message.header.exchange == ExchangeType.MAIN_MODE
    assert message.header.initiator_cookie.hex() == "02ff9c3c129214c5"
    sa = message.first(SaPayload)
    assert sa is not None
    (proposal,) = sa.proposals
    assert [IkeTransform.from_transform(t).text for t in proposal.transforms] == [
        "AES-CBC-256/SHA1/ECP384/PSK",
        "AES-CBC-128/SHA1/ECP256/PSK",
        "AES-CBC-256/SHA1/MODP2048/PSK",
        "3DES-CBC/SHA1/MODP2048/PSK",
        "3DES-CBC/SHA1/MODP1024/PSK",
    ]
    assert {IkeTransform.from_transform(t).life_seconds for t in proposal.transforms} == {28800}
    names = [identify(payload.vendor_id) for payload in message.all(VendorIdPayload)]
    assert None not in names
    assert len(names) == 7
    assert message.encode() == WINDOWS_7_MM1
    assert sa.encode_body() == sa.body


def test_the_windows_profile_offers_what_windows_offers() -> None:
    sa = decode(WINDOWS_7_MM1).first(SaPayload)
    assert sa is not None
    ours = ike_sa(WINDOWS.ike_transforms(), wide_life=WINDOWS.wide_life)
    assert ours.encode_body() == sa.body
    assert fingerprint(v.vendor_id for v in decode(WINDOWS_7_MM1).all(VendorIdPayload)) == (
        "Windows (RRAS)"
    )


def test_an_encrypted_message_gives_header_and_ciphertext() -> None:
    header = Header(
        b"i" * 8,
        b"r" * 8,
        ExchangeType.QUICK_MODE,
        0x01020304,
        HeaderFlag.ENCRYPTION,
        PayloadType.HASH,
    )
    message = decode(Message(header, ciphertext=b"\xaa" * 32).encode())
    assert message.ciphertext == b"\xaa" * 32
    assert message.payloads == ()
    assert message.header.next_payload == PayloadType.HASH
    assert message.header.length == 60


def test_a_fragment_is_read_even_with_the_encryption_flag_set() -> None:
    header = Header(b"i" * 8, b"r" * 8, ExchangeType.MAIN_MODE, flags=HeaderFlag.ENCRYPTION)
    fragment = FragmentPayload(1, 1, False, b"data")
    message = decode(Message(header, (fragment,)).encode())
    assert message.payloads == (fragment,)


def test_padding_after_the_last_decrypted_payload_is_split_off() -> None:
    encoded = encode_payloads((HashPayload(b"h" * 20), NoncePayload(b"n" * 16)))
    chain = decode_payloads(PayloadType.HASH, encoded + b"\0\0\7")
    assert chain.encoded == encoded
    assert chain.padding == b"\0\0\7"
    assert chain.after_first == encode_payloads((NoncePayload(b"n" * 16),))


def test_unknown_payloads_are_kept_in_place() -> None:
    payloads = (NoncePayload(b"n" * 8), RawPayload(77, b"odd"), VendorIdPayload(b"v"))
    header = Header(b"i" * 8, bytes(8), ExchangeType.MAIN_MODE)
    assert decode(Message(header, payloads).encode()).payloads == payloads


def test_bytes_behind_the_declared_length_are_kept_apart() -> None:
    assert decode(WINDOWS_7_MM1 + b"tail").trailing == b"tail"


def test_an_ikev2_refusal_is_recognised_with_its_notification() -> None:
    notify = bytes.fromhex("00000008 0000 000e")
    data = bytes(range(8)) + bytes(8) + bytes.fromhex("29202220 00000000 00000024") + notify
    message = decode(data)
    assert message.is_ikev2
    assert message.v2_notify_types == (14,)
    assert message.v2_text == "IKEv2 answer, notify NO-PROPOSAL-CHOSEN"
    with pytest.raises(LocalProtocolError):
        message.encode()


def test_the_walk_stops_at_an_ikev2_encrypted_payload() -> None:
    body = bytes.fromhex("23800008 aabbccdd")
    data = bytes(16) + bytes.fromhex("2e202308 00000001 00000024") + body
    (payload,) = decode(data).v2_payloads
    assert (payload.type, payload.critical) == (PayloadType.V2_ENCRYPTED, True)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda d: d[:27], "length"),
        (lambda d: d[:-1], "length"),
        (lambda d: d[:17] + b"\x30" + d[18:], "major version 3"),
        (lambda d: d[:24] + bytes(4) + d[28:], "length 0"),
        (lambda d: d[:24] + b"\xff\xff\xff\xff" + d[28:], "length"),
        (lambda d: d[:30] + b"\0\3" + d[32:], "payload length 3"),
        (lambda d: d[:30] + b"\xff\xff" + d[32:], "payload body"),
    ],
)
def test_broken_messages_are_decode_errors(change, what) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DecodeError, match=what):
        decode(change(WINDOWS_7_MM1))


def test_a_windows_server_asks_for_certificates_of_all_authorities_it_trusts() -> None:
    header = Header(b"initiate", b"responds", ExchangeType.MAIN_MODE)
    requests = tuple(CertRequestPayload(authority=bytes(90)) for _ in range(300))
    assert decode(Message(header, requests).encode()).payloads == requests


def test_more_payloads_than_the_limit_are_refused() -> None:
    body = bytes.fromhex("0d000004") * (MAX_PAYLOADS + 1)
    with pytest.raises(DecodeError, match="payloads"):
        decode_payloads(PayloadType.VENDOR_ID, body)


def test_a_header_that_cannot_be_sent_is_our_own_error() -> None:
    with pytest.raises(LocalProtocolError):
        Header(b"short", bytes(8), 2).encode()
    with pytest.raises(LocalProtocolError):
        Message(Header(bytes(8), bytes(8), 2), (NoncePayload(bytes(0xFFFF)),)).encode()


@given(st.binary(max_size=200))
def test_any_datagram_decodes_or_is_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(data)


@given(st.data())
def test_a_damaged_message_decodes_or_is_a_decode_error(data: st.DataObject) -> None:
    damaged = bytearray(WINDOWS_7_MM1)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    try:
        message = decode(bytes(damaged))
    except DecodeError:
        return
    for payload in message.payloads:
        assert isinstance(payload.body, bytes)
        if isinstance(payload, SaPayload):
            for proposal in payload.proposals:
                for transform in proposal.transforms:
                    assert IkeTransform.from_transform(transform).text


@given(st.integers(0, 255), st.binary(max_size=120))
def test_any_decrypted_body_decodes_or_is_a_decode_error(first: int, body: bytes) -> None:
    try:
        chain = decode_payloads(first, body)
    except DecodeError:
        return
    assert chain.encoded + chain.padding == body


def test_scapy_reads_what_we_send() -> None:
    isakmp = pytest.importorskip("scapy.layers.isakmp")
    payloads = (
        ike_sa(BROAD.ike_transforms()),
        *(VendorIdPayload(value) for value in BROAD.vendor_ids),
    )
    data = Message(Header(b"c" * 8, bytes(8), ExchangeType.MAIN_MODE), payloads).encode()
    theirs = isakmp.ISAKMP(data)
    assert bytes(theirs) == data
    assert theirs.length == len(data)
    read = []
    transform = theirs[isakmp.ISAKMP_payload_Transform]
    while isinstance(transform, isakmp.ISAKMP_payload_Transform):
        read.append({t[0]: t[1] for t in transform.transforms})
        transform = transform.payload
    assert len(read) == len(BROAD.ike)
    first = read[BROAD.ike.index("aes256-sha1-modp2048")]
    assert first["Encryption"] == "AES-CBC"
    assert (first["KeyLength"], first["Hash"]) == (256, "SHA")
    assert (first["GroupDesc"], first["Authentication"]) == ("2048MODPgr", "PSK")
    assert first["LifeDuration"] == 28800
