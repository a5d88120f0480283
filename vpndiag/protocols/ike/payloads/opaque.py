"""Payloads whose body is one opaque value: KE, nonce, hash and signature (RFC 2408 section 3)."""

from __future__ import annotations

from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.protocols.ike.payloads.base import Payload
from vpndiag.records import record


@record(frozen=True, slots=True)
class KePayload(Payload):
    """Key exchange: the Diffie-Hellman public value (RFC 2408 section 3.7)."""

    data: bytes

    @property
    def payload_type(self) -> int:
        return PayloadType.KE

    def encode_body(self) -> bytes:
        return self.data


@record(frozen=True, slots=True)
class NoncePayload(Payload):
    """Nonce, 8 to 256 bytes (RFC 2409 section 5; the length is not checked here)."""

    data: bytes

    @property
    def payload_type(self) -> int:
        return PayloadType.NONCE

    def encode_body(self) -> bytes:
        return self.data


@record(frozen=True, slots=True)
class HashPayload(Payload):
    """HASH_I, HASH_R or HASH(1) to HASH(3) (RFC 2409)."""

    data: bytes

    @property
    def payload_type(self) -> int:
        return PayloadType.HASH

    def encode_body(self) -> bytes:
        return self.data


@record(frozen=True, slots=True)
class SignaturePayload(Payload):
    """SIG_I or SIG_R (RFC 2409 section 5.1)."""

    data: bytes

    @property
    def payload_type(self) -> int:
        return PayloadType.SIG

    def encode_body(self) -> bytes:
        return self.data
