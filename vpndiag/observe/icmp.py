"""Names of ICMP errors, as ``observations.IcmpError.what`` uses them (RFC 792, RFC 1122 3.2.2.1,
RFC 1812 5.2.7.1, RFC 4443): the same for sockets and captures."""

from __future__ import annotations

_V4 = {
    (3, 0): "net-unreachable",
    (3, 1): "host-unreachable",
    (3, 2): "protocol-unreachable",
    (3, 3): "port-unreachable",
    (3, 4): "fragmentation-needed",
    (3, 6): "net-unreachable",
    (3, 7): "host-unreachable",
    (3, 9): "prohibited",
    (3, 10): "prohibited",
    (3, 11): "net-unreachable",
    (3, 12): "host-unreachable",
    (3, 13): "prohibited",
    (11, 0): "ttl-exceeded",
    (11, 1): "reassembly-timeout",
}
_V6 = {
    (1, 0): "net-unreachable",
    (1, 1): "prohibited",
    (1, 3): "host-unreachable",
    (1, 4): "port-unreachable",
    (1, 5): "prohibited",
    (1, 6): "prohibited",
    (2, 0): "fragmentation-needed",
    (3, 0): "ttl-exceeded",
    (3, 1): "reassembly-timeout",
    (4, 1): "protocol-unreachable",
}


def icmp_what(icmp_type: int, code: int, *, ipv6: bool) -> str:
    """``other`` for all that has no name here."""
    return (_V6 if ipv6 else _V4).get((icmp_type, code), "other")
