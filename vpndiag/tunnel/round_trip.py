"""How long an answer takes, learnt from the tunnel's own questions."""

from __future__ import annotations

from vpndiag.protocols.ike import events as ike_events
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.l2tp.constants import MessageType

_ASKS = ("MM1", "MM3", "MM5", "QM1", MessageType.SCCRQ, MessageType.ICRQ)
_ANSWERS = ("MM2", "MM4", "MM6", "QM2", MessageType.SCCRP, MessageType.ICRP)
SLACK = 0.2
"""Seconds that an answer may take beyond twice the shortest of all: gateways have to think."""


class RoundTrip:
    """``seconds``: from a question's first sending to its answer, the least of all; 0: not known.

    Where questions are repeated that may be too much (the first was lost), but hardly for each of
    them; from the last repeat on would be too little where the way is longer than their interval.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked_at: float | None = None
        self._repeated = False
        self._answers = 0
        self._longest = 0.0
        """Of the answers to questions that were repeated."""

    @property
    def even(self) -> bool:
        """That questions had to be repeated is the length of the way: no answer took much longer
        than the others (two at least are known). Where packets are lost, some do."""
        return self._answers > 1 and self._longest <= 2 * self.seconds + SLACK

    def note(self, event: object, now: float) -> None:
        """What has just been sent or received."""
        match event:
            case ike_events.MessageSent(retransmission=again, name=name) if name in _ASKS:
                self._asked(now, again)
            case ike_events.MessageReceived(repeat=False, name=name) if name in _ANSWERS:
                self._answered(now)
            case l2tp_events.MessageSent(retransmission=count, message=sent):
                if sent.message_type in _ASKS:
                    self._asked(now, count > 0)
            case l2tp_events.MessageReceived(repeat=False, message=received):
                if received.message_type in _ANSWERS:
                    self._answered(now)

    def _asked(self, now: float, again: bool) -> None:
        self._repeated = again
        if not again:
            self._asked_at = now

    def _answered(self, now: float) -> None:
        if self._asked_at is None:
            return
        trip, self._asked_at = now - self._asked_at, None
        self.seconds = min(self.seconds or trip, trip)
        self._answers += 1
        if self._repeated:
            self._longest = max(self._longest, trip)
