"""All sessions of a capture together: which attempt matters, and what only several show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vpndiag.observations import Observation, OtherTraffic
from vpndiag.report.model import Diagnosis, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """One attempt and its diagnosis. ``key`` is the same for all attempts of one client at one
    gateway; times in seconds."""

    key: object
    client: str
    gateway: str
    first: float
    last: float
    diagnosis: Diagnosis
    observations: Sequence[Observation] = ()


def choose(attempts: Sequence[Judged]) -> int | None:
    """Index of the attempt that the capture is about.

    The last one that failed without a later success of the same client and gateway; else the
    longest healthy one; else the last that is not clear.
    """
    healthy_last: dict[object, float] = {}
    for a in attempts:
        if a.diagnosis.verdict.outcome == "healthy":
            healthy_last[a.key] = max(healthy_last.get(a.key, 0.0), a.first)
    failed = [
        i
        for i, a in enumerate(attempts)
        if a.diagnosis.verdict.outcome == "failed" and healthy_last.get(a.key, -1.0) < a.first
    ]
    if failed:
        return failed[-1]
    for outcome in ("healthy", "inconclusive", "not_applicable"):
        found = [i for i, a in enumerate(attempts) if a.diagnosis.verdict.outcome == outcome]
        if found and outcome == "healthy":
            return max(found, key=lambda i: attempts[i].last - attempts[i].first)
        if found:
            return found[-1]
    return None


def nothing(other: Iterable[OtherTraffic]) -> Verdict:
    """The verdict for a capture without any attempt."""
    seen = list(other)
    if not seen:
        return Verdict(
            "not_applicable", "Nothing of L2TP/IPsec is in this capture.", confidence="high"
        )
    kinds = ", ".join(f"{o.what} ({o.packets} packets)" for o in seen)
    return Verdict("not_applicable", f"No L2TP/IPsec in this capture, but {kinds}.")
