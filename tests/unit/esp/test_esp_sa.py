"""ESP suites and SAs: lengths, round trips, vectors, replay window, truncation, hostile bytes."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpndiag.protocols.errors import (
    DecodeError,
    IntegrityError,
    LocalProtocolError,
    RemoteProtocolError,
)
from vpndiag.protocols.esp import (
    Cipher,
    EspSa,
    EspSuite,
    Integrity,
    Order,
    ReplayWindow,
    peer_truncation,
)

HMACS = [name for name in Integrity if name is not Integrity.NONE]
BLOCK = [
    (Cipher.AES_CBC, 128),
    (Cipher.AES_CBC, 192),
    (Cipher.AES_CBC, 256),
    (Cipher.TRIPLE_DES, 192),
    (Cipher.DES, 64),
    (Cipher.NULL, 0),
]
GCM = [
    (cipher, bits)
    for cipher in (Cipher.AES_GCM_8, Cipher.AES_GCM_12, Cipher.AES_GCM_16)
    for bits in (128, 192, 256)
]
SUITES = [EspSuite(c, bits, i) for (c, bits), i in itertools.product(BLOCK, HMACS)] + [
    EspSuite(c, bits, Integrity.NONE) for c, bits in GCM
]


def pair(suite: EspSuite, seed: int = 1) -> tuple[EspSa, EspSa]:
    source = random.Random(seed)
    enc = source.randbytes(suite.encryption_key_length)
    auth = source.randbytes(suite.integrity_key_length)
    return (
        EspSa(0x1234, suite, enc, auth, random_bytes=source.randbytes),
        EspSa(0x1234, suite, enc, auth),
    )


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_what_is_sealed_opens(suite: EspSuite) -> None:
    sender, receiver = pair(suite)
    for length in (0, 1, 2, 3, 14, 15, 16, 17, 100):
        payload = bytes(range(length))
        packet = sender.seal(payload, 17)
        assert len(packet) == suite.sealed_length(length)
        assert suite.largest_payload(len(packet)) >= length
        opened = receiver.open(packet)
        assert (opened.payload, opened.next_header) == (payload, 17)
        assert opened.sequence == sender.sent
        assert opened.padding_ok and opened.check.order is Order.NEXT


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_a_changed_bit_anywhere_after_the_spi_is_noticed(suite: EspSuite) -> None:
    sender, receiver = pair(suite)
    packet = sender.seal(b"hello", 17)
    for index in range(4, len(packet)):
        damaged = packet[:index] + bytes((packet[index] ^ 1,)) + packet[index + 1 :]
        with pytest.raises(IntegrityError):
            receiver.open(damaged)
    assert receiver.window.highest == 0


@pytest.mark.parametrize("suite", SUITES[::4], ids=lambda s: s.name)
def test_scapy_opens_what_we_seal_and_we_what_scapy_seals(suite: EspSuite) -> None:
    ipsec = pytest.importorskip("scapy.layers.ipsec")
    from scapy.layers.inet import IP, UDP

    crypt = {
        Cipher.AES_CBC: "AES-CBC",
        Cipher.TRIPLE_DES: "3DES",
        Cipher.DES: "DES",
        Cipher.NULL: "NULL",
        Cipher.AES_GCM_16: "AES-GCM",
    }
    auth = {
        Integrity.NONE: "NULL",
        Integrity.HMAC_MD5_96: "HMAC-MD5-96",
        Integrity.HMAC_SHA1_96: "HMAC-SHA1-96",
        Integrity.HMAC_SHA2_256_128: "SHA2-256-128",
        Integrity.HMAC_SHA2_384_192: "SHA2-384-192",
        Integrity.HMAC_SHA2_512_256: "SHA2-512-256",
    }
    if suite.cipher not in crypt or suite.integrity not in auth:
        pytest.skip("not in scapy")
    if suite.cipher is Cipher.DES and "DES" not in ipsec.CRYPT_ALGOS:
        pytest.skip("no DES in this scapy")
    sender, receiver = pair(suite)
    theirs = ipsec.SecurityAssociation(
        ipsec.ESP,
        spi=0x1234,
        crypt_algo=crypt[suite.cipher],
        crypt_key=sender.encryption_key,
        auth_algo=auth[suite.integrity],
        auth_key=sender.integrity_key,
    )
    plain = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1701, dport=1701) / b"payload"
    packet = bytes(theirs.encrypt(plain))[20:]
    opened = receiver.open(packet)
    assert opened.payload.endswith(b"payload") and opened.next_header == 17
    ours = IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ipsec.ESP(
        sender.seal(opened.payload, 17)
    )
    back = theirs.decrypt(IP(bytes(ours)))
    assert bytes(back[UDP].payload) == b"payload"


def test_rfc_3602_case_5_packet() -> None:
    """RFC 3602, section 4, case 5: transport mode ping, AES-128-CBC without authentication."""
    key = bytes.fromhex("90d382b410eeba7ad938c46cec1a82bf")
    packet = bytes.fromhex(
        "00004321"
        "00000001"
        "e96e8c08ab465763fd098d45dd3ff893"
        "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856"
        "a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874a"
        "a269add047ad2d5913ac19b7cfbad4a6"
    )
    opened = EspSa(0x4321, EspSuite(Cipher.AES_CBC, 128, Integrity.NONE), key).open(packet)
    assert opened.next_header == 1
    assert opened.payload.startswith(bytes.fromhex("0800"))
    assert opened.padding_ok


@pytest.mark.parametrize(
    ("integrity", "key", "data", "expected"),
    [
        # RFC 2202, test case 2 of HMAC-MD5 and HMAC-SHA-1; RFC 4231 test case 1, RFC 4868 lengths.
        (
            Integrity.HMAC_SHA2_256_128,
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b",
        ),
        (Integrity.HMAC_SHA2_256_96, b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afce"),
        (
            Integrity.HMAC_SHA1_96,
            b"Jefe",
            b"what do ya want for nothing?",
            "effcdf6ae5eb2fa2d27416d5",
        ),
        (
            Integrity.HMAC_MD5_96,
            b"Jefe",
            b"what do ya want for nothing?",
            "750c783e6ab0b503eaa86e31",
        ),
    ],
)
def test_icv_vectors(integrity: Integrity, key: bytes, data: bytes, expected: str) -> None:
    from vpndiag.protocols.esp.crypto import icv

    assert icv(integrity, key, data).hex() == expected


@pytest.mark.parametrize(
    ("suite", "enc", "auth"),
    [
        (EspSuite(Cipher.AES_CBC, 256, Integrity.HMAC_SHA1_96), 32, 20),
        (EspSuite(Cipher.AES_GCM_16, 128, Integrity.NONE), 20, 0),
        (EspSuite(Cipher.TRIPLE_DES, 192, Integrity.HMAC_MD5_96), 24, 16),
        (EspSuite(Cipher.DES, 64, Integrity.HMAC_SHA2_256_96), 8, 32),
        (EspSuite(Cipher.NULL, 0, Integrity.HMAC_SHA2_512_256), 0, 64),
    ],
)
def test_key_lengths(suite: EspSuite, enc: int, auth: int) -> None:
    assert (suite.encryption_key_length, suite.integrity_key_length) == (enc, auth)
    with pytest.raises(LocalProtocolError):
        EspSa(1, suite, bytes(enc + 1), bytes(auth))
    with pytest.raises(LocalProtocolError):
        EspSa(1, suite, bytes(enc), bytes(auth + 1))


def test_impossible_suites_are_local_errors() -> None:
    with pytest.raises(LocalProtocolError):
        EspSuite(Cipher.AES_CBC, 512, Integrity.HMAC_SHA1_96)
    with pytest.raises(LocalProtocolError):
        EspSuite(Cipher.AES_GCM_16, 128, Integrity.HMAC_SHA1_96)


def test_keys_do_not_show() -> None:
    sender, _ = pair(SUITES[1])
    assert sender.encryption_key.hex() not in repr(sender)
    assert str(sender.encryption_key) not in repr(sender)


def test_the_sequence_number_never_wraps() -> None:
    sender, _ = pair(SUITES[0])
    sender.sent = 0xFFFFFFFE
    sender.seal(b"last")
    with pytest.raises(LocalProtocolError):
        sender.seal(b"one more")


def test_a_next_header_is_one_byte() -> None:
    sender, receiver = pair(SUITES[0])
    assert receiver.open(sender.seal(b"hello", 255)).next_header == 255
    with pytest.raises(LocalProtocolError):
        sender.seal(b"hello", 256)


def test_window_tells_order() -> None:
    window = ReplayWindow(64)
    steps = [
        (1, Order.NEXT, 0),
        (2, Order.NEXT, 0),
        (5, Order.GAP, 2),
        (4, Order.LATE, 0),
        (4, Order.DUPLICATE, 0),
        (5, Order.DUPLICATE, 0),
        (0, Order.ZERO, 0),
        (100, Order.GAP, 94),
        (37, Order.LATE, 0),
        (36, Order.OLD, 0),
        (0xFFFFFFFF, Order.GAP, 0xFFFFFFFF - 101),
        (100, Order.OLD, 0),
    ]
    for number, order, missing in steps:
        result = window.accept(number)
        assert (result.order, result.missing) == (order, missing), number


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), max_size=200))
def test_window_takes_each_number_once_and_agrees_with_a_set(numbers: list[int]) -> None:
    window = ReplayWindow(64)
    seen: set[int] = set()
    highest = 0
    for number in numbers:
        fresh = window.accept(number).fresh
        assert fresh == (number not in seen and number > highest - 64)
        if fresh:
            seen.add(number)
            highest = max(highest, number)


def test_a_capture_that_begins_in_the_middle_has_no_gap_at_first() -> None:
    sender, _ = pair(SUITES[0])
    sender.sent = 1000
    args = (sender.spi, sender.suite, sender.encryption_key, sender.integrity_key)
    packet = sender.seal(b"x")
    assert EspSa(*args, capture=True).open(packet).check.order is Order.NEXT
    assert EspSa(*args).open(packet).check.missing == 1000


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Integrity.HMAC_SHA2_256_128, Integrity.HMAC_SHA2_256_96),
        (Integrity.HMAC_SHA2_256_96, Integrity.HMAC_SHA2_256_128),
    ],
)
def test_a_peer_with_the_other_sha256_truncation_is_recognised(
    ours: Integrity, theirs: Integrity
) -> None:
    suite = EspSuite(Cipher.AES_CBC, 128, ours)
    _, receiver = pair(suite)
    peer, _ = pair(suite.with_integrity(theirs))
    packet = peer.seal(b"SCCRQ", 17)
    with pytest.raises(IntegrityError):
        receiver.open(packet)
    assert peer_truncation(receiver, packet) is theirs
    receiver.switch_integrity(theirs)
    assert receiver.open(packet).payload == b"SCCRQ"
    assert peer_truncation(receiver, packet) is None


def test_damage_is_not_taken_for_truncation() -> None:
    sender, receiver = pair(EspSuite(Cipher.AES_CBC, 128, Integrity.HMAC_SHA2_256_128))
    packet = sender.seal(b"x")
    assert peer_truncation(receiver, packet[:-1] + b"?") is None
    assert peer_truncation(receiver, packet) is None
    assert peer_truncation(receiver, b"") is None
    with pytest.raises(LocalProtocolError):
        receiver.switch_integrity(Integrity.HMAC_SHA1_96)


def test_another_spi_and_a_short_packet_are_decode_errors() -> None:
    sender, receiver = pair(SUITES[0])
    with pytest.raises(DecodeError):
        receiver.open(b"\x00\x00\x00\x01" + sender.seal(b"x")[4:])
    with pytest.raises(DecodeError):
        receiver.open(sender.seal(b"x")[:20])


def test_a_wrong_cipher_key_without_integrity_is_an_integrity_error() -> None:
    suite = EspSuite(Cipher.AES_CBC, 128, Integrity.NONE)
    sender = EspSa(1, suite, bytes(16), random_bytes=random.Random(1).randbytes)
    packet = sender.seal(b"some payload")
    with pytest.raises(IntegrityError):
        EspSa(1, suite, b"k" * 16).open(packet)


@settings(deadline=None)
@given(st.binary(max_size=120), st.sampled_from(SUITES))
def test_hostile_packets_raise_only_our_errors(data: bytes, suite: EspSuite) -> None:
    _, receiver = pair(suite)
    with pytest.raises(RemoteProtocolError):
        receiver.open(data)
    with pytest.raises(RemoteProtocolError):
        receiver.open(b"\x00\x00\x12\x34" + data)


@settings(deadline=None)
@given(st.binary(max_size=120), st.sampled_from(BLOCK))
def test_hostile_packets_without_integrity(data: bytes, cipher: tuple[Cipher, int]) -> None:
    suite = EspSuite(*cipher, Integrity.NONE)
    _, receiver = pair(suite)
    try:
        opened = receiver.open(b"\x00\x00\x12\x34" + data)
    except RemoteProtocolError:
        return
    assert len(opened.payload) < len(data)
