"""Transforms as attributes, text and short names; profiles; vendor ids."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike import vendor_ids as vid
from vpndiag.protocols.ike.algorithms import AuthMethod, EncapsulationMode
from vpndiag.protocols.ike.attributes import Attribute
from vpndiag.protocols.ike.constants import ExchangeType
from vpndiag.protocols.ike.message import Header, Message
from vpndiag.protocols.ike.payloads import Transform, VendorIdPayload
from vpndiag.protocols.ike.profiles import (
    ANDROID,
    MACOS,
    PROFILES,
    parse_esp_list,
    parse_ike_list,
)
from vpndiag.protocols.ike.transforms import (
    EspTransform,
    IkeTransform,
    esp_sa,
    ike_sa,
    parse_esp,
    parse_ike,
)


@pytest.mark.parametrize(
    ("name", "text", "weak"),
    [
        ("aes256-sha1-modp2048", "AES-CBC-256/SHA1/MODP2048/PSK", ()),
        ("aes128-sha256-ecp256", "AES-CBC-128/SHA2-256/ECP256/PSK", ()),
        ("3des-sha1-modp1024", "3DES-CBC/SHA1/MODP1024/PSK", ("3DES-CBC", "MODP1024")),
        ("aes192-sha512-modp1536", "AES-CBC-192/SHA2-512/MODP1536/PSK", ("MODP1536",)),
        ("des-md5-modp768", "DES-CBC/MD5/MODP768/PSK", ("DES-CBC", "MD5", "MODP768")),
    ],
)
def test_phase_one_names(name: str, text: str, weak: tuple[str, ...]) -> None:
    transform = parse_ike(name)
    assert (transform.text, transform.short, transform.weak) == (text, name, weak)
    assert IkeTransform.from_transform(transform.to_transform(1)) == transform


@pytest.mark.parametrize(
    ("name", "text", "weak", "keys"),
    [
        ("aes128-sha1", "AES-CBC-128/HMAC-SHA1-96/UDP-transport", (), (16, 20)),
        ("aes256-sha256", "AES-CBC-256/HMAC-SHA2-256-128/UDP-transport", (), (32, 32)),
        ("aes128gcm16", "AES-GCM-16-128/UDP-transport", (), (20, 0)),
        (
            "3des-md5-modp1024",
            "3DES-CBC/HMAC-MD5-96/UDP-transport/PFS MODP1024",
            ("3DES-CBC", "HMAC-MD5-96", "PFS MODP1024"),
            (24, 16),
        ),
        ("null-sha1", "NULL/HMAC-SHA1-96/UDP-transport", ("NULL",), (0, 20)),
    ],
)
def test_esp_names(name: str, text: str, weak: tuple[str, ...], keys: tuple[int, int]) -> None:
    transform = parse_esp(name)
    assert (transform.text, transform.short, transform.weak) == (text, name, weak)
    assert (transform.enc_key_size, transform.auth_key_size) == keys
    assert EspTransform.from_transform(transform.to_transform(1)) == transform


@pytest.mark.parametrize(
    "name",
    [
        *("", "aes256", "aes256-sha1", "aes256-sha1-modp2048-extra"),
        *("aes512-sha1-modp2048", "aes256-crc-modp2048", "aes-sha1-dh99", "null-sha1-modp2048"),
    ],
)
def test_a_bad_phase_one_name_is_told_with_its_text(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=repr(name)):
        parse_ike(name)


@pytest.mark.parametrize(
    "name", ["", "aes128", "aes128-none", "foo-sha1", "aes128-sha1-x", "aes128-sha1-dh2-dh5"]
)
def test_a_bad_esp_name_is_told_with_its_text(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=repr(name)):
        parse_esp(name)


def test_lists_of_names() -> None:
    assert [t.short for t in parse_ike_list("aes-sha-dh2, 3des-md5-modp1536")] == [
        "aes128-sha1-modp1024",
        "3des-md5-modp1536",
    ]
    assert len(parse_esp_list("aes256-sha1,3des-sha1")) == 2
    for parse in (parse_ike_list, parse_esp_list):
        with pytest.raises(LocalProtocolError):
            parse(" , ")


def test_lifetimes_belong_to_the_life_type_before_them() -> None:
    attributes = (
        Attribute.tv(1, 2),
        Attribute.tlv(2, bytes.fromhex("0003d090")),
        Attribute.tv(1, 1),
        Attribute.tv(2, 3600),
    )
    transform = EspTransform.from_transform(Transform(1, 12, attributes))
    assert (transform.life_seconds, transform.life_kb) == (3600, 250_000)


def test_a_lifetime_left_out_is_not_zero() -> None:
    transform = EspTransform.from_transform(Transform(1, 12))
    assert (transform.life_seconds, transform.life_kb) == (None, None)
    zero = EspTransform.from_transform(Transform(1, 12, (Attribute.tv(1, 1), Attribute.tv(2, 0))))
    assert zero.life_seconds == 0


def test_lifetimes_do_not_count_when_algorithms_are_compared() -> None:
    offered = parse_ike("aes256-sha1-modp2048", life_seconds=28800)
    assert offered.same_algorithms(parse_ike("aes256-sha1-modp2048", life_seconds=3600))
    assert not offered.same_algorithms(parse_ike("aes128-sha1-modp2048"))
    assert not offered.same_algorithms(
        parse_ike("aes256-sha1-modp2048", auth_method=AuthMethod.RSA_SIG)
    )


@given(
    st.builds(
        EspTransform,
        st.integers(0, 255),
        st.one_of(st.none(), st.integers(1, 0xFFFF)),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.one_of(st.none(), st.integers(1, 0xFFFF)),
        st.one_of(st.none(), st.integers(0, 0xFFFFFFFF)),
        st.one_of(st.none(), st.integers(0, 0xFFFFFFFF)),
    ),
    st.booleans(),
)
def test_any_esp_transform_survives_and_has_text(transform: EspTransform, wide: bool) -> None:
    encoded = transform.to_transform(1, wide_life=wide)
    assert EspTransform.from_transform(encoded) == transform
    assert transform.text
    assert transform.short


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.id)
def test_profiles_parse_and_their_first_message_fits_any_path(profile) -> None:  # type: ignore[no-untyped-def]
    transforms = profile.ike_transforms()
    assert len(set(transforms)) == len(profile.ike)
    assert profile.esp_transforms()
    payloads = (
        ike_sa(transforms, wide_life=profile.wide_life),
        *(VendorIdPayload(value) for value in profile.vendor_ids),
    )
    message = Message(Header(bytes(8), bytes(8), ExchangeType.MAIN_MODE), payloads)
    assert len(message.encode()) + 28 < 1280
    esp = esp_sa(profile.esp_transforms(EncapsulationMode.TRANSPORT), b"\0\0\1\0")
    assert len(esp.encode_body()) < 800


def test_profiles_hold_what_their_sources_say() -> None:
    assert (len(MACOS.ike), MACOS.ike[0], MACOS.ike[-1]) == (
        14,
        "aes256-sha256-modp2048",
        "3des-md5-modp1024",
    )
    assert (len(ANDROID.ike), {name.split("-")[2] for name in ANDROID.ike}) == (16, {"modp1024"})


def test_nat_traversal_vendor_ids_are_the_md5_of_their_text() -> None:
    def md5(text: bytes) -> bytes:
        return hashlib.md5(text, usedforsecurity=False).digest()

    draft = b"draft-ietf-ipsec-nat-t-ike"
    assert md5(b"RFC 3947") == vid.RFC3947
    assert md5(draft) == vid.NATT_DRAFT_UNNUMBERED
    assert md5(draft + b"-00") == vid.NATT_DRAFT_00
    assert md5(draft + b"-02") == vid.NATT_DRAFT_02
    assert md5(draft + b"-02\n") == vid.NATT_DRAFT_02_NEWLINE
    assert md5(draft + b"-03") == vid.NATT_DRAFT_03
    assert md5(draft + b"-08") == vid.NATT_DRAFT_08
    assert md5(b"FRAGMENTATION") == vid.FRAGMENTATION_BARE


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (vid.RFC3947, "RFC 3947 NAT-T"),
        (vid.FRAGMENTATION, "FRAGMENTATION"),
        (vid.MS_NT5 + b"\0\0\0\x09", "MS NT5 ISAKMPOAKLEY (Windows 8 to 11, Server 2012 to 2022)"),
        (vid.MS_NT5 + b"\0\0\0\x77", "MS NT5 ISAKMPOAKLEY"),
        (b"OE-Libreswan-4.10", "Libreswan"),
        (b"HUAWEI-IKEv1DSCP", "Huawei"),
        (vid.RFC3947[:15], None),
        (b"", None),
    ],
)
def test_vendor_ids_are_named_by_their_longest_prefix(value: bytes, name: str | None) -> None:
    assert vid.identify(value) == name


SOFTETHER = (
    vid.RFC3947,
    vid.NATT_DRAFT_03,
    vid.NATT_DRAFT_02_NEWLINE,
    vid.NATT_DRAFT_02,
    vid.NATT_DRAFT_00,
    vid.DPD,
)


@pytest.mark.parametrize(
    ("vids", "product"),
    [
        ((vid.XAUTH, vid.DPD, vid.FRAGMENTATION, vid.RFC3947), "strongSwan"),
        ((vid.XAUTH, vid.DPD, vid.NATT_DRAFT_02_NEWLINE), "strongSwan"),
        ((vid.FRAGMENTATION_BARE, vid.DPD, vid.RFC3947), "Libreswan"),
        (SOFTETHER, "SoftEther"),
        (SOFTETHER[::-1], None),
        ((vid.MS_NT5 + b"\0\0\0\x08", vid.RFC3947), "Windows (RRAS)"),
        ((vid.CISCO_UNITY, vid.DPD, b"r" * 16, vid.XAUTH), "Cisco IOS"),
        ((vid.DPD, vid.RFC3947), None),
        ((vid.RFC3947,), None),
        ((), None),
    ],
)
def test_fingerprints(vids: tuple[bytes, ...], product: str | None) -> None:
    assert vid.fingerprint(vids) == product
