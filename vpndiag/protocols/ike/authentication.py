"""How the two ends prove themselves at the end of main mode (RFC 2409 sections 5.1 and 5.4)."""

from __future__ import annotations

import hmac

from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.algorithms import AuthMethod
from vpndiag.protocols.ike.certificates import (
    ChainReport,
    rsa_public_key,
    subject_dn,
    verify_chain,
)
from vpndiag.protocols.ike.config import IkeConfig
from vpndiag.protocols.ike.constants import CertEncoding
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
from vpndiag.protocols.ike.signatures import rsa_sign, rsa_verify

MAX_PEER_CERTIFICATES = 16
MAX_REQUESTS = 5
"""Authorities that are named; each takes about 100 bytes."""


class ProofError(RemoteProtocolError):
    """The peer's proof does not hold."""

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def certificate_requests(config: IkeConfig) -> tuple[CertRequestPayload, ...]:
    """One request per trust anchor, or an open one without any (RFC 4945 section 3.2.7), or with so
    many that message 3 would go in IP fragments, which many networks drop."""
    authorities = [subject_dn(anchor) for anchor in config.trust_anchors[: MAX_REQUESTS + 1]]
    if not 0 < len(authorities) <= MAX_REQUESTS:
        authorities = [b""]
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
        SignaturePayload(rsa_sign(config.credentials.key, digest)),
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
        rsa_verify(rsa_public_key(report.leaf), expected, signature.data)
    except RemoteProtocolError as error:
        raise ProofError(FailureCode.WRONG_SIGNATURE, str(error)) from None
    return report
