"""What is judged otherwise in a capture than in a live run: other protocols, sessions that began
before the capture, and what is hidden without keys."""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.diagnosis import (
    address,
    gave_up,
    ikev2,
    keepalive,
    large_lost,
    lcp,
    liveness,
    login,
    stuck,
    upkeep,
    waiting,
    watched,
)
from vpndiag.diagnosis.ike_sa import ERROR_NOTIFY_LIMIT
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, number, rule, times
from vpndiag.diagnosis.upkeep import LOGIN_PACKETS
from vpndiag.diagnosis.view import View
from vpndiag.observations import EspFlow, IkeMessage, InsideMtu, Observation
from vpndiag.report.model import Finding

SHORT_LIFE = 15.0
"""Seconds. A session that ends by itself sooner was hardly of use to anyone."""
LONGER_LIFE = 60.0
MANY_SIZES = 4
"""Different sizes of ESP packets: pings have one or two, a tunnel and a link being set up many."""
SILENT = 4.0
"""Seconds for which the client sends ESP packets and nothing comes back."""
SMALL = 300
"""Bytes of the largest ESP packet when there is nothing but L2TP and PPP negotiation: repeated, it
makes many packets, but no large ones."""


_OPEN_ENDED = {
    *("lcp.no-answer", "lcp.hung-up", "lcp.refused", "lcp.no-convergence"),
    *("login.no-answer", "login.refused", "login.hung-up"),
    *("address.no-answer", "address.hung-up"),
}
"""Findings made of a silence, or of an end without a reason: users' data proves them wrong."""


Question = Callable[[str, View], Ruling | None]
"""Answers None for what is judged as if it had not been asked."""


def questions(layer: str, live: bool) -> tuple[Question, ...]:
    """What is asked before a layer's own judge, in this order: the first ruling counts."""
    return (upkeep.judge,) if live else (_other_kind, *_FURTHER.get(layer, ()))


def _other_kind(layer: str, view: View) -> Ruling | None:
    """Another kind of VPN, or one of which nothing but use is seen."""
    if view.only_ikev2:
        found = ikev2.judge(layer, view)
        if found is not None:
            return found
    if view.data and not view.l2tp_all and not view.ppp:
        return _only_data(layer, view)
    return None


def _one_direction(layer: str, view: View) -> Ruling | None:
    if not _half(view):
        return None
    if view.ike and all(m.step == "MM1" and m.direction == "in" for m in view.ike):
        return rule(
            layer,
            "inconclusive",
            summary=f"the gateway begins phase 1 with a client, {times(len(view.ike))}, and "
            "nothing comes back: the client is gone, or its router has forgotten it; its session "
            "was before this capture",
            seen=view.ike,
        )  # fmt: skip
    return rule(
        layer,
        "inconclusive",
        summary="the capture shows one direction only; what was answered is not in it",
        seen=view.ike[:1] or view.l2tp_all[:1],
    )


def _half(view: View) -> bool:
    """One direction of a conversation that must have had two, without a refusal in it."""
    if view.ended is None or not view.ended.one_sided or not (view.ike or view.l2tp_all):
        return False
    refused = any(n.type < ERROR_NOTIFY_LIMIT for m in view.ike for n in m.notifies)
    # An orderly end (StopCCN 1, 6; CDN 1, 3) is none; what it answers may be in the other half.
    return not refused and not any(
        m.result_code not in (None, *((1, 3) if m.message == "CDN" else (1, 6)))
        for m in view.l2tp_all
    )


def notes(view: View) -> list[Finding]:
    """What a capture shows beside the judgement of the rungs."""
    found = upkeep.notes(view)
    open_ = _readable(view)
    if open_ is not None:
        found.append(open_)
    if view.plain and not view.live and (view.l2tp or any(d.inside == "clear" for d in view.data)):
        seen = view.l2tp[:1] or view.data[:1]
        within = [o for o in view.other if o.what == "AH"][:1]
        found.append(
            finding(
                "path.l2tp-in-clear",
                evidence("the whole session is outside ESP, and inside AH", *seen, *within)
                if within
                else evidence("the whole session is outside IPsec", *seen),
                detail="L2TP runs inside AH here: nobody can change it on the way, and everybody "
                "can read it."
                if within
                else "L2TP runs without IPsec here, or was recorded inside of it.",
                severity="warning" if within else "info",
                confidence="high",
                title="L2TP is not encrypted here",
            )
        )
    return found


def _readable(view: View) -> Finding | None:
    """ESP whose inside was read without any key: its encryption is NULL (RFC 2410)."""
    if view.live or any(f.verified or f.truncated_to_96 for f in view.esp):
        return None
    seen = [m for m in view.l2tp_all if m.inside == "esp"]
    if not seen or any("NULL" in p.transform for p in view.ipsec_sas):
        return None
    return finding(
        "ipsec.weak-algorithm",
        evidence("this message inside ESP can be read without keys", *seen[:1]),
        detail="Weak: ESP has NULL encryption. Everybody on the way can read what is inside.",
        severity="warning",
        confidence="certain",
    )


