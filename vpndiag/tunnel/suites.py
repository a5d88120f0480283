"""From what quick mode agreed to the ESP SAs that carry it."""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.esp.sa import EspPair, EspSa
from vpndiag.protocols.esp.suites import Cipher, EspSuite, Integrity
from vpndiag.protocols.ike.algorithms import EspAuth, EspCipher
from vpndiag.protocols.ike.events import ChildSa
from vpndiag.protocols.ike.transforms import EspTransform

_CIPHERS = {
    EspCipher.AES_CBC: Cipher.AES_CBC,
    EspCipher.AES_GCM_8: Cipher.AES_GCM_8,
    EspCipher.AES_GCM_12: Cipher.AES_GCM_12,
    EspCipher.AES_GCM_16: Cipher.AES_GCM_16,
    EspCipher.TRIPLE_DES: Cipher.TRIPLE_DES,
    EspCipher.DES: Cipher.DES,
    EspCipher.NULL: Cipher.NULL,
}
_FIXED_BITS = {Cipher.TRIPLE_DES: 192, Cipher.DES: 64, Cipher.NULL: 0}
_INTEGRITIES = {
    EspAuth.NONE: Integrity.NONE,
    EspAuth.HMAC_MD5: Integrity.HMAC_MD5_96,
    EspAuth.HMAC_SHA1: Integrity.HMAC_SHA1_96,
    EspAuth.HMAC_SHA2_256: Integrity.HMAC_SHA2_256_128,
    EspAuth.HMAC_SHA2_384: Integrity.HMAC_SHA2_384_192,
    EspAuth.HMAC_SHA2_512: Integrity.HMAC_SHA2_512_256,
}


def suite_of(transform: EspTransform) -> EspSuite:
    """:raises LocalProtocolError: an algorithm that our ESP does not have."""
    try:
        cipher = _CIPHERS[EspCipher(transform.cipher)]
        integrity = _INTEGRITIES[EspAuth(transform.auth)]
    except (KeyError, ValueError) as error:
        raise LocalProtocolError(f"ESP {transform.text} is not supported") from error
    bits = _FIXED_BITS.get(cipher, transform.key_length or 128)
    return EspSuite(cipher, bits, integrity)


def pair_of(child: ChildSa, random_bytes: Callable[[int], bytes], window: int = 64) -> EspPair:
    """The SA pair of a quick mode. ``window``: late packets that are still taken.

    :raises LocalProtocolError: as :func:`suite_of`.
    """
    suite = suite_of(child.transform)
    return EspPair(
        inbound=EspSa(
            int.from_bytes(child.spi_in, "big"),
            suite,
            child.enc_key_in,
            child.auth_key_in,
            window=window,
        ),
        outbound=EspSa(
            int.from_bytes(child.spi_out, "big"),
            suite,
            child.enc_key_out,
            child.auth_key_out,
            random_bytes=random_bytes,
        ),
    )
