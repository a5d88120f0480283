"""One incoming call (RFC 2661, 5.2 and 7.4) and its data messages (5.4)."""

from __future__ import annotations

from enum import Enum

from vpndiag.protocols.l2tp.constants import MessageType
from vpndiag.protocols.l2tp.message import DataMessage
from vpndiag.records import record

_MODULUS = 0x10000


class SessionState(Enum):
    WAIT_REPLY = "wait-reply"
    WAIT_CONNECT = "wait-connect"
    ESTABLISHED = "established"


class SessionAction(Enum):
    CONNECT = "send ICCN, established"
    ESTABLISH = "established"
    CLOSE = "closed by the peer"
    NOTE = "no effect here"


SESSION_TABLE: dict[tuple[SessionState, MessageType], SessionAction] = {
    (SessionState.WAIT_REPLY, MessageType.ICRP): SessionAction.CONNECT,
    (SessionState.WAIT_REPLY, MessageType.CDN): SessionAction.CLOSE,
    (SessionState.WAIT_CONNECT, MessageType.ICCN): SessionAction.ESTABLISH,
    (SessionState.WAIT_CONNECT, MessageType.CDN): SessionAction.CLOSE,
    (SessionState.ESTABLISHED, MessageType.CDN): SessionAction.CLOSE,
    (SessionState.ESTABLISHED, MessageType.WEN): SessionAction.NOTE,
    (SessionState.ESTABLISHED, MessageType.SLI): SessionAction.NOTE,
}
"""7.4.1 (LAC) and 7.4.2 (LNS); what is not here is not expected in that state."""


@record(slots=True)
class Session:
    """``sequencing``: number the data messages that we send. ``required``: and never stop."""

    local_id: int
    peer_id: int
    state: SessionState
    acknowledged_at: float | None = None
    tries: int = 0
    sequencing: bool = False
    required: bool = False
    next_ns: int = 0
    expected: int = 0

    def data_message(self, tunnel_id: int, frame: bytes) -> DataMessage:
        """The next data message, always with the length field: some peers insist on it."""
        if not self.sequencing:
            return DataMessage(tunnel_id, self.peer_id, frame)
        ns = self.next_ns
        self.next_ns = (ns + 1) % _MODULUS
        return DataMessage(tunnel_id, self.peer_id, frame, ns=ns, nr=self.expected)

    def note_data(self, message: DataMessage, *, follow: bool) -> bool:
        """Record a received number; returns whether the message is out of order.

        ``follow``: as a LAC, number ours as long as the LNS numbers its own (5.4).
        """
        if message.ns is None:
            if follow and not self.required:
                self.sequencing = False
            return False
        if follow:
            self.sequencing = True
        ahead = (message.ns - self.expected) % _MODULUS
        if ahead >= _MODULUS // 2:
            return True
        self.expected = (message.ns + 1) % _MODULUS
        return False
