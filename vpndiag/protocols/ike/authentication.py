"""How the two ends prove themselves at the end of main mode (RFC 2409 sections 5.1 and 5.4)."""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.certificates import (
    ChainReport,
    rsa_public_key,
    subject_dn,
    verify_chain,
)
from vpndiag.protocols.ike.config import IkeConfig
from vpndiag.protocols.ike.constants import AuthMethod, CertEncoding
from vpndiag.protocols.ike.events import FailureCode
from vpndiag.protocols.ike.exchange_main import MainMode
from vpndiag.protocols.ike.message import PayloadChain
from vpndiag.protocols.ike.payloads import (
    CertPayload,
    CertRequestPayload,
    HashPayload,
    IdPayload,
    Payload,
    SignaturePayload,
)

MAX_PEER_CERTIFICATES = 16


class ProofError(RemoteProtocolError):
    """The peer's proof does not hold."""

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def sign_raw(key: RSAPrivateKey, digest: bytes) -> bytes:
    """RSA private key operation on a PKCS #1 block type 1 with nothing but the digest in it.

    RFC 2409 section 5.1 wants no DigestInfo around the hash, so that the usual signature calls do
    not fit.

    :raises LocalProtocolError: the key is too short for the digest.
    """
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    padding = size - 3 - len(digest)
    if padding < 8:
        raise LocalProtocolError("the RSA key is too short")
    block = b"\x00\x01" + b"\xff" * padding + b"\x00" + digest
    return pow(int.from_bytes(block, "big"), numbers.d, modulus).to_bytes(size, "big")


def certificate_requests(config: IkeConfig) -> tuple[CertRequestPayload, ...]:
    """One request per trust anchor, or an open one without any (RFC 4945 section 3.2.7)."""
    authorities = [subject_dn(anchor) for anchor in config.trust_anchors] or [b""]
    return tuple(
        CertRequestPayload(CertEncoding.X509_SIGNATURE, authority) for authority in authorities
    )


def make_proof(main: MainMode, config: IkeConfig, identity: IdPayload) -> tuple[Payload, ...]:
    """HASH, or certificates and SIG, for our identity.

    :raises LocalProtocolError: there is no pre-shared key or no certificate.
    """
    digest = main.auth_hash(main.initiator, identity.body)
    if main.chosen.auth_method == AuthMethod.PSK:
        if main.initiator and config.psk is None:
            raise LocalProtocolError("there is no pre-shared key")
        return (HashPayload(digest),)
    if config.credentials is None:
        raise LocalProtocolError("signatures were agreed, but there is no certificate")
    return (
        *(CertPayload(CertEncoding.X509_SIGNATURE, der) for der in config.credentials.chain),
        SignaturePayload(sign_raw(config.credentials.key, digest)),
    )


def check_proof(
    main: MainMode, config: IkeConfig, chain: PayloadChain
) -> tuple[IdPayload, ChainReport | None]:
    """The peer's identity, and the verdict on its certificates with signatures.

    The report may have problems: judging it is left to the caller.

    :raises ProofError: a payload is missing, or HASH or SIG do not hold.
    """
    identity = chain.first(IdPayload)
    if identity is None:
        raise ProofError(FailureCode.MALFORMED, "ID payload missing")
    expected = main.auth_hash(not main.initiator, identity.body)
    if main.chosen.auth_method == AuthMethod.PSK:
        proof = chain.first(HashPayload)
        if proof is None:
            raise ProofError(FailureCode.MALFORMED, "HASH payload missing")
        if not hmac.compare_digest(proof.data, expected):
            raise ProofError(FailureCode.WRONG_HASH, "HASH does not match")
        return identity, None
    return identity, _check_signature(config, chain, expected)


def _check_signature(config: IkeConfig, chain: PayloadChain, expected: bytes) -> ChainReport:
    signature = chain.first(SignaturePayload)
    if signature is None:
        raise ProofError(FailureCode.MALFORMED, "SIG payload missing")
    certificates = tuple(
        payload.data
        for payload in chain.all(CertPayload)
        if payload.encoding == CertEncoding.X509_SIGNATURE
    )[:MAX_PEER_CERTIFICATES]
    report = verify_chain(
        certificates, config.trust_anchors, config.verify_time, config.expected_name
    )
    if not report.leaf:
        raise ProofError(FailureCode.BAD_CERTIFICATE, f"certificate: {report.status}")
    try:
        signed = rsa_public_key(report.leaf).recover_data_from_signature(
            signature.data, PKCS1v15(), None
        )
    except (InvalidSignature, ValueError):
        raise ProofError(FailureCode.WRONG_SIGNATURE, "SIG does not verify") from None
    if not hmac.compare_digest(signed, expected):
        raise ProofError(FailureCode.WRONG_SIGNATURE, "SIG is over another hash")
    return report
