"""Numbers of ISAKMP and IKEv1 messages and their names.

Sources: RFC 2407 (DOI), RFC 2408 (ISAKMP), RFC 2409 (IKE), RFC 3706 (DPD), RFC 3947 (NAT-T), and
the IANA registries "isakmp-registry" and "ipsec-registry". Those of proposals: ``algorithms.py``.
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
