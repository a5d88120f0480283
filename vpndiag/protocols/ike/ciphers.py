"""Block ciphers, hashes and the pseudo-random function of IKEv1 (RFC 2409 section 4, appendix A).

DES and MD5 are here because old gateways still speak nothing else; what is weak is told by
:mod:`vpndiag.protocols.ike.transforms`, not prevented here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from vpndiag.protocols.blocks import aes_cbc, des_cbc
from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.algorithms import Encryption, Hash
from vpndiag.protocols.ike.constants import name_of
from vpndiag.records import record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

_HASHES: dict[int, str] = {
    Hash.MD5: "md5",
    Hash.SHA1: "sha1",
    Hash.SHA2_256: "sha256",
    Hash.SHA2_384: "sha384",
    Hash.SHA2_512: "sha512",
}


def _hash_name(hash_id: int) -> str:
    try:
        return _HASHES[hash_id]
    except KeyError:
        raise LocalProtocolError(f"hash {name_of(Hash, hash_id)} is not supported") from None


def digest_size(hash_id: int) -> int:
    """Bytes of a digest.

    :raises LocalProtocolError: not one that is known here.
    """
    return hashlib.new(_hash_name(hash_id), usedforsecurity=False).digest_size


def hash_data(hash_id: int, data: bytes) -> bytes:
    """The negotiated hash of ``data``.

    :raises LocalProtocolError: not one that is known here.
    """
    digest: bytes = _maker(hash_id)(data).digest()
    return digest


@lru_cache(maxsize=16)
def _maker(hash_id: int) -> Callable[[bytes], Any]:
    # hashlib.new takes twice the time.
    return partial(getattr(hashlib, _hash_name(hash_id)), usedforsecurity=False)


def prf(hash_id: int, key: bytes, data: bytes) -> bytes:
    """HMAC of the negotiated hash, the default prf (RFC 2409 section 4).

    :raises LocalProtocolError: not one that is known here.
    """
    return hmac.new(key, data, _hash_name(hash_id)).digest()


@record(frozen=True, slots=True)
class CipherSpec:
    """A phase 1 cipher with its key length; sizes in bytes."""

    encryption: int
    key_size: int
    block_size: int

    @classmethod
    def of(cls, encryption: int, key_length: int | None = None) -> CipherSpec:
        """:param key_length: bits, only for AES; None or 0 means 128 (RFC 3602 section 5.3).

        :raises LocalProtocolError: not supported.
        """
        if encryption == Encryption.DES_CBC:
            return cls(encryption, 8, 8)
        if encryption == Encryption.TRIPLE_DES_CBC:
            return cls(encryption, 24, 8)
        if encryption == Encryption.AES_CBC:
            bits = key_length or 128
            if bits not in (128, 192, 256):
                raise LocalProtocolError(f"AES has no {bits}-bit keys")
            return cls(encryption, bits // 8, 16)
        raise LocalProtocolError(f"cipher {name_of(Encryption, encryption)} is not supported")

    def _cipher(self, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
        if len(key) != self.key_size or len(iv) != self.block_size:
            raise LocalProtocolError("key or IV has the wrong size")
        cipher = aes_cbc if self.encryption == Encryption.AES_CBC else des_cbc
        return cipher(key, iv)

    def encrypt(self, key: bytes, iv: bytes, plaintext: bytes) -> bytes:
        """CBC; zero-padded to the block size (RFC 2409 section 5, appendix B).

        :raises LocalProtocolError: wrong size of key or IV.
        """
        padded = plaintext + bytes(-len(plaintext) % self.block_size)
        encryptor = self._cipher(key, iv).encryptor()
        return encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
        """CBC; padding stays.

        :raises RemoteProtocolError: not a whole, positive number of blocks.
        :raises LocalProtocolError: wrong size of key or IV.
        """
        if not ciphertext or len(ciphertext) % self.block_size:
            raise RemoteProtocolError(
                f"{len(ciphertext)} encrypted bytes are no multiple of {self.block_size}"
            )
        decryptor = self._cipher(key, iv).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()
