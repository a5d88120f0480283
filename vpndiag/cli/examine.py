"""One attempt of a capture, observed and judged."""

from __future__ import annotations

from dataclasses import dataclass

from vpndiag.capture.analyze import Analysis
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.diagnosis.together import Judged
from vpndiag.observations import EspFlow, Observation

Seen = tuple[Observation, ...]
MAX_FRAMES = 400
MAX_FULL = 1_000
"""Sessions whose observations are in the report; all others have their verdict and findings."""


@dataclass(frozen=True, slots=True)
class Examined:
    """One attempt judged, and the frames of its control packets. ``order``: its place among all."""

    order: tuple[int, int, int]
    judged: Judged
    frames: tuple[int, ...]


def examine(number: int, found: Analysis) -> tuple[Examined, Seen]:
    """Observe and judge an attempt. In the result only the first of what was seen is kept."""
    attempt = found.attempts[number]
    seen = found.observe(attempt)
    start = found.material.first_ns or 0
    judged = Judged(
        attempt.key,
        attempt.client,
        attempt.gateway,
        max(0, attempt.first_ns - start) / 1e9,
        max(0, attempt.last_ns - start) / 1e9,
        diagnose(seen),
        seen[:1],
    )
    return Examined(attempt.order, judged, _frames(seen)), seen


def _frames(seen: Seen) -> tuple[int, ...]:
    """Those that show something, in order, and always the last."""
    numbers = {f for o in seen for f in o.frames}
    for o in seen:
        if isinstance(o, EspFlow):
            numbers.update(o.last_frames)
    ordered = sorted(numbers)
    return (*ordered[: MAX_FRAMES - 1], *ordered[MAX_FRAMES - 1 :][-1:])
