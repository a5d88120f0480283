"""What an IP address is: public, private, carrier-grade NAT and so on."""

from __future__ import annotations

import ipaddress
from typing import Literal

AddressKind = Literal[
    "public", "private", "cgnat", "link-local", "loopback", "documentation", "benchmark",
    "multicast", "unspecified", "nat64", "reserved", "invalid",
]  # fmt: skip

_KINDS: tuple[tuple[str, AddressKind], ...] = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "cgnat"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.2.0/24", "documentation"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmark"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("64:ff9b::/96", "nat64"),
    ("64:ff9b:1::/48", "nat64"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
)
_NETWORKS = tuple((ipaddress.ip_network(text), kind) for text, kind in _KINDS)


def address_kind(address: str) -> AddressKind:
    """What an address is (IANA special-purpose registries); IPv4-mapped ones as their IPv4 part."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "invalid"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return address_kind(str(ip.ipv4_mapped))
        ip = ipaddress.IPv6Address(int(ip))
    for network, kind in _NETWORKS:
        if ip in network:
            return kind
    return "public" if ip.is_global else "reserved"
