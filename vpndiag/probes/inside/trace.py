"""A trace inside: packets with rising time to live to a target that does not answer.

Asked only when something is silent, while the run waits for it anyway. Every hop is asked at once.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from vpndiag.observations.inside import InsideTrace
from vpndiag.observations.way import Hop
from vpndiag.probes.inside.check import Check, Link, Tries
from vpndiag.protocols.inner.ip import (
    ICMP,
    TCP,
    IcmpFault,
    IpPacket,
    build_echo,
    build_ip,
    parse_echo_reply,
)
from vpndiag.protocols.inner.tcp import RST, SYN, build_segment, parse_segment

HOPS = 8
"""Networks behind a gateway are not deep."""
WAITS = (0.3, 0.3, 0.4)

End = Literal["reached", "error", "silent", "unfinished"]


class Trace(Check):
    """Echo requests to ``target``, or with ``port`` TCP connection requests: then a firewall that
    knows only this port is seen. The sequence number of an echo, and the source port of a SYN, tell
    the time to live that it was sent with."""

    def __init__(self, link: Link, target: IPv4Address, port: int = 0) -> None:
        super().__init__(link)
        self.target = target
        self.port = port
        self._id = link.number()
        self._base = link.number(49152, 65535 - HOPS)
        self._sequence = int.from_bytes(link.random(4), "big")
        self._tries = Tries(link.waits(*WAITS))
        self._sent: dict[int, float] = {}
        """Time to live to the time when it was sent first."""
        self._hops: dict[int, Hop] = {}
        self._end: tuple[int, End, str, str] | None = None
        """Time to live, what came, from whom, how."""

    def start(self, now: float) -> None:
        self._ask(now)

    def _ask(self, now: float) -> None:
        self._tries.asked(now)
        for ttl in self._open():
            self._sent.setdefault(ttl, now)
            self.send(self._packet(ttl))

    def _open(self) -> list[int]:
        """Times to live that nothing was heard of, up to the end that is known."""
        last = self._end[0] if self._end is not None else HOPS + 1
        return [ttl for ttl in range(1, HOPS + 1) if ttl < last and ttl not in self._hops]

    def _packet(self, ttl: int) -> bytes:
        source = self.link.address
        if self.port:
            ports = (self._base + ttl, self.port)
            segment = build_segment(source, self.target, ports, SYN, self._sequence)
            return build_ip(source, self.target, TCP, segment, ttl=ttl)
        echo = build_echo(self._id, ttl, b"vpndiag trace inside the tunnel!")
        return build_ip(source, self.target, ICMP, echo, ttl=ttl, identification=ttl)

    def receive(self, packet: IpPacket, now: float) -> None:
        if self.done or packet.source != self.target:
            return
        if self.port:
            segment = parse_segment(packet)
            if segment is None or segment.source_port != self.port:
                return
            ttl = segment.destination_port - self._base
            if ttl not in self._sent or segment.ack != (self._sequence + 1) % (1 << 32):
                return
            self._ended(ttl, "reached", packet.source, "reset" if segment.flags & RST else "answer")
        else:
            reply = parse_echo_reply(packet)
            if reply is None or reply[0] != self._id or reply[1] not in self._sent:
                return
            self._ended(reply[1], "reached", packet.source, "answer")
        self._maybe_over(now)

    def fault(self, fault: IcmpFault, now: float) -> None:
        if self.done or fault.destination != self.target:
            return
        if self.port:
            mine = fault.protocol == TCP and fault.ports[1] == self.port
            ttl = fault.ports[0] - self._base
        else:
            mine, ttl = fault.protocol == ICMP and fault.ports[0] == self._id, fault.ports[1]
        if not mine or ttl not in self._sent:
            return
        if fault.what == "ttl-exceeded":
            seconds = round(now - self._sent[ttl], 6)
            self._hops.setdefault(ttl, Hop(ttl=ttl, address=str(fault.reporter), seconds=seconds))
        else:
            self._ended(ttl, "error", fault.reporter, fault.what)
        self._maybe_over(now)

    def _ended(self, ttl: int, end: End, by: IPv4Address, how: str) -> None:
        if self._end is None or ttl < self._end[0]:
            self._end = (ttl, end, str(by), how)

    def _maybe_over(self, now: float) -> None:
        if self._end is not None and not self._open():
            self._conclude(now)

    def get_timer(self) -> float | None:
        return None if self.done else self._tries.due

    def handle_timer(self, now: float) -> None:
        if self.done or self._tries.due is None or now < self._tries.due:
            return
        if self._tries.exhausted:
            self._conclude(now)
        else:
            self._ask(now)

    def finish(self, now: float) -> None:
        if not self.done:
            self._conclude(now, "unfinished")

    def _hang_up(self, first: int) -> None:
        """Nothing half-open is left behind: every SYN that got through is reset."""
        source, sequence = self.link.address, self._sequence + 1
        for ttl in range(first, HOPS + 1):
            ports = (self._base + ttl, self.port)
            segment = build_segment(source, self.target, ports, RST, sequence)
            self.send(build_ip(source, self.target, TCP, segment))

    def _conclude(self, now: float, otherwise: End = "silent") -> None:
        self.done = True
        ttl, end, by, how = self._end or (0, otherwise, "", "")
        if self.port and how == "answer":
            self._hang_up(ttl)
        known = [t for t in self._hops if not ttl or t < ttl]
        last = ttl - 1 if ttl else max(known, default=0)
        self.link.emit(
            InsideTrace(
                t=self.link.t(now),
                target=str(self.target),
                protocol="tcp" if self.port else "icmp",
                port=self.port,
                hops=tuple(self._hops.get(n) or Hop(ttl=n) for n in range(1, last + 1)),
                end=end,
                end_ttl=ttl,
                end_by=by,
                end_how=how,
                tries=self._tries.count,
            )
        )
