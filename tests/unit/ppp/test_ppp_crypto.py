"""MD4, MS-CHAPv2 and CHAP against the vectors of their RFCs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp import mschapv2
from vpndiag.protocols.ppp.chap import md5_response
from vpndiag.protocols.ppp.md4 import md4

RFC_1320_A5 = [
    (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
    (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
    (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
    (b"message digest", "d9130a8164549fe818874806e1c7014b"),
    (b"abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
    (
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        "043f8582f241db351ce627e153e7f0e4",
    ),
    (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
]


@pytest.mark.parametrize(("data", "digest"), RFC_1320_A5)
def test_md4(data: bytes, digest: str) -> None:
    assert md4(data).hex() == digest


# RFC 2759 section 9.2
USER = b"User"
PASSWORD = "clientPass"
AUTHENTICATOR = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
PROOF = b"S=407A5589115FD0D6209F510FE9C04566932CDA56"


def test_challenge_hash() -> None:
    assert mschapv2.challenge_hash(PEER, AUTHENTICATOR, USER).hex() == "d02e4386bce91226"


def test_password_hash_and_its_hash() -> None:
    hashed = mschapv2.nt_password_hash(PASSWORD)
    assert hashed.hex() == "44ebba8d5312b8d611474411f56989ae"
    assert md4(hashed).hex() == "41c00c584bd2d91c4017a2a12fa59f3f"


@pytest.mark.parametrize("user", [USER, b"DOMAIN\\User"])
def test_nt_response_and_authenticator_response(user: bytes) -> None:
    response = mschapv2.generate_nt_response(AUTHENTICATOR, PEER, user, PASSWORD)
    assert response == NT_RESPONSE
    proof = mschapv2.authenticator_response(PASSWORD, response, PEER, AUTHENTICATOR, user)
    assert proof == PROOF


def test_passwords_are_hashed_as_utf_16() -> None:
    assert mschapv2.nt_password_hash("pä\U0001f600") == md4("pä\U0001f600".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (PROOF, "verified"),
        (PROOF + b" M=Welcome", "verified"),
        (PROOF + b"M=", "verified"),
        (PROOF.lower().replace(b"s=", b"S="), "verified"),
        (b"S=" + b"0" * 40, "wrong"),
        (PROOF[:-1], "absent"),
        (b"M=Welcome", "absent"),
        (b"", "absent"),
    ],
)
def test_the_servers_proof(message: bytes, verdict: str) -> None:
    assert mschapv2.proof_matches(message, PROOF) == verdict


def test_response_value_round_trip_and_size() -> None:
    value = mschapv2.Response(PEER, NT_RESPONSE).encode()
    assert len(value) == 49
    assert mschapv2.decode_response(value) == mschapv2.Response(PEER, NT_RESPONSE)
    for wrong in (value[:-1], value + b"\0", b""):
        with pytest.raises(DecodeError):
            mschapv2.decode_response(wrong)


HEX = "00112233445566778899AABBCCDDEEFF"
FULL = mschapv2.Failure(691, True, bytes.fromhex(HEX), 3, b"Access denied")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"E=691 R=1 C={HEX} V=3 M=Access denied".encode(), FULL),
        (f"E=691R=1C={HEX}V=3M=Access denied".encode(), FULL),
        (f"C={HEX} V=3 E=691 R=1 M=Access denied".encode(), FULL),
        (b"E=649 R=0", mschapv2.Failure(649, False, None, None, b"")),
        (b"E=648 R=0 C=00 V=3", mschapv2.Failure(648, False, None, 3, b"")),
        (b"M=E=691 R=1", mschapv2.Failure(None, None, None, None, b"E=691 R=1")),
        (b"go away", mschapv2.Failure(None, None, None, None, b"")),
        (b"", mschapv2.Failure(None, None, None, None, b"")),
    ],
)
def test_failure_messages(message: bytes, expected: mschapv2.Failure) -> None:
    assert mschapv2.parse_failure(message) == expected


def test_failure_is_sent_as_it_is_read() -> None:
    assert mschapv2.parse_failure(FULL.encode()) == FULL


@pytest.mark.parametrize("code", [646, 647, 648, 649, 691, 709])
def test_every_failure_code_has_its_name(code: int) -> None:
    name = mschapv2.parse_failure(f"E={code} R=0".encode()).name
    assert name is not None and name.startswith("ERROR_")


@given(st.binary(max_size=300))
def test_messages_never_break_the_readers(message: bytes) -> None:
    mschapv2.parse_failure(message)
    mschapv2.parse_failure(b"E=" + message)
    assert mschapv2.proof_matches(message, PROOF) in ("verified", "wrong", "absent")


def test_chap_md5_is_over_identifier_secret_challenge() -> None:
    assert md5_response(7, b"secret", b"nonce") == hashlib.md5(b"\x07secretnonce").digest()
