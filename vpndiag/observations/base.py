"""What all observations have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["out", "in"]
"""``out``: client to gateway; ``in``: gateway to client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A fact seen at time ``t`` (seconds), shown by packets ``frames`` (may be empty)."""

    t: float
    frames: tuple[int, ...] = ()
