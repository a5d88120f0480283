"""Certificate chains and RSA signatures."""

from __future__ import annotations

import datetime as dt
import ipaddress
from functools import lru_cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from vpndiag.protocols.errors import (
    DecodeError,
    IntegrityError,
    LocalProtocolError,
    RemoteProtocolError,
)
from vpndiag.protocols.ike.certificates import (
    ChainStatus,
    describe,
    load_certificates,
    name_matches,
    parse_certificate,
    rsa_public_key,
    subject_dn,
    verify_chain,
)
from vpndiag.protocols.ike.dn import dn_text
from vpndiag.protocols.ike.payloads import IdPayload
from vpndiag.protocols.ike.signatures import rsa_sign, rsa_verify

UTC = dt.UTC
START = dt.datetime(2024, 1, 1, tzinfo=UTC)
END = dt.datetime(2034, 1, 1, tzinfo=UTC)
NOW = dt.datetime(2026, 6, 1, tzinfo=UTC).timestamp()


@lru_cache
def key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024 if number else 2048)


def make(
    subject: str,
    subject_key: rsa.RSAPrivateKey,
    issuer: str,
    issuer_key: rsa.RSAPrivateKey,
    *,
    ca: bool = False,
    end: dt.datetime = END,
    names: tuple[x509.GeneralName, ...] = (),
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(subject_key.public_key())
        .serial_number(7)
        .not_valid_before(START)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if not ca:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


ROOT = make("root", key(1), "root", key(1), ca=True)
MIDDLE = make("middle", key(2), "root", key(1), ca=True)
NAMES = (
    x509.DNSName("vpn.example.com"),
    x509.DNSName("*.branch.example.com"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
)
LEAF = make("gateway", key(3), "middle", key(2), names=NAMES)


def test_a_chain_through_an_intermediate_is_fine() -> None:
    report = verify_chain([LEAF, MIDDLE], [ROOT], NOW, "vpn.example.com")
    assert (report.ok, report.status) == (True, ChainStatus.OK)
    assert [info.subject for info in report.chain] == ["CN=gateway", "CN=middle", "CN=root"]
    assert report.leaf == LEAF
    assert report.chain[0].names == ("vpn.example.com", "*.branch.example.com", "192.0.2.1")


def test_the_leaf_is_found_when_the_ca_comes_first() -> None:
    assert verify_chain([MIDDLE, LEAF], [ROOT], NOW).subject == "CN=gateway"


def test_a_pinned_leaf_needs_no_issuer() -> None:
    assert verify_chain([LEAF], [LEAF], NOW).ok


IMPOSTOR = make("middle", key(4), "root", key(1), ca=True)
NO_CA = make("middle", key(2), "root", key(1), ca=False)


@pytest.mark.parametrize(
    ("certificates", "anchors", "now", "name", "problems"),
    [
        ([], [ROOT], NOW, None, (ChainStatus.NO_CERTIFICATE,)),
        ([b"\x30\x03abc"], [ROOT], NOW, None, (ChainStatus.MALFORMED,)),
        ([LEAF], [ROOT], NOW, None, (ChainStatus.UNTRUSTED,)),
        ([LEAF, MIDDLE], [], NOW, None, (ChainStatus.UNTRUSTED,)),
        ([LEAF, IMPOSTOR], [ROOT], NOW, None, (ChainStatus.BAD_SIGNATURE,)),
        ([LEAF, NO_CA], [ROOT], NOW, None, (ChainStatus.BAD_SIGNATURE,)),
        ([LEAF, MIDDLE], [ROOT], END.timestamp() + 1, None, (ChainStatus.EXPIRED,)),
        ([LEAF, MIDDLE], [ROOT], START.timestamp() - 1, None, (ChainStatus.NOT_YET_VALID,)),
        ([LEAF, MIDDLE], [ROOT], NOW, "vpn.example.org", (ChainStatus.NAME_MISMATCH,)),
        (
            [LEAF],
            [ROOT],
            END.timestamp() + 1,
            "192.0.2.2",
            (ChainStatus.UNTRUSTED, ChainStatus.EXPIRED, ChainStatus.NAME_MISMATCH),
        ),
    ],
)
def test_each_problem_has_its_name(certificates, anchors, now, name, problems) -> None:  # type: ignore[no-untyped-def]
    report = verify_chain(certificates, anchors, now, name)
    assert report.problems == problems
    assert report.status == problems[0]
    assert not report.ok


def test_certificates_that_name_each_other_as_issuer_do_not_loop() -> None:
    a = make("a", key(1), "b", key(2), ca=True)
    b = make("b", key(2), "a", key(1), ca=True)
    assert ChainStatus.UNTRUSTED in verify_chain([a, b], [], NOW).problems


@pytest.mark.parametrize(
    ("expected", "matches"),
    [
        ("vpn.example.com", True),
        ("VPN.Example.COM.", True),
        ("x.branch.example.com", True),
        ("x.y.branch.example.com", False),
        ("branch.example.com", False),
        ("192.0.2.1", True),
        ("192.0.2.10", False),
        ("example.com", False),
    ],
)
def test_names(expected: str, matches: bool) -> None:
    assert name_matches(describe(LEAF).names, expected) is matches


def test_the_common_name_counts_only_without_alternative_names() -> None:
    assert describe(ROOT).names == ("root",)
    assert not name_matches(describe(LEAF).names, "gateway")


def test_distinguished_names_in_der() -> None:
    assert subject_dn(MIDDLE) == x509.load_der_x509_certificate(LEAF).issuer.public_bytes()
    assert subject_dn(LEAF).startswith(b"\x30")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_certificate_is_reported_never_raised(data: st.DataObject) -> None:
    damaged = bytearray(LEAF)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    verify_chain([bytes(damaged), MIDDLE], [ROOT], NOW, "vpn.example.com")


@given(st.binary(max_size=60))
def test_garbage_is_the_peers_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_certificate(data)


def test_files_with_several_certificates() -> None:
    pem = b"".join(
        parse_certificate(der).public_bytes(serialization.Encoding.PEM) for der in (LEAF, MIDDLE)
    )
    assert load_certificates(b"comment\n" + pem) == (LEAF, MIDDLE)
    assert load_certificates(LEAF) == (LEAF,)
    for bad in (b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----"):
        with pytest.raises(LocalProtocolError):
            load_certificates(bad)
    with pytest.raises(LocalProtocolError):
        verify_chain([LEAF], [b"no certificate"], NOW)


RICH = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@example.com"),
        x509.NameAttribute(NameOID.COMMON_NAME, "vpn"),
    ]
)


def test_distinguished_names_read_as_cryptography_reads_them() -> None:
    assert dn_text(subject_dn(LEAF)) == describe(LEAF).subject == "CN=gateway"
    assert dn_text(RICH.public_bytes()) == RICH.rfc4514_string(
        {NameOID.EMAIL_ADDRESS: "emailAddress"}
    )
    assert IdPayload(9, subject_dn(LEAF)).text == "ID_DER_ASN1_DN CN=gateway"
    assert IdPayload(9, b"\x30\x09").text == "ID_DER_ASN1_DN 3009"


def test_a_hostile_name_is_one_printable_line() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x1b[2J\nü,b")])
    assert dn_text(name.public_bytes()) == "CN=a\\1B[2J\\0A\\C3\\BC\\,b"


@given(st.data())
def test_a_damaged_name_is_text_or_a_decode_error(data: st.DataObject) -> None:
    damaged = bytearray(RICH.public_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        text = dn_text(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except DecodeError:
        return
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("size", [16, 20, 32, 48, 64])
def test_a_signature_is_the_bare_hash_padded(size: int) -> None:
    digest = bytes(range(size))
    signature = rsa_sign(key(0), digest)
    numbers = key(0).public_key().public_numbers()
    padded = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(256, "big")
    assert padded == b"\0\1" + b"\xff" * (253 - size) + b"\0" + digest
    rsa_verify(key(0).public_key(), digest, signature)


@pytest.mark.parametrize(
    ("algorithm", "name"), [(hashes.SHA1(), "sha1"), (hashes.SHA256(), "sha256")]
)
def test_a_peers_signature_with_digest_info_is_accepted(
    algorithm: hashes.HashAlgorithm, name: str
) -> None:
    hasher = hashes.Hash(algorithm)
    hasher.update(b"HASH_I")
    digest = hasher.finalize()
    signature = key(0).sign(b"HASH_I", padding.PKCS1v15(), algorithm)
    rsa_verify(key(0).public_key(), digest, signature)


def test_wrong_signatures_are_refused() -> None:
    signature = rsa_sign(key(0), b"d" * 20)
    public = key(0).public_key()
    other = key(1).public_key()
    modulus = public.public_numbers().n.to_bytes(256, "big")
    for candidate, digest, value in (
        (public, b"e" * 20, signature),
        (public, b"d" * 20, signature[:-1] + bytes((signature[-1] ^ 1,))),
        (public, b"d" * 20, signature[:-1]),
        (public, b"d" * 20, b""),
        (public, b"d" * 20, modulus),
        (other, b"d" * 20, signature),
    ):
        with pytest.raises(IntegrityError):
            rsa_verify(candidate, digest, value)


def test_an_absurd_key_of_the_peer_costs_no_time() -> None:
    exponent = (1 << 1000) + 1
    huge = rsa.RSAPublicNumbers(exponent, (1 << 2047) + 1).public_key()
    with pytest.raises(IntegrityError, match="too large"):
        rsa_verify(huge, b"d" * 20, bytes(256))


def test_a_key_too_short_for_the_hash_is_our_error() -> None:
    short = key(1)
    with pytest.raises(LocalProtocolError):
        rsa_sign(short, bytes(120))


def test_the_key_of_a_certificate() -> None:
    assert rsa_public_key(LEAF).public_numbers() == key(3).public_key().public_numbers()
