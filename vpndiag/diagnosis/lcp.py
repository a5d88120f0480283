"""Rung ``lcp``: are both sides' LCP Configure-Requests acknowledged (RFC 1661)?"""

from __future__ import annotations

from vpndiag.diagnosis import lcp_login, ppp
from vpndiag.diagnosis.gave_up import SOON
from vpndiag.diagnosis.l2tp import in_vain, unread
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times, tried
from vpndiag.diagnosis.view import View
from vpndiag.observations import L2tpMessage, PppMessage
from vpndiag.report.model import Cause, Evidence

_UNHEARD = 4
"""Requests of the gateway without a word of the client."""


def judge(view: View) -> Ruling:
    packets = view.ppp_of("LCP")
    if not view.ppp:
        return _nothing(view)
    terms = lcp_login.judge(view)
    if terms is not None and not view.running:
        return terms
    ahead = None if view.running else _goes_ahead(view)
    if ahead is not None:
        return ahead
    if ppp.lcp_up(view):
        return _passed(view)
    if view.running:
        return not_reached("lcp", "negotiating")
    return _failed(view, packets)


def _nothing(view: View) -> Ruling:
    if view.half_inside is not None:
        return rule("lcp", "inconclusive", summary=ppp.undecided(view), seen=view.l2tp)
    up = view.l2tp_of("out", "ICCN")
    if not up:
        if view.esp and not view.l2tp and not view.live:
            return not_reached("lcp", unread(view))
        return not_reached("lcp", ppp.absent(view))
    if view.scope is not None and not view.scope.user:
        return not_reached("lcp", ppp.absent(view))
    silence = view.unanswered(up)
    if view.running or silence is None or (view.live and silence.seconds < 4.0):
        return not_reached("lcp", "no PPP packet yet")
    if silence.seconds < 4.0:
        why = ppp.ends_soon(view, up[-1].t, "the call was set up") or ppp.undecided(view)
        return rule("lcp", "inconclusive", summary=why, seen=up)
    return rule("lcp", "inconclusive", summary="no PPP packet seen", seen=up)


def _passed(view: View) -> Ruling:
    agreed = view.ppp_of("LCP", "out", "Configure-Ack")
    parts = []
    facts: dict[str, str] = {}
    for m in agreed[-1:]:
        for name, label in (("MRU", "MRU"), (ppp.AUTH, "login by")):
            value = ppp.option(m, name)
            if value:
                parts.append(f"{label} {value}")
                facts[name] = value
    seen = [m for m in view.ppp_of("LCP") if m.code.startswith("Configure-")]
    return rule("lcp", "passed", summary=", ".join(parts), seen=seen or view.ppp, facts=facts)


def _goes_ahead(view: View) -> Ruling | None:
    """The gateway begins the login, and never acknowledges the client's Configure-Request: for the
    client LCP is not open, and it has to ignore the login (RFC 1661 section 3.4)."""
    if "in" in view.acknowledged.get("LCP", {}):
        return None
    begun = [m for m in view.ppp if m.direction == "in" and m.protocol in ppp.AUTHENTICATION]
    later = (*ppp.AUTHENTICATION, "IPCP", "IPV6CP")
    if not begun or any(m.direction == "out" and m.protocol in later for m in view.ppp):
        return None
    asked = view.ppp_of("LCP", "out", "Configure-Request")
    silence = view.unanswered([m for m in asked if m.t > begun[0].t])
    if silence is None or silence.tries < _INSISTS or not view.conclusive(silence):
        return None
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.no-answer",
            evidence(f"the gateway begins with the login ({begun[0].protocol})", begun[0]),
            evidence(f"the client goes on sending its LCP Configure-Request, {times(silence.tries)}"
                     f" in {silence.seconds:.1f} s; it is never acknowledged",
                     silence.first, silence.last),
            detail="The gateway begins with the login, and never acknowledges the client's LCP "
            "Configure-Request.",
            confidence="medium",
        ),
        summary="the client's Configure-Request is never acknowledged",
        seen=[*begun[:1], *asked],
    )  # fmt: skip


