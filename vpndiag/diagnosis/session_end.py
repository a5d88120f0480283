"""A session that was up, with an address, and that the gateway then ended or forgot.

A live run sees it while it asks its questions inside; a capture, when the session was short and in
use at that moment. What ends idle, or after hours, is no failure to connect: not judged here.
"""

from __future__ import annotations

from dataclasses import replace

from vpndiag.diagnosis import ppp
from vpndiag.diagnosis.address import same_address
from vpndiag.diagnosis.gave_up import SOON
from vpndiag.diagnosis.path import NO_ROUTE
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times
from vpndiag.diagnosis.upkeep import GATEWAY_GONE, last_packet
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, L2tpMessage, PppMessage
from vpndiag.report.model import Cause

SHORT_LIFE = 20.0
"""Seconds that a session in a capture may last at most to be judged here. Idle and session
timeouts, which end one in good order, are minutes."""
IN_USE = 2.0
"""Seconds from a client's last data in a capture to the gateway's farewell."""
AT_ONCE = 10.0
"""Seconds within which a gateway ends a session because of something that it has just looked up,
whether or not the client has begun to use it. The slowest is accounting that gets no answer: three
requests of 3 s each (accel-ppp's and H3C's default)."""
STILL = 0.5
"""Seconds after a Delete until which packets may come that were on their way before it."""
SILENT = 4.0
"""Seconds of nothing at all from the gateway, while it is asked."""


def hung_up(view: View) -> Ruling | None:
    """Layer ``address``: the gateway's own farewell after IPCP was open."""
    up = ppp.opened(view, "IPCP")
    if up is None or view.running or (view.ended is not None and view.ended.one_sided):
        return None
    end = _farewell(view, up)
    if end is None or same_address(view.ppp_of("IPCP")):
        return None
    used = view.live or _in_use(view, up, end.t)
    seconds = end.t - up
    if not used and (seconds > AT_ONCE or _may_have_left(view, up, end.t)):
        return None
    if isinstance(end, IkeMessage):
        what = f"Delete of {', '.join(_deletes(end, view))}"
    else:
        what = ppp.how(end)
    found = finding(
        "session.hung-up",
        evidence(f"the gateway ends the session {seconds:.1f} s after the address was assigned: "
                 f"{what}", end),
        detail=f"The connection was up for {seconds:.1f} s, and then the gateway ended it: {what}.",
        confidence="certain",
        causes=() if used else _TURNED_AWAY,
    )  # fmt: skip
    return rule("address", "failed", replace(found, layer="address"), summary=what, seen=[end])


def begun_anew(view: View) -> Ruling | None:
    """Layer ``lcp``: the client begins LCP anew in a session that is up, which RFC 1661 section 4.3
    allows at any time, and the gateway ends the session in place of negotiating it."""
    asked = view.ppp_of("LCP", "out", "Configure-Request")
    if not asked or not view.goodbyes:
        return None
    up = ppp.opened(view, "IPCP") or view.carried
    asked = [m for m in asked if up is not None and m.t > up and not m.repeat]
    end = ppp.hang_up(view, asked[0].t) if asked else None
    if end is None or end.t - asked[-1].t > AT_ONCE:
        return None
    theirs = view.ppp_of("LCP", "in", "Configure-Request")
    first_of_gateway = any(up is not None and up < m.t < asked[0].t for m in theirs)
    if first_of_gateway or any(d.last_t > asked[0].t + STILL for d in view.data):
        return None
    return rule(
        "lcp",
        "failed",
        finding(
            "lcp.hung-up",
            evidence("the client begins LCP anew in the open session", *asked),
            evidence(f"the gateway ends with {ppp.how(end)}", end),
            detail="The session was up; the client began LCP anew, and the gateway ended it: "
            f"{ppp.how(end)}.",
            confidence="high" if end.t - asked[-1].t <= SOON else "medium",
            causes=_ANEW,
        ),
        summary=f"begun anew in the open session; {ppp.how(end)}",
        seen=[*asked, end],
    )


_ANEW = (
    Cause("The client lost the session for itself (its line was gone for a while, its PPP program "
          "was started again), and the gateway does not negotiate a session twice", "user",
          "Disconnect and connect again", "likely"),
    Cause("Packets are lost in bursts, so the client took the link for dead", "network",
          "Look for loss on the client's line at the time given", "possible"),
)  # fmt: skip
_TURNED_AWAY = (
    Cause("The gateway finds something against the session once it is up: too many of this user, "
          "an address that the user may not have, no answer to RADIUS accounting",
          "gateway-admin", "Look in its PPP and RADIUS log at the time given", "likely"),
    Cause("What the gateway runs for a new session (a script, a firewall rule, a queue) fails",
          "gateway-admin", "Look in its system log at the time given", "possible"),
)  # fmt: skip


def _in_use(view: View, up: float, end: float) -> bool:
    """A session in a capture that was ended soon, in the middle of the client's data."""
    sent = max((f.last_t for f in view.data if f.direction == "out"), default=-1.0)
    return up < end <= up + SHORT_LIFE and up <= sent and end - sent <= IN_USE


def _may_have_left(view: View, up: float, end: float) -> bool:
    """The client says something in IKE that nobody can read, which may be a Delete, or the gateway
    acknowledges an end that the capture lacks."""
    return any(up <= m.t <= end for m in view.ppp_of("LCP", "in", "Terminate-Ack")) or any(
        m.direction == "out" and m.step == "INFO" and m.protection == "opaque" and up <= m.t <= end
        for m in view.ike
    )


