"""RSA signatures of IKEv1 (RFC 2409 section 5.1).

IKEv1 signs HASH_I or HASH_R itself: PKCS #1 version 1.5 padding around the bare hash, without
the DigestInfo that says which hash it is. Common libraries only sign with it, so the padding is
done here and the modular exponentiation with plain integers. That is not constant-time, which is
acceptable for a diagnostic client with a test certificate; a long-lived server must not use it.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from vpndiag.protocols.errors import IntegrityError, LocalProtocolError

# DigestInfo up to the digest (RFC 8017 section 9.2, note 1), by digest size
_DIGEST_INFO: dict[int, bytes] = {
    16: bytes.fromhex("3020300c06082a864886f70d020505000410"),
    20: bytes.fromhex("3021300906052b0e03021a05000414"),
    32: bytes.fromhex("3031300d060960864801650304020105000420"),
    48: bytes.fromhex("3041300d060960864801650304020205000430"),
    64: bytes.fromhex("3051300d060960864801650304020305000440"),
}


MAX_KEY_BITS = 16384
MAX_EXPONENT_BITS = 64
"""A peer's key beyond these would only cost time."""


def _padded(content: bytes, size: int) -> bytes | None:
    """EMSA-PKCS1-v1_5 of ``size`` bytes; None when it does not fit (RFC 8017 section 9.2)."""
    filler = size - 3 - len(content)
    return None if filler < 8 else b"\0\1" + b"\xff" * filler + b"\0" + content


def rsa_sign(key: RSAPrivateKey, digest: bytes) -> bytes:
    """SIG_I or SIG_R of ``digest`` (HASH_I or HASH_R), as long as the modulus.

    :raises LocalProtocolError: the key is too short for this hash.
    """
    numbers = key.private_numbers()
    n = numbers.public_numbers.n
    size = (n.bit_length() + 7) // 8
    padded = _padded(digest, size)
    if padded is None:
        raise LocalProtocolError("the RSA key is too short for this hash")
    message = int.from_bytes(padded, "big")
    # Chinese remainder theorem (RFC 8017 section 5.2.1): four times quicker
    m1 = pow(message, numbers.dmp1, numbers.p)
    m2 = pow(message, numbers.dmq1, numbers.q)
    signature = m2 + numbers.q * (numbers.iqmp * (m1 - m2) % numbers.p)
    if pow(signature, numbers.public_numbers.e, n) != message:
        raise LocalProtocolError("the RSA private key is inconsistent")
    return signature.to_bytes(size, "big")


def rsa_verify(key: RSAPublicKey, digest: bytes, signature: bytes) -> None:
    """Check a SIG payload.

    Besides the bare hash of RFC 2409 the variant with DigestInfo is accepted, which some
    implementations send.

    :raises IntegrityError: the signature is not one of ``digest`` by this key.
    """
    numbers = key.public_numbers()
    if numbers.n.bit_length() > MAX_KEY_BITS or numbers.e.bit_length() > MAX_EXPONENT_BITS:
        raise IntegrityError("the peer's RSA key is too large")
    size = (numbers.n.bit_length() + 7) // 8
    value = int.from_bytes(signature, "big")
    if len(signature) != size or value >= numbers.n:
        raise IntegrityError("the signature has the wrong size")
    found = pow(value, numbers.e, numbers.n).to_bytes(size, "big")
    for prefix in (b"", _DIGEST_INFO.get(len(digest))):
        if prefix is None:
            continue
        expected = _padded(prefix + digest, size)
        if expected is not None and hmac.compare_digest(found, expected):
            return
    raise IntegrityError("the signature does not verify")
