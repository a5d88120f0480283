"""What the sequence numbers of ESP show (RFC 4303 section 3.4.3): packets that came twice, and
packets that others have overtaken. Neither fails a session."""

from __future__ import annotations

from vpndiag.diagnosis.ruling import at_frames, evidence, finding, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import EspFlow
from vpndiag.report.model import Evidence, Finding

WINDOW = 32
"""Numbers that every receiver must be able to look back (RFC 4303 section 3.4.3); 64 is the
default there. What comes later than its receiver's window is thrown away."""
SHARE = 0.02
FEW_REPEATS, FEW_LATE = 3, 5
_WAY = {"in": "from the gateway", "out": "from the client"}


def findings(view: View) -> list[Finding]:
    flows = [f for f in view.esp if f.packets]
    found = [_replayed(view, flows), _out_of_order(view, flows)]
    return [f for f in found if f is not None]


def recorded_twice(view: View, f: EspFlow) -> bool:
    """Every packet of it, within milliseconds: by a recorder on several interfaces, or at a mirror
    port that shows packets come and go."""
    twice = 0.4 <= f.replayed / max(f.packets, 1) <= 0.55
    return not view.live and twice and f.copies >= 0.9 * f.replayed


def _replayed(view: View, flows: list[EspFlow]) -> Finding | None:
    flows = [f for f in flows if not recorded_twice(view, f)]
    repeated = [f for f in flows if f.replayed]
    count, total = sum(f.replayed for f in flows), sum(f.packets for f in flows)
    if count < FEW_REPEATS or count <= total * SHARE:
        return None
    return finding(
        "esp.replayed",
        evidence(f"{count} of {total} packets are repeats", *repeated)
        if view.live
        else _shown(f"{count} of {total} packets are repeats of earlier ones: ", repeated,
                    "replayed"),
        detail=f"{count} of {total} encrypted packets came more than once.",
        severity="warning",
        confidence="medium",
    )  # fmt: skip


def _out_of_order(view: View, flows: list[EspFlow]) -> Finding | None:
    late = [f for f in flows if f.out_of_order and f.late_frames]
    count, total = sum(f.out_of_order for f in late), sum(f.packets for f in flows)
    furthest = max((f.late_by for f in late), default=0)
    if count < FEW_LATE or (count <= total * SHARE and furthest < WINDOW):
        return None
    harm = furthest >= WINDOW
    detail = f"{count} of {total} encrypted packets were overtaken by others, by up to {furthest}."
    if harm:
        detail += " A receiver throws away what comes so late (anti-replay)."
    return finding(
        "esp.out-of-order",
        _shown(f"{count} of {total} packets came behind later ones: ", late, "late"),
        detail=detail,
        severity="warning" if harm else "info",
        confidence="high",
    )


def _shown(text: str, flows: list[EspFlow], what: str) -> Evidence:
    """The packets themselves, and how many each way."""
    parts: list[str] = []
    frames: list[int] = []
    for f in sorted(flows, key=lambda f: f.t):
        count = f.replayed if what == "replayed" else f.out_of_order
        parts.append(f"SPI {f.spi} {_WAY[f.direction]} {times(count)}")
        frames += f.replayed_frames if what == "replayed" else f.late_frames
    return at_frames(text + ", ".join(parts[:4]), None, frames or flows[0].frames)