_INSISTS = 3
"""Configure-Requests behind the first packet of the login: one may have crossed it."""


def _not_spoken(view: View, packets: list[PppMessage]) -> Ruling | None:
    """The gateway rejects LCP itself: its Configure-Request as a code, or its protocol (RFC 1661
    sections 5.6 and 5.7), and that is the end of the link."""
    ours = [m for m in packets if m.direction == "out"]
    # What else the client says (Windows: Identification) may be what is not known there.
    plain = all(m.code.startswith(("Configure-", "Terminate-")) for m in ours)
    rejects = [
        m for m in packets
        if m.direction == "in" and (
            (m.code == "Code-Reject" and plain)
            or (m.code == "Protocol-Reject" and m.method == "LCP")
        )
    ]  # fmt: skip
    if not ours or not rejects or "in" in view.acknowledged.get("LCP", {}):
        return None
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.refused",
            evidence("the client begins LCP", ours[0]),
            evidence(f"the gateway answers {rejects[0].code}", *rejects[:3]),
            detail=f"The other end does not speak LCP: it answers {rejects[0].code}.",
            causes=_NO_PPP,
        ),
        summary=f"LCP is answered with {rejects[0].code}",
        seen=packets,
    )


_NO_PPP = (
    Cause("The call does not end at a PPP server: it is passed on to something else behind the "
          "gateway", "gateway-admin", "Look where the gateway sends this call, and at its PPP "
          "settings (virtual template, profile)", "likely"),
)  # fmt: skip


def _turned_down(view: View, refusals: list[PppMessage]) -> Ruling | None:
    """The client leaves right behind a refusal of what it asked for."""
    said = [m for m in refusals if m.direction == "in"]
    left = ppp.left(view, said[-1].t) if said else None
    if left is None or left.t - said[-1].t > SOON:
        return None
    what = ", ".join(name for name, _ in said[-1].options) or "an option"
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.no-convergence",
            evidence(f"the gateway answers {said[-1].code} for {what}", said[-1]),
            evidence(f"the client ends with {ppp.how(left)}", left),
            detail=f"The gateway turns down what the client asks for ({what}), and the client "
            "leaves.",
            confidence="medium",
        ),
        summary=f"the client leaves: {what} is turned down",
        seen=[*said, left],
    )


def _never_spoke(ours: list[PppMessage], end: PppMessage | L2tpMessage) -> Ruling:
    """The gateway says nothing in PPP, and closes the call after a while."""
    seconds = end.t - ours[0].t
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.no-answer",
            evidence(f"LCP Configure-Request sent {tried(len(ours), seconds)}, no answer",
                     ours[0], ours[-1]),
            evidence(f"the gateway ends with {ppp.how(end)}", end),
            detail="The L2TP session is up, but the gateway does not speak PPP in it, and ends it.",
        ),
        summary="no answer to LCP",
        seen=[*ours, end],
    )  # fmt: skip


def _refusing(refusals: list[PppMessage]) -> Evidence:
    text = f"{len(refusals)} Naks and Rejects, no agreement"
    return evidence(text, *refusals[:3], refusals[-1])


