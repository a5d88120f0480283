"""How long a silent NAT mapping survives, and which keepalive interval that asks for."""

from __future__ import annotations

from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import NatLifetime
from vpndiag.report.model import Finding

KEEPALIVE = 20
"""Seconds between the keepalives of usual clients (RFC 3948 section 4)."""
SHORT = 2 * KEEPALIVE
"""A mapping that dies sooner than this is lost with one keepalive, or without any."""


def measured(view: View) -> NatLifetime | None:
    found = [o for o in view.of(NatLifetime) if o.outcome in ("measured", "unfinished")]
    return found[-1] if found and found[-1].heard + found[-1].missed else None


def facts(view: View) -> dict[str, str]:
    """For the rung ``path``."""
    asked = view.of(NatLifetime)
    m = measured(view)
    if m is None:
        why = {"unanswered": "cannot be told: the gateway sends nothing by itself",
               "no-session": "cannot be told: no session for it"}  # fmt: skip
        return (
            {"silent mapping": why[asked[-1].outcome]}
            if (asked and asked[-1].outcome in why)
            else {}
        )
    said = f"survives {m.survived:.0f} s"
    if m.gone:
        said += f", gone after {m.gone:.0f} s"
    else:
        said += " (longer cannot be told: the gateway was not silent for longer)"
    return {"silent mapping": said}


def findings(view: View) -> list[Finding]:
    """A mapping that dies sooner than clients' keepalives keep it."""
    m = measured(view)
    if m is None or not m.gone or m.gone > SHORT:
        return []
    # between what it survives and what it does not
    interval = min(KEEPALIVE, int(m.survived))
    enough = f"; keepalives every {interval} s keep it" if interval else ""
    return [
        finding(
            "path.nat-short-lived",
            evidence(
                f"a packet of the gateway arrives after {m.survived:.1f} s of silence, and none "
                f"after {m.gone:.1f} s, while the same on a line that is kept alive does "
                f"({m.missed} in a row)",
                m,
            ),
            detail=f"A silent mapping of UDP 4500 survives {m.survived:.0f} s and is gone after "
            f"{m.gone:.0f} s{enough}.",
            severity="warning",
            confidence="high" if m.missed > 1 else "medium",
        )
    ]
