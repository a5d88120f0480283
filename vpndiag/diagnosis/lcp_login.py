"""Rung ``lcp``: the login that both sides have to agree on in LCP (RFC 1661 section 6.2)."""

from __future__ import annotations

from collections.abc import Iterable

from vpndiag.diagnosis import ppp
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import PppMessage
from vpndiag.report.model import Cause


def judge(view: View) -> Ruling | None:
    """They found none; None: they did, or it is not known yet."""
    return _auth_refusal(view) or _client_demands(view)


_NONE = "none"


def _methods(messages: Iterable[PppMessage]) -> str:
    """The Authentication-Protocols in them, in order."""
    found = dict.fromkeys(ppp.option(m, ppp.AUTH) for m in messages)
    return ", ".join(value for value in found if value) or _NONE


def _auth_refusal(view: View) -> Ruling | None:
    """The client refused the gateway's authentication method and they found no other."""
    refusals = ppp.login_refusals(view)
    if not (refusals or view.goodbyes) or any(m.protocol in ppp.AUTHENTICATION for m in view.ppp):
        return None
    if ppp.network(view):
        return None
    if not refusals:
        return _says_so(view)
    last = refusals[-1]
    agreed = [
        m
        for m in view.ppp_of("LCP", "out", "Configure-Ack")
        if m.t > last.t and ppp.option(m, ppp.AUTH) is not None
    ]
    if agreed:
        return None
    end = ppp.hang_up(view, last.t)
    # One that is repeated with the same request has not been heard.
    if end is None and ppp.left(view, last.t) is None and sum(not m.repeat for m in refusals) < 3:
        return None
    asked = view.ppp_of("LCP", "in", "Configure-Request")
    theirs = _methods(asked)
    wanted = _methods(view.ppp_of("LCP", "out", "Configure-Nak"))
    said = [
        evidence(f"the gateway asks for: {theirs}", *asked[:3]),
        evidence(
            f"the client answers with: {wanted}" if wanted != _NONE else "the client refuses that",
            *refusals[:3],
        ),
    ]
    if end is not None:
        said.append(evidence(f"the gateway ends with {ppp.how(end)}", end))
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.no-common-auth",
            *said,
            detail=f"The gateway offers {theirs}; this client would do {wanted}."
            if wanted != _NONE
            else f"The gateway offers {theirs}; this client refuses that and names no other way.",
        ),
        summary=f"gateway: {theirs}; client: {wanted}",
        seen=view.ppp_of("LCP"),
    )


def _says_so(view: View) -> Ruling | None:
    """The refusal itself was not recorded; pppd names it when it ends the link."""
    end = ppp.hang_up(view, 0.0)
    if not isinstance(end, PppMessage) or "refused to authenticate" not in end.message.lower():
        return None
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.no-common-auth",
            evidence(f"the gateway ends with {ppp.how(end)}", end),
            detail="The gateway says that this client refuses to log in by any method it offers.",
        ),
        summary="the client refuses to log in",
        seen=[end],
    )


_DEMANDING = (
    Cause("The client's PPP is set up to have the server log in as well (pppd: auth, or "
          "require-... without noauth)", "helpdesk", "Take that option out of the client's PPP "
          "settings (pppd: noauth)", "likely"),
)  # fmt: skip


def _client_demands(view: View) -> Ruling | None:
    """The client wants the gateway to prove itself by an Authentication-Protocol of its own, and
    leaves because the gateway does not."""
    demands = [
        m
        for m in view.ppp_of("LCP", "out", "Configure-Request")
        if ppp.option(m, ppp.AUTH) is not None
    ]
    refusals = ppp.login_refusals(view, "in")
    if not demands or not refusals or ppp.network(view):
        return None
    left = ppp.left(view, refusals[-1].t)
    logins = [m for m in view.ppp if m.protocol in ppp.AUTHENTICATION and m.direction == "out"]
    if left is None or logins:
        return None
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.no-common-auth",
            evidence(f"the client asks the gateway to log in by {ppp.option(demands[0], ppp.AUTH)}",
                     demands[0]),
            evidence("the gateway refuses", refusals[0]),
            evidence(f"the client ends with {ppp.how(left)}", left),
            detail="The client wants the gateway to log in to it, which VPN servers do not do.",
            causes=_DEMANDING,
        ),
        summary="the client wants a login from the gateway",
        seen=view.ppp_of("LCP"),
    )  # fmt: skip
