"""DHCPINFORM over PPP (RFC 2131 section 3.4): what built-in clients learn beside IPCP.

Windows and macOS ask for option 249 or 121 to get routes for a split tunnel, and for 15 and 119 to
get the domain. Most gateways do not answer, so nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

from vpndiag.observations.inside import InsideDhcp
from vpndiag.probes.inside.check import Check, Link, Tries
from vpndiag.probes.inside.ip import UDP, IpPacket, build_ip, build_udp, parse_udp
from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.wire import Reader
from vpndiag.report.text import visible

BROADCAST = IPv4Address("255.255.255.255")
WAITS = (0.5, 0.5)
ASKED = (1, 3, 6, 15, 119, 121, 249)
_COOKIE = bytes.fromhex("63825363")
_MAX_ROUTES = 64


class DhcpInform(Check):
    """Emits :class:`InsideDhcp` if there is an answer, and nothing otherwise. ``then`` is called
    with it, before the next packets leave."""

    def __init__(self, link: Link, then: Callable[[InsideDhcp, float], None] | None = None) -> None:
        super().__init__(link)
        self._then = then
        self._xid = link.random(4)
        self._tries = Tries(link.waits(*WAITS))

    def start(self, now: float) -> None:
        self._ask(now)

    def _ask(self, now: float) -> None:
        self._tries.asked(now)
        address = self.link.address
        message = build_inform(self._xid, address)
        datagram = build_udp(address, BROADCAST, (68, 67), message)
        self.send(build_ip(address, BROADCAST, UDP, datagram))

    def receive(self, packet: IpPacket, now: float) -> None:
        found = parse_udp(packet)
        if self.done or found is None or found[:2] != (67, 68):
            return
        data = found[2]
        if len(data) < 240 or data[0] != 2 or data[4:8] != self._xid or data[236:240] != _COOKIE:
            return
        try:
            options = parse_options(data[240:])
        except DecodeError:
            return
        if options.get(53) != b"\x05":
            return
        self.done = True
        told = _observation(self.link.t(now), str(packet.source), options)
        self.link.emit(told)
        if self._then is not None:
            self._then(told, now)

    def get_timer(self) -> float | None:
        return None if self.done else self._tries.due

    def handle_timer(self, now: float) -> None:
        if self.done or self._tries.due is None or now < self._tries.due:
            return
        if self._tries.exhausted:
            self.done = True
        else:
            self._ask(now)

    def finish(self, now: float) -> None:
        self.done = True


def build_inform(xid: bytes, address: IPv4Address) -> bytes:
    """A DHCPINFORM of a client on a point-to-point link: hardware type 8 as Windows sends it, and
    no hardware address."""
    head = bytes((1, 8, 6, 0)) + xid + bytes(4) + address.packed + bytes(12) + bytes(16 + 64 + 128)
    options = b"\x35\x01\x08" + b"\x0c\x07vpndiag" + bytes((55, len(ASKED), *ASKED)) + b"\xff"
    return head + _COOKIE + options


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


def _addresses(data: bytes) -> tuple[str, ...]:
    whole = len(data) // 4 * 4
    return tuple(str(IPv4Address(data[i : i + 4])) for i in range(0, min(whole, 64), 4))


def _search(data: bytes) -> tuple[str, ...]:
    """Domain search list (RFC 3397); empty when it does not decode."""
    import dns.exception
    import dns.name

    names: list[str] = []
    at = 0
    try:
        while at < len(data) and len(names) < 16:
            name, used = dns.name.from_wire(data, at)
            names.append(visible(name.to_text(omit_final_dot=True), 100))
            at += used
    except (dns.exception.DNSException, ValueError, IndexError):
        return tuple(names)
    return tuple(names)


def _observation(t: float, server: str, options: dict[int, bytes]) -> InsideDhcp:
    routes: list[str] = []
    for code in (121, 249):
        try:
            routes += parse_routes(options.get(code, b""))
        except DecodeError:
            continue
    return InsideDhcp(
        t=t,
        server=server,
        mask=(_addresses(options.get(1, b"")) or ("",))[0],
        routers=_addresses(options.get(3, b"")),
        dns=_addresses(options.get(6, b"")),
        domain=visible(options.get(15, b"").rstrip(b"\0"), 100),
        search=_search(options.get(119, b"")),
        routes=tuple(dict.fromkeys(routes)),
    )
