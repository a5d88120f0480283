"""Rung ``address``: does IPCP assign an address, and DNS servers (RFC 1332, 1877)?"""

from __future__ import annotations

from vpndiag.diagnosis import fixed_address, mppe, ppp
from vpndiag.diagnosis.fixed_address import ADDRESS, NONE
from vpndiag.diagnosis.l2tp import no_facilities
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times, tried
from vpndiag.diagnosis.unrecorded import REPLIES
from vpndiag.diagnosis.view import View
from vpndiag.observations import L2tpMessage, PppMessage
from vpndiag.report.model import Cause, Finding

PRIMARY = "Primary-DNS"
SECONDARY = "Secondary-DNS"


def judge(view: View) -> Ruling:
    if not view.ppp:
        return not_reached("address", ppp.absent(view))
    ipcp = view.ppp_of("IPCP")
    opened = ppp.opened(view, "IPCP")
    if opened is not None:
        return _agreed(view, ipcp)
    if _only_ipv6(view):
        seen = [*view.ppp_of("IPV6CP"), *view.data]
        return rule("address", "passed", summary="IPv6 only: users' data goes over it", seen=seen)
    demanded = mppe.judge(view)
    if demanded is not None and not view.running:
        return demanded
    if not ipcp or _asked_ahead(view):
        return _nothing(view)
    if view.running:
        return not_reached("address", "negotiating")
    return _failed(view, ipcp)


def _only_ipv6(view: View) -> bool:
    """Users' data goes over a link that has IPv6 and no IPv4."""
    if view.carried is None:
        return False
    refused = [
        m.t for m in view.ppp_of("LCP") if m.code == "Protocol-Reject" and m.method == "IPCP"
    ]
    goes_on = refused and any(d.last_t > refused[0] for d in view.data if d.packets > d.echoes)
    return ppp.opened(view, "IPV6CP") is not None or bool(goes_on)


def _asked_ahead(view: View) -> bool:
    """Our requests were sent while the login was still without an answer."""
    answers = [m for m in view.ppp_of("CHAP", "out") if m.code == "Response"]
    return bool(answers and view.ppp_of("CHAP", "in")) and not ppp.authenticated(view)


def _agreed(view: View, ipcp: list[PppMessage]) -> Ruling:
    ours = [m for m in ipcp if m.direction == "in" and m.code == "Configure-Ack"][-1]
    theirs = [m for m in ipcp if m.direction == "out" and m.code == "Configure-Ack"][-1]
    address = ppp.option(ours, ADDRESS) or ""
    peer = ppp.option(theirs, ADDRESS) or ""
    dns = [
        value
        for name in (PRIMARY, SECONDARY)
        if (value := ppp.option(ours, name) or "") not in NONE
    ]
    if same_address(ipcp):
        return _conflict(ipcp, address)
    end = [m for m in ipcp if m.direction == "in" and m.code == "Terminate-Request"]
    if address in NONE:
        if any(
            m.direction == "in"
            and m.code == "Configure-Reject"
            and ppp.option(m, ADDRESS) is not None
            for m in ipcp
        ):
            return _failed(view, ipcp)
        if end or ppp.hang_up(view, ours.t):
            return _failed(view, ipcp)
        return rule(
            "address",
            "failed",
            finding(
                "address.pool-empty",
                evidence("IPCP ends without an address for this computer", ours),
                detail="The gateway agreed on IP but assigned no address.",
            ),
            summary="no address assigned",
            seen=ipcp,
        )
    findings: list[Finding] = []
    asked = any(ppp.option(m, PRIMARY) is not None for m in view.ppp_of("IPCP", "out"))
    if not dns and (asked or view.live):
        shown = [
            m
            for m in ipcp
            if m.direction == "in"
            and m.code == "Configure-Reject"
            and ppp.option(m, PRIMARY) is not None
        ] or [ours]
        findings.append(
            finding(
                "address.no-dns",
                evidence("no DNS server in IPCP", *shown[:1]),
                detail="The gateway assigns an address but no DNS server.",
                severity="warning",
                confidence="certain",
            )
        )
    parts = [address]
    if peer not in NONE:
        parts.append(f"gateway {peer}")
    parts.append("DNS " + ", ".join(dict.fromkeys(dns)) if dns else "no DNS")
    facts = {"address": address, "peer": peer, "dns": ", ".join(dict.fromkeys(dns))}
    return rule("address", "passed", *findings, summary=", ".join(parts), seen=ipcp, facts=facts)


