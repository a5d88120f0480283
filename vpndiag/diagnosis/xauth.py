"""XAUTH: a second login between phase 1 and quick mode, in the transaction exchange.

Cisco's and others' gateways ask for it (draft-beaulieu-ike-xauth); L2TP/IPsec clients do not speak
it, and log in inside PPP instead.
"""

from __future__ import annotations

from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage

ASKED = 2
"""Requests without an answer that show that the client does not speak XAUTH."""


def judge(view: View) -> Ruling | None:
    """A transaction exchange that is not answered, or behind which the gateway leaves."""
    sa = view.primary
    if sa is None or view.running or any(f.packets for f in view.esp):
        return None
    config = [m for m in sa.messages if m.step == "CONFIG"]
    if not config or any(m.step in ("QM2", "QM3") for m in sa.messages):
        return None
    asked = [m for m in config if m.direction == "in"]
    answers = [m for m in config if m.direction == "out"]
    if asked and not answers:
        silence = view.unanswered(asked)
        if len(asked) < ASKED or silence is None or not view.conclusive(silence):
            return None
        return _failed(
            "auth.xauth-wanted",
            "The gateway wants a login by XAUTH before IPsec; this client does not answer that.",
            f"the gateway begins a transaction exchange, {times(len(asked))}, and gets no answer",
            asked,
        )
    begun = asked and config[0].direction == "in"
    gone = [
        m for m in sa.messages
        if m.step == "INFO" and m.direction == "in" and m.t >= config[-1].t
    ]  # fmt: skip
    if not begun or not gone or any(m.step == "QM1" for m in sa.messages):
        return None
    return _failed(
        "auth.xauth-refused",
        "The gateway ends the SA behind the login by XAUTH: it does not accept it.",
        "after the transaction exchange the gateway sends a notification or Delete, and no quick "
        "mode follows",
        [*config[-2:], *gone[:1]],
    )


def _failed(code: str, detail: str, said: str, seen: list[IkeMessage]) -> Ruling:
    found = finding(code, evidence(said, *seen), detail=detail, confidence="medium")
    return rule("auth", "failed", found, summary=detail.split(":")[0].rstrip("."), seen=seen)