def _farewell(view: View, up: float) -> PppMessage | L2tpMessage | IkeMessage | None:
    """The gateway's first, unless it answers ours."""
    since = [m for m in view.goodbyes if m.t >= up]
    closed = [m for m in view.ppp_of("IPCP", "in", "Terminate-Request") if m.t >= up]
    for m in sorted(since, key=lambda m: (m.t, m.frames)):
        if _ours(m, view):
            return next((x for x in closed if x.t < m.t), None)
        if isinstance(m, IkeMessage):
            told = m.direction == "in" and m.protection == "decrypted"
            if told and _deletes(m, view) and not _goes_on(m, view):
                return m
        elif ppp.is_farewell(m):
            return next((x for x in closed if x.t <= m.t), m)
    return closed[0] if closed else None


def _goes_on(m: IkeMessage, view: View) -> bool:
    """The gateway still sends on an SA that ``m`` does not delete: repeats of quick mode had made
    more SAs than one."""
    return any(
        f.direction == "in" and f.last_t > m.t + STILL and not any(f.spi in d for d in m.deletes)
        for f in view.esp
    )


def _deletes(m: IkeMessage, view: View) -> list[str]:
    """The SAs of this session that ``m`` deletes; not one that was never used, or replaced."""
    pairs = [pair for pair in view.ipsec_sas if pair.t <= m.t][-1:]
    spis = [spi for pair in pairs for spi in (pair.spi_in, pair.spi_out)]
    newest = [sa.initiator_cookie for sa in view.established if sa.t <= m.t][-1:]
    ike = not newest or m.initiator_cookie in newest
    return [
        d for d in m.deletes
        if (ike and d.startswith("ISAKMP"))
        or (d.startswith("ESP") and (not spis or any(s in d for s in spis)))
    ]  # fmt: skip


def _ours(m: PppMessage | L2tpMessage | IkeMessage, view: View) -> bool:
    """A farewell of the client."""
    return m.direction == "out" and (not isinstance(m, IkeMessage) or bool(_deletes(m, view)))


def cut_off(view: View) -> Ruling | None:
    """Layer ``path``: something was heard from the gateway, and then this computer lost its network
    and could send nothing more until the end. Whatever stays unanswered then is not the gateway's
    doing."""
    if not view.live or view.ended is None or view.ended.why == "done":
        return None
    last_in = _last_heard(view)
    if last_in is None:
        return None
    if any(e.direction == "in" and e.t > last_in for e in view.icmp):
        return None  # the system tells what others reported as if it could not send
    ports = (1701,) if view.plain else (500, 4500)
    lost = [e for e in view.send_errors if e.port in ports and e.error in NO_ROUTE]
    lost = [e for e in lost if last_in < e.t <= view.end]
    if len(lost) < 2 or view.end - lost[-1].t > SILENT:
        return None
    found = finding(
        "path.no-route",
        last_packet(view, "the last packet from the gateway", "in", last_in),
        evidence(f"from then on sending failed, {times(len(lost))}: {lost[0].error}", *lost[:3]),
        detail=f"This computer lost its network {lost[0].t:.0f} s after the beginning "
        f"({lost[0].error}); until then the gateway answered.",
        confidence="certain",
    )
    return rule("path", "failed", found, summary=f"no network from {lost[0].t:.0f} s on",
                seen=lost)  # fmt: skip


def _last_heard(view: View) -> float | None:
    """When anything came from the gateway last; None: never."""
    heard = [m.t for m in view.ike if m.direction == "in"]
    heard += [m.t for m in view.l2tp if m.direction == "in"]
    heard += [m.t for m in view.ppp if m.direction == "in"]
    heard += [d.last_t for d in view.data if d.direction != "out"]
    return max([*heard, *(f.last_t for f in view.esp if f.direction == "in")], default=None)


def gone(view: View) -> Ruling | None:
    """Layer ``path``: after the address was assigned, nothing at all came from the gateway any
    more, though it was asked (the questions inside, and HELLO, which RFC 2661 section 5.5 has
    acknowledged by everyone)."""
    up = ppp.opened(view, "IPCP")
    if up is None or view.running or view.interrupted or not (view.live or view.goodbyes):
        return None
    if view.live:
        until = view.end
        asked = view.ended is not None and view.ended.why == "stopped"
    else:
        goodbyes = [m.t for m in view.goodbyes if m.t >= up and _ours(m, view)]
        until = min(goodbyes, default=-1.0)
        asked = until - up <= SHORT_LIFE
    if not asked or until - up < SILENT:
        return None
    last_in = max(up, _last_heard(view) or up)
    sent = [f for f in view.esp if f.direction == "out" and f.last_t > last_in]
    if until - last_in < SILENT or not (sent or view.plain):
        return None
    if ppp.hang_up(view, up) is not None:
        return None
    found = finding(
        "path.dpd-timeout",
        last_packet(view, f"the last packet from the gateway came {last_in - up:.1f} s after the "
                    "address was assigned", "in", last_in),
        evidence(f"for {until - last_in:.0f} s the client goes on asking", *sent),
        detail=GATEWAY_GONE,
    )  # fmt: skip
    own = not_reached("path", "").layer
    return rule("path", "failed", found, summary=f"nothing from the gateway after {last_in:.0f} s",
                seen=sent, own=own)  # fmt: skip
