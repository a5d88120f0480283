"""Certificates that a capture shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from vpndiag.capture.attempt import SECOND
from vpndiag.observations import (
    CertificateSeen,
    IkeMessage,
    Observation,
)
from vpndiag.protocols.errors import ProtocolError
from vpndiag.report.text import visible


def judge_dates(found: list[Observation], start_ns: int) -> None:
    """A certificate of the gateway that was out of date when it was sent, and that the client did
    not go on with."""
    for index, o in enumerate(found):
        if not isinstance(o, CertificateSeen) or o.direction != "in":
            continue
        if any(isinstance(m, IkeMessage) and m.step.startswith("QM") for m in found[index:]):
            found[index] = replace(o, problem="")
            continue
        if o.problem:
            continue
        moment = _iso(start_ns / SECOND + o.t)
        if o.not_after and moment and o.not_after < moment:
            found[index] = replace(o, problem="expired")
        elif o.not_before and moment and moment < o.not_before:
            found[index] = replace(o, problem="not-yet-valid")


def certificate(seen: IkeMessage, der: bytes) -> CertificateSeen | None:
    from vpndiag.protocols.ike.certificates import describe

    try:
        leaf = describe(der)
    except (ProtocolError, ValueError):
        return None
    return CertificateSeen(
        t=seen.t,
        frames=seen.frames,
        direction=seen.direction,
        subject=visible(leaf.subject, 160),
        issuer=visible(leaf.issuer, 160),
        not_before=_iso(leaf.not_before),
        not_after=_iso(leaf.not_after),
        names=tuple(visible(n, 80) for n in leaf.names[:16]),
    )


def _iso(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
