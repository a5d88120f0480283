"""What a layer file returns: the rung and its findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from vpndiag.diagnosis.sorting import frames_of
from vpndiag.observations import Observation
from vpndiag.records import record
from vpndiag.report.model import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Layer,
    Severity,
    Status,
    Verdict,
)


@record(frozen=True, slots=True)
class Ruling:
    """One layer's judgement. ``layer.status`` is ``not_reached`` when the material says nothing.

    The layer may be another one than was asked: what stops after message 5 may be the path's fault.
    ``own`` then is the rung of the layer that was asked.
    """

    layer: Layer
    findings: tuple[Finding, ...] = ()
    own: Layer | None = None


def rule(
    layer: str,
    status: Status,
    *findings: Finding,
    summary: str = "",
    reason: str = "",
    seen: Collection[Observation] = (),
    facts: dict[str, str] | None = None,
    own: Layer | None = None,
) -> Ruling:
    """A ruling; the rung's times are those of ``seen``. A passed rung with a warning among its
    findings becomes ``warning``."""
    times = [o.t for o in seen] if seen else ()
    if findings and status == "passed" and any(f.severity == "warning" for f in findings):
        status = "warning"
    return Ruling(
        Layer(
            layer,
            status,
            summary,
            reason,
            min(times) if times else None,
            max(times) if times else None,
            facts or {},
        ),
        findings,
        own,
    )


@lru_cache(maxsize=1024)
def not_reached(layer: str, reason: str) -> Ruling:
    """A rung of which there is nothing to say. Most rungs of most sessions: the same each time."""
    return rule(layer, "not_reached", reason=reason)


def finding(
    code: str,
    *evidence: Evidence,
    detail: str = "",
    confidence: Confidence = "high",
    severity: Severity = "error",
    causes: tuple[Cause, ...] = (),
    title: str = "",
) -> Finding:
    """A finding of the layer that its code names. Title, explanation, causes and fix are filled in
    from the catalogue; ``causes`` and ``title`` given here replace the catalogue's."""
    return Finding(
        code=code,
        layer=code.partition(".")[0],
        severity=severity,
        confidence=confidence,
        title=title,
        detail=detail,
        evidence=evidence,
        causes=causes,
    )


def evidence(text: str, *seen: Observation) -> Evidence:
    """A sentence and the observations that show it."""
    return Evidence(text=text, t=seen[0].t if seen else None, frames=frames_of(seen))


def at_frames(text: str, t: float | None, frames: Iterable[int]) -> Evidence:
    """A sentence about packets inside what one observation counts: ``frames`` show it."""
    return Evidence(text=text, t=t, frames=tuple(sorted(set(frames))))


def times(count: int) -> str:
    """``once``, ``twice``, ``5 times``."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def tried(count: int, seconds: float) -> str:
    """How often something was asked, and how long it was waited for."""
    if count == 1:
        return f"once (waited {seconds:.1f} s)"
    return f"{times(count)} in {seconds:.1f} s"


def number(count: int, one: str) -> str:
    """``1 packet``, ``3 packets``."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def listed(what: Sequence[str], most: int) -> str:
    """``a; b``, or ``a; b; and 3 more``: what is left out is told."""
    left = len(what) - most
    return "; ".join(what) if left <= 0 else f"{'; '.join(what[:most])}; and {left} more"


def failed_verdict(layers: Sequence[Layer], findings: Sequence[Finding]) -> Verdict | None:
    """The verdict of the first rung that failed; None: none did."""
    failed = next((x for x in layers if x.status == "failed"), None)
    if failed is None:
        return None
    main = next((f for f in findings if f.layer == failed.id and f.severity == "error"), None)
    return Verdict(
        outcome="failed",
        headline=(main.detail or main.title) if main else failed.summary,
        layer=failed.id,
        finding=main.code if main else None,
        confidence=main.confidence if main else "medium",
    )
