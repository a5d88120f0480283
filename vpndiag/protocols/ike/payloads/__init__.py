"""ISAKMP payloads: frozen dataclasses that decode and encode their body."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.protocols.ike.payloads.base import Payload, RawPayload
from vpndiag.protocols.ike.payloads.identity import (
    CertPayload,
    CertRequestPayload,
    IdPayload,
    NatDPayload,
    NatOaPayload,
)
from vpndiag.protocols.ike.payloads.informational import (
    AttributesPayload,
    DeletePayload,
    FragmentPayload,
    NotificationPayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.payloads.opaque import (
    HashPayload,
    KePayload,
    NoncePayload,
    SignaturePayload,
)
from vpndiag.protocols.ike.payloads.sa import Proposal, SaPayload, Transform

__all__ = [
    "AttributesPayload",
    "CertPayload",
    "CertRequestPayload",
    "DeletePayload",
    "FragmentPayload",
    "HashPayload",
    "IdPayload",
    "KePayload",
    "NatDPayload",
    "NatOaPayload",
    "NoncePayload",
    "NotificationPayload",
    "Payload",
    "Proposal",
    "RawPayload",
    "SaPayload",
    "SignaturePayload",
    "Transform",
    "VendorIdPayload",
    "decode_payload",
]

_DECODERS: dict[int, Callable[[bytes, int], Payload]] = {
    # Clients offer the same again and again.
    PayloadType.SA: lru_cache(maxsize=64)(SaPayload.decode),
    PayloadType.KE: lambda body, base: KePayload(body, raw=body),
    PayloadType.ID: IdPayload.decode,
    PayloadType.CERT: CertPayload.decode,
    PayloadType.CERTREQ: CertRequestPayload.decode,
    PayloadType.HASH: lambda body, base: HashPayload(body, raw=body),
    PayloadType.SIG: lambda body, base: SignaturePayload(body, raw=body),
    PayloadType.NONCE: lambda body, base: NoncePayload(body, raw=body),
    PayloadType.NOTIFICATION: NotificationPayload.decode,
    PayloadType.DELETE: DeletePayload.decode,
    PayloadType.VENDOR_ID: lambda body, base: VendorIdPayload(body, raw=body),
    PayloadType.ATTRIBUTES: AttributesPayload.decode,
    PayloadType.NAT_D: lambda body, base: NatDPayload(body, raw=body),
    PayloadType.NAT_D_DRAFT: lambda body, base: NatDPayload(body, True, raw=body),
    PayloadType.NAT_OA: NatOaPayload.decode,
    PayloadType.NAT_OA_DRAFT: lambda body, base: NatOaPayload.decode(body, base, True),
    PayloadType.FRAGMENTATION: FragmentPayload.decode,
}


def decode_payload(payload_type: int, body: bytes, base: int = 0) -> Payload:
    """One payload from its body (without the generic header).

    :param base: offset of ``body`` in the message, for error positions.
    :raises DecodeError: the body does not fit its type. Unknown types give a :class:`RawPayload`.
    """
    decoder = _DECODERS.get(payload_type)
    if decoder is None:
        return RawPayload(payload_type, body, raw=body)
    return decoder(body, base)
