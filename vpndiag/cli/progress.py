"""The line that is seen while a run stays connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpndiag.render.ladder import clock, duration

if TYPE_CHECKING:
    from vpndiag.probes.soak import Progress

_SILENT = 1.5
_RENEWING = {"ipsec": "renewing the keys of IPsec", "ike": "renewing the keys of IKE"}


def line_of(progress: Progress) -> str:
    """``0:42 of 10:00, 40 of 40 answered, 18 ms``."""
    parts = [
        f"{clock(progress.elapsed)} of {clock(progress.planned)}",
        f"{progress.received} of {progress.sent} answered",
    ]
    if progress.silent > _SILENT:
        parts.append(f"no answer for {progress.silent:.0f} s")
    elif progress.round_trip is not None:
        parts.append(duration(progress.round_trip))
    if progress.renewing:
        parts.append(_RENEWING[progress.renewing])
    return ", ".join(parts)
