"""Figures of many round trips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict


class Spread(TypedDict):
    """Seconds; None: there is no value."""

    fastest: float | None
    median: float | None
    p95: float | None
    slowest: float | None


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value that ``share`` of ``ordered`` do not exceed (nearest rank); None: there is none."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def spread(values: Sequence[float]) -> Spread:
    """In microsecond steps."""
    ordered = sorted(round(v, 6) for v in values)
    return Spread(
        fastest=quantile(ordered, 0.0),
        median=quantile(ordered, 0.5),
        p95=quantile(ordered, 0.95),
        slowest=quantile(ordered, 1.0),
    )


class Jitter:
    """RFC 3550 section 6.4.1, with round trips in place of one-way times: no two clocks are
    compared, and both ways count."""

    def __init__(self) -> None:
        self.value: float | None = None
        self._last: float | None = None

    def add(self, round_trip: float) -> None:
        if self._last is not None:
            change = abs(round_trip - self._last)
            self.value = (self.value or 0.0) + (change - (self.value or 0.0)) / 16
        self._last = round_trip
