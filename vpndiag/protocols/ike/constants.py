"""Numbers of ISAKMP and IKEv1 and their names.

Sources: RFC 2407 (DOI), RFC 2408 (ISAKMP), RFC 2409 (IKE), RFC 3526 (MODP groups), RFC 3602 and
RFC 4868 (AES, SHA-2), RFC 3706 (DPD), RFC 3947 (NAT-T), RFC 5903 (ECP groups), and the IANA
registries "isakmp-registry" and "ipsec-registry".
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from functools import lru_cache


class Registry(IntEnum):
    """An IntEnum whose members have a readable ``label``."""

    @property
    def label(self) -> str:
        return self.name.replace("_", "-")


@lru_cache(maxsize=1024)
@lru_cache(maxsize=1024)
def name_of(registry: type[Registry], value: int) -> str:
    """The label of ``value``, or ``unknown <value>``. Never raises."""
    try:
        return registry(value).label
    except ValueError:
        return f"unknown {value}"


class ExchangeType(Registry):
    """RFC 2408 section 3.1; quick mode and new group mode: RFC 2409; 34 and up: IKEv2."""

    BASE = 1
    MAIN_MODE = 2
    AUTHENTICATION_ONLY = 3
    AGGRESSIVE_MODE = 4
    INFORMATIONAL = 5
    TRANSACTION = 6
    QUICK_MODE = 32
    NEW_GROUP_MODE = 33
    IKE_SA_INIT = 34
    IKE_AUTH = 35
    CREATE_CHILD_SA = 36
    IKEV2_INFORMATIONAL = 37
    IKE_SESSION_RESUME = 38
    IKE_INTERMEDIATE = 43


class PayloadType(Registry):
    """RFC 2408 section 3.1, RFC 3947, the drafts' private numbers; 33 to 53: IKEv2 (RFC 7296).

    15 and 16 (GDOI's SAK and SAT) were NAT-D and NAT-OA in NAT-T drafts 04 to 08, before IANA
    gave out 20 and 21. 130 and 131 are those of drafts 00 to 03.
    """

    NONE = 0
    SA = 1
    PROPOSAL = 2
    TRANSFORM = 3
    KE = 4
    ID = 5
    CERT = 6
    CERTREQ = 7
    HASH = 8
    SIG = 9
    NONCE = 10
    NOTIFICATION = 11
    DELETE = 12
    VENDOR_ID = 13
    ATTRIBUTES = 14
    SAK = 15
    SAT = 16
    KD = 17
    SEQ = 18
    POP = 19
    NAT_D = 20
    NAT_OA = 21
    GAP = 22
    V2_SA = 33
    V2_KE = 34
    V2_IDI = 35
    V2_IDR = 36
    V2_CERT = 37
    V2_CERTREQ = 38
    V2_AUTH = 39
    V2_NONCE = 40
    V2_NOTIFY = 41
    V2_DELETE = 42
    V2_VENDOR_ID = 43
    V2_TSI = 44
    V2_TSR = 45
    V2_ENCRYPTED = 46
    V2_CONFIGURATION = 47
    V2_EAP = 48
    V2_ENCRYPTED_FRAGMENT = 53
    NAT_D_DRAFT = 130
    NAT_OA_DRAFT = 131
    FRAGMENTATION = 132


class HeaderFlag(IntFlag):
    """RFC 2408 section 3.1. The last three are IKEv2's (RFC 7296 section 3.1)."""

    ENCRYPTION = 0x01
    COMMIT = 0x02
    AUTHENTICATION_ONLY = 0x04
    V2_INITIATOR = 0x08
    V2_VERSION = 0x10
    V2_RESPONSE = 0x20


class NotifyType(Registry):
    """RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706 section 5.2."""

    INVALID_PAYLOAD_TYPE = 1
    DOI_NOT_SUPPORTED = 2
    SITUATION_NOT_SUPPORTED = 3
    INVALID_COOKIE = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_MINOR_VERSION = 6
    INVALID_EXCHANGE_TYPE = 7
    INVALID_FLAGS = 8
    INVALID_MESSAGE_ID = 9
    INVALID_PROTOCOL_ID = 10
    INVALID_SPI = 11
    INVALID_TRANSFORM_ID = 12
    ATTRIBUTES_NOT_SUPPORTED = 13
    NO_PROPOSAL_CHOSEN = 14
    BAD_PROPOSAL_SYNTAX = 15
    PAYLOAD_MALFORMED = 16
    INVALID_KEY_INFORMATION = 17
    INVALID_ID_INFORMATION = 18
    INVALID_CERT_ENCODING = 19
    INVALID_CERTIFICATE = 20
    CERT_TYPE_UNSUPPORTED = 21
    INVALID_CERT_AUTHORITY = 22
    INVALID_HASH_INFORMATION = 23
    AUTHENTICATION_FAILED = 24
    INVALID_SIGNATURE = 25
    ADDRESS_NOTIFICATION = 26
    NOTIFY_SA_LIFETIME = 27
    CERTIFICATE_UNAVAILABLE = 28
    UNSUPPORTED_EXCHANGE_TYPE = 29
    UNEQUAL_PAYLOAD_LENGTHS = 30
    CONNECTED = 16384
    RESPONDER_LIFETIME = 24576
    REPLAY_STATUS = 24577
    INITIAL_CONTACT = 24578
    R_U_THERE = 36136
    R_U_THERE_ACK = 36137
    CISCO_LOAD_BALANCE = 40501
    CISCO_PRESHARED_KEY_HASH = 40503
    HEARTBEAT = 40506

    @property
    def is_error(self) -> bool:
        return self < 16384


def is_error_notify(value: int) -> bool:
    """Whether a notify number is in the error range (RFC 2408 section 3.14.1: below 16384)."""
    return value < 16384


class V2NotifyType(Registry):
    """The IKEv2 notify types that an IKE_SA_INIT answer may carry in clear (RFC 7296 3.10.1)."""

    UNSUPPORTED_CRITICAL_PAYLOAD = 1
    INVALID_IKE_SPI = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_SYNTAX = 7
    INVALID_MESSAGE_ID = 9
    INVALID_SPI = 11
    NO_PROPOSAL_CHOSEN = 14
    INVALID_KE_PAYLOAD = 17
    AUTHENTICATION_FAILED = 24
    NO_ADDITIONAL_SAS = 35
    TEMPORARY_FAILURE = 43
    INITIAL_CONTACT = 16384
    NAT_DETECTION_SOURCE_IP = 16388
    NAT_DETECTION_DESTINATION_IP = 16389
    COOKIE = 16390
    HTTP_CERT_LOOKUP_SUPPORTED = 16392
    REDIRECT_SUPPORTED = 16406
    REDIRECT = 16407
    REDIRECTED_FROM = 16408
    IKEV2_FRAGMENTATION_SUPPORTED = 16430
    SIGNATURE_HASH_ALGORITHMS = 16431


class ProtocolId(Registry):
    """RFC 2407 section 4.4.1."""

    ISAKMP = 1
    AH = 2
    ESP = 3
    IPCOMP = 4


DOI_ISAKMP = 0
DOI_IPSEC = 1
SIT_IDENTITY_ONLY = 1
KEY_IKE = 1
"""The only transform id of protocol ISAKMP (RFC 2407 section 4.4.2)."""


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


class IdType(Registry):
    """Identification types (RFC 2407 section 4.6.2.1)."""

    IPV4_ADDR = 1
    FQDN = 2
    USER_FQDN = 3
    IPV4_ADDR_SUBNET = 4
    IPV6_ADDR = 5
    IPV6_ADDR_SUBNET = 6
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    DER_ASN1_DN = 9
    DER_ASN1_GN = 10
    KEY_ID = 11

    @property
    def label(self) -> str:
        return f"ID_{self.name}"


class CertEncoding(Registry):
    """Certificate encodings (RFC 2408 section 3.9)."""

    NONE = 0
    PKCS7_X509 = 1
    PGP = 2
    DNS_SIGNED_KEY = 3
    X509_SIGNATURE = 4
    X509_KEY_EXCHANGE = 5
    KERBEROS_TOKENS = 6
    CRL = 7
    ARL = 8
    SPKI = 9
    X509_ATTRIBUTE = 10
