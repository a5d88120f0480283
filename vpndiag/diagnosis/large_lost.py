"""Large packets that a capture shows to be lost inside the tunnel: rung ``mtu``."""

from __future__ import annotations

from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import LargeLost
from vpndiag.report.model import Evidence

LOSSY = 0.1
"""Share of our control messages that had to be sent again, from which on a path loses packets."""
MANY = 20
"""Echo requests of one size that are not all lost by chance there."""
_HOW = {
    "retransmitted": "a TCP segment in packets of {size} bytes is sent {tries} and never "
    "acknowledged",
    "gap": "a hole in a TCP stream, packets of about {size} bytes, is never filled",
    "echo": "echo requests of {size} bytes, sent {tries}, get no reply",
}


def judge(view: View) -> Ruling | None:
    lost = [o for o in view.large_lost if not _by_chance(view, o)]
    if not lost:
        return None
    errors = [e for e in view.icmp if e.what == "fragmentation-needed"]
    worst = min(lost, key=lambda o: o.size)
    said = [_said(o) for o in lost[:4]]
    if errors:
        mtu = f", next hop takes {errors[0].mtu} bytes" if errors[0].mtu else ""
        said.append(
            evidence(f"ICMP fragmentation needed from {errors[0].reporter}{mtu}", errors[0])
        )
    about = "about " if worst.how == "gap" else ""
    way = "to the client" if worst.direction == "in" else "to the gateway"
    return rule(
        "mtu",
        "failed",
        finding(
            "mtu.black-hole",
            *said,
            detail=f"Packets of {about}{worst.size} bytes inside the tunnel are lost on the way "
            f"{way}; packets up to {worst.passed} bytes pass.",
            confidence="high" if any(o.how != "gap" for o in lost) or len(lost) > 1 else "medium",
        ),
        summary=f"{about}{worst.size} bytes lost, {worst.passed} pass",
        seen=lost,
    )


def _by_chance(view: View, o: LargeLost) -> bool:
    """Echo requests on a path that loses packets of any size."""
    again, total = view.retransmissions
    return o.how == "echo" and o.tries < MANY and again >= 2 and again >= LOSSY * total


def _said(o: LargeLost) -> Evidence:
    way = "gateway to client" if o.direction == "in" else "client to gateway"
    text = _HOW[o.how].format(size=o.size, tries=times(o.tries))
    return evidence(f"{way}: {text}, over {o.seconds:.1f} s; up to {o.passed} bytes pass", o)
