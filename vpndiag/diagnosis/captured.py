"""What is judged otherwise in a capture than in a live run: other protocols, sessions that began
before the capture, and what is hidden without keys."""

from __future__ import annotations

from vpndiag.diagnosis import gave_up, ikev2, large_lost, upkeep
from vpndiag.diagnosis.ruling import Ruling, not_reached, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import DataFlow, EspFlow, IkeMessage
from vpndiag.report.model import Finding

SHORT_LIFE = 15.0
"""Seconds. A session that ends by itself sooner was hardly of use to anyone."""
LOGIN_PACKETS = 24
"""More ESP packets one way than tunnel, link and login need (8 for L2TP and its acknowledgements,
4 to 6 for LCP, 3 to 6 for the login) in a run without loss."""
LONGER_LIFE = 60.0
SMALL = 300
"""Bytes of the largest ESP packet when there is nothing but L2TP and PPP negotiation: repeated, it
makes many packets, but no large ones."""


def judge(layer: str, view: View) -> Ruling | None:
    """The ruling where a capture needs another one; None: as in a live run."""
    if view.live:
        return None
    if view.only_ikev2:
        found = ikev2.judge(layer, view)
        if found is not None:
            return found
    if view.data and not view.l2tp_all and not view.ppp:
        found = _only_data(layer, view)
        if found is not None:
            return found
    if layer == "path" and _half(view):
        return rule(
            "path",
            "inconclusive",
            summary="the capture shows one direction only; what was answered is not in it",
            seen=view.ike[:1] or view.l2tp_all[:1],
        )
    found = upkeep.judge(layer, view) or gave_up.judge(layer, view)
    if found is not None:
        return found
    if layer == "l2tp":
        return _hidden(view)
    if layer == "mtu":
        return large_lost.judge(view)
    return None


def _half(view: View) -> bool:
    """One direction of a conversation that must have had two, without a refusal in it."""
    if view.ended is None or not view.ended.one_sided or not (view.ike or view.l2tp_all):
        return False
    refused = any(n.type < 16384 for m in view.ike for n in m.notifies)
    return not refused and not any(m.result_code for m in view.l2tp_all)


def notes(view: View) -> list[Finding]:
    """What a capture shows beside the judgement of the rungs."""
    return upkeep.notes(view)


def _only_data(layer: str, view: View) -> Ruling | None:
    """A tunnel or link that was up before the capture began and goes on after it."""
    first = view.data[0]
    seen = view.data
    if layer == "l2tp" and first.inside != "ppp":
        return rule("l2tp", "passed", summary="tunnel was up before the capture began", seen=seen)
    if layer == "lcp":
        echoes = sum(d.echoes for d in seen)
        summary = "link was up before the capture began"
        return rule("lcp", "passed", seen=seen,
                    summary=summary + (f"; {echoes} LCP echoes" if echoes else ""))  # fmt: skip
    if layer == "login":
        return not_reached("login", "the login was before the capture began")
    if layer == "address":
        return _data_both_ways(seen)
    return None


def _data_both_ways(seen: list[DataFlow]) -> Ruling:
    ways = {d.direction for d in seen if d.packets}
    packets = sum(d.packets for d in seen)
    if None in ways or ways == {"in", "out"}:
        return rule("address", "passed", summary=f"{packets} packets of users' data", seen=seen)
    return rule("address", "inconclusive", summary="users' data is seen one way only", seen=seen)


def _hidden(view: View) -> Ruling | None:
    """ESP both ways that nobody can read: a session that the client ends within seconds, after no
    more packets than a login takes, has probably failed inside."""
    if view.l2tp or view.ppp or view.only_ikev2 or not view.esp:
        return None
    if any(f.verified for f in view.esp):
        return None
    out = [f for f in view.esp if f.direction == "out" and f.packets]
    back = [f for f in view.esp if f.direction == "in" and f.packets]
    if not out or not back or not any(m.step == "MM1" for m in view.ike):
        return None
    start = min(f.t for f in (*out, *back))
    last = max(f.last_t for f in (*out, *back))
    most = max(_count(out), _count(back))
    farewell = _farewell(view, last)
    few = last - start <= SHORT_LIFE and most <= LOGIN_PACKETS
    small = last - start <= LONGER_LIFE and _largest(out, back) <= SMALL
    if not farewell or not (few or small):
        return None
    who = "client" if farewell[0].direction == "out" else "gateway"
    text = (
        f"the {who} ends the session {farewell[0].t - start:.1f} s after the first ESP packet; "
        f"{_count(out)} packets out and {_count(back)} in, no more than setting up takes"
    )
    return rule(
        "l2tp",
        "inconclusive",
        summary=f"{text}: a failed login or a refusal inside IPsec is likely; keys would tell",
        seen=[*out, *back, *farewell],
    )


def _count(flows: list[EspFlow]) -> int:
    return sum(f.packets for f in flows)


def _largest(out: list[EspFlow], back: list[EspFlow]) -> int:
    return max(f.largest if f.largest is not None else SMALL + 1 for f in (*out, *back))


def _farewell(view: View, last: float) -> list[IkeMessage]:
    """Informational exchanges around the end of ESP, with which SAs are deleted."""
    return [
        m
        for m in view.ike
        if m.step == "INFO" and m.t >= last - 2.0 and (m.deletes or m.protection == "opaque")
    ]
