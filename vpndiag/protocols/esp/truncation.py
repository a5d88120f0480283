"""HMAC-SHA2-256 cut to 96 instead of 128 bits.

Linux before 2.6.33 and Android devices built on such kernels follow
draft-ietf-ipsec-ciph-sha-256-00 (96 bits) where RFC 4868 says 128. IKE cannot tell the two apart:
the SAs come up, and every packet fails its integrity check on both sides. One failed packet is
enough to tell.
"""

from __future__ import annotations

from vpndiag.protocols.esp import crypto
from vpndiag.protocols.esp.sa import EspSa
from vpndiag.protocols.esp.suites import ESP_HEADER, INTEGRITIES, Integrity

_OTHER = {
    Integrity.HMAC_SHA2_256_128: Integrity.HMAC_SHA2_256_96,
    Integrity.HMAC_SHA2_256_96: Integrity.HMAC_SHA2_256_128,
}


def verifies_as(sa: EspSa, packet: bytes, integrity: Integrity) -> bool:
    """Whether ``packet`` has a right ICV under ``integrity`` with the integrity key of ``sa``."""
    spec = INTEGRITIES[integrity]
    end = len(packet) - spec.icv
    if spec.icv == 0 or spec.key != len(sa.integrity_key) or end < ESP_HEADER:
        return False
    return crypto.icv_matches(integrity, sa.integrity_key, packet[:end], packet[end:])


def peer_truncation(sa: EspSa, packet: bytes) -> Integrity | None:
    """The length to which the sender of a packet that failed really truncates.

    Returns ``HMAC_SHA2_256_96`` for an SA at 128 bits whose packet verifies at 96, the reverse
    for an SA at 96 bits, and None when neither explains the failure (or the packet is right as it
    is). :meth:`EspSa.switch_integrity` then makes the SA talk to this peer.
    """
    other = _OTHER.get(sa.suite.integrity)
    if other is None or verifies_as(sa, packet, sa.suite.integrity):
        return None
    return other if verifies_as(sa, packet, other) else None