def _failed(view: View, packets: list[PppMessage]) -> Ruling:
    ours = [m for m in packets if m.direction == "out" and m.code == "Configure-Request"]
    theirs = [m for m in packets if m.direction == "in"]
    start = packets[0].t if packets else view.ppp[0].t
    end = ppp.hang_up(view, start)
    magics = {m.magic for m in ours if m.magic}
    echoed = [m for m in theirs if m.code == "Configure-Request" and m.magic in magics and m.magic]
    if echoed:
        return rule(
            "lcp",
            "failed",
            finding(
                "lcp.loopback",
                evidence("the client's own magic number comes back", *echoed[:2]),
                detail="The link is looped back: the client's own packets return.",
            ),
            summary="looped back",
            seen=packets,
        )
    not_spoken = _not_spoken(view, packets)
    if not_spoken is not None:
        return not_spoken
    spoke = [m for m in theirs if m.code != "Terminate-Request"]
    # While ICCN had to be repeated, there may have been no link there yet.
    up = max((m.t for m in view.l2tp_of("out", "ICCN")), default=0.0)
    if end is not None and not spoke and in_vain([m for m in ours if m.t >= up], end.t):
        return _never_spoke(ours, end)
    refusals = [m for m in packets if m.code in ("Configure-Nak", "Configure-Reject")]
    if end is not None:
        acknowledged = view.acknowledged.get("LCP", {})
        refused = any(m.t > acknowledged.get(m.direction, -1.0) for m in refusals)
        said = getattr(end, "message", "") if isinstance(end, PppMessage) else end.error_message
        # A reason, or options turned down to the end: that is a refusal. Else it just hung up.
        code = "lcp.refused" if refused or said else "lcp.hung-up"
        over = []
        if len(refusals) >= ppp.CIRCLES:
            code, over = "lcp.no-convergence", [_refusing(refusals)]
        return rule(
            "lcp",
            "failed",
            finding(
                code,
                *over,
                evidence(f"the gateway ends with {ppp.how(end)}", end),
                detail=f"The gateway ended the PPP link during negotiation: {ppp.how(end)}.",
            ),
            summary=ppp.how(end),
            seen=[*packets, end],
        )
    if not ours and not view.live and not [m for m in packets if m.direction == "out"]:
        asked = view.unanswered([m for m in theirs if m.code == "Configure-Request"])
        if asked is not None and asked.tries >= _UNHEARD and view.conclusive(asked):
            return rule(
                "lcp",
                "failed",
                finding(
                    "lcp.no-answer",
                    evidence(f"the gateway sends an LCP Configure-Request {times(asked.tries)} in "
                             f"{asked.seconds:.1f} s, no answer", asked.first, asked.last),
                    detail="The client does not answer PPP.",
                    confidence="medium",
                ),
                summary="the client does not answer LCP",
                seen=packets,
            )  # fmt: skip
    if len(refusals) >= ppp.CIRCLES:
        return rule(
            "lcp",
            "failed",
            finding(
                "lcp.no-convergence",
                _refusing(refusals),
                detail="The two sides go on refusing each other's options.",
            ),
            summary="negotiation does not end",
            seen=packets,
        )
    left = None if view.live else _turned_down(view, refusals)
    if left is not None:
        return left
    silence = view.unanswered(ours)
    last_in = max((m.t for m in view.ppp if m.direction == "in"), default=start)
    since = view.unanswered([m for m in ours if m.t > last_in])
    if theirs and since is not None and since.tries >= 3 and view.conclusive(since):
        return rule(
            "lcp",
            "failed",
            finding(
                "lcp.no-answer",
                evidence(f"after {len(theirs)} LCP packets from the gateway a Configure-Request "
                         f"was sent {tried(since.tries, since.seconds)}, no answer",
                         since.first, since.last),
                detail="The gateway falls silent in the middle of LCP.",
                confidence="medium",
            ),
            summary="silent in the middle of LCP",
            seen=packets,
        )  # fmt: skip
    if theirs and any(m.code == "Configure-Request" for m in theirs) and silence is not None:
        answered = any(
            m.code in ("Configure-Ack", "Configure-Nak", "Configure-Reject") for m in theirs
        )
        if not view.live:
            silence = since or silence  # the gateway lives: what counts is its silence since then
        if answered or not view.conclusive(silence):
            return rule("lcp", "inconclusive", summary="negotiation not complete", seen=packets)
    if silence is None or not view.conclusive(silence):
        why = ppp.undecided(view)
        return rule("lcp", "inconclusive", summary=why, seen=packets)
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.no-answer",
            evidence(f"LCP Configure-Request sent {times(silence.tries)} in "
                     f"{silence.seconds:.1f} s, no answer", silence.first, silence.last),
            detail="The L2TP session is up, but nobody speaks PPP in it."
            if view.l2tp or view.live
            else "The other end of the PPP link does not answer.",
        ),
        summary="no answer to LCP",
        seen=packets,
    )  # fmt: skip