def _only_data(layer: str, view: View) -> Ruling | None:
    """A tunnel or link that was up before the capture began and goes on after it."""
    first = view.data[0]
    seen = view.data
    if layer == "l2tp" and first.inside != "ppp":
        return rule("l2tp", "passed", summary="tunnel was up before the capture began", seen=seen)
    if layer == "lcp":
        silent = keepalive.judge(layer, view)
        if silent is not None:
            return silent
        echoes = sum(d.echoes for d in seen)
        summary = "link was up before the capture began"
        return rule("lcp", "passed", seen=seen,
                    summary=summary + (f"; {echoes} LCP echoes" if echoes else ""))  # fmt: skip
    if layer == "login":
        return not_reached("login", "the login was before the capture began")
    if layer == "address":
        return _data_both_ways(view)
    return None


def _in_use(layer: str, view: View) -> Ruling | None:
    """A link over which users' data goes is open, whatever of its negotiation was recorded; and
    one that ends, of whose negotiation nothing was, did not fail in it."""
    if not view.ppp:
        return None
    usual = _USUAL[layer](view)
    if usual.layer.status in ("passed", "warning") or usual.layer.id != layer:
        return usual
    if any(f.code not in _OPEN_ENDED for f in usual.findings if f.severity == "error"):
        return usual
    if view.half_inside is not None:
        return _went_on(layer, view) or usual
    seen: list[Observation] = list(view.data or view.ppp[:1])
    begun = layer == "lcp" and _begun_before(view)
    if view.carried is not None and (begun or _later(layer, view, view.carried)):
        return rule(layer, "passed", summary="open: users' data goes over it", seen=seen)
    if usual.layer.status == "failed" and not _negotiated(layer, view):
        return not_reached(layer, "before the capture began")
    return usual


def _went_on(layer: str, view: View) -> Ruling | None:
    """One side alone is seen, and goes on: no gateway begins IPCP before the login is over, and
    nobody sends users' data before IPCP is open (RFC 1661 sections 3.4 to 3.6)."""
    begun = [m for m in view.ppp if m.protocol == "IPCP" and m.code.startswith("Configure-")]
    if view.half_inside == "out":
        # Its own request it may send too soon; what it answers the gateway has sent.
        begun = [m for m in begun if m.code != "Configure-Request"]
    if layer == "login" and begun:
        return rule(layer, "passed", summary="over: IPCP follows", seen=begun[:1])
    users = [d for d in view.data if d.packets > d.echoes]
    if layer == "address" and begun and users and users[-1].last_t > begun[-1].t:
        return rule(layer, "passed", summary="open: users' data follows", seen=[*begun, *users])
    return None


def _begun_before(view: View) -> bool:
    """Whether all that is seen of LCP came when the link was in use: it was begun anew."""
    asked = min((m.t for m in view.ppp_of("LCP") if m.code == "Configure-Request"), default=-1.0)
    return view.carried is not None and view.carried < asked


def _later(layer: str, view: View, carried: float) -> bool:
    """Whether users' data is seen behind all negotiation of this rung that was under way."""
    if layer == "login":
        asked = [m.t for m in view.ppp if m.code in ("Response", "Failure")]
    else:
        requests = view.ppp_of("LCP" if layer == "lcp" else "IPCP")
        asked = [m.t for m in requests if m.code == "Configure-Request"]
    last = max((d.last_t for d in view.data if d.packets > d.echoes), default=carried)
    return not asked or last >= max(asked)


def _negotiated(layer: str, view: View) -> bool:
    """Something of the link's negotiation, or of the session around it, is in the capture."""
    return (
        bool(view.l2tp_of("out", "SCCRQ", "ICRQ", "ICCN"))
        or bool(view.ike_sas and view.ike_sas[0].reached >= 1)
        or any(m.code not in ("Terminate-Request", "Terminate-Ack") and m.protocol == "LCP"
               for m in view.ppp)
        or any(m.protocol in ("PAP", "CHAP", "EAP") for m in view.ppp)
        or (layer == "address" and any(m.code.startswith("Configure-")
                                       for m in (*view.ppp_of("IPCP"), *view.ppp_of("CCP"))))
    )  # fmt: skip


def _data_both_ways(view: View) -> Ruling:
    seen = view.data
    in_vain = keepalive.one_way(view)
    if in_vain:
        seconds = in_vain[0].last_t - view.last_seen["in"]
        summary = f"users' data goes both ways, and then for {seconds:.0f} s the client's alone"
        return rule("address", "inconclusive", summary=summary, seen=in_vain)
    ways = {d.direction for d in seen if d.packets}
    packets = sum(d.packets - d.echoes for d in seen)
    if None not in ways and ways != {"in", "out"}:
        what = "users' data is" if packets else "LCP echoes are"
        return rule("address", "inconclusive", summary=f"{what} seen one way only", seen=seen)
    if not packets:
        return not_reached("address", "only LCP echoes are seen, and no packet of a user")
    return rule(
        "address", "passed", summary=f"{number(packets, 'packet')} of users' data", seen=seen
    )


