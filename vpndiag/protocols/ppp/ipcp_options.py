"""IPCP options (RFC 1332 section 3, RFC 1877, RFC 2290) and their text."""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.protocols.ppp.options import Option, raw_text

IP_ADDRESSES = 1
"""Deprecated pair of addresses (RFC 1172); never sent, rejected when asked for."""
IP_COMPRESSION = 2
IP_ADDRESS = 3
MOBILE_IPV4 = 4
PRIMARY_DNS = 129
PRIMARY_NBNS = 130
SECONDARY_DNS = 131
SECONDARY_NBNS = 132

NAMES = {
    0: "Vendor",
    IP_ADDRESSES: "IP-Addresses",
    IP_COMPRESSION: "IP-Compression",
    IP_ADDRESS: "IP-Address",
    MOBILE_IPV4: "Mobile-IPv4",
    PRIMARY_DNS: "Primary-DNS",
    PRIMARY_NBNS: "Primary-NBNS",
    SECONDARY_DNS: "Secondary-DNS",
    SECONDARY_NBNS: "Secondary-NBNS",
}
COMPRESSIONS = {0x002D: "VJ", 0x0061: "IPHC", 0x0003: "ROHC"}
ADDRESS_OPTIONS = frozenset(
    (IP_ADDRESS, MOBILE_IPV4, PRIMARY_DNS, PRIMARY_NBNS, SECONDARY_DNS, SECONDARY_NBNS)
)
UNSPECIFIED = IPv4Address(0)


def address(kind: int, value: IPv4Address) -> Option:
    """An option of type ``kind`` that holds one address."""
    return Option(kind, value.packed)


def read_address(option: Option) -> IPv4Address | None:
    """The address in an option that holds one; None when the length is not 4."""
    return IPv4Address(option.data) if len(option.data) == 4 else None


def text(option: Option) -> str:
    """Readable form, such as ``"IP-Address 10.0.0.2"`` or ``"IP-Compression VJ 0f01"``."""
    name = NAMES.get(option.type) or f"Option-{option.type}"
    if option.type in ADDRESS_OPTIONS and len(option.data) == 4:
        return f"{name} {IPv4Address(option.data)}"
    if option.type == IP_ADDRESSES and len(option.data) == 8:
        return f"{name} {IPv4Address(option.data[:4])} {IPv4Address(option.data[4:])}"
    if option.type == IP_COMPRESSION and len(option.data) >= 2:
        number = int.from_bytes(option.data[:2], "big")
        kind = COMPRESSIONS.get(number) or f"0x{number:04x}"
        return f"{name} {kind} {option.data[2:].hex()}".rstrip()
    return raw_text(name, option)
