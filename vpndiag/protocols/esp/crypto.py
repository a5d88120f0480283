"""The ciphers and HMACs of ESP on plain byte strings."""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from vpndiag.protocols.errors import IntegrityError
from vpndiag.protocols.esp import suites
from vpndiag.protocols.esp.suites import INTEGRITIES, EspSuite, Integrity

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:  # cryptography before 43
    from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES


def icv(integrity: Integrity, key: bytes, data: bytes) -> bytes:
    """The truncated HMAC of ``data``; empty for ``Integrity.NONE``."""
    spec = INTEGRITIES[integrity]
    if not spec.digest:
        return b""
    return hmac.digest(key, data, spec.digest)[: spec.icv]


def icv_matches(integrity: Integrity, key: bytes, data: bytes, received: bytes) -> bool:
    """Constant-time comparison with the ICV of the packet."""
    return hmac.compare_digest(icv(integrity, key, data), received)


def _block_cipher(suite: EspSuite, key: bytes) -> BlockCipherAlgorithm:
    if suite.cipher is suites.Cipher.AES_CBC:
        return AES(key)
    # Single DES is 3DES with three equal keys.
    return TripleDES(key * 3 if suite.cipher is suites.Cipher.DES else key)


def encrypt_cbc(suite: EspSuite, key: bytes, iv: bytes, plain: bytes) -> bytes:
    """``plain`` is whole blocks. NULL returns it unchanged."""
    if suite.cipher is suites.Cipher.NULL:
        return plain
    operation = Cipher(_block_cipher(suite, key), modes.CBC(iv)).encryptor()
    return operation.update(plain) + operation.finalize()


def decrypt_cbc(suite: EspSuite, key: bytes, iv: bytes, data: bytes) -> bytes:
    """``data`` is whole blocks. NULL returns it unchanged."""
    if suite.cipher is suites.Cipher.NULL:
        return data
    operation = Cipher(_block_cipher(suite, key), modes.CBC(iv)).decryptor()
    return operation.update(data) + operation.finalize()


def seal_gcm(suite: EspSuite, key: bytes, iv: bytes, plain: bytes, aad: bytes) -> bytes:
    """Ciphertext and ICV. The last 4 bytes of ``key`` are the salt (RFC 4106, 4 and 8.1)."""
    operation = Cipher(AES(key[:-4]), modes.GCM(key[-4:] + iv)).encryptor()
    operation.authenticate_additional_data(aad)
    data = operation.update(plain) + operation.finalize()
    return data + operation.tag[: suite.icv_length]


def open_gcm(suite: EspSuite, key: bytes, iv: bytes, data: bytes, tag: bytes, aad: bytes) -> bytes:
    """:raises IntegrityError: the tag does not verify."""
    mode = modes.GCM(key[-4:] + iv, tag, min_tag_length=suite.icv_length)
    operation = Cipher(AES(key[:-4]), mode).decryptor()
    operation.authenticate_additional_data(aad)
    try:
        return operation.update(data) + operation.finalize()
    except InvalidTag:
        raise IntegrityError("ESP ICV does not verify") from None
