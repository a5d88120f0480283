"""What the PPP rungs share: how far the link got, and how the gateway hung up."""

from __future__ import annotations

from vpndiag.diagnosis.l2tp import reason
from vpndiag.diagnosis.view import View
from vpndiag.observations import Direction, IkeMessage, L2tpMessage, PppMessage
from vpndiag.observations.goodbyes import ends

AUTHENTICATION = ("PAP", "CHAP", "EAP")
AUTH = "Authentication-Protocol"
CIRCLES = 8
"""Refusals of one side after which negotiation is going round in circles (RFC 1661 section 4.6
counts Max-Failure from 5)."""


def opened(view: View, protocol: str) -> float | None:
    """When both Configure-Requests of ``protocol`` had been acknowledged; None: never."""
    acks = view.acknowledged.get(protocol, {})
    return max(acks.values()) if len(acks) == 2 else None


def absent(view: View) -> str:
    """Why there is nothing of PPP: the reason of a rung that was not reached."""
    if view.scope is not None and not view.scope.user:
        return "no user name was given"
    return "no PPP session"


def lcp_up(view: View) -> bool:
    """LCP was open: acknowledged both ways, or a later phase is seen."""
    return opened(view, "LCP") is not None or any(
        m.protocol in (*AUTHENTICATION, "IPCP", "IPV6CP", "CCP") for m in view.ppp
    )


def authenticated(view: View) -> bool:
    """The login succeeded, or the network phase shows that it was over."""
    return bool(success(view)) or bool(network(view))


def success(view: View) -> list[PppMessage]:
    """The gateway's acceptance of our login."""
    return [
        m
        for m in view.ppp
        if m.direction == "in"
        and (
            (m.protocol in ("CHAP", "EAP") and m.code == "Success")
            or (m.protocol == "PAP" and m.code == "Authenticate-Ack")
        )
    ]


def network(view: View) -> list[PppMessage]:
    """Network control packets of the gateway: it considers the link authenticated. A Protocol-
    Reject or Terminate of such a protocol does not count."""
    return [
        m
        for m in view.ppp
        if m.direction == "in"
        and m.protocol in ("IPCP", "IPV6CP", "CCP")
        and m.code.startswith("Configure-")
    ]


def hang_up(view: View, since: float) -> PppMessage | L2tpMessage | None:
    """The gateway's first LCP Terminate-Request, CDN or StopCCN from ``since`` on, unless it
    answers our own farewell, which a capture of one direction does not tell."""
    if view.ended is not None and view.ended.one_sided:
        return None
    said = _farewells(view, since)
    if said and said[0].direction == "out":
        return None
    # What comes at the same time as our own is an answer to it.
    until = min((m.t for m in said if m.direction == "out"), default=float("inf"))
    return said[0] if said and said[0].t < until else None


def left(view: View, since: float = 0.0) -> PppMessage | L2tpMessage | None:
    """The client's first farewell in PPP or L2TP from ``since`` on, unless the gateway's was
    before it."""
    said = _farewells(view, since)
    return said[0] if said and said[0].direction == "out" else None


def _farewells(view: View, since: float) -> list[PppMessage | L2tpMessage]:
    return [m for m in view.goodbyes if m.t >= since and not isinstance(m, IkeMessage)]


def is_farewell(m: PppMessage | L2tpMessage) -> bool:
    """The gateway ends the link, the call or the tunnel."""
    return m.direction == "in" and ends(m)


def how(m: PppMessage | L2tpMessage) -> str:
    """A hang-up in words."""
    if isinstance(m, L2tpMessage):
        return reason(m)
    return f"{m.protocol} {m.code}" + (f', "{m.message}"' if m.message else "")


def undecided(view: View) -> str:
    """Why a rung cannot be judged: the client itself left, or the material ends."""
    if view.interrupted:
        return "interrupted"
    if view.ended is not None and view.ended.one_sided:
        return "the capture shows one direction only"
    if view.half_inside is not None:
        return "of what is inside ESP the capture shows one direction only"
    farewell = left(view)
    if view.live or farewell is None:
        return "too short to tell"
    return f"the client leaves ({how(farewell)})"


def agreed_login(view: View) -> str:
    """The Authentication-Protocol that the client agreed to last; empty: none."""
    agreed = view.ppp_of("LCP", "out", "Configure-Ack")[-1:]
    return next((option(m, AUTH) or "" for m in agreed), "")


def login_refusals(view: View, direction: Direction = "out") -> list[PppMessage]:
    """The client's refusals of an Authentication-Protocol, or the gateway's."""
    refusals = view.ppp_of("LCP", direction, "Configure-Nak", "Configure-Reject")
    return [m for m in refusals if option(m, AUTH) is not None]


def login_method(packets: list[PppMessage]) -> str:
    """Such as ``PAP``, ``MS-CHAPv2``, ``CHAP MD5``, ``EAP TLS``; empty: no login is seen."""
    for m in reversed(packets):
        if m.protocol == "PAP":
            return "PAP"
        if m.method and m.method not in ("Identity", "Nak", "Notification"):
            named = m.method.startswith("MS-CHAP") and m.protocol == "CHAP"
            return m.method if named else f"{m.protocol} {m.method}"
    return packets[-1].protocol if packets else ""


IDLE = 10.0
"""Seconds in which everybody begins with the next phase of PPP, who has a mind to: a request that
is lost is sent again every 3 s (RFC 1661 section 4.6; pppd's pap-restart and chap-restart)."""


def idle(view: View, since: float) -> float:
    """Seconds from ``since`` to the end of a capture in which nobody goes on; 0 where they are
    fewer than :data:`IDLE`, or where they may have gone on unseen."""
    if view.live or view.carried is not None or (view.ended and view.ended.one_sided):
        return 0.0
    if any(f.packets and not f.verified and not f.truncated_to_96 for f in view.esp):
        return 0.0
    seconds = view.end - since
    return seconds if seconds >= IDLE else 0.0


def ends_soon(view: View, since: float, done: str) -> str:
    """That a capture ends before the next phase of PPP begins, in words; empty: it does not, or it
    may have begun unseen."""
    if view.live or view.carried is not None or view.goodbyes:
        return ""
    if view.ended is None or view.ended.why != "capture-end" or view.ended.one_sided:
        return ""
    return f"the capture ends {max(0.0, view.end - since):.1f} s after {done}"


def option(m: PppMessage, name: str) -> str | None:
    """The value of an option, or None."""
    for key, value in m.options:
        if key == name:
            return value
    return None
