"""Two sessions of one gateway that have the same address inside at the same time."""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.diagnosis.judged import Judged
from vpndiag.diagnosis.ruling import at_frames, finding
from vpndiag.report.model import Diagnosis, Finding

TOGETHER = 10.0
"""Seconds for which both are seen. A client that comes back soon is given the address that it had,
and its old session is still taken down."""


def twins(attempts: Sequence[Judged]) -> dict[int, Judged]:
    """By index, another session that has the same address at the same time."""
    latest: dict[tuple[str, str], int] = {}
    found: dict[int, Judged] = {}
    for i in sorted(range(len(attempts)), key=lambda i: attempts[i].first):
        a = attempts[i]
        address = _assigned(a.diagnosis)
        if not address:
            continue
        before = latest.get((a.gateway, address))
        if before is None or attempts[before].last < a.last:
            latest[a.gateway, address] = i
        if before is None or attempts[before].key == a.key:
            continue
        if min(attempts[before].last, a.last) - a.first >= TOGETHER:
            found[i] = attempts[before]
            found.setdefault(before, a)
    return found


def note(one: Judged, other: Judged | None) -> Finding | None:
    """The finding for ``one`` of two twins."""
    if other is None:
        return None
    address = _assigned(one.diagnosis)
    who = other.caller or other.client
    return finding(
        "address.shared",
        at_frames(f"{who} has the address {address} as well, from {other.first:.1f} s to "
                  f"{other.last:.1f} s", other.first, other.frames),
        detail=f"The gateway has given {address} to another session too, that of {who}.",
        severity="warning",
        confidence="high",
    )  # fmt: skip


def _assigned(diagnosis: Diagnosis) -> str:
    for layer in reversed(diagnosis.layers):
        if layer.id == "address":
            return layer.facts.get("address", "") if layer.status != "failed" else ""
    return ""
