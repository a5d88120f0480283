"""How long an answer takes, learnt from the tunnel's own questions."""

from __future__ import annotations

from vpndiag.protocols.ike import events as ike_events
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.l2tp.constants import MessageType

_ASKS = ("MM1", "MM3", "MM5", "QM1", MessageType.SCCRQ, MessageType.ICRQ)
_ANSWERS = ("MM2", "MM4", "MM6", "QM2", MessageType.SCCRP, MessageType.ICRP)


class RoundTrip:
    """``seconds``: from a question's first sending to its answer, the least of all; 0: not known.

    Where questions are repeated that may be too much (the first was lost), but hardly for each of
    them; from the last repeat on would be too little where the way is longer than their interval.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked_at: float | None = None

    def note(self, event: object, now: float) -> None:
        """What has just been sent or received."""
        match event:
            case ike_events.MessageSent(retransmission=False, name=name) if name in _ASKS:
                self._asked_at = now
            case ike_events.MessageReceived(repeat=False, name=name) if name in _ANSWERS:
                self._answered(now)
            case l2tp_events.MessageSent(retransmission=0, message=sent):
                if sent.message_type in _ASKS:
                    self._asked_at = now
            case l2tp_events.MessageReceived(repeat=False, message=received):
                if received.message_type in _ANSWERS:
                    self._answered(now)

    def _answered(self, now: float) -> None:
        if self._asked_at is not None:
            trip, self._asked_at = now - self._asked_at, None
            self.seconds = min(self.seconds or trip, trip)
