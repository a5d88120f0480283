"""The ciphers and HMACs of ESP on plain byte strings."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from vpndiag.protocols.blocks import aes_cbc, aes_gcm, aes_gcm_open, des_cbc
from vpndiag.protocols.errors import IntegrityError
from vpndiag.protocols.esp import suites
from vpndiag.protocols.esp.suites import INTEGRITIES, EspSuite, Integrity

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes


def icv(integrity: Integrity, key: bytes, data: bytes) -> bytes:
    """The truncated HMAC of ``data``; empty for ``Integrity.NONE``."""
    spec = INTEGRITIES[integrity]
    if not spec.digest:
        return b""
    return hmac.digest(key, data, spec.digest)[: spec.icv]


def icv_matches(integrity: Integrity, key: bytes, data: bytes, received: bytes) -> bool:
    """Constant-time comparison with the ICV of the packet."""
    return hmac.compare_digest(icv(integrity, key, data), received)


def _cbc(suite: EspSuite, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    cipher = aes_cbc if suite.cipher is suites.Cipher.AES_CBC else des_cbc
    return cipher(key, iv)


def encrypt_cbc(suite: EspSuite, key: bytes, iv: bytes, plain: bytes) -> bytes:
    """``plain`` is whole blocks. NULL returns it unchanged."""
    if suite.cipher is suites.Cipher.NULL:
        return plain
    operation = _cbc(suite, key, iv).encryptor()
    return operation.update(plain) + operation.finalize()


def decrypt_cbc(suite: EspSuite, key: bytes, iv: bytes, data: bytes) -> bytes:
    """``data`` is whole blocks. NULL returns it unchanged."""
    if suite.cipher is suites.Cipher.NULL:
        return data
    operation = _cbc(suite, key, iv).decryptor()
    return operation.update(data) + operation.finalize()


def seal_gcm(suite: EspSuite, key: bytes, iv: bytes, plain: bytes, aad: bytes) -> bytes:
    """Ciphertext and ICV. The last 4 bytes of ``key`` are the salt (RFC 4106, 4 and 8.1)."""
    operation = aes_gcm(key[:-4], key[-4:] + iv).encryptor()
    operation.authenticate_additional_data(aad)
    data = operation.update(plain) + operation.finalize()
    return data + operation.tag[: suite.icv_length]


def open_gcm(suite: EspSuite, key: bytes, iv: bytes, data: bytes, tag: bytes, aad: bytes) -> bytes:
    """:raises IntegrityError: the tag does not verify."""
    plain = aes_gcm_open(key[:-4], key[-4:] + iv, data, tag, aad)
    if plain is None:
        raise IntegrityError("ESP ICV does not verify")
    return plain
