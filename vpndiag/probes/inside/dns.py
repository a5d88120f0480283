"""DNS inside: one question to one server, over UDP and, after truncation, over TCP."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from vpndiag.observations.inside import InsideName
from vpndiag.observe.inside import dns_result
from vpndiag.probes.inside.check import Check, Link, Tries
from vpndiag.probes.inside.tcp import TcpClient
from vpndiag.protocols.inner.ip import UDP, IcmpFault, IpPacket, build_ip, build_udp, parse_udp
from vpndiag.protocols.wire import u16

PORT = 53
WAITS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.8)
"""Seconds to wait after each try: 3.8 s in all. Resolvers that first ask others need some of it."""
TCP_SECONDS = 4.0


class Question(Check):
    """Ask ``server`` for ``name`` and ``rrtype``; ``wanted`` as in :class:`InsideName`.

    ``then`` is called with the observation, before the next packets leave.
    """

    def __init__(
        self,
        link: Link,
        server: IPv4Address,
        name: str,
        rrtype: str,
        *,
        wanted: bool,
        then: Callable[[InsideName, float], None] | None = None,
    ) -> None:
        super().__init__(link)
        self.server = server
        self.name = name
        self.rrtype = rrtype
        self.wanted = wanted
        self._then = then
        self._port = link.number(49152, 65535)
        self._id = link.number(0, 0xFFFF)
        self._query = b""
        self._tries = Tries(link.waits(*WAITS))
        self._began = 0.0
        self._tcp: TcpClient | None = None
        self._tcp_until = 0.0
        self._truncated: dict[str, object] = {}

    def start(self, now: float) -> None:
        import dns.exception
        import dns.flags
        import dns.message

        self._began = now
        try:
            query = dns.message.make_query(
                self.name, self.rrtype, id=self._id, flags=dns.flags.RD, use_edns=False
            )
            self._query = query.to_wire()
        except (dns.exception.DNSException, ValueError) as error:
            self._conclude(now, "error", detail=f"not a name: {type(error).__name__}")
            return
        self._ask(now)

    def _ask(self, now: float) -> None:
        self._tries.asked(now)
        link = self.link
        datagram = build_udp(link.address, self.server, (self._port, PORT), self._query)
        self.send(build_ip(link.address, self.server, UDP, datagram))

    def receive(self, packet: IpPacket, now: float) -> None:
        if self.done or packet.source != self.server:
            return
        if self._tcp is not None:
            self._tcp.receive(packet, now)
            self._on_tcp(now)
            return
        found = parse_udp(packet)
        if found is None or found[:2] != (PORT, self._port):
            return
        self._answer(found[2], now)

    def fault(self, fault: IcmpFault, now: float) -> None:
        if self.done or fault.destination != self.server:
            return
        if self._tcp is not None:
            self._tcp.fault(fault, now)
            self._on_tcp(now)
        elif fault.protocol == UDP and fault.ports == (self._port, PORT):
            self._conclude(now, "unreachable", detail=fault.what, reporter=str(fault.reporter))

    def get_timer(self) -> float | None:
        if self.done:
            return None
        if self._tcp is not None:
            timer = self._tcp.get_timer()
            return self._tcp_until if timer is None else min(timer, self._tcp_until)
        return self._tries.due

    def handle_timer(self, now: float) -> None:
        if self.done:
            return
        if self._tcp is not None:
            self._tcp.handle_timer(now)
            self._on_tcp(now)
            if not self.done and now >= self._tcp_until:
                self._over_tcp(now, "silent")
            return
        if self._tries.due is None or now < self._tries.due:
            return
        if self._tries.exhausted:
            self._conclude(now, "silent")
        else:
            self._ask(now)

    def finish(self, now: float) -> None:
        # Silence that was not waited for says nothing: then there is nothing to tell.
        if self._tcp is not None and not self.done:
            self._over_tcp(now, "")
        self.done = True

    def packets(self) -> list[bytes]:
        tcp = self._tcp.packets() if self._tcp is not None else []
        return [*super().packets(), *tcp]

    # --- answers ---------------------------------------------------------------------------------

    def _answer(self, data: bytes, now: float, *, tcp: bool = False) -> None:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rcode

        try:
            message = dns.message.from_wire(
                data, ignore_trailing=True, raise_on_truncation=False, one_rr_per_rrset=False
            )
        except (dns.exception.DNSException, ValueError) as error:
            if data[:2] == u16(self._id):
                self._conclude(now, "error", detail=f"not DNS: {type(error).__name__}")
            return
        if message.id != self._id or not message.flags & dns.flags.QR:
            return
        if message.flags & dns.flags.TC and not tcp:
            self._start_tcp(message, now)
            return
        self._conclude(now, tcp="answered" if tcp else "", **dns_result(message, self.rrtype))

    def _start_tcp(self, message: object, now: float) -> None:
        self._truncated = dns_result(message, self.rrtype)
        self._tcp = TcpClient(self.link, self.server, PORT)
        self._tcp_until = now + TCP_SECONDS * (3 if self.link.lossy else 1)
        self._tcp.open(now)

    def _on_tcp(self, now: float) -> None:
        tcp = self._tcp
        assert tcp is not None
        if tcp.end:
            names = {"refused": "refused", "reset": "reset"}
            self._over_tcp(now, names.get(tcp.end, "silent"))
        elif tcp.established and tcp.acknowledged and not tcp.answer and not self._asked_tcp:
            self._asked_tcp = True
            tcp.request(u16(len(self._query)) + self._query, now)
        elif len(tcp.answer) >= 2:
            size = int.from_bytes(tcp.answer[:2], "big")
            if len(tcp.answer) >= 2 + size:
                data = bytes(tcp.answer[2 : 2 + size])
                tcp.abort()
                self._answer(data, now, tcp=True)
                if not self.done:
                    self._over_tcp(now, "silent")

    _asked_tcp = False

    def _over_tcp(self, now: float, how: str) -> None:
        """TCP failed: what UDP had brought is all there is."""
        assert self._tcp is not None
        self._tcp.abort()
        self._conclude(now, tcp=how, **self._truncated)

    def _conclude(
        self,
        now: float,
        outcome: object = "silent",
        *,
        addresses: object = (),
        records: object = (),
        detail: object = "",
        reporter: object = "",
        tcp: object = "",
    ) -> None:
        self.done = True
        found = InsideName(
            t=self.link.t(now),
            server=str(self.server),
            name=self.name,
            rrtype=self.rrtype,
            outcome=outcome,  # type: ignore[arg-type]
            wanted=self.wanted,
            addresses=addresses,  # type: ignore[arg-type]
            records=records,  # type: ignore[arg-type]
            seconds=round(now - self._began, 6),
            tries=max(self._tries.count, 1),
            truncated=self._tcp is not None,
            tcp=tcp,  # type: ignore[arg-type]
            detail=str(detail),
            reporter=str(reporter),
        )
        self.link.emit(found)
        if self._then is not None:
            self._then(found, now)
