"""Answers of a DHCP server (RFC 2131), as far as DHCPINFORM brings them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.wire import Reader

COOKIE = bytes.fromhex("63825363")
SERVER, CLIENT = 67, 68
MESSAGE_TYPE, ACK = 53, 5
_MAX_ROUTES = 64


def parse_ack(data: bytes) -> tuple[bytes, dict[int, bytes]] | None:
    """Transaction ID and options of a DHCPACK; None: it is none."""
    if len(data) < 240 or data[0] != 2 or data[236:240] != COOKIE:
        return None
    try:
        options = parse_options(data[240:])
    except DecodeError:
        return None
    if options.get(MESSAGE_TYPE) != bytes((ACK,)):
        return None
    return data[4:8], options


def parse_options(data: bytes) -> dict[int, bytes]:
    """DHCP options; parts of one option are joined (RFC 3396).

    :raises DecodeError: an option runs over the end.
    """
    found: dict[int, bytes] = {}
    r = Reader(data, 240)
    while len(r):
        code = r.u8("option")
        if code == 0:
            continue
        if code == 255:
            break
        value = r.take(r.u8("option length"), f"option {code}")
        found[code] = found.get(code, b"") + value
    return found


def parse_routes(data: bytes) -> list[str]:
    """Classless static routes (RFC 3442) as ``10.0.0.0/8 via 10.0.0.1``.

    :raises DecodeError: they do not decode.
    """
    r = Reader(data)
    routes: list[str] = []
    while len(r) and len(routes) < _MAX_ROUTES:
        width = r.u8("prefix length")
        if width > 32:
            raise DecodeError("prefix length", r.offset)
        prefix = r.take((width + 7) // 8, "destination").ljust(4, b"\0")
        network = IPv4Network((prefix, width), strict=False)
        routes.append(f"{network} via {IPv4Address(r.take(4, 'router'))}")
    return routes
