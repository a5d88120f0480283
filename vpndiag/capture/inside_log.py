"""What is kept of users' IP packets inside the tunnels of a capture.

Questions and their answers (echo requests, DNS, DHCPINFORM, TCP handshakes, ICMP errors) become a
few numbers each; all other packets are only counted. Nothing is judged, and who is the client is
not known here: everything carries the outer source and the SPI of the packet that it came in. All
tables are bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from vpndiag.capture.inside_tcp import TcpFlow
from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.inner import dhcp
from vpndiag.protocols.inner.ip import (
    ECHO,
    ECHO_REPLY,
    ICMP,
    TCP,
    UDP,
    IcmpFault,
    parse_fault,
    parse_ip,
)
from vpndiag.protocols.inner.tcp import ACK, SYN

MAX_FLOWS = 8192
MAX_ECHOES = 8192
MAX_NAMES = 8192
MAX_PAIRS = 8192
MAX_OTHER = 256
MAX_LIKE = 16
"""Echo requests with one identifier and sequence number, but other sizes or times to live."""
MINUTE_NS = 60_000_000_000
MAX_DNS = 4096
"""Bytes of a DNS message that are kept."""
TRACE_PORTS = range(33434, 33535)
"""UDP ports that traceroute asks (and a run of ours, about sizes): nobody listens there."""

End = tuple[str, int]
Take = Callable[[bytes, int, int, int, int], None]


@dataclass(slots=True, eq=False)
class Echo:
    """One echo request, as often as it was sent."""

    source: End
    spi: int
    key: bytes
    target: bytes
    identifier: int
    first_ns: int
    frame: int
    size: int
    ttl: int
    tries: int = 1
    last_ns: int = 0
    reply_ns: int = 0
    reply_frame: int = 0
    fragment: int = 0
    """The reply came in fragments, the first of this size."""
    fault: IcmpFault | None = None
    fault_ns: int = 0


@dataclass(slots=True, eq=False)
class Query:
    """A DNS question over UDP, and its answer."""

    source: End
    spi: int
    key: bytes
    server: bytes
    message: bytes
    first_ns: int
    frame: int
    tries: int = 1
    last_ns: int = 0
    last_frame: int = 0
    answer: bytes = b""
    answer_ns: int = 0
    answer_frame: int = 0
    fault: IcmpFault | None = None


@dataclass(slots=True, eq=False)
class Sized:
    """A UDP datagram to a port where nobody listens."""

    source: End
    spi: int
    target: bytes
    size: int
    first_ns: int
    refused: bool = False


@dataclass(slots=True, eq=False)
class Pair:
    """All packets from one address inside to another."""

    source: End
    spi: int
    sender: bytes
    target: bytes
    first_ns: int
    frame: int
    packets: int = 0
    last_ns: int = 0


@dataclass(slots=True, eq=False)
class Ack:
    """A DHCPACK."""

    source: End
    spi: int
    first_ns: int
    frame: int
    server: bytes
    options: dict[int, bytes]


@dataclass(slots=True, eq=False)
class InsideLog:
    """Feed it every IPv4 packet of users' data, in order. Where addresses are translated the two
    directions of a tunnel have other outer addresses, so questions and answers are joined by what
    is inside alone."""

    flows: deque[TcpFlow] = field(default_factory=deque)
    echoes: deque[Echo] = field(default_factory=deque)
    queries: deque[Query] = field(default_factory=deque)
    sized: dict[bytes, Sized] = field(default_factory=dict)
    pairs: dict[bytes, Pair] = field(default_factory=dict)
    acks: list[Ack] = field(default_factory=list)
    _flows: dict[bytes, Take] = field(default_factory=dict)
    """By addresses and ports of a packet: what takes it."""
    _queries: dict[bytes, Query] = field(default_factory=dict)
    _ports: dict[bytes, Query] = field(default_factory=dict)
    _echoes: dict[bytes, list[Echo]] = field(default_factory=dict)
    """By addresses, identifier and sequence number."""

    def feed(
        self, packet: bytes, size: int, time_ns: int, frame: int, source: End, spi: int
    ) -> None:
        """``packet`` may be cut off; ``size`` is what it was on the wire."""
        if len(packet) < 28 or packet[0] >> 4 != 4:
            return
        pair = self.pairs.get(packet[12:20])
        if pair is not None:
            pair.packets += 1
            pair.last_ns = time_ns
        elif len(self.pairs) < MAX_PAIRS:
            self.pairs[packet[12:20]] = Pair(
                source, spi, packet[12:16], packet[16:20], time_ns, frame, 1, time_ns
            )
        at, protocol = (packet[0] & 15) * 4, packet[9]
        if packet[6] & 0x1F or packet[7] or not 20 <= at <= len(packet) - 8:
            return  # not the first of its fragments, or cut off: there are no ports in it
        if protocol == TCP:
            if len(packet) < at + 20:
                return
            key = packet[12:24] if at == 20 else packet[12:20] + packet[at : at + 4]
            take = self._flows.get(key)
            if packet[at + 13] & SYN:
                self._syn(key, packet, at, size, time_ns, frame, source, spi)
            elif take is not None:  # else older than the capture, or one too many
                take(packet, at, size, time_ns, frame)
        elif protocol == UDP:
            self._udp(packet, at, size, time_ns, frame, source, spi)
        elif protocol == ICMP:
            self._icmp(packet, at, size, time_ns, frame, source, spi)

    # TCP

    def _syn(
        self,
        key: bytes,
        packet: bytes,
        at: int,
        size: int,
        time_ns: int,
        frame: int,
        source: End,
        spi: int,
    ) -> None:
        take = self._flows.get(key)
        isn = int.from_bytes(packet[at + 4 : at + 8], "big")
        fresh = not packet[at + 13] & ACK
        if fresh and (take is None or _flow_of(take).isn != isn):
            self._begin(key, packet, at, time_ns, frame, source, spi)
        elif take is not None:
            take(packet, at, size, time_ns, frame)

    def _begin(
        self, key: bytes, packet: bytes, at: int, time_ns: int, frame: int, source: End, spi: int
    ) -> None:
        if len(self.flows) >= MAX_FLOWS:
            self._forget()
        flow = TcpFlow(
            key[:4],
            key[4:8],
            int.from_bytes(key[8:10], "big"),
            int.from_bytes(key[10:12], "big"),
            source,
            spi,
            time_ns,
            frame,
            int.from_bytes(packet[at + 4 : at + 8], "big"),
            packet[8],
            last_ns=time_ns,
            last_frame=frame,
        )
        self.flows.append(flow)
        self._flows[key], self._flows[_turned(key)] = flow.by_client, flow.by_server

    def _forget(self) -> None:
        """Make room: the oldest connection goes."""
        old = self.flows.popleft()
        key = old.client + old.server + old.sport.to_bytes(2, "big") + old.dport.to_bytes(2, "big")
        for one in (key, _turned(key)):
            take = self._flows.get(one)
            if take is not None and _flow_of(take) is old:
                del self._flows[one]

    # UDP

    def _udp(
        self, packet: bytes, at: int, size: int, time_ns: int, frame: int, source: End, spi: int
    ) -> None:
        sport, dport = packet[at : at + 2], packet[at + 2 : at + 4]
        if dport == b"\0\x35":
            self._asked(packet, at, time_ns, frame, source, spi)
        elif sport == b"\0\x35":
            key = packet[12:16] + dport + packet[at + 8 : at + 10]
            query = self._queries.get(key)
            if query is not None and not query.answer:
                query.answer = packet[at + 8 : at + 8 + MAX_DNS]
                query.answer_ns, query.answer_frame = time_ns, frame
        elif sport == b"\0\x43":
            self._dhcp(packet, at, time_ns, frame, source, spi)
        elif int.from_bytes(dport, "big") in TRACE_PORTS and len(self.sized) < MAX_OTHER:
            key = packet[16:20] + sport + dport
            self.sized.setdefault(key, Sized(source, spi, packet[16:20], size, time_ns))

    def _asked(
        self, packet: bytes, at: int, time_ns: int, frame: int, source: End, spi: int
    ) -> None:
        key = packet[16:20] + packet[at : at + 2] + packet[at + 8 : at + 10]
        message = packet[at + 8 : at + 8 + MAX_DNS]
        known = self._queries.get(key)
        if known is not None and known.message == message and not known.answer:
            known.tries += 1
            known.last_ns, known.last_frame = time_ns, frame
            return
        if len(self.queries) >= MAX_NAMES:
            old = self.queries.popleft()
            if self._queries.get(old.key) is old:
                del self._queries[old.key]
            if self._ports.get(old.key[:6]) is old:
                del self._ports[old.key[:6]]
        query = Query(source, spi, key, packet[16:20], message, time_ns, frame,
                      last_ns=time_ns, last_frame=frame)  # fmt: skip
        self.queries.append(query)
        self._queries[key] = self._ports[key[:6]] = query

    def _dhcp(
        self, packet: bytes, at: int, time_ns: int, frame: int, source: End, spi: int
    ) -> None:
        if packet[at + 2 : at + 4] != b"\0\x44" or len(self.acks) >= 16:
            return
        ack = dhcp.parse_ack(packet[at + 8 :])
        if ack is not None:
            self.acks.append(Ack(source, spi, time_ns, frame, packet[12:16], ack[1]))

    # ICMP

    def _icmp(
        self, packet: bytes, at: int, size: int, time_ns: int, frame: int, source: End, spi: int
    ) -> None:
        kind = packet[at]
        if kind == ECHO:
            self._echo(packet, at, size, time_ns, frame, source, spi)
        elif kind == ECHO_REPLY:
            self._replied(packet, at, size, time_ns, frame)
        else:
            self._fault(packet, time_ns)

    def _echo(
        self, packet: bytes, at: int, size: int, time_ns: int, frame: int, source: End, spi: int
    ) -> None:
        key, ttl = packet[12:20] + packet[at + 4 : at + 8], packet[8]
        known = self._echoes.setdefault(key, [])
        for echo in known:
            if echo.size == size and echo.ttl == ttl and time_ns - echo.first_ns < MINUTE_NS:
                echo.tries += 1
                echo.last_ns = time_ns
                return
        if len(self.echoes) >= MAX_ECHOES:
            old = self.echoes.popleft()
            like = self._echoes.get(old.key, [])
            if old in like:
                like.remove(old)
            if not like:
                self._echoes.pop(old.key, None)
        echo = Echo(source, spi, key, packet[16:20], int.from_bytes(key[8:10], "big"), time_ns,
                    frame, size, ttl, last_ns=time_ns)  # fmt: skip
        self.echoes.append(echo)
        known.append(echo)
        del known[:-MAX_LIKE]

    def _replied(self, packet: bytes, at: int, size: int, time_ns: int, frame: int) -> None:
        pieces = packet[6] & 0x20
        key = packet[16:20] + packet[12:16] + packet[at + 4 : at + 8]
        for echo in reversed(self._echoes.get(key, ())):
            if echo.reply_ns or (echo.size != size and not pieces):
                continue
            echo.reply_ns, echo.reply_frame = time_ns, frame
            echo.fragment = size if pieces else 0
            return

    def _fault(self, packet: bytes, time_ns: int) -> None:
        try:
            parsed = parse_ip(packet)
        except DecodeError:
            return
        fault = parse_fault(parsed)
        if fault is None:
            return
        back, target = packet[16:20], fault.destination.packed
        ports = fault.ports[0].to_bytes(2, "big") + fault.ports[1].to_bytes(2, "big")
        if fault.protocol == ICMP:
            for echo in self._echoes.get(back + target + ports, ()):
                if echo.fault is None and not echo.reply_ns:
                    echo.fault, echo.fault_ns = fault, time_ns
                    return
        elif fault.protocol == TCP:
            take = self._flows.get(back + target + ports)
            flow = _flow_of(take) if take is not None else None
            if flow is not None and not flow.answered_ns and flow.fault is None:
                flow.fault, flow.fault_ns = (fault.what, str(fault.reporter)), time_ns
        elif fault.protocol == UDP and fault.ports[1] == 53:
            query = self._ports.get(target + ports[:2])
            if query is not None and query.fault is None and not query.answer:
                query.fault = fault
        elif fault.protocol == UDP and fault.what == "port-unreachable":
            sized = self.sized.get(target + ports)
            if sized is not None:
                sized.refused = True


def _flow_of(take: Take) -> TcpFlow:
    return take.__self__  # type: ignore[attr-defined, no-any-return]


def _turned(key: bytes) -> bytes:
    return key[4:8] + key[:4] + key[10:12] + key[8:10]


_R = TypeVar("_R", TcpFlow, Echo, Query, Sized, Pair, Ack)
BySpi = dict[int, list[_R]]
"""Records by the SPI that they came in; 0: in the clear."""


class InsideIndex:
    """A log that is complete, ready for looking up what one attempt has of it."""

    def __init__(self, log: InsideLog) -> None:
        self.empty = not log.pairs
        self.flows = _by_spi(log.flows)
        self.echoes = _by_spi(log.echoes)
        self.queries = _by_spi(log.queries)
        self.sized = _by_spi(log.sized.values())
        self.pairs = _by_spi(log.pairs.values())
        self.acks = _by_spi(log.acks)


def _by_spi(records: Iterable[_R]) -> BySpi[_R]:
    found: BySpi[_R] = {}
    for record in records:
        found.setdefault(record.spi, []).append(record)
    return found
