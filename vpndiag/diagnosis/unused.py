"""IPsec is set up, and nothing is sent in it: quick mode is complete, and not one ESP packet has
been seen. Captures only."""

from __future__ import annotations

from vpndiag.diagnosis import liveness, nat
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage
from vpndiag.report.model import Cause

STAYED = 3.0
"""Seconds after quick mode in which a client that wants to talk would have sent something."""
GIVES_UP = 60.0
"""Seconds after which a client has given up L2TP that is not answered."""
NOTHING = 10.0
"""Seconds of nothing after quick mode: clients send their first L2TP message within two."""
OFTEN = 3
"""Quick modes, each complete, within :data:`GIVES_UP`: nobody renews keys so soon."""


def judge(view: View) -> Ruling | None:
    """Rung ``esp``: the client sets up IPsec again and again, leaves, or nothing at all follows."""
    if view.live or view.esp or view.l2tp or view.only_ikev2:
        return None
    done = [m for m in view.ike if m.step == "QM3" and m.direction == "out"]
    if not done:
        return None
    again = _again(done)
    if again:
        return _never_used(view, again)
    alive = liveness.all_checks(view)
    infos = [m for m in view.ike if m.step == "INFO" and m.t > done[0].t and id(m) not in alive]
    farewells = [m for m in infos if m.deletes or m.protection == "opaque"]
    if alive and not any(m.t <= done[0].t + GIVES_UP for m in farewells):
        return None  # it lives on: ESP was left out of this capture
    left = [m for m in farewells if m.direction == "out"]
    ended = [m for m in farewells if m.direction == "in"]
    if ended and (not left or ended[0].t < left[0].t):
        return rule(
            "esp",
            "inconclusive",
            summary="IPsec was set up, and before one ESP packet is seen the gateway sends "
            + ("a Delete" if ended[0].deletes else "an encrypted notification, which may be a "
               "Delete"),
            seen=[done[0], ended[0]],
        )  # fmt: skip
    if left and left[-1].t <= done[0].t + STAYED:
        why = "and the client leaves at once: it does not want this IPsec SA, its L2TP does not "
        why += "start, or it has only asked"
    elif left and done[0].marker:  # ESP would have the port of the farewell, which got here
        why = "and the client leaves: it sends none (its L2TP does not start, or it does not use "
        why += "this IPsec SA), or ESP is dropped on the way here, or was left out of this capture"
    elif left:
        why = "and the client leaves: its packets are lost on the way here, or were not recorded"
    elif view.end - done[-1].t >= NOTHING and view.ike[-1].t <= done[-1].t + STAYED:
        why = f"for {view.end - done[-1].t:.0f} s: its packets are lost on the way here, were not "
        why += "recorded, or its L2TP does not start"
    else:
        return None
    return rule(
        "esp",
        "inconclusive",
        summary=f"IPsec was set up, not one ESP packet is seen, {why}",
        seen=[done[0], *left[-1:]],
    )


def _again(done: list[IkeMessage]) -> list[IkeMessage]:
    """Message 3 of each of several quick modes of one SA, one soon after the other, whose ESP would
    take the way of IKE (RFC 3948)."""
    firsts = {(m.initiator_cookie, m.message_id): m for m in reversed(done) if m.marker}
    soon = [
        m for m in reversed(firsts.values())
        if m.initiator_cookie == done[0].initiator_cookie and m.t - done[0].t <= GIVES_UP
    ]  # fmt: skip
    return soon if len(soon) >= OFTEN else []


def _never_used(view: View, again: list[IkeMessage]) -> Ruling:
    behind = nat.seen(view)
    translated = behind is not None and bool(behind.gateway)
    windows = any(m.product.startswith("Windows") for m in view.ike if m.direction == "out")
    needs_setting = windows and translated
    seen = [evidence(f"the client completes quick mode {len(again)} times in "
                     f"{again[-1].t - again[0].t:.0f} s, and not one ESP packet is seen",
                     *again)]  # fmt: skip
    if translated and behind is not None:
        seen.append(evidence("the gateway is behind a NAT (NAT-D)", behind.message))
    detail = "The client sets up IPsec again and again, and sends nothing in it."
    return rule(
        "ipsec",
        "failed",
        finding(
            "ipsec.client-stops",
            *seen,
            detail=detail,
            causes=(_SETTING if needs_setting else _NOT_TAKEN, _NO_L2TP),
            confidence="high" if needs_setting else "medium",
        ),
        summary=f"set up {len(again)} times, and never used",
        seen=again,
    )


_SETTING = Cause(
    "Windows does not use an IPsec SA with a server behind NAT until it is allowed to",
    "helpdesk",
    "Set the DWORD AssumeUDPEncapsulationContextOnSendRule to 2 below "
    "HKLM\\SYSTEM\\CurrentControlSet\\Services\\PolicyAgent and restart the computer",
    "likely",
)
_NOT_TAKEN = Cause(
    "The computer has no use for what was agreed in quick mode (other selectors, addresses or mode "
    "than it needs)",
    "gateway-admin",
    "Compare both sides of quick mode in the gateway's log; let it answer with what was offered",
    "likely",
)
_NO_L2TP = Cause(
    "Its L2TP does not start, or gets no answer and ESP was left out of this capture",
    "helpdesk",
    "Look in the computer's log at the time given; capture without a filter",
    "possible",
)
