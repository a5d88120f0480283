"""A question without an answer."""

from __future__ import annotations

from vpndiag.observations import IkeMessage, Observation, PppMessage
from vpndiag.records import record


@record(frozen=True, slots=True)
class Unanswered:
    """A message that was sent ``tries`` times over ``seconds`` and not answered."""

    first: Observation
    last: Observation
    tries: int
    seconds: float
    """From the first try to the end of the material."""

    @property
    def asked_again(self) -> bool:
        """Whether one try alone shows little of a client that leaves later: it may leave off asking
        one thing in IKE because it has learnt another, and in PPP who lacks an answer asks again
        (RFC 1661 section 4.6, RFC 1334 section 2.2.1)."""
        if isinstance(self.last, PppMessage):
            return self.last.code in ("Configure-Request", "Authenticate-Request")
        return isinstance(self.last, IkeMessage)
