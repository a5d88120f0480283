"""What all observations have in common."""

from __future__ import annotations

from typing import Literal

from vpndiag.records import record

Direction = Literal["out", "in"]
"""``out``: client to gateway; ``in``: gateway to client."""


@record(frozen=True, slots=True, kw_only=True)
class Observation:
    """A fact seen at time ``t`` (seconds), shown by packets ``frames`` (may be empty)."""

    t: float
    frames: tuple[int, ...] = ()
