"""UDP encapsulation and the UDP datagram inside transport mode."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.esp import (
    Cipher,
    EspSa,
    EspSuite,
    Integrity,
    Kind,
    build_udp,
    demultiplex,
    guess_null,
    parse_udp,
    with_marker,
)
from vpndiag.protocols.esp.transport import udp_checksum


@pytest.mark.parametrize(
    ("datagram", "kind", "body"),
    [
        (with_marker(b"ike"), Kind.IKE, b"ike"),
        (bytes(4), Kind.IKE, b""),
        (b"\xff", Kind.KEEPALIVE, b"\xff"),
        (b"\x00\x00\x00\x01\x00\x00\x00\x01data", Kind.ESP, None),
        (b"\xff\xff\xff\xff\x00\x00\x00\x01", Kind.ESP, None),
        (b"", Kind.TOO_SHORT, b""),
        (b"\xfe", Kind.TOO_SHORT, b"\xfe"),
        (b"\xff\xff", Kind.TOO_SHORT, b"\xff\xff"),
        (bytes(3), Kind.TOO_SHORT, bytes(3)),
        (b"\x01\x00\x00\x00\x00\x00\x00", Kind.TOO_SHORT, None),
    ],
)
def test_datagrams_on_4500(datagram: bytes, kind: Kind, body: bytes | None) -> None:
    result = demultiplex(datagram)
    assert (result.kind, result.body) == (kind, datagram if body is None else body)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_every_datagram_has_a_kind(datagram: bytes) -> None:
    assert datagram.endswith(demultiplex(datagram).body)


def test_udp_without_addresses_has_no_checksum() -> None:
    data = build_udp(1701, 40000, b"abc")
    assert data == bytes.fromhex("06a59c40000b0000") + b"abc"
    parsed = parse_udp(data + b"\x00\x00")
    assert (parsed.source_port, parsed.destination_port) == (1701, 40000)
    assert (parsed.checksum, parsed.payload, parsed.trailing) == (0, b"abc", b"\x00\x00")


@pytest.mark.parametrize(
    ("source", "destination"), [("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::2")]
)
def test_udp_checksum_agrees_with_scapy(source: str, destination: str) -> None:
    inet = pytest.importorskip("scapy.layers.inet")
    from scapy.layers.inet6 import IPv6

    layer = inet.IP if "." in source else IPv6
    for length in range(6):
        payload = random.Random(length).randbytes(length)
        addresses = (ip_address(source), ip_address(destination))
        ours = build_udp(1701, 1701, payload, addresses=addresses)
        packet = layer(src=source, dst=destination) / inet.UDP(sport=1701, dport=1701) / payload
        assert ours == bytes(packet)[-len(ours) :]
        assert udp_checksum(*addresses, ours) == 0xFFFF


def test_addresses_of_two_versions_and_oversize_are_local_errors() -> None:
    with pytest.raises(LocalProtocolError):
        build_udp(1, 1, b"", addresses=(ip_address("::1"), ip_address("192.0.2.1")))
    with pytest.raises(LocalProtocolError):
        build_udp(1, 1, bytes(65528))


@pytest.mark.parametrize("data", [b"", bytes(7), b"\x00\x01\x00\x01\x00\x07\x00\x00", bytes(8)])
def test_short_udp_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_udp(data)


@pytest.mark.parametrize(
    ("integrity", "icv"),
    [
        (Integrity.HMAC_SHA1_96, 12),
        (Integrity.HMAC_SHA2_256_128, 16),
        (Integrity.HMAC_SHA2_384_192, 24),
        (Integrity.HMAC_SHA2_512_256, 32),
    ],
)
def test_null_encryption_is_recognised(integrity: Integrity, icv: int) -> None:
    suite = EspSuite(Cipher.NULL, 0, integrity)
    sa = EspSa(7, suite, b"", b"k" * suite.integrity_key_length)
    guess = guess_null(sa.seal(build_udp(50000, 1701, b"hello"), 17))
    assert guess is not None
    assert (guess.icv_length, guess.datagram.payload) == (icv, b"hello")
    assert guess_null(sa.seal(build_udp(53, 53, b"hello"), 17)) is None
    assert guess_null(sa.seal(build_udp(50000, 1701, b"hello"), 6)) is None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_not_null_encryption(data: bytes) -> None:
    assert guess_null(data) is None


def test_encrypted_packets_are_not_taken_for_null() -> None:
    suite = EspSuite(Cipher.AES_CBC, 128, Integrity.HMAC_SHA1_96)
    sa = EspSa(7, suite, bytes(16), bytes(20), random_bytes=random.Random(3).randbytes)
    for length in range(200):
        assert guess_null(sa.seal(build_udp(1701, 1701, bytes(length)))) is None
