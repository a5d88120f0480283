"""Certificates in IKE: chains, names, validity (RFC 5280, RFC 4945)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.records import record

MAX_CHAIN = 8
"""Certificates from leaf to trust anchor."""
MAX_CERTIFICATES = 32
"""Certificates of a peer that are looked at."""


class ChainStatus(StrEnum):
    """One thing that can be said about a peer's certificate chain."""

    OK = "ok"
    NO_CERTIFICATE = "no-certificate"
    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad-signature"
    """An issuer of the right name is there, but its key did not make the signature."""
    UNTRUSTED = "untrusted"
    """No way leads to a trust anchor."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    NAME_MISMATCH = "name-mismatch"


@record(frozen=True, slots=True)
class CertificateInfo:
    """What people want to know of one certificate.

    ``subject`` and ``issuer`` are RFC 4514 text, ``names`` the subjectAltName's DNS names,
    addresses and mail addresses (the common name if there are none). Times are POSIX seconds. All
    text comes from the peer.
    """

    subject: str
    issuer: str
    serial: int
    not_before: float
    not_after: float
    names: tuple[str, ...]
    is_ca: bool
    key_bits: int


@record(frozen=True, slots=True)
class ChainReport:
    """The verdict on a chain: ``problems`` in the order of :class:`ChainStatus`, empty if fine.

    ``chain`` runs from the leaf as far as issuers were found. ``leaf`` is the leaf's DER.
    """

    problems: tuple[ChainStatus, ...]
    chain: tuple[CertificateInfo, ...] = ()
    leaf: bytes = b""
    expected_name: str | None = None

    @property
    def status(self) -> ChainStatus:
        """The gravest problem, or OK."""
        return self.problems[0] if self.problems else ChainStatus.OK

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def subject(self) -> str:
        """The leaf's subject, empty without a leaf."""
        return self.chain[0].subject if self.chain else ""


def parse_certificate(der: bytes) -> x509.Certificate:
    """:raises RemoteProtocolError: not a DER X.509 certificate."""
    try:
        return x509.load_der_x509_certificate(der)
    except Exception as error:  # the parser's set of exceptions for hostile input is not documented
        raise RemoteProtocolError("the certificate does not parse") from error


def _parse_anchor(der: bytes) -> x509.Certificate:
    try:
        return parse_certificate(der)
    except RemoteProtocolError as error:
        raise LocalProtocolError("a trust anchor is no DER certificate") from error


