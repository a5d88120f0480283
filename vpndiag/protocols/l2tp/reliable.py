"""Reliable delivery of control messages (RFC 2661, 5.8), without slow start: a client's tunnel
has a handful of messages."""

from __future__ import annotations

from collections import deque
from enum import Enum

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp.avps import Avp
from vpndiag.protocols.l2tp.constants import DEFAULT_WINDOW
from vpndiag.protocols.l2tp.message import ControlMessage
from vpndiag.records import record

_MODULUS = 0x10000
_HALF = 0x8000


@record(frozen=True, slots=True)
class RetransmitConfig:
    """``first`` and ``cap`` in seconds: the wait doubles from one to the other. ``tries`` counts
    all transmissions of a message, the first included. ``reorder`` bounds the messages kept while
    an earlier one is missing."""

    first: float = 1.0
    cap: float = 8.0
    tries: int = 6
    reorder: int = 16

    def __post_init__(self) -> None:
        if self.first <= 0 or self.cap < self.first or self.tries < 1 or self.reorder < 0:
            raise LocalProtocolError("retransmission settings out of range")

    def wait(self, tries: int) -> float:
        """Seconds to wait after transmission number ``tries``."""
        return float(min(self.first * 2 ** min(tries - 1, 32), self.cap))


class Arrival(Enum):
    """What the sequence number of a received message says."""

    NEW = "new"
    EARLY = "early"
    """Kept until the ones before it arrive."""
    DUPLICATE = "duplicate"
    TOO_FAR = "too far ahead"
    ACK = "acknowledgement"
    """A ZLB."""


@record(slots=True)
class Outgoing:
    """A message that is queued or not acknowledged yet."""

    tunnel_id: int
    session_id: int
    avps: tuple[Avp, ...]
    ns: int = 0
    tries: int = 0
    sent_at: float = 0.0

    @property
    def kind(self) -> int | None:
        """The message type."""
        return self.at(0).message_type

    def at(self, nr: int) -> ControlMessage:
        return ControlMessage(self.tunnel_id, self.session_id, self.ns, nr, self.avps)


@record(frozen=True, slots=True)
class Transmission:
    """``retransmission`` is 0 for the first time and for a ZLB."""

    message: ControlMessage
    retransmission: int = 0


def before(left: int, right: int) -> bool:
    """Whether ``left`` comes before ``right`` modulo 2^16."""
    return 0 < (right - left) % _MODULUS <= _HALF


class ReliableChannel:
    """Both directions of one control connection."""

    def __init__(self, config: RetransmitConfig) -> None:
        self.config = config
        self.peer_window = DEFAULT_WINDOW
        self.next_ns = 0
        self.expected = 0
        """Our Nr: the next Ns that the peer should send."""
        self.acknowledged_tries = 0
        """Transmissions of the message that was acknowledged last."""
        self._queue: deque[Outgoing] = deque()
        self._flight: deque[Outgoing] = deque()
        self._early: dict[int, ControlMessage] = {}
        self._ack_due = False
        self._again = False
        self._force = False

    @property
    def idle(self) -> bool:
        """Everything sent is acknowledged and nothing waits."""
        return not self._queue and not self._flight

    @property
    def oldest(self) -> Outgoing | None:
        """The oldest message that is not acknowledged."""
        return self._flight[0] if self._flight else None

    @property
    def window(self) -> int:
        """Messages that may be unacknowledged now."""
        return max(1, self.peer_window)

    def send(
        self, tunnel_id: int, session_id: int, avps: tuple[Avp, ...], *, last: bool = False
    ) -> None:
        """Queue a message.

        ``last``: it does not wait for the send window, and replaces what does.
        """
        if last:
            room = max(0, self.window - len(self._flight))
            self._queue = deque(list(self._queue)[:room])
            self._force = True
        self._queue.append(Outgoing(tunnel_id, session_id, avps))

    def stop(self) -> None:
        """Forget all that was to be sent; what arrives is still acknowledged."""
        self._queue.clear()
        self._flight.clear()
        self._again = self._force = False

    def receive(
        self, message: ControlMessage, now: float
    ) -> tuple[Arrival, tuple[ControlMessage, ...]]:
        """Take the acknowledgement; returns the messages to process, in order."""
        self._acknowledge(message.nr)
        if message.is_zlb:
            return Arrival.ACK, ()
        ns = message.ns
        if before(ns, self.expected):
            self._ack_due = True
            return Arrival.DUPLICATE, ()
        if ns != self.expected:
            self._ack_due = True
            if ns in self._early:
                return Arrival.DUPLICATE, ()
            ahead = (ns - self.expected) % _MODULUS
            if ahead > self.config.reorder:
                return Arrival.TOO_FAR, ()
            self._early[ns] = message
            return Arrival.EARLY, ()
        self._ack_due = True
        ready = [message]
        self.expected = (ns + 1) % _MODULUS
        while self.expected in self._early:
            ready.append(self._early.pop(self.expected))
            self.expected = (self.expected + 1) % _MODULUS
        return Arrival.NEW, tuple(ready)

    def transmissions(self, now: float, tunnel_id: int) -> list[Transmission]:
        """What to send now; a ZLB to ``tunnel_id`` when an acknowledgement finds no message."""
        result: list[Transmission] = []
        if self._again and self._flight:
            result.append(self._transmit(self._flight[0], now))
        self._again = False
        while self._queue and (self._force or len(self._flight) < self.window):
            outgoing = self._queue.popleft()
            outgoing.ns = self.next_ns
            self.next_ns = (self.next_ns + 1) % _MODULUS
            self._flight.append(outgoing)
            result.append(self._transmit(outgoing, now))
        self._force = False
        if self._ack_due and not result:
            zlb = ControlMessage(tunnel_id, 0, self.next_ns, self.expected)
            result.append(Transmission(zlb))
        self._ack_due = False
        return result

    def timer(self) -> float | None:
        """When the oldest message is due again."""
        if not self._flight or self._again:
            return None
        oldest = self._flight[0]
        return oldest.sent_at + self.config.wait(oldest.tries)

    def handle_timer(self, now: float) -> Outgoing | None:
        """Returns the message that was sent ``tries`` times in vain, if that is so."""
        due = self.timer()
        if due is None or now < due:
            return None
        oldest = self._flight[0]
        if oldest.tries >= self.config.tries:
            return oldest
        self._again = True
        return None

    def _transmit(self, outgoing: Outgoing, now: float) -> Transmission:
        outgoing.tries += 1
        outgoing.sent_at = now
        return Transmission(outgoing.at(self.expected), outgoing.tries - 1)

    def _acknowledge(self, nr: int) -> None:
        # An Nr beyond what was sent acknowledges nothing.
        if before(self.next_ns, nr):
            return
        while self._flight and before(self._flight[0].ns, nr):
            self.acknowledged_tries = self._flight.popleft().tries
            self._again = False
