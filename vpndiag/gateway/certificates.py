"""Throw-away certificates for the demo and for breaks of certificate authentication."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vpndiag.protocols.ike.config import RsaCredentials
from vpndiag.records import record

GATEWAY_NAME = "gateway.vpndiag.example"
_YEAR = dt.timedelta(days=365)
_BITS = 2048


@record(frozen=True, slots=True)
class Authority:
    """A certificate authority; ``der`` is its certificate."""

    name: str
    key: rsa.RSAPrivateKey
    der: bytes


@lru_cache(maxsize=8)
def _key(name: str) -> rsa.RSAPrivateKey:
    """Making a key takes a moment, and which one it is does not matter."""
    return rsa.generate_private_key(65537, _BITS)


def _sign(
    subject: str,
    subject_key: rsa.RSAPrivateKey,
    issuer: str,
    issuer_key: rsa.RSAPrivateKey,
    start: dt.datetime,
    end: dt.datetime,
    *,
    ca: bool = False,
) -> bytes:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(subject_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if not ca:
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _moment(now: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(now), dt.UTC)


@lru_cache(maxsize=8)
def authority(name: str, now: float) -> Authority:
    """A self-signed authority, valid around ``now`` (POSIX seconds)."""
    key, at = _key(name), _moment(now)
    der = _sign(name, key, name, key, at - 5 * _YEAR, at + 5 * _YEAR, ca=True)
    return Authority(name, key, der)


def issue(
    issuer: Authority,
    subject: str,
    now: float,
    *,
    start_days: float = -30,
    end_days: float = 335,
    other_key: bool = False,
) -> RsaCredentials:
    """A certificate for ``subject``, valid from ``start_days`` to ``end_days`` after ``now``.
    ``other_key``: its owner signs with a key that is not the certificate's."""
    key = _key(f"{subject} end entity")
    day, at = dt.timedelta(days=1), _moment(now)
    der = _sign(subject, key, issuer.name, issuer.key, at + start_days * day, at + end_days * day)
    return RsaCredentials(key=_key("somebody else") if other_key else key, chain=(der,))
