"""TCP connections inside the tunnel, told by their headers: how each began and ended.

Data is not kept; a connection is a few numbers however much it carries.
"""

from __future__ import annotations

from vpndiag.protocols.inner.tcp import ACK, FIN, MODULUS, RST, SYN, ahead, mss_of
from vpndiag.records import record

WAITED_NS = 3_000_000_000
"""Silence of a server that is no accident."""
SYNS = 3
PATIENCE_NS = 2_500_000_000
"""Without any progress of an answer, before it counts as stalled."""
HEAD = 16


@record(slots=True)
class TcpFlow:
    """One connection, from the side that sent the first SYN. Times in ns, 0: never. ``source`` and
    ``spi`` are those of the packet outside that carried the SYN."""

    client: bytes
    server: bytes
    sport: int
    dport: int
    source: tuple[str, int]
    spi: int
    first_ns: int
    first_frame: int
    isn: int
    ttl: int
    syns: int = 1
    last_ns: int = 0
    last_frame: int = 0
    answered_ns: int = 0
    answered_frame: int = 0
    mss: int | None = None
    refused: bool = False
    refused_frame: int = 0
    reset: bool = False
    closed: bool = False
    """The server ended it first."""
    left_ns: int = 0
    """The client ended it."""
    sent: int = 0
    """Bytes of the client's data, repeats not counted."""
    asked_ns: int = 0
    acked: int = 0
    """Bytes of it that the server acknowledged."""
    repeats: int = 0
    """Segments of the client sent again, SYNs included."""
    received: int = 0
    """Bytes of the server's data, in order."""
    progress_ns: int = 0
    gap: bool = False
    """Later data of the server came while earlier data was missing."""
    head: bytes = b""
    """The first bytes of the answer."""
    fault: tuple[str, str] | None = None
    """An ICMP error before it stood: what, and who says so."""
    fault_ns: int = 0
    _next: int = 0
    _early: int = 0
    """Where the data that came early begins."""
    _ahead: int = 0
    """Where it ends."""

    @property
    def established(self) -> bool:
        return bool(self.answered_ns) and not self.refused

    def by_client(self, packet: bytes, at: int, size: int, time_ns: int, frame: int) -> None:
        """A segment of the client; its TCP header is at ``at``, ``size`` the IP packet's."""
        flags = packet[at + 13]
        self.last_ns, self.last_frame = time_ns, frame
        sequence = int.from_bytes(packet[at + 4 : at + 8], "big")
        if flags & SYN:
            self.syns += 1
            self.repeats += 1
            return
        if flags & (RST | FIN) and not self.left_ns:
            self.left_ns = time_ns
        length = size - at - (packet[at + 12] >> 4) * 4
        if length > 0:
            end = ahead(sequence + length, self.isn + 1)
            if end > self.sent:
                if not self.sent or self.received:
                    self.asked_ns = self.progress_ns = time_ns
                self.sent = end
            else:
                self.repeats += 1

    def by_server(self, packet: bytes, at: int, size: int, time_ns: int, frame: int) -> None:
        """A segment of the server."""
        if self.left_ns:
            return
        self.last_ns, self.last_frame = time_ns, frame
        flags = packet[at + 13]
        header = (packet[at + 12] >> 4) * 4
        sequence = int.from_bytes(packet[at + 4 : at + 8], "big")
        if not self.answered_ns:
            if (
                not flags & ACK
                or int.from_bytes(packet[at + 8 : at + 12], "big") != (self.isn + 1) % MODULUS
            ):
                return  # not acceptable in this state (RFC 9293 section 3.10.7.3)
            if flags & RST:
                self.refused, self.refused_frame = True, frame
            elif flags & SYN:
                self.answered_ns, self.answered_frame = time_ns, frame
                self.mss = mss_of(packet[at + 20 : at + header])
                self._next = (sequence + 1) % MODULUS
            return
        if flags & RST:
            self.reset = not self.closed
            return
        if flags & ACK and self.acked < self.sent:
            acked = ahead(int.from_bytes(packet[at + 8 : at + 12], "big"), self.isn + 1)
            if acked > self.acked:
                self.acked, self.progress_ns = acked, time_ns
        length = size - at - header
        if length > 0 and not flags & SYN:
            if sequence == self._next and self.received and not self.gap:
                self.received += length
                self.progress_ns = time_ns
                self._next = (sequence + length) % MODULUS
            else:
                self._take(sequence, length, packet[at + header : at + header + HEAD], time_ns)
        if flags & FIN:
            self.closed = True

    def _take(self, sequence: int, length: int, head: bytes, time_ns: int) -> None:
        end = (sequence + length) % MODULUS
        beyond = ahead(sequence, self._next)
        if beyond > 0:
            if not self.gap:
                self.gap, self._early, self._ahead = True, sequence, end
                return
            self._early = sequence if ahead(sequence, self._early) < 0 else self._early
            self._ahead = end if ahead(end, self._ahead) > 0 else self._ahead
            return
        fresh = ahead(end, self._next)
        if fresh <= 0:
            return
        if not self.received:
            self.head = head
        self.received += fresh
        self.progress_ns = time_ns
        self._next = end
        if self.gap and ahead(end, self._early) >= 0:
            # The hole is filled; a second one behind it shows when more data comes.
            self._next, self.gap = (self._ahead if ahead(self._ahead, end) > 0 else end), False

    def outcome(self, until_ns: int) -> str:
        """How it ended, in the words of :class:`InsideApp`; empty when it cannot be told.
        ``until_ns``: how long the session is known to have gone on."""
        until = self.left_ns or until_ns
        if self.refused:
            return "refused"
        if not self.answered_ns:
            if self.fault is not None:
                return "unreachable"
            if self.syns >= SYNS and until - self.first_ns >= WAITED_NS:
                return "silent"
            return ""
        if self.received and not self.gap:
            return "answered"
        if self.reset:
            return "reset"
        if self.closed and not self.received:
            return "closed"
        if not self.sent:
            return "connected"
        return "stalled" if until - self.progress_ns >= PATIENCE_NS else ""