def same_address(ipcp: list[PppMessage]) -> bool:
    """Whether each end has agreed that the other uses the address that it uses itself."""
    agreed = {m.direction: ppp.option(m, ADDRESS) for m in ipcp if m.code == "Configure-Ack"}
    return agreed.get("in") == agreed.get("out") and (agreed.get("in") or "") not in NONE


def _conflict(ipcp: list[PppMessage], address: str) -> Ruling:
    acks = [m for m in ipcp if m.code == "Configure-Ack"]
    return rule(
        "address",
        "failed",
        finding(
            "address.conflict",
            evidence(f"both sides claim {address}", *acks[:2]),
            detail=f"Both ends of the link use the address {address}.",
            confidence="certain",
        ),
        summary=f"both sides claim {address}",
        seen=ipcp,
    )


def _nothing(view: View) -> Ruling:
    if not ppp.authenticated(view) and not ppp.lcp_up(view):
        return not_reached("address", "LCP did not open")
    login = ppp.agreed_login(view) or any(m.protocol in ppp.AUTHENTICATION for m in view.ppp)
    if login and not ppp.authenticated(view):
        return not_reached("address", "the login did not succeed")
    start = ppp.success(view)[0].t if ppp.success(view) else view.ppp[0].t
    end = ppp.hang_up(view, start)
    if end is not None and not view.running:
        return _ended([], end)
    left = None if view.live else ppp.left(view, start)
    if left is not None:
        return rule("address", "inconclusive", summary=ppp.undecided(view), seen=[left])
    fresh = ppp.opened(view, "LCP") is not None and ppp.opened(view, "IPV6CP") is None
    waited = ppp.idle(view, start) if fresh else 0.0
    if waited:
        done = "the login succeeded" if login else "the link is open"
        summary = f"{done}, and in {waited:.0f} s nobody has begun with IPCP"
        return rule("address", "inconclusive", summary=summary, seen=view.ppp[-1:])
    soon = ppp.ends_soon(view, start, "the login succeeds" if login else "LCP is open")
    if soon and fresh:
        return rule("address", "inconclusive", summary=soon, seen=view.ppp[-1:])
    return not_reached("address", "no IPCP yet" if view.running else "no IPCP is seen")


