"""Numbers in the transforms of proposals, and their names: attributes and algorithms.

Sources: RFC 2407 (DOI), RFC 2409 (IKE), RFC 3526 (MODP groups), RFC 3602 and RFC 4868 (AES, SHA-2),
RFC 3947 (NAT-T), RFC 5903 (ECP groups), and the IANA registries "isakmp-registry" and
"ipsec-registry".
"""

from __future__ import annotations

from vpndiag.protocols.ike.constants import Registry


class Phase1Attribute(Registry):
    """RFC 2409 appendix A."""

    ENCRYPTION = 1
    HASH = 2
    AUTH_METHOD = 3
    GROUP = 4
    GROUP_TYPE = 5
    GROUP_PRIME = 6
    GROUP_GENERATOR_1 = 7
    GROUP_GENERATOR_2 = 8
    GROUP_CURVE_A = 9
    GROUP_CURVE_B = 10
    LIFE_TYPE = 11
    LIFE_DURATION = 12
    PRF = 13
    KEY_LENGTH = 14
    FIELD_SIZE = 15
    GROUP_ORDER = 16


class Encryption(Registry):
    """Phase 1 ciphers (RFC 2409 appendix A, RFC 3602; IANA)."""

    DES_CBC = 1
    IDEA_CBC = 2
    BLOWFISH_CBC = 3
    RC5_CBC = 4
    TRIPLE_DES_CBC = 5
    CAST_CBC = 6
    AES_CBC = 7
    CAMELLIA_CBC = 8

    @property
    def label(self) -> str:
        return "3DES-CBC" if self is Encryption.TRIPLE_DES_CBC else super().label


class Hash(Registry):
    """Phase 1 hashes (RFC 2409 appendix A, RFC 4868; IANA)."""

    MD5 = 1
    SHA1 = 2
    TIGER = 3
    SHA2_256 = 4
    SHA2_384 = 5
    SHA2_512 = 6


class AuthMethod(Registry):
    """RFC 2409 appendix A; ECDSA: RFC 4754; hybrid and XAUTH: their drafts."""

    PSK = 1
    DSS_SIG = 2
    RSA_SIG = 3
    RSA_ENC = 4
    RSA_REVISED_ENC = 5
    ECDSA_SIG = 8
    ECDSA_256 = 9
    ECDSA_384 = 10
    ECDSA_521 = 11
    HYBRID_INIT_RSA = 64221
    HYBRID_RESP_RSA = 64222
    XAUTH_INIT_PSK = 65001
    XAUTH_RESP_PSK = 65002
    XAUTH_INIT_RSA = 65005
    XAUTH_RESP_RSA = 65006


class Group(Registry):
    """Diffie-Hellman groups (RFC 2409 section 6, RFC 3526, RFC 5903; IANA)."""

    MODP768 = 1
    MODP1024 = 2
    EC2N155 = 3
    EC2N185 = 4
    MODP1536 = 5
    MODP2048 = 14
    MODP3072 = 15
    MODP4096 = 16
    MODP6144 = 17
    MODP8192 = 18
    ECP256 = 19
    ECP384 = 20
    ECP521 = 21
    MODP1024_160 = 22
    MODP2048_224 = 23
    MODP2048_256 = 24
    ECP192 = 25
    ECP224 = 26
    CURVE25519 = 31


class LifeType(Registry):
    """RFC 2409 appendix A and RFC 2407 section 4.5: the same numbers in both phases."""

    SECONDS = 1
    KILOBYTES = 2


class Phase2Attribute(Registry):
    """RFC 2407 section 4.5; ESN: RFC 4304."""

    LIFE_TYPE = 1
    LIFE_DURATION = 2
    GROUP = 3
    ENCAPSULATION_MODE = 4
    AUTH_ALGORITHM = 5
    KEY_LENGTH = 6
    KEY_ROUNDS = 7
    COMPRESS_DICTIONARY_SIZE = 8
    COMPRESS_PRIVATE = 9
    ECN_TUNNEL = 10
    EXTENDED_SEQUENCE_NUMBER = 11


class EspCipher(Registry):
    """ESP transform ids (RFC 2407 section 4.4.4, RFC 3602, RFC 4106; IANA)."""

    DES_IV64 = 1
    DES = 2
    TRIPLE_DES = 3
    RC5 = 4
    IDEA = 5
    CAST = 6
    BLOWFISH = 7
    TRIPLE_IDEA = 8
    DES_IV32 = 9
    RC4 = 10
    NULL = 11
    AES_CBC = 12
    AES_CTR = 13
    AES_CCM_8 = 14
    AES_CCM_12 = 15
    AES_CCM_16 = 16
    AES_GCM_8 = 18
    AES_GCM_12 = 19
    AES_GCM_16 = 20
    SEED_CBC = 21
    CAMELLIA = 22
    NULL_AUTH_AES_GMAC = 23

    @property
    def label(self) -> str:
        if self is EspCipher.TRIPLE_DES:
            return "3DES-CBC"
        if self is EspCipher.DES:
            return "DES-CBC"
        return super().label

    @property
    def is_aead(self) -> bool:
        """Whether the cipher brings its own integrity check."""
        return 14 <= self <= 20 or self is EspCipher.NULL_AUTH_AES_GMAC


class EspAuth(Registry):
    """Authentication algorithms of RFC 2407 section 4.5, RFC 4868, RFC 3566.

    ``NONE`` is not sent: it stands for the absence of the attribute.
    """

    NONE = 0
    HMAC_MD5 = 1
    HMAC_SHA1 = 2
    DES_MAC = 3
    KPDK = 4
    HMAC_SHA2_256 = 5
    HMAC_SHA2_384 = 6
    HMAC_SHA2_512 = 7
    HMAC_RIPEMD = 8
    AES_XCBC_MAC = 9

    @property
    def label(self) -> str:
        return _ESP_AUTH_LABELS.get(self, super().label)


_ESP_AUTH_LABELS: dict[int, str] = {
    EspAuth.HMAC_MD5: "HMAC-MD5-96",
    EspAuth.HMAC_SHA1: "HMAC-SHA1-96",
    EspAuth.HMAC_SHA2_256: "HMAC-SHA2-256-128",
    EspAuth.HMAC_SHA2_384: "HMAC-SHA2-384-192",
    EspAuth.HMAC_SHA2_512: "HMAC-SHA2-512-256",
    EspAuth.AES_XCBC_MAC: "AES-XCBC-MAC-96",
}


class EncapsulationMode(Registry):
    """RFC 2407 section 4.5, RFC 3947 section 5.1; the last two: the NAT-T drafts 00 to 03."""

    TUNNEL = 1
    TRANSPORT = 2
    UDP_TUNNEL = 3
    UDP_TRANSPORT = 4
    UDP_TUNNEL_DRAFT = 61443
    UDP_TRANSPORT_DRAFT = 61444

    @property
    def label(self) -> str:
        return _MODE_LABELS[self]

    @property
    def is_transport(self) -> bool:
        return self in (2, 4, 61444)

    @property
    def is_udp(self) -> bool:
        return self in (3, 4, 61443, 61444)


_MODE_LABELS: dict[int, str] = {
    1: "tunnel",
    2: "transport",
    3: "UDP-tunnel",
    4: "UDP-transport",
    61443: "UDP-tunnel (draft)",
    61444: "UDP-transport (draft)",
}
