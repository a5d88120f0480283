"""Traces and control checks as sentences."""

from __future__ import annotations

from vpndiag.diagnosis.ruling import evidence
from vpndiag.diagnosis.told import in_words
from vpndiag.diagnosis.view import View
from vpndiag.observations import PathTrace
from vpndiag.report.model import Evidence

_NAMES = {"ike": "IKE to UDP 500", "ike-natt": "IKE to UDP 4500", "udp": "ordinary UDP"}
_WHAT = {"tcp": "TCP", "icmp-echo": "ping", "ike": "IKE"}
_SHOWN = 4
"""Hops shown at each end of a long trace."""


def traced(view: View, gateway: str) -> list[Evidence]:
    """A line for each kind of packet."""
    traces = view.traces
    if any(t.end == "cannot-tell" for t in traces.values()):
        return [
            evidence(
                "where on the way packets stop cannot be told on this system: it shows an ordinary "
                "user no answers of routers"
            )
        ]
    shown = [traces[what] for what in _NAMES if what in traces]
    return [evidence(f"trace of {_NAMES[t.what]}: {_line(t, gateway)}", t) for t in shown]


def checked(view: View, *, alive: bool) -> list[Evidence]:
    """What else was asked; ``alive``: the gateway's address answered something."""
    controls = view.controls
    own = [c for c in controls if c.role == "gateway" and c.outcome != "cannot-tell"]
    said: list[Evidence] = []
    if own:
        words = ", ".join(
            f"{_WHAT[c.what]}{f' {c.port}' if c.port else ''} {c.outcome}" for c in own
        )
        sign = "somebody is there" if alive else "no sign of life"
        said.append(evidence(f"the same address otherwise: {words}: {sign}", *own))
    for c in controls:
        if c.role == "other-address":
            said.append(evidence(f"its other address {c.address}, IKE: {c.outcome}", c))
        elif c.role == "reference":
            text = f"the reference gateway {c.target}, IKE to UDP {c.port}: {c.outcome}"
            said.append(evidence(text, c))
    return said


def _line(trace: PathTrace, gateway: str) -> str:
    hops = [hop.address or "*" for hop in trace.hops]
    if len(hops) > 2 * _SHOWN + 1:
        left = len(hops) - 2 * _SHOWN
        hops = [*hops[:_SHOWN], f"({left} more)", *hops[-_SHOWN:]]
    who = "the gateway" if trace.end_by == gateway else trace.end_by
    how = in_words(trace.end_how)
    if trace.end == "reached" and trace.end_how == "answer":
        hops.append("answered by the gateway")
    elif trace.end in ("reached", "refused", "error"):
        hops.append(f"{who} ({how})")
    elif trace.end == "unfinished":
        hops.append("no time for more")
    else:
        hops.append("then nobody" if hops else "nobody answers")
    return ", ".join(hops)