def _failed(view: View, ipcp: list[PppMessage]) -> Ruling:
    rejected = [
        m
        for m in ipcp
        if m.direction == "in"
        and m.code == "Configure-Reject"
        and ppp.option(m, ADDRESS) is not None
    ]
    refused = [
        m for m in view.ppp_of("LCP", "in", "Protocol-Reject") if m.method in ("IPCP", "0x8021")
    ]
    end = ppp.hang_up(view, ipcp[0].t)
    closed = [m for m in ipcp if m.direction == "in" and m.code == "Terminate-Request"]
    claims = fixed_address.claimed(ipcp, "in") & fixed_address.claimed(ipcp, "out")
    if claims and (closed or end):
        return _conflict(ipcp, sorted(claims)[0])
    if refused and not rejected:
        alone = _ipv6_alone(view, ipcp, "gateway", refused[0])
        if alone is not None:
            return alone
    if rejected or refused:
        shown = (rejected or refused)[0]
        what = "rejects the address option" if rejected else "rejects IPCP as a whole"
        return rule(
            "address",
            "failed",
            finding(
                "address.refused",
                evidence(f"the gateway {what}", shown),
                detail=f"The gateway {what}.",
            ),
            summary=what,
            seen=[*ipcp, shown],
        )
    unwanted = [
        m for m in view.ppp_of("LCP", "out", "Protocol-Reject") if m.method in ("IPCP", "0x8021")
    ]
    if unwanted and not view.live:
        return _ipv6_alone(view, ipcp, "client", unwanted[0]) or rule(
            "address",
            "failed",
            finding(
                "address.refused",
                evidence("the client rejects IPCP as a whole", unwanted[0]),
                detail="The client rejects IPCP: it is not set up for IPv4 on this link.",
            ),
            summary="the client rejects IPCP",
            seen=[*ipcp, *unwanted],
        )
    other = fixed_address.insists(view, ipcp) or fixed_address.never_content(ipcp)
    if other is not None:
        return other
    if end is not None and not closed and not view.live and _settled(ipcp, end.t):
        return rule("address", "passed", summary="agreed; not all of it was recorded", seen=ipcp)
    if end is not None and not closed and _unseen_answer(view, ipcp, end.t):
        summary = (
            "IPCP is not complete here, and nobody asks again: an answer was not recorded, most "
            f"likely; {end.t - ipcp[-1].t:.0f} s later the gateway ends with {ppp.how(end)}"
        )
        return rule("address", "inconclusive", summary=summary, seen=[*ipcp, end])
    if end is not None or closed:
        return _ended(ipcp, min([*closed[:1], *([end] if end else [])], key=lambda m: m.t))
    silent = _client_silent(view, ipcp)
    if silent is not None:
        return silent
    half = _never_asks(view, ipcp)
    if half is not None:
        return half
    tries = [m for m in ipcp if m.direction == "out" and m.code == "Configure-Request"]
    answered = [m for m in ipcp if m.direction == "in" and m.code.startswith("Configure-")]
    zero = [
        m for m in answered if m.code == "Configure-Nak" and ppp.option(m, ADDRESS) == "0.0.0.0"
    ]
    if not view.live and not zero:
        # Requests that were answered are no silence; only what came after the last answer is.
        last = max((m.t for m in answered if m.code != "Configure-Request"), default=-1.0)
        tries = [m for m in tries if m.t > last]
    silence = view.unanswered(tries)
    if silence is None or not view.conclusive(silence):
        why = ppp.undecided(view)
        return rule("address", "inconclusive", summary=why, seen=ipcp)
    code = "address.pool-empty" if zero else "address.no-answer"
    detail = (
        "The gateway has no address to give."
        if zero
        else "The login succeeded, but the gateway does not finish assigning an address."
    )
    return rule(
        "address",
        "failed",
        finding(
            code,
            evidence(f"IPCP Configure-Request sent {times(silence.tries)} in "
                     f"{silence.seconds:.1f} s, no agreement", silence.first, silence.last),
            detail=detail,
        ),
        summary=detail.rstrip("."),
        seen=ipcp,
    )  # fmt: skip


def _ipv6_alone(view: View, ipcp: list[PppMessage], who: str, reject: PppMessage) -> Ruling | None:
    """The link may still come up for IPv6 alone (RFC 5072): each network protocol opens for itself
    (RFC 1661 section 3.6)."""
    said = [m for m in view.ppp_of("IPV6CP") if m.code.startswith("Configure-")]
    rejected = any(m.method == "IPV6CP" for m in view.ppp_of("LCP", "in", "Protocol-Reject"))
    over = rejected or any(m.t >= reject.t for m in view.goodbyes)
    if view.live or over or not said or view.end - said[-1].t >= ppp.IDLE:
        return None
    summary = f"the {who} rejects IPCP, and IPv6 (IPV6CP) is under way when the capture ends"
    return rule("address", "inconclusive", summary=summary, seen=[*ipcp, reject])


def _unseen_answer(view: View, ipcp: list[PppMessage], until: float) -> bool:
    """Who lacks an answer to its Configure-Request asks again, every 3 s (RFC 1661 section 4.6)."""
    if view.live or until - ipcp[-1].t < ppp.IDLE:
        return False
    for asking, other in (("out", "in"), ("in", "out")):
        last = max((m.t for m in ipcp if m.direction == other and m.code in REPLIES), default=-1.0)
        asked = [m for m in ipcp if m.direction == asking and m.code == "Configure-Request"]
        if len([m for m in asked if m.t > last]) > 1:
            return False
    return True


