"""A TCP client that is just good enough for a first exchange (RFC 9293).

It connects, sends a request, takes the answer in order, sends again what is not acknowledged, and
leaves with a reset, so that the server keeps nothing. No window scaling, SACK or congestion
control: a first exchange is a few kilobytes. IP packets carry don't-fragment, as every system's TCP
does.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from vpndiag.probes.inside.check import Link, Tries
from vpndiag.protocols.inner.ip import TCP, IcmpFault, IpPacket, build_ip
from vpndiag.protocols.inner.tcp import (
    ACK,
    FIN,
    MODULUS,
    PSH,
    RST,
    SYN,
    WINDOW,
    Segment,
    ahead,
    build_segment,
    mss_of,
    parse_segment,
)
from vpndiag.protocols.wire import u16

HEADERS = 40
"""IP and TCP header without options."""
CONNECT_WAITS = (0.5, 0.7, 1.0, 1.2)
DATA_WAITS = (0.5, 0.7, 1.0, 1.2)
SMALL_MTU = 576
MAX_ANSWER = 1 << 18
"""Bytes of an answer that are kept."""

End = Literal["", "refused", "silent", "reset", "unreachable", "lost"]
"""Why a connection is over: ``refused``, ``silent`` and ``unreachable`` before it stood, ``reset``
after, ``lost``: what we sent is never acknowledged."""


class TcpClient:
    """One connection. ``answer`` grows as data arrives in order; ``end`` is set once it is over."""

    def __init__(self, link: Link, destination: IPv4Address, port: int) -> None:
        self.link = link
        self.destination = destination
        self.port = port
        self.own_port = link.number(49152, 65535)
        self.established = False
        self.end: End = ""
        self.reporter = ""
        self.what = ""
        """The ICMP error of an ``unreachable`` one."""
        self.answer = bytearray()
        self.peer_closed = False
        self.gap = False
        self.retransmissions = 0
        self.mss: int | None = None
        self.connect_seconds: float | None = None
        self._sequence = int.from_bytes(link.random(4), "big")
        """Next byte to be acknowledged."""
        self._pending = bytearray()
        self._flight = 0
        """How many of the pending bytes have been sent."""
        self._peer = 0
        """Next byte expected."""
        self._window = 0
        """What the peer says that it takes."""
        self.doubtful_reset = False
        """A reset came that is in the window but not the next thing due (RFC 5961 section 3.2)."""
        self._early: dict[int, bytes] = {}
        self._tries = Tries(link.waits(*CONNECT_WAITS))
        self._began = 0.0
        self._out: list[bytes] = []

    # --- what the application does ---------------------------------------------------------------

    def open(self, now: float) -> None:
        """Send the SYN."""
        self._began = now
        self._send_syn(now)

    def request(self, data: bytes, now: float) -> None:
        """Send ``data``; the connection must stand."""
        first = not self._pending
        self._pending += data
        if first:
            self._tries = Tries(self.link.waits(*DATA_WAITS))
            self._send_pending(now)
        else:
            self._send_data(self._flight)

    def _send_data(self, start: int) -> None:
        """What the peer's window allows of the pending bytes from ``start`` on; a single byte, to
        be told when it opens, if that is nothing (RFC 9293 section 3.8.6.1)."""
        most = max(min(self.mss or 536, self.link.mru_out - HEADERS), 64)
        until = min(len(self._pending), self._window)
        if not self._window and not start:
            until = 1
        self._flight = max(start, until)
        for at in range(start, until, most):
            chunk = bytes(self._pending[at : min(at + most, until)])
            self._segment(ACK | PSH, self._sequence + at, chunk)

    @property
    def acknowledged(self) -> bool:
        """All that was sent has arrived."""
        return not self._pending

    def abort(self) -> None:
        """Leave."""
        if self.established and self.end not in ("reset", "refused"):
            self._segment(RST | ACK, self._sequence)
        self.end = self.end or "reset"

    def packets(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    # --- timers ----------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        if self.end or (self.established and not self._pending):
            return None
        return self._tries.due

    def handle_timer(self, now: float) -> None:
        due = self.get_timer()
        if due is None or now < due:
            return
        if self._tries.exhausted:
            self.end = "lost" if self.established else ("unreachable" if self.what else "silent")
            return
        self.retransmissions += 1
        if self.established:
            self._send_pending(now)
        else:
            self._send_syn(now)

    # --- packets ---------------------------------------------------------------------------------

    def _segment(self, flags: int, sequence: int, data: bytes = b"", options: bytes = b"") -> None:
        ack = self._peer if flags & ACK else 0
        source = self.link.address
        ports = (self.own_port, self.port)
        segment = build_segment(
            source, self.destination, ports, flags, sequence, ack, options, data
        )
        self._out.append(build_ip(source, self.destination, TCP, segment, dont_fragment=True))

    def _send_syn(self, now: float) -> None:
        mss = min(self.link.mru_in, self.link.mru_out) - HEADERS
        self._segment(SYN, self._sequence, options=b"\x02\x04" + u16(mss))
        self._tries.asked(now)

    def _send_pending(self, now: float) -> None:
        self._send_data(0)
        self._tries.asked(now)

    def fault(self, fault: IcmpFault, now: float) -> None:
        """An ICMP error; before the connection stands it ends it, a little later."""
        if (
            fault.protocol != TCP
            or fault.destination != self.destination
            or fault.ports != (self.own_port, self.port)
            or self.end
        ):
            return
        self.what, self.reporter = fault.what, str(fault.reporter)
        if not self.established and fault.what != "fragmentation-needed":
            self.end = "unreachable"
        elif fault.what == "fragmentation-needed":
            mtu = fault.mtu or SMALL_MTU  # routers from before RFC 1191 do not tell
            if mtu > HEADERS + 64 and mtu - HEADERS < (self.mss or 1460):
                self.mss = mtu - HEADERS
                if self._pending:
                    self._send_data(0)

    def receive(self, packet: IpPacket, now: float) -> None:
        """A packet; ignored unless it is a segment of this connection with a right checksum."""
        if packet.source != self.destination or self.end:
            return
        s = parse_segment(packet)
        if s is None or (s.source_port, s.destination_port) != (self.port, self.own_port):
            return
        if not self.established:
            self._answer_to_syn(s, now)
        else:
            self._established(s, now)

    def _answer_to_syn(self, s: Segment, now: float) -> None:
        if not s.flags & ACK or s.ack != (self._sequence + 1) % MODULUS:
            return
        if s.flags & RST:
            self.end = "refused"
        elif s.flags & SYN:
            self.established = True
            self.connect_seconds = now - self._began
            self._sequence = (self._sequence + 1) % MODULUS
            self._peer = (s.sequence + 1) % MODULUS
            self.mss = mss_of(s.options)
            self._window = s.window
            self._segment(ACK, self._sequence)

    def _established(self, s: Segment, now: float) -> None:
        if s.flags & RST:
            self._reset(s)
            return
        if s.flags & SYN:  # our ACK was lost, or somebody guesses (RFC 5961 section 4.2)
            self._segment(ACK, self._sequence)
            return
        if s.flags & ACK:
            self._acknowledge(s, now)
        if s.data or s.flags & FIN:
            self._take(s.sequence, s.data, bool(s.flags & FIN))
            self._segment(ACK, self._sequence)

    def _reset(self, s: Segment) -> None:
        """Only the very next sequence number is believed. For another one in the window the peer is
        asked; a true one answers with the right number (RFC 5961 section 3.2)."""
        beyond = ahead(s.sequence, self._peer)
        if beyond == 0:
            self.end = "reset"
        elif 0 < beyond < WINDOW:
            self.doubtful_reset = True
            self._segment(ACK, self._sequence)

    def _acknowledge(self, s: Segment, now: float) -> None:
        done = ahead(s.ack, self._sequence)
        if not 0 <= done <= len(self._pending):
            return
        if not self._window and s.window:
            self._flight = 0  # what was sent into a closed window was dropped
        self._window = s.window
        if done:
            del self._pending[:done]
            self._flight = max(0, self._flight - done)
            self._sequence = (self._sequence + done) % MODULUS
            self._tries = Tries(self.link.waits(*DATA_WAITS))
            self._tries.asked(now)
        if self._window and self._flight < len(self._pending):
            self._send_data(self._flight)

    def _take(self, sequence: int, data: bytes, fin: bool) -> None:
        beyond = ahead(sequence, self._peer)
        if beyond > 0:
            self.gap = True
            if beyond < WINDOW and len(self._early) < 64:
                self._early[sequence] = data  # a FIN on it is repeated by the peer
            return
        self._keep(data[-beyond:] if beyond else data)
        self._take_early()
        self.gap = bool(self._early)
        end = (sequence + len(data)) % MODULUS
        if fin and not self.peer_closed and end == self._peer:
            self.peer_closed = True
            self._peer = (self._peer + 1) % MODULUS

    def _take_early(self) -> None:
        """What came out of order and is due now; it may have been cut otherwise when it was sent
        again."""
        for sequence in sorted(self._early, key=lambda n: ahead(n, self._peer)):
            beyond = ahead(sequence, self._peer)
            if beyond > 0:
                return
            self._keep(self._early.pop(sequence)[-beyond if beyond else 0 :])

    def _keep(self, data: bytes) -> None:
        self._peer = (self._peer + len(data)) % MODULUS
        if len(self.answer) + len(data) <= MAX_ANSWER:
            self.answer += data
