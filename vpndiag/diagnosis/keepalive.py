"""One side of a session falls silent: L2TP's Hello, LCP's Echo-Request, or LCP that is begun anew
are asked in vain.

RFC 2661 section 6.5 and RFC 1661 sections 5.8 and 4.3. Captures only; what says the same of IKE is
in ``upkeep``.
"""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.diagnosis import ppp
from vpndiag.diagnosis.liveness import SIDES
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.unrecorded import explains
from vpndiag.diagnosis.view import View
from vpndiag.observations import DataFlow, InsideTraffic, Observation
from vpndiag.report.model import Confidence

REPEATS = 3
"""Repeats of one control message, none of them acknowledged."""
SECONDS = 8.0
"""For which they are asked: three repeats take 7 (1, 2 and 4, RFC 2661 section 5.8), three of LCP 9
(RFC 1661 section 4.6)."""
ONE_WAY = 40.0
"""Seconds of users' data that nothing comes back for, not even an acknowledgement."""
IN_VAIN = 10
"""Packets of it."""
ECHOES = 4
"""Echoes in vain after which an end gives up (lcp-echo-failure of macOS, ChromeOS and most gateways
with pppd)."""
ECHO_SECONDS = 20.0
"""For which they are sent, at least: two intervals of 10 s, the shortest in use (macOS)."""


def judge(layer: str, view: View) -> Ruling | None:
    """The ruling for ``l2tp`` or ``lcp`` in a capture; None: nobody fell silent."""
    if view.live or (view.ended is not None and view.ended.one_sided):
        return None
    if layer == "l2tp":
        found = _hello(view) or (_one_way(view) if view.plain else None)
    else:
        found = _echo(view) or _anew(view)
    return None if found is None or view.half_inside is not None else found


def _hello(view: View) -> Ruling | None:
    if sum([m.repeat for m in view.l2tp]) < REPEATS:
        return None
    for silent, asking, who, other in SIDES:
        said = any(m.direction == silent for m in view.ppp) or view.l2tp_of(silent, "HELLO")
        if view.carried is None and not said:
            continue  # it was not up yet
        last = view.last_seen[silent]
        asked = [m for m in view.l2tp if m.direction == asking and m.t > last]
        again = [m for m in asked if m.repeat]
        if last < 0 or len(again) < REPEATS or again[-1].t - last < SECONDS:
            continue
        if explains(view.unrecorded, last, len(again) + 1):
            continue
        return _failed("l2tp", who, last, again, f"the {other} repeats {again[0].message} "
                       f"{times(len(again))}, and gets no acknowledgement")  # fmt: skip
    return None


def one_way(view: View) -> list[DataFlow]:
    """Users' data of the client, in the clear, that goes on long after the gateway's last
    packet."""
    long = [d for d in view.data if d.last_t - d.t >= ONE_WAY]
    last = view.last_seen["in"] if long and view.plain else -1.0
    if last < 0 or any(ppp.is_farewell(m) for m in view.l2tp + view.ppp):
        return []
    return [
        d for d in long
        if d.direction == "out" and d.packets - d.echoes >= IN_VAIN and d.last_t - last >= ONE_WAY
        and _in_vain(d, last) >= IN_VAIN
    ]  # fmt: skip


def _one_way(view: View) -> Ruling | None:
    """The session was up, and then nothing comes back: what ``esp.one-way`` says of ESP."""
    sent = one_way(view)
    # What an idle computer calls out to its network is for nobody to answer.
    asked = view.of(InsideTraffic) if sent else []
    last = view.last_seen["in"] if asked else -1.0
    if not asked or max(o.last_t for o in asked) - last < ONE_WAY or _echo(view) or _anew(view):
        return None
    seconds = sent[0].last_t - last
    said = f"for {seconds:.0f} s the client goes on sending users' data, and nothing comes back"
    return _failed("l2tp", "gateway", last, sent, said, confidence="medium")


def _echo(view: View) -> Ruling | None:
    for silent, asking, who, other in SIDES:
        echoes = [d for d in view.data if d.direction == asking and d.echoes == d.packets >= ECHOES]
        if not echoes:
            continue
        last = view.last_seen[silent]
        asked = [
            d for d in echoes
            if d.last_t - last >= ECHO_SECONDS and (d.t > last or _in_vain(d, last) >= ECHOES - 1)
        ]  # fmt: skip
        if last >= 0 and asked and not explains(view.unrecorded, last, ECHOES):
            return _failed("lcp", who, last, asked, f"the {other} goes on sending LCP echoes, for "
                           f"{asked[0].last_t - last:.0f} s, without an answer")  # fmt: skip
    return None


def _anew(view: View) -> Ruling | None:
    """Configure-Requests after LCP or IPCP was open close it and negotiate it again (RFC 1661
    section 4.3): who does not answer them has forgotten the link, or is gone."""
    if sum([m.code == "Configure-Request" for m in view.ppp[-REPEATS - 2 :]]) < REPEATS:
        return None  # nobody else says anything more, but a farewell
    for protocol in ("LCP", "IPCP"):
        for silent, asking, who, other in SIDES:
            asked = view.ppp_of(protocol, asking, "Configure-Request")
            up = _open_since(view, protocol) if len(asked) >= REPEATS else None
            if up is None:
                continue
            last = view.last_seen[silent]
            asked = [m for m in asked if m.t > max(last, up)]
            if (
                len(asked) < REPEATS
                or asked[-1].t - last < SECONDS
                or explains(view.unrecorded, last, len(asked))
            ):
                continue
            if (ppp.hang_up(view, up) if silent == "in" else ppp.left(view, up)) is None:
                said = (
                    f"the {other} begins {protocol} anew, {times(len(asked))} in "
                    f"{asked[-1].t - asked[0].t:.0f} s, without an answer"
                )
                return _failed("lcp", who, last, asked, said, up="The PPP link")
    return None


def _open_since(view: View, protocol: str) -> float | None:
    """When it was open at the latest, as its own negotiation or what follows shows."""
    opened = ppp.opened(view, protocol)
    if opened is not None:
        return opened
    later = [*ppp.AUTHENTICATION, "IPCP"] if protocol == "LCP" else []
    first = min((m.t for m in view.ppp if m.protocol in later), default=None)
    return view.carried if first is None else first


def _in_vain(d: DataFlow, last: float) -> float:
    """How many of these echoes were sent after ``last``, by their rate: they are only counted."""
    return (d.last_t - last) * (d.packets - 1) / max(d.last_t - d.t, 0.001)


def _failed(
    layer: str,
    who: str,
    last: float,
    seen: Sequence[Observation],
    said: str,
    up: str = "The session",
    confidence: Confidence = "high",
) -> Ruling:
    return rule(
        layer,
        "failed",
        finding(
            f"{layer}.peer-gone",
            evidence(f"{said} (the last packet of the {who} came at {last:.1f} s)", *seen),
            detail=f"{up} was up, and then the {who} answered nothing any more.",
            confidence=confidence,
        ),
        summary=f"nothing from the {who} after {last:.0f} s",
        seen=seen,
    )