def load_certificates(data: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM or DER file's content, each as DER, in order.

    :raises LocalProtocolError: there is none, or one does not parse.
    """
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            found = x509.load_pem_x509_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
        return tuple(c.public_bytes(Encoding.DER) for c in found)
    except Exception as error:  # the parser's set of exceptions is not documented
        raise LocalProtocolError("no certificate in PEM or DER") from error


def rsa_public_key(der: bytes) -> RSAPublicKey:
    """The RSA key of a certificate.

    :raises RemoteProtocolError: the certificate does not parse or has another kind of key.
    """
    certificate = parse_certificate(der)
    try:
        key = certificate.public_key()
    except Exception as error:  # as above
        raise RemoteProtocolError("the certificate's key does not parse") from error
    if not isinstance(key, RSAPublicKey):
        raise RemoteProtocolError("the certificate has no RSA key")
    return key


def subject_dn(der: bytes) -> bytes:
    """The subject name in DER: the data of an ID_DER_ASN1_DN identification (RFC 4945 3.1.5).

    :raises RemoteProtocolError: the certificate does not parse.
    """
    return parse_certificate(der).subject.public_bytes()


def describe(der: bytes) -> CertificateInfo:
    """:raises RemoteProtocolError: the certificate does not parse."""
    return _describe(parse_certificate(der))


def _describe(certificate: x509.Certificate) -> CertificateInfo:
    try:
        bits = 0
        with suppress(Exception):  # a key of an unknown kind; the rest is still worth showing
            bits = getattr(certificate.public_key(), "key_size", 0)
        return CertificateInfo(
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            certificate.serial_number,
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
            _names(certificate),
            _is_ca(certificate),
            bits,
        )
    except Exception as error:  # lazily parsed parts of hostile input
        raise RemoteProtocolError("the certificate does not parse") from error


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    names: list[str] = []
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += san.get_values_for_type(x509.DNSName)
        names += map(str, san.get_values_for_type(x509.IPAddress))
        names += san.get_values_for_type(x509.RFC822Name)
    except x509.ExtensionNotFound:
        pass
    if not names:
        names = [
            str(attribute.value)
            for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        ]
    return tuple(names)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        # version 1 certificates cannot say it: old roots are like that
        return certificate.version is x509.Version.v1 and certificate.subject == certificate.issuer
    return constraints.ca


def name_matches(names: Sequence[str], expected: str) -> bool:
    """Whether one of a certificate's names stands for the host name or address ``expected``.

    Host names compare without case; ``*`` may be the whole leftmost label (RFC 6125 6.4.3).
    """
    wanted = expected.strip().rstrip(".").lower()
    try:
        wanted_address = ipaddress.ip_address(wanted)
    except ValueError:
        wanted_address = None
    for name in names:
        candidate = name.strip().rstrip(".").lower()
        if candidate == wanted:
            return True
        if wanted_address is not None:
            try:
                if ipaddress.ip_address(candidate) == wanted_address:
                    return True
            except ValueError:
                continue
        elif candidate.startswith("*.") and "." in candidate[2:]:
            _, _, parent = wanted.partition(".")
            if parent == candidate[2:]:
                return True
    return False


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    except Exception:  # unsupported keys or algorithms: no proof either
        return False
    return True


def _build(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> tuple[list[x509.Certificate], ChainStatus | None]:
    """The path from the leaf upwards, and what stopped it short of an anchor."""
    path = [leaf]
    while True:
        current = path[-1]
        if current in anchors:
            return path, None
        if len(path) >= MAX_CHAIN:
            return path, ChainStatus.UNTRUSTED
        named = [c for c in (*anchors, *others) if c.subject == current.issuer and c not in path]
        signers = [c for c in named if (c in anchors or _is_ca(c)) and _signed_by(current, c)]
        if not signers:
            return path, ChainStatus.BAD_SIGNATURE if named else ChainStatus.UNTRUSTED
        path.append(signers[0])  # anchors come first


def verify_chain(
    certificates: Sequence[bytes],
    anchors: Sequence[bytes],
    now: float,
    expected_name: str | None = None,
) -> ChainReport:
    """Judge a peer's certificates.

    :param certificates: DER, as the CERT payloads had them; the first one that is no CA
        certificate is the leaf (the first one if all are).
    :param anchors: DER certificates that are trusted as they are. Without any, every chain is
        UNTRUSTED.
    :param now: POSIX seconds.
    :param expected_name: host name or address that the leaf must carry; None: any.
    :raises LocalProtocolError: an anchor that does not parse.

    Of several possible issuers the first is followed, anchors before the peer's certificates.
    """
    trusted = [_parse_anchor(der) for der in anchors]
    parsed: list[tuple[bytes, x509.Certificate]] = []
    infos: dict[bytes, CertificateInfo] = {}
    malformed = len(certificates) > MAX_CERTIFICATES
    for der in certificates[:MAX_CERTIFICATES]:
        try:
            certificate = parse_certificate(der)
            infos[der] = _describe(certificate)
        except RemoteProtocolError:
            malformed = True
        else:
            parsed.append((der, certificate))
    if not parsed:
        status = ChainStatus.MALFORMED if certificates else ChainStatus.NO_CERTIFICATE
        return ChainReport((status,), expected_name=expected_name)
    leaf_der, leaf = next(((d, c) for d, c in parsed if not infos[d].is_ca), parsed[0])

    problems: set[ChainStatus] = set()
    if malformed and leaf_der != certificates[0]:
        problems.add(ChainStatus.MALFORMED)
    path, stopped = _build(leaf, [c for d, c in parsed if d != leaf_der], trusted)
    if stopped is not None:
        problems.add(stopped)
    chain = tuple(_describe(certificate) for certificate in path)
    for info in chain:
        if now > info.not_after:
            problems.add(ChainStatus.EXPIRED)
        elif now < info.not_before:
            problems.add(ChainStatus.NOT_YET_VALID)
    if expected_name is not None and not name_matches(chain[0].names, expected_name):
        problems.add(ChainStatus.NAME_MISMATCH)
    ordered = tuple(status for status in ChainStatus if status in problems)
    return ChainReport(ordered, chain, leaf_der, expected_name)