def _large_lost(layer: str, view: View) -> Ruling | None:
    return None if view.of(InsideMtu) else large_lost.judge(view)


def _hidden(layer: str, view: View) -> Ruling | None:
    """ESP both ways that nobody can read: a session that the client ends within seconds, after no
    more packets than a login takes, has probably failed inside; with retries it may be more."""
    if view.l2tp or view.ppp or view.only_ikev2 or not view.esp:
        return None
    if any(f.verified for f in view.esp):
        return None
    out, back = view.esp_out, view.esp_back
    if not out or not back:
        return None
    start = min(f.t for f in (*out, *back))
    begun = any(m.step[:2] in ("MM", "AM", "QM") and m.t < start for m in view.ike)
    if not begun and (view.ike or not _from_number_one(out, back)):
        return None  # the beginning of the session is not in the capture
    last = max(f.last_t for f in (*out, *back))
    unanswered = max(f.last_t for f in out) - max(f.last_t for f in back)
    if unanswered >= SILENT and last - start <= LONGER_LIFE:
        return rule(
            "l2tp",
            "inconclusive",
            summary=f"the client's last ESP packets, for {unanswered:.0f} s, are not answered: "
            "the gateway may have fallen silent; keys would tell more",
            seen=[*out, *back],
        )
    least, most = sorted((_count(out), _count(back)))
    few = last - start <= SHORT_LIFE and most <= LOGIN_PACKETS
    # Questions that are repeated in vain make one way twice as long as the other.
    repeated = most <= 4 * LOGIN_PACKETS or 2 * least <= most <= 8 * LOGIN_PACKETS
    small = last - start <= LONGER_LIFE and repeated and _largest(out, back) <= SMALL
    if not few and not small:
        return None
    farewell = _farewell(view, start, last)
    sizes = {size for f in (*out, *back) for size in f.sizes}
    under_way = few and not farewell and view.end - last < SILENT
    # An echo has the size of what it answers.
    echoes = {n for f in out for n in f.sizes} & {n for f in back for n in f.sizes}
    if under_way and (len(sizes) >= MANY_SIZES or not echoes) and not view.other_ipsec:
        return rule(
            "l2tp",
            "inconclusive",
            summary=f"the capture ends {view.end - start:.1f} s after the first ESP packet "
            f"({_count(out)} out, {_count(back)} in): too soon to tell whether the login succeeds",
            seen=[*out, *back],
        )
    if not farewell:
        return None
    who = "client" if farewell[0].direction == "out" else "gateway"
    size = "no more than setting up takes" if few else "all of them small"
    how = "likely" if few else "possible"
    text = (
        f"the {who} ends the session {farewell[0].t - start:.1f} s after the first ESP packet; "
        f"{_count(out)} packets out and {_count(back)} in, {size}"
    )
    return rule(
        "l2tp",
        "inconclusive",
        summary=f"{text}: a failed login or a refusal inside IPsec is {how}; keys would tell",
        seen=[*out, *back, *farewell],
    )


def _from_number_one(out: list[EspFlow], back: list[EspFlow]) -> bool:
    """Both SAs of ESP without IKE were new when the capture began (RFC 4303 section 2.2)."""
    return all(min(flows, key=lambda f: f.t).lowest == 1 for flows in (out, back))


def _count(flows: list[EspFlow]) -> int:
    """What came twice is counted once."""
    return sum(f.packets - f.replayed for f in flows)


def _largest(out: list[EspFlow], back: list[EspFlow]) -> int:
    return max(f.largest if f.largest is not None else SMALL + 1 for f in (*out, *back))


def _farewell(view: View, start: float, last: float) -> list[IkeMessage]:
    """Informational exchanges around the end of ESP, with which SAs are deleted."""
    asked = liveness.all_checks(view, last)
    return [
        m
        for m in view.ike
        if m.step == "INFO"
        and max(start, last - 2.0) <= m.t <= last + LONGER_LIFE
        and (m.deletes or m.protection == "opaque")
        and id(m) not in asked
    ]


_USUAL: dict[str, Callable[[View], Ruling]] = {
    "lcp": lcp.judge,
    "login": login.judge,
    "address": address.judge,
}
_FURTHER: dict[str, tuple[Question, ...]] = {
    "path": (stuck.judge, _one_direction, upkeep.judge),
    "ike": (stuck.judge,),
    "auth": (stuck.judge, gave_up.judge),
    "ipsec": (stuck.judge, upkeep.judge, waiting.judge),
    "esp": (upkeep.judge,),
    "l2tp": (keepalive.judge, gave_up.judge, waiting.judge, _hidden),
    "lcp": (keepalive.judge, _in_use),
    "login": (gave_up.judge, _in_use),
    "address": (_in_use,),
    "routes": (watched.judge,),
    "mtu": (_large_lost, watched.judge),
    "dns": (watched.judge,),
    "app": (watched.judge,),
}
