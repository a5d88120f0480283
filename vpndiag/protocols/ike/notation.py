"""Short names of algorithms, as strongSwan, Libreswan and others write them: ``aes256-sha1``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike.algorithms import Encryption, EspAuth, EspCipher, Group, Hash

T = TypeVar("T")

IKE_CIPHERS: dict[str, tuple[int, int | None]] = {
    "aes128": (Encryption.AES_CBC, 128),
    "aes": (Encryption.AES_CBC, 128),
    "aes192": (Encryption.AES_CBC, 192),
    "aes256": (Encryption.AES_CBC, 256),
    "3des": (Encryption.TRIPLE_DES_CBC, None),
    "des": (Encryption.DES_CBC, None),
}
IKE_HASHES: dict[str, int] = {
    "md5": Hash.MD5,
    "sha1": Hash.SHA1,
    "sha": Hash.SHA1,
    "sha256": Hash.SHA2_256,
    "sha2_256": Hash.SHA2_256,
    "sha384": Hash.SHA2_384,
    "sha2_384": Hash.SHA2_384,
    "sha512": Hash.SHA2_512,
    "sha2_512": Hash.SHA2_512,
}
ESP_CIPHERS: dict[str, tuple[int, int | None]] = {
    "aes128": (EspCipher.AES_CBC, 128),
    "aes": (EspCipher.AES_CBC, 128),
    "aes192": (EspCipher.AES_CBC, 192),
    "aes256": (EspCipher.AES_CBC, 256),
    "3des": (EspCipher.TRIPLE_DES, None),
    "des": (EspCipher.DES, None),
    "null": (EspCipher.NULL, None),
    **{
        f"aes{bits}gcm{icv}": (cipher, bits)
        for bits in (128, 192, 256)
        for icv, cipher in (
            (16, EspCipher.AES_GCM_16),
            (12, EspCipher.AES_GCM_12),
            (8, EspCipher.AES_GCM_8),
        )
    },
}
ESP_AUTHS: dict[str, int] = {
    "md5": EspAuth.HMAC_MD5,
    "sha1": EspAuth.HMAC_SHA1,
    "sha": EspAuth.HMAC_SHA1,
    "sha256": EspAuth.HMAC_SHA2_256,
    "sha2_256": EspAuth.HMAC_SHA2_256,
    "sha384": EspAuth.HMAC_SHA2_384,
    "sha2_384": EspAuth.HMAC_SHA2_384,
    "sha512": EspAuth.HMAC_SHA2_512,
    "sha2_512": EspAuth.HMAC_SHA2_512,
}
GROUPS: dict[str, int] = {
    **{group.name.lower(): group for group in Group},
    **{f"dh{group.value}": group for group in Group},
}


def short_name(table: Mapping[str, T], value: T) -> str | None:
    """The first (preferred) name of a value."""
    return next((name for name, entry in table.items() if entry == value), None)


def look_up(table: Mapping[str, T], token: str, what: str, text: str) -> T:
    """The entry for a token of ``text``.

    :raises LocalProtocolError: with a text that names what is wrong.
    """
    try:
        return table[token]
    except KeyError:
        known = ", ".join(table)
        raise LocalProtocolError(f"{text!r}: {token!r} is no {what}; known: {known}") from None
