"""ESP ciphers and integrity algorithms, with their key, IV, block and ICV lengths.

Sources: RFC 2405 (DES), RFC 2410 (NULL), RFC 2451 (3DES), RFC 3602 (AES-CBC), RFC 4106 (AES-GCM),
RFC 2403 (HMAC-MD5-96), RFC 2404 (HMAC-SHA1-96), RFC 4868 (HMAC-SHA2), and
draft-ietf-ipsec-ciph-sha-256-00 for HMAC-SHA2-256 cut to 96 bits, which old kernels still send.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.records import record


class Cipher(Enum):
    """An ESP encryption algorithm. AES-GCM carries its ICV length in the name."""

    AES_CBC = "AES-CBC"
    AES_GCM_8 = "AES-GCM-8"
    AES_GCM_12 = "AES-GCM-12"
    AES_GCM_16 = "AES-GCM-16"
    TRIPLE_DES = "3DES-CBC"
    DES = "DES-CBC"
    NULL = "NULL"


class Integrity(Enum):
    """An ESP integrity algorithm; the last number is the ICV length in bits."""

    NONE = "NONE"
    HMAC_MD5_96 = "HMAC-MD5-96"
    HMAC_SHA1_96 = "HMAC-SHA1-96"
    HMAC_SHA2_256_128 = "HMAC-SHA2-256-128"
    HMAC_SHA2_256_96 = "HMAC-SHA2-256-96"
    HMAC_SHA2_384_192 = "HMAC-SHA2-384-192"
    HMAC_SHA2_512_256 = "HMAC-SHA2-512-256"


@record(frozen=True, slots=True)
class CipherSpec:
    """Lengths in bytes, except ``key_bits``. ``salt`` is keying material after the key (GCM)."""

    key_bits: tuple[int, ...]
    iv: int
    block: int
    salt: int = 0
    aead_icv: int = 0


@record(frozen=True, slots=True)
class IntegritySpec:
    """Lengths in bytes. ``digest`` is a hashlib name, or empty."""

    digest: str
    key: int
    icv: int


_AES = (128, 192, 256)
CIPHERS: dict[Cipher, CipherSpec] = {
    Cipher.AES_CBC: CipherSpec(_AES, iv=16, block=16),
    Cipher.AES_GCM_8: CipherSpec(_AES, iv=8, block=4, salt=4, aead_icv=8),
    Cipher.AES_GCM_12: CipherSpec(_AES, iv=8, block=4, salt=4, aead_icv=12),
    Cipher.AES_GCM_16: CipherSpec(_AES, iv=8, block=4, salt=4, aead_icv=16),
    Cipher.TRIPLE_DES: CipherSpec((192,), iv=8, block=8),
    Cipher.DES: CipherSpec((64,), iv=8, block=8),
    Cipher.NULL: CipherSpec((0,), iv=0, block=4),
}
INTEGRITIES: dict[Integrity, IntegritySpec] = {
    Integrity.NONE: IntegritySpec("", 0, 0),
    Integrity.HMAC_MD5_96: IntegritySpec("md5", 16, 12),
    Integrity.HMAC_SHA1_96: IntegritySpec("sha1", 20, 12),
    Integrity.HMAC_SHA2_256_128: IntegritySpec("sha256", 32, 16),
    Integrity.HMAC_SHA2_256_96: IntegritySpec("sha256", 32, 12),
    Integrity.HMAC_SHA2_384_192: IntegritySpec("sha384", 48, 24),
    Integrity.HMAC_SHA2_512_256: IntegritySpec("sha512", 64, 32),
}

ESP_HEADER = 8
"""SPI and sequence number."""
ESP_TRAILER = 2
"""Pad length and next header."""


@record(frozen=True, slots=True)
class EspSuite:
    """What an SA protects packets with.

    ``key_bits`` is the cipher key in bits without the GCM salt (DES: 64, 3DES: 192, NULL: 0).
    AES-GCM goes with ``Integrity.NONE``, every other cipher with a HMAC; a cipher without
    integrity is accepted for reading captures.

    :raises LocalProtocolError: a key length that the cipher does not have, or GCM with a HMAC.
    """

    cipher: Cipher
    key_bits: int
    integrity: Integrity

    def __post_init__(self) -> None:
        spec = CIPHERS[self.cipher]
        if self.key_bits not in spec.key_bits:
            raise LocalProtocolError(f"{self.cipher.value} has no {self.key_bits}-bit key")
        if spec.aead_icv and self.integrity is not Integrity.NONE:
            raise LocalProtocolError(f"{self.cipher.value} takes no separate integrity algorithm")

    @property
    def encryption_key_length(self) -> int:
        """Bytes of keying material for the cipher, GCM salt included."""
        return self.key_bits // 8 + CIPHERS[self.cipher].salt

    @property
    def integrity_key_length(self) -> int:
        """Bytes of keying material for the HMAC."""
        return INTEGRITIES[self.integrity].key

    @property
    def iv_length(self) -> int:
        return CIPHERS[self.cipher].iv

    @property
    def block_size(self) -> int:
        """What the encrypted part is padded to: the cipher block, at least 4 (RFC 4303, 2.4)."""
        return CIPHERS[self.cipher].block

    @property
    def icv_length(self) -> int:
        return CIPHERS[self.cipher].aead_icv or INTEGRITIES[self.integrity].icv

    @property
    def is_aead(self) -> bool:
        return CIPHERS[self.cipher].aead_icv > 0

    @property
    def name(self) -> str:
        """Such as ``AES-CBC-256/HMAC-SHA1-96``."""
        bits = f"-{self.key_bits}" if len(CIPHERS[self.cipher].key_bits) > 1 else ""
        tail = "" if self.is_aead else f"/{self.integrity.value}"
        return f"{self.cipher.value}{bits}{tail}"

    def with_integrity(self, integrity: Integrity) -> EspSuite:
        return replace(self, integrity=integrity)

    def sealed_length(self, payload_length: int) -> int:
        """Bytes of the ESP packet, without UDP or IP, that carries ``payload_length`` bytes."""
        inner = payload_length + ESP_TRAILER
        padded = -(-inner // self.block_size) * self.block_size
        return ESP_HEADER + self.iv_length + padded + self.icv_length

    def largest_payload(self, packet_length: int) -> int:
        """The largest payload whose ESP packet has at most ``packet_length`` bytes, or 0."""
        room = packet_length - ESP_HEADER - self.iv_length - self.icv_length
        return max(0, room // self.block_size * self.block_size - ESP_TRAILER)
