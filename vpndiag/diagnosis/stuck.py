"""Captures with the client's direction alone: what it repeats, it got no answer to.

A client goes on as soon as it is answered (RFC 2409 section 5), so each step but the last was, and
the last, sent again and again, was not, whether or not answers were recorded.
"""

from __future__ import annotations

from vpndiag.diagnosis import auth_causes
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage
from vpndiag.report.model import Finding

TRIES = 4
SECONDS = 4.0
_LAYERS = {"MM3": "ike", "MM5": "auth", "QM1": "ipsec"}
_NAMES = {"MM3": "message 3", "MM5": "message 5", "QM1": "quick mode"}
_ORDER = ("path", "ike", "auth", "ipsec")


def judge(layer: str, view: View) -> Ruling | None:
    """The ruling for ``path`` to ``ipsec``; None: the client is not stuck there or later."""
    tries = _repeated(view)
    if not tries:
        return None
    step = tries[0].step
    failing = _LAYERS[step]
    if _ORDER.index(layer) > _ORDER.index(failing):
        return None
    if layer != failing:
        how = "the client went on" if view.ike[0].step == "MM1" else "the client had gone on"
        return rule(layer, "passed", summary=f"answered: {how} to {_NAMES[step]}", seen=tries[:1])
    found = _finding(step, tries)
    return rule(layer, "failed", found, summary=f"no answer to {_NAMES[step]}", seen=tries)


def _repeated(view: View) -> list[IkeMessage]:
    """The client's last message of phase 1 or quick mode, where it repeats it to the end."""
    if view.live or view.ended is None or not view.ended.one_sided:
        return []
    if view.esp or view.l2tp_all or any(m.direction == "in" or m.version != 1 for m in view.ike):
        return []
    asked = [m for m in view.ike if m.step != "INFO"]
    if not asked or asked[-1].step not in _LAYERS:
        return []
    last = asked[-1]
    tries = [
        m for m in asked
        if m.step == last.step
        and (m.initiator_cookie, m.message_id) == (last.initiator_cookie, last.message_id)
    ]  # fmt: skip
    long = len(tries) >= TRIES and tries[-1].t - tries[0].t >= SECONDS
    return tries if long and all(m.repeat for m in tries[1:]) else []


def _finding(step: str, tries: list[IkeMessage]) -> Finding:
    said = [
        evidence(f"{_NAMES[step]} is sent {times(len(tries))} in {tries[-1].t - tries[0].t:.1f} s: "
                 "the client gets no answer that it takes", tries[0], tries[-1]),
        evidence("the capture has the client's direction alone: what the gateway sends is not "
                 "known", tries[0]),
    ]  # fmt: skip
    if step == "MM5":
        causes = auth_causes.either_key_or_port() if tries[0].port == 4500 else ()
        detail = (
            "The client gets no answer to message 5: the pre-shared key is wrong, or UDP 4500 is "
            "blocked."
            if causes
            else "The client gets no answer to message 5, the first that depends on the key."
        )
        return finding("auth.unanswered", *said, detail=detail, causes=causes, confidence="medium")
    code, detail = _SILENT[step]
    return finding(code, *said, detail=detail, confidence="medium")


_SILENT = {
    "MM3": ("ike.stalled", "The client gets an answer to message 1 and none to message 3."),
    "QM1": ("ipsec.unanswered", "The client completes phase 1 and gets no answer to quick mode."),
}
