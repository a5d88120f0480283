"""Payloads and attributes: the same bytes in both directions, and only our errors for bad ones."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.algorithms import EspCipher, Group
from vpndiag.protocols.ike.attributes import Attribute, decode_attributes, encode_attributes
from vpndiag.protocols.ike.constants import ExchangeType, IdType, NotifyType, PayloadType, name_of
from vpndiag.protocols.ike.payloads import (
    AttributesPayload,
    CertPayload,
    CertRequestPayload,
    DeletePayload,
    FragmentPayload,
    HashPayload,
    IdPayload,
    KePayload,
    NatDPayload,
    NatOaPayload,
    NoncePayload,
    NotificationPayload,
    Payload,
    Proposal,
    RawPayload,
    SaPayload,
    SignaturePayload,
    Transform,
    VendorIdPayload,
    decode_payload,
)
from vpndiag.protocols.wire import Reader

BODIES: list[tuple[int, str, Payload]] = [
    (
        1,
        "00000001 00000001"
        "0200001c 01030401 11223344 00000010 010c0000 80040002 80060100"
        "00000018 02030401 11223344 0000000c 01030000 80040002",
        SaPayload(
            (
                Proposal(
                    1,
                    3,
                    b"\x11\x22\x33\x44",
                    (Transform(1, 12, (Attribute.tv(4, 2), Attribute.tv(6, 256))),),
                ),
                Proposal(2, 3, b"\x11\x22\x33\x44", (Transform(1, 3, (Attribute.tv(4, 2),)),)),
            )
        ),
    ),
    (4, "0102", KePayload(b"\1\2")),
    (
        5,
        "011106a5 c0000201",
        IdPayload.of_address(ipaddress.IPv4Address("192.0.2.1"), protocol=17, port=1701),
    ),
    (5, "02000000 61622e63", IdPayload(IdType.FQDN, b"ab.c")),
    (6, "04 3003", CertPayload(4, b"\x30\x03")),
    (7, "04", CertRequestPayload()),
    (8, "aabb", HashPayload(b"\xaa\xbb")),
    (9, "aabb", SignaturePayload(b"\xaa\xbb")),
    (10, "aabb", NoncePayload(b"\xaa\xbb")),
    (
        11,
        "00000001 01 10 6002" + "11" * 8 + "22" * 8,
        NotificationPayload(NotifyType.INITIAL_CONTACT, 1, b"\x11" * 8 + b"\x22" * 8),
    ),
    (11, "00000001 01 00 000e 8000", NotificationPayload(14, 1, data=b"\x80\0")),
    (12, "00000001 03 04 0002 00000001 00000002", DeletePayload(3, (b"\0\0\0\1", b"\0\0\0\2"))),
    (13, "09002689dfd6b712", VendorIdPayload(bytes.fromhex("09002689dfd6b712"))),
    (14, "01 00 1234 00010000", AttributesPayload(1, 0x1234, (Attribute.tlv(1, b""),))),
    (20, "aa" * 20, NatDPayload(b"\xaa" * 20)),
    (130, "aa" * 16, NatDPayload(b"\xaa" * 16, draft=True)),
    (21, "01000000 0a000001", NatOaPayload.of_address(ipaddress.IPv4Address("10.0.0.1"))),
    (
        131,
        "05000000 20010db8000000000000000000000001",
        NatOaPayload.of_address(ipaddress.IPv6Address("2001:db8::1"), draft=True),
    ),
    (132, "0001 02 01 aabb", FragmentPayload(1, 2, True, b"\xaa\xbb")),
    (200, "00ff", RawPayload(200, b"\0\xff")),
]


@pytest.mark.parametrize(("kind", "text", "payload"), BODIES)
def test_a_body_decodes_to_its_payload_and_back(kind: int, text: str, payload: Payload) -> None:
    body = bytes.fromhex(text)
    decoded = decode_payload(kind, body)
    assert decoded == payload
    assert type(decoded) is type(payload)
    assert decoded.payload_type == payload.payload_type == kind
    assert payload.encode_body() == body
    assert decoded.raw == body
    assert payload.raw is None


def test_the_received_bytes_stay_available_when_our_encoding_differs() -> None:
    body = bytes.fromhex("00000001 00000001 00000018 01010001 0000 0010 01010000 80010007 800e0100")
    wrong_reserved = body.replace(bytes.fromhex("01010000"), bytes.fromhex("0101beef"), 1)
    decoded = decode_payload(PayloadType.SA, wrong_reserved)
    assert decoded.body == wrong_reserved
    assert decoded.encode_body() != wrong_reserved


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in BODIES}))
@given(body=st.binary(max_size=80))
def test_any_body_decodes_or_is_a_decode_error(kind: int, body: bytes) -> None:
    try:
        payload = decode_payload(kind, body)
    except DecodeError:
        return
    assert payload.body == body
    if isinstance(payload, IdPayload):
        assert payload.text.isascii()
        assert payload.text.isprintable()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (1, "00000001"),
        (1, "00000001 00000001 00000007 010100"),
        (1, "00000001 00000001 0000ffff 01010001"),
        (1, "00000001 00000001 04000008 01010000"),
        (1, "00000001 00000001 00000010 01010001 03000004 0101 0000"),
        (5, "010000"),
        (11, "00000001 01 10 6002 1122"),
        (12, "00000001 03 04 0002 00000001"),
        (12, "00000001 03 00 ffff"),
        (132, "0001 02"),
    ],
)
def test_a_malformed_body_is_refused(kind: int, text: str) -> None:
    with pytest.raises(DecodeError):
        decode_payload(kind, bytes.fromhex(text))


def test_an_unknown_situation_keeps_the_bytes_and_shows_no_proposals() -> None:
    body = bytes.fromhex("00000001 00000002 deadbeef")
    decoded = decode_payload(PayloadType.SA, body)
    assert isinstance(decoded, SaPayload)
    assert (decoded.proposals, decoded.situation, decoded.body) == ((), 2, body)


def test_too_many_transforms_are_refused() -> None:
    transform = bytes.fromhex("03000008 01010000")
    proposals = b"".join(
        bytes((2, 0)) + (8 + 8 * 255).to_bytes(2, "big") + bytes((1, 1, 0, 255)) + transform * 255
        for _ in range(5)
    )
    with pytest.raises(DecodeError, match="transforms"):
        decode_payload(PayloadType.SA, bytes.fromhex("0000000100000001") + proposals)


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (Attribute.tv(1, 7), "80010007"),
        (Attribute.tlv(12, bytes.fromhex("00007080")), "000c0004 00007080"),
        (Attribute.number(12, 28800), "800c7080"),
        (Attribute.number(12, 86400), "000c0004 00015180"),
    ],
)
def test_attributes_keep_their_form(attribute: Attribute, text: str) -> None:
    data = bytes.fromhex(text)
    assert attribute.encode() == data
    assert decode_attributes(Reader(data)) == (attribute,)


attributes = st.lists(
    st.one_of(
        st.builds(Attribute.tv, st.integers(0, 0x7FFF), st.integers(0, 0xFFFF)),
        st.builds(Attribute.tlv, st.integers(0, 0x7FFF), st.binary(max_size=20)),
    ),
    max_size=20,
)


@given(attributes)
def test_attributes_survive_in_order(given_ones: list[Attribute]) -> None:
    assert decode_attributes(Reader(encode_attributes(given_ones))) == tuple(given_ones)


def test_too_many_attributes_are_refused() -> None:
    with pytest.raises(DecodeError):
        decode_attributes(Reader(bytes.fromhex("80010001") * 65))


def test_we_cannot_send_what_does_not_fit() -> None:
    for payload in (
        DeletePayload(3, (b"\0\0\0\1", b"\0")),
        IdPayload(1, b"", 0, 70000),
        NotificationPayload(70000, 1),
        SaPayload((Proposal(1, 1, b"\0" * 256, ()),)),
    ):
        with pytest.raises(LocalProtocolError):
            payload.encode_body()


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (IdPayload(1, b"\xc0\0\2\1", 17, 1701), "ID_IPV4_ADDR 192.0.2.1 17/1701"),
        (IdPayload(4, bytes(8)), "ID_IPV4_ADDR_SUBNET 0.0.0.0/0.0.0.0"),
        (IdPayload(2, b"vpn\x1b[2J"), "ID_FQDN vpn\\x1b[2J"),
        (IdPayload(11, b"\xff"), "ID_KEY_ID ff"),
        (IdPayload(1, b"\xc0\0\2"), "ID_IPV4_ADDR c00002"),
        (IdPayload(99, b"\1"), "unknown 99 01"),
    ],
)
def test_identities_read_well_and_safely(payload: IdPayload, text: str) -> None:
    assert payload.text == text


def test_names_are_the_fields_own_and_unknown_numbers_have_one() -> None:
    assert name_of(NotifyType, 14) == "NO-PROPOSAL-CHOSEN"
    assert name_of(NotifyType, 36136) == "R-U-THERE"
    assert name_of(Group, 14) == "MODP2048"
    assert name_of(EspCipher, 12) == "AES-CBC"
    assert name_of(ExchangeType, 77) == "unknown 77"
    assert not any(
        name_of(registry, -1) != "unknown -1" for registry in (NotifyType, Group, IdType)
    )
