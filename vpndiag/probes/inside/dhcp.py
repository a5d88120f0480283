"""DHCPINFORM over PPP (RFC 2131 section 3.4): what built-in clients learn beside IPCP.

Windows and macOS ask for option 249 or 121 to get routes for a split tunnel, and for 15 and 119 to
get the domain. Most gateways do not answer, so nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from vpndiag.observations.inside import InsideDhcp
from vpndiag.observe.inside import dhcp_answer
from vpndiag.probes.inside.check import Check, Link, Tries
from vpndiag.protocols.inner.dhcp import COOKIE, parse_ack
from vpndiag.protocols.inner.ip import UDP, IpPacket, build_ip, build_udp, parse_udp

BROADCAST = IPv4Address("255.255.255.255")
WAITS = (0.5, 0.5)
ASKED = (1, 3, 6, 15, 119, 121, 249)


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
        ack = parse_ack(found[2])
        if ack is None or ack[0] != self._xid:
            return
        self.done = True
        told = dhcp_answer(self.link.t(now), str(packet.source), ack[1])
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
    return head + COOKIE + options