def _never_asks(view: View, ipcp: list[PppMessage]) -> Ruling | None:
    """The gateway agrees to what the client asks for, and never sends a Configure-Request of its
    own, without which IPCP does not open (RFC 1661 section 4.3)."""
    agreed = [m for m in ipcp if m.direction == "in" and m.code == "Configure-Ack"]
    if not agreed or any(m.direction == "in" and m.code == "Configure-Request" for m in ipcp):
        return None
    again = [m for m in ipcp if m.direction == "out" and m.t > agreed[0].t
             and m.code == "Configure-Request"]  # fmt: skip
    silence = view.unanswered(again)
    if silence is None or not view.conclusive(silence):
        return None
    return rule(
        "address",
        "failed",
        finding(
            "address.no-answer",
            evidence(f"the gateway agrees to {ppp.option(agreed[0], ADDRESS) or 'it'}", agreed[0]),
            evidence(f"the client asks again {tried(silence.tries, silence.seconds)}; no "
                     "Configure-Request of the gateway comes", silence.first, silence.last),
            detail="The gateway agrees to the client's address and never says its own: IPCP does "
            "not open.",
        ),
        summary="no IPCP Configure-Request of the gateway",
        seen=ipcp,
    )  # fmt: skip


_NO_IPV4 = (
    Cause("The computer's VPN connection has no IPv4, or its PPP program stopped after the login",
          "helpdesk", "Turn IPv4 on in the connection's settings (pppd: no noip); look in the "
          "computer's log", "likely"),
    Cause("What the gateway sends does not get to the computer any more", "network",
          "Capture at the computer as well", "possible"),
)  # fmt: skip
_UNHEARD = 4
"""Requests of the gateway without a word of the client."""


def _settled(ipcp: list[PppMessage], end: float) -> bool:
    """Whether IPCP must be open: a side that is not done repeats its request every few seconds
    (RFC 1661 section 4.6)."""
    return ipcp[-1].code == "Configure-Ack" and end - ipcp[-1].t > ppp.IDLE


def _client_silent(view: View, ipcp: list[PppMessage]) -> Ruling | None:
    """The gateway asks, and the client says nothing in IPCP (it may reject it, in LCP)."""
    if view.live or any(m.direction == "out" for m in ipcp):
        return None
    asked = view.unanswered([m for m in ipcp if m.code == "Configure-Request"])
    if asked is None or asked.tries < _UNHEARD or not view.conclusive(asked):
        return None
    return rule(
        "address",
        "failed",
        finding(
            "address.no-answer",
            evidence(f"the gateway sends an IPCP Configure-Request {times(asked.tries)} in "
                     f"{asked.seconds:.1f} s, no answer", asked.first, asked.last),
            detail="The client does not answer the gateway's IPCP.",
            confidence="medium",
            causes=_NO_IPV4,
        ),
        summary="the client does not answer IPCP",
        seen=ipcp,
    )  # fmt: skip


_NOT_HIS = ("unauthorized", "not authorized", "not allowed")
_POOL_WORDS = ("address", "pool", "lease", "dhcp", "no ip", "ip pool", "network protocols")


def _ended(ipcp: list[PppMessage], last: PppMessage | L2tpMessage) -> Ruling:
    """The gateway's farewell before an address was agreed."""
    text = ppp.how(last)
    words = text.lower()
    given = any(m.direction == "in" and m.code == "Configure-Nak"
                and (ppp.option(m, ADDRESS) or "") not in NONE for m in ipcp)  # fmt: skip
    if any(w in words for w in _NOT_HIS):
        return rule(
            "address",
            "failed",
            finding("address.refused", evidence(f"the gateway ends with {text}", last),
                    detail="The gateway does not allow this user the address.",
                    causes=fixed_address.FIXED),
            summary=text,
            seen=[*ipcp, last],
        )  # fmt: skip
    empty = no_facilities(last) or (any(w in words for w in _POOL_WORDS) and not given)
    code = "address.pool-empty" if empty else "address.hung-up"
    detail = (
        "The gateway has no address left to assign."
        if empty
        else f"The gateway hung up before an address was agreed: {text}."
    )
    return rule(
        "address",
        "failed",
        finding(code, evidence(f"the gateway ends with {text}", last), detail=detail),
        summary=text,
        seen=[*ipcp, last],
    )
