"""Authorities and certificates for the lab, made anew in each process."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.lab.config import Certificates
from tests.lab.netns import GATEWAY_ADDRESS, PUBLIC_ADDRESS

GATEWAY_NAME = "vpn.lab.test"
CLIENT_NAME = "laptop.lab.test"
OTHER_NAME = "mail.other.test"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


def authority(name: str = "Lab CA") -> Pair:
    """A self-signed authority."""
    return _authority(name)


@cache
def _authority(name: str) -> Pair:
    return _make(name, issuer=None, names=(), days=(-400, 4000), is_ca=True)


@cache
def gateway(
    kind: str = "good", *, issuer: str = "Lab CA", size: int = 2048, names: tuple[str, ...] = ()
) -> Pair:
    """The gateway's: ``kind`` is good, expired, early (not yet valid) or name (another one's).

    ``size``: of the key, for a certificate that fills several packets; ``names``: further names in
    it, with the same aim.
    """
    days = {"expired": (-300, -30), "early": (30, 300)}.get(kind, (-10, 300))
    name = OTHER_NAME if kind == "name" else GATEWAY_NAME
    own = (name,) if kind == "name" else (name, GATEWAY_ADDRESS, PUBLIC_ADDRESS)
    return _make(name, issuer=issuer, names=(*own, *names), days=days, size=size)


@cache
def client(
    kind: str = "good", *, issuer: str = "Lab CA", size: int = 2048, names: tuple[str, ...] = ()
) -> Pair:
    days = {"expired": (-300, -30), "early": (30, 300)}.get(kind, (-10, 300))
    return _make(CLIENT_NAME, issuer=issuer, names=(CLIENT_NAME, *names), days=days, size=size)


@cache
def server(host: str, kind: str = "good", *, size: int = 2048, names: tuple[str, ...] = ()) -> Pair:
    """Of a server behind the gateway; kinds as in :func:`gateway`."""
    days = {"expired": (-300, -30), "early": (30, 300)}.get(kind, (-10, 300))
    name = OTHER_NAME if kind == "name" else host
    return _make(name, issuer="Lab CA", names=(name, *names), days=days, size=size)


def for_gateway(pair: Pair, trusted: str = "Lab CA") -> Certificates:
    """As a gateway is configured: its own certificate, and the authority of its clients."""
    return Certificates(pair.pem, pair.key_pem, authority(trusted).pem)


def _make(
    name: str,
    *,
    issuer: str | None,
    names: tuple[str, ...],
    days: tuple[int, int],
    is_ca: bool = False,
    size: int = 2048,
) -> Pair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=size)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "vpndiag lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    signer = authority(issuer) if issuer else None
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if names:
        general = [_general_name(text) for text in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return Pair(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
