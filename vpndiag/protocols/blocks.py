"""Block ciphers of IKE, ESP and MS-CHAP. What computes them is loaded with the first: that takes
longer than to read many a capture, in which nothing is decrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes


def aes_cbc(key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    """RFC 3602."""
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    return Cipher(_aes(key), modes.CBC(iv))


def aes_gcm(key: bytes, nonce: bytes) -> Cipher[modes.GCM]:
    """RFC 4106. To decrypt, :func:`aes_gcm_open`."""
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    return Cipher(_aes(key), modes.GCM(nonce))


def aes_gcm_open(key: bytes, nonce: bytes, data: bytes, tag: bytes, aad: bytes) -> bytes | None:
    """The plain text; None: ``tag``, which may be cut, does not verify."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    mode = modes.GCM(nonce, tag, min_tag_length=len(tag))
    operation = Cipher(_aes(key), mode).decryptor()
    operation.authenticate_additional_data(aad)
    try:
        return operation.update(data) + operation.finalize()
    except InvalidTag:
        return None


def des_cbc(key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    """DES with a key of 8 bytes, 3DES with one of 24 (RFC 2405, RFC 2451)."""
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    return Cipher(_triple_des(key), modes.CBC(iv))


def des_ecb(key: bytes) -> Cipher[modes.ECB]:
    """The bare cipher, of a key of 8 bytes."""
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    return Cipher(_triple_des(key), modes.ECB())


def _aes(key: bytes) -> BlockCipherAlgorithm:
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    return AES(key)


def _triple_des(key: bytes) -> BlockCipherAlgorithm:
    """DES is 3DES with three equal keys."""
    try:
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    except ImportError:  # cryptography before 43
        from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES
    return TripleDES(key * (24 // len(key)))
