"""A question without an answer."""

from __future__ import annotations

from vpndiag.observations import Observation
from vpndiag.records import record


@record(frozen=True, slots=True)
class Unanswered:
    """A message that was sent ``tries`` times over ``seconds`` and not answered."""

    first: Observation
    last: Observation
    tries: int
    seconds: float
    """From the first try to the end of the material."""
