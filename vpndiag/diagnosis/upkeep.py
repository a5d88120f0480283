"""What goes wrong in a session that was up: captures show it, a short live run does not."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.diagnosis import fragments, ipsec, keepalive, liveness, rebound, told
from vpndiag.diagnosis.ike_sa import INVALID_COOKIE, INVALID_SPI
from vpndiag.diagnosis.renewals import Renewal, held_up, refusal_text
from vpndiag.diagnosis.ruling import Ruling, at_frames, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import Direction, EspFlow, IkeMessage, Observation
from vpndiag.report.model import Cause, Evidence, Finding

GONE = 20.0
"""Seconds without any packet of the gateway, while the client goes on sending."""
ASKED_OFTEN = 10.0
"""The same, when it asked five times and more whether the gateway is there."""
HELLOS = 60.0 + 31.0
"""Seconds in which a client that hears nothing has asked by HELLO, which everyone acknowledges, and
has given up: it comes after 60 s of silence (RFC 2661 section 6.5) and is repeated after 1, 2, 4, 8
and 16 s (section 5.8; xl2tpd). Such a client is not just idle, although the gateway's IKE lives."""
LOGIN_PACKETS = 24
"""More ESP packets one way than tunnel, link and login need (8 for L2TP and its acknowledgements,
4 to 6 for LCP, 3 to 6 for the login) in a run without loss."""
STALL = 5.0
"""Seconds that renewing an SA may take at most."""
_QUESTIONS = ("INFO", "IKEv2 INFORMATIONAL", "IKEv2 CREATE_CHILD_SA", "MM1", "QM1")
GATEWAY_GONE = "The session was up, and then the gateway answered nothing any more."
_CLIENT_GONE = "The session was up, and then the client answered nothing any more."
_CLIENT_LEFT = (
    Cause("The computer was suspended, switched off, or went to another network",
          "user", "Connect again; nothing is wrong with the VPN then", "likely"),
    Cause("The way to the client broke: its line is down, or the NAT before it forgot its mapping",
          "network", "Look at the line and at the router's log for this time", "likely"),
    Cause("The client's VPN program or its system ended without a word",
          "helpdesk", "Look in the client's log at the time given", "possible"),
)  # fmt: skip
_ENDED = (
    Cause("The gateway's VPN service was stopped or restarted while the session was up",
          "gateway-admin", "Look in its log at the time given; connect again", "likely"),
    Cause("A firewall at the gateway began to reject what it had let through", "gateway-admin",
          "Look at its rules for UDP 4500 and ESP", "possible"),
)  # fmt: skip


def judge(layer: str, view: View) -> Ruling | None:
    """A failure of a session that was up, or of its large IKE messages; None: there is none."""
    if view.live and (view.soak is None or view.running):
        return None
    if layer == "path":
        found = None if view.live else fragments.judge(view) or rebound.judge(view)
        return found or _gateway_gone(view) or _turned_away(view)
    if layer == "ipsec":
        return (None if view.live else _selectors(view)) or _renewal_failed(view)
    if layer == "esp":
        return _one_way(view)
    return None


def notes(view: View) -> list[Finding]:
    """What is worth telling of a session and is no failure of it."""
    if view.live:
        found = [_slow_renewal(view)] if view.soak is not None else []
    else:
        found = [rebound.note(view), _slow_renewal(view), fragments.note(view)]
    return [f for f in found if f is not None]


def _last(view: View, direction: str) -> float:
    """When something last came this way, before the other side said goodbye."""
    farewells = [m.t for m in view.ike if m.direction != direction and liveness.says_goodbye(m)]
    until = max(farewells, default=float("inf"))
    times_ = [m.t for m in view.ike if m.direction == direction and m.t <= until]
    for f in view.esp:
        if f.direction == direction:
            quiet = f.last_t > until and f.silence_from + f.longest_silence >= until
            times_.append(f.silence_from if quiet else f.last_t)
    return max(times_, default=-1.0)


def _gateway_gone(view: View) -> Ruling | None:
    """The session was up; then nothing more comes from the gateway, and questions whether it is
    still there (RFC 3706) stay unanswered."""
    every = [m for m in view.ike if m.step in _QUESTIONS]
    if len(every) < 3 or every[-1].t - view.all[0].t < min(GONE, ASKED_OFTEN):
        return None
    if not (view.esp_back or (_set_up(view) and not view.esp)):
        return None
    for silent, asking, who, other in liveness.SIDES:
        questions = [m for m in every if m.direction == asking]
        if len(questions) < 3:
            continue
        questions = liveness.unprompted(questions, every)
        last = _last(view, silent)
        asked: list[IkeMessage] = []
        for m in questions:
            if m.t > last:
                if liveness.says_goodbye(m):
                    break
                if not m.deletes:
                    asked.append(m)
        enough = ASKED_OFTEN if len(asked) >= 5 else GONE
        if last < 0 or liveness.moments(asked) < 3 or asked[-1].t - last < enough:
            continue
        if liveness.said_goodbye(view, silent, last):
            continue
        if view.unrecorded:
            return None
        found = finding(
            "path.dpd-timeout",
            last_packet(view, f"the last packet from the {who}", silent, last),
            evidence(f"the {other} asks {times(len(asked))} in {asked[-1].t - last:.0f} s "
                     "whether it is still there, without an answer", *asked),
            *(told.said(told.refusals(view, 0, 500, 4500, since=last)) if silent == "in" else ()),
            detail=GATEWAY_GONE,
        )  # fmt: skip
        if silent == "out":
            found = replace(
                found, detail=_CLIENT_GONE, causes=_CLIENT_LEFT, owner=_CLIENT_LEFT[0].owner
            )
        summary = f"nothing from the {who} after {last:.0f} s"
        return rule("path", "failed", found, summary=summary, seen=asked, facts={"silent": who})
    return None


def _turned_away(view: View) -> Ruling | None:
    """A session in use, of which no ESP comes back any more: ICMP says of the client's that it does
    not arrive, again and again."""
    if view.live or not view.icmp or not view.esp_out or not view.esp_back:
        return None
    last = max(f.last_t for f in view.esp_back)
    errors = told.refusals(view, 0, 4500, since=last)
    silent = max(f.last_t for f in view.esp_out) - last
    # What ends sooner may have failed inside, before the session was up.
    used = sum(f.packets - f.replayed for f in view.esp_back) > LOGIN_PACKETS
    if len(errors) < told.OFTEN or silent < STALL or not used:
        return None
    if any(m.direction == "in" and m.t > last for m in view.ike):
        return None
    what = told.in_words(errors[0].what)
    found = finding(
        "path.dpd-timeout",
        last_packet(view, f"the last ESP packet from the gateway is at {last:.1f} s", "in", last),
        *told.said(errors),
        detail=f"{GATEWAY_GONE} What the client sends is refused: {what}.",
        causes=_ENDED if told.is_closed(errors[0]) else (),
    )
    summary = f"refused after {last:.0f} s of a session"
    return rule("path", "failed", found, summary=summary, seen=errors)


def _set_up(view: View) -> bool:
    """Keys were agreed, although no ESP was recorded: quick mode or IKE_AUTH is complete."""
    steps = {(m.step, m.direction) for m in view.ike}
    quick = ("QM2", "in") in steps and ("QM3", "out") in steps
    return quick or {("IKEv2 AUTH", "in"), ("IKEv2 AUTH", "out")} <= steps


def last_packet(view: View, text: str, direction: Direction, t: float) -> Evidence:
    """The packet of this direction at ``t``, whatever it was: evidence for a silence behind it."""
    flows = [f for f in view.esp if f.direction == direction and f.last_t == t and f.last_frames]
    if flows:
        return at_frames(text, t, flows[0].last_frames[-1:])
    seen = [o for o in view.all if o.t == t and getattr(o, "direction", "") == direction]
    return at_frames(text, t, seen[0].frames if seen else ())


def _selectors(view: View) -> Ruling | None:
    """The SA is for another port than L2TP's."""
    if view.ppp or view.esp_out:
        return _other_port(view)
    agreed: list[Observation] = list(view.ipsec_sas)
    agreed += [m for m in view.ike if m.step == "QM3" and m.direction == "out"]
    naked = [m for m in view.clear_probe
             if m.direction == "out" and m.message == "SCCRQ" and agreed and m.t > agreed[0].t
             and not (m.client_port and m.client_port != 1701)]  # fmt: skip
    if len(naked) < 2:
        return _other_port(view)
    return rule(
        "ipsec",
        "failed",
        finding(
            "ipsec.selector-mismatch",
            evidence("an IPsec SA is agreed", agreed[0]),
            evidence(f"the client sends its L2TP request outside of it, {times(len(naked))}, and "
                     "not one ESP packet", *naked[:4]),
            detail="The client's L2TP packets do not match the selectors of its IPsec SA, and "
            "leave unprotected.",
            # A filter may have left plain ESP out; a gateway records what was in it as well.
            confidence="high" if any(m.port == 4500 for m in view.ike) else "medium",
        ),
        summary="L2TP is not covered by the SA",
        seen=[agreed[0], *naked],
    )  # fmt: skip


def _other_port(view: View) -> Ruling | None:
    if not view.ipsec_sas or view.ppp:
        return None
    pair = view.ipsec_sas[-1]
    if pair.gateway_port in (None, 0, 1701):
        return None
    return rule(
        "ipsec",
        "failed",
        finding(
            "ipsec.selector-mismatch",
            evidence(f"the SA is for port {pair.gateway_port} of the gateway", pair),
            detail=f"The SA protects port {pair.gateway_port}; L2TP uses UDP 1701.",
        ),
        summary=f"the SA is for port {pair.gateway_port}",
        seen=[pair],
    )


def _renewal_failed(view: View) -> Ruling | None:
    """A new SA was refused, or asked for again and again, and none was made later."""
    found = view.renewals
    for r in found:
        if r.done is not None or any(x.done and x.first.t > r.first.t for x in found
                                     if x.layer == r.layer):  # fmt: skip
            continue
        what = "phase 1" if r.layer == "ike" else "quick mode"
        seen = [r.first, r.tries[-1], *r.refusal]
        if r.refusal:
            said, known = refusal_text(r.refusal[0])
            ruling = finding(
                f"{r.layer}.rekey-refused",
                evidence(f"a new {what} is asked for", r.first),
                evidence(f"the gateway answers {said}", *r.refusal[:1]),
                detail=f"The session was up; the gateway refused to renew its keys ({what}).",
                confidence="high" if known else "medium",
            )
            summary = "renewal refused"
        elif _given_up(view, r):
            ruling = _unanswered(view, r, what)
            summary = "renewal unanswered"
        else:
            continue
        own = ipsec.judge(view).layer
        return rule(r.layer, "failed", ruling, summary=summary, seen=seen, own=own)
    return None


def _given_up(view: View, r: Renewal) -> bool:
    """Asked often enough, or long enough while the gateway's ESP stopped as well."""
    asked = r.tries[-1].t - r.first.t
    if r.first.direction == "in" and liveness.said_goodbye(view, "out", _last(view, "out")):
        return False
    if r.first.direction == "out" and len(r.tries) >= 5 and asked >= STALL:
        return True
    last_in = max((f.last_t for f in view.esp if f.direction == "in"), default=None)
    return (
        len(r.tries) >= 2
        and last_in is not None
        and view.end - r.first.t >= 2 * STALL
        and last_in <= r.first.t + 2 * STALL
    )


def _unanswered(view: View, r: Renewal, what: str) -> Finding:
    over = view.end - r.first.t
    last_in = max((f.last_t for f in view.esp if f.direction == "in"), default=0.0)
    stopped = last_in <= r.first.t + 2 * STALL and over > 3 * STALL
    goes_on = "no ESP from the gateway after" if stopped else "ESP from the gateway goes on until"
    return finding(
        f"{r.layer}.rekey-stall",
        evidence(f"a new {what} asked for {times(len(r.tries))} in {over:.0f} s, no answer",
                 r.first, r.tries[-1]),
        last_packet(view, f"{goes_on} {last_in:.1f} s", "in", last_in),
        detail=f"The session was up; renewing its keys ({what}) was never answered.",
    )  # fmt: skip


def _slow_renewal(view: View) -> Finding | None:
    """The answer came late, or packets inside were held up."""
    slow = [r for r in view.renewals if r.done is not None and r.done - r.first.t >= STALL]
    if slow:
        r = max(slow, key=lambda r: (r.done or 0.0) - r.first.t)
        seconds = (r.done or 0.0) - r.first.t
        return finding(
            f"{r.layer}.rekey-stall",
            evidence(f"asked for {times(len(r.tries))}, answered after {seconds:.1f} s",
                     *r.tries[:4]),
            detail=f"Renewing the keys took {seconds:.1f} s.",
            severity="warning",
            confidence="high",
        )  # fmt: skip
    held = held_up(view)
    if held is None or (view.soak is not None and view.soak.silent_for):
        return None
    layer, r_first, seconds = held
    return finding(
        f"{layer}.rekey-stall",
        evidence(f"nothing came back for {seconds:.1f} s when the keys were renewed", r_first),
        detail=f"Traffic stalled for {seconds:.1f} s when the keys were renewed.",
        severity="warning",
        confidence="high",
    )


def _one_way(view: View) -> Ruling | None:
    """ESP went both ways, and then the gateway's stopped while the client's went on."""
    out, back = view.esp_out, view.esp_back
    if not out or not back or view.only_ikev2:
        return None
    gap = max(f.last_t for f in out) - max(f.last_t for f in back)
    since = [f for f in out if f.last_t > max(b.last_t for b in back)]
    answered = [m for m in view.ike if m.direction == "in" and m.t > max(f.last_t for f in back)]
    if gap < 2 * GONE or sum(f.packets for f in since) < 10 or any(m.deletes for m in answered):
        return None
    hidden = [m for m in answered if m.step == "INFO" and m.protection == "opaque"]
    alive = liveness.all_checks(view, max(f.last_t for f in out)) if hidden else set()
    last = max(f.last_t for f in back)
    # A farewell explains the silence behind it.
    if hidden and (gap < HELLOS or any(id(m) not in alive and m.t < last + HELLOS for m in hidden)):
        return None
    if _was_quiet(out, back, gap):
        return None
    if not answered and any(keepalive.judge(layer, view) for layer in ("l2tp", "lcp")):
        return None  # seen inside, where the same says more
    unknown = [
        m for m in answered if any(n.type in (INVALID_COOKIE, INVALID_SPI) for n in m.notifies)
    ]
    detail = "Encrypted packets went both ways, and then none came back any more."
    if unknown:
        names = ", ".join(dict.fromkeys(n.name for m in unknown for n in m.notifies))
        detail += (
            f" The gateway says that it does not know the SA ({names}): it was restarted, or has "
            "dropped the session."
        )
        more = evidence(f"the gateway answers {names}, {times(len(unknown))}", *unknown)
    elif answered:
        more = evidence("IKE from the gateway comes all the while", answered[0])
    else:
        more = evidence("IKE was not asked meanwhile: whether the gateway lives is not seen")
    return rule(
        "esp",
        "failed",
        finding(
            "esp.one-way",
            last_packet(
                view, f"the last ESP packet from the gateway is at {last:.1f} s", "in", last
            ),
            at_frames(
                f"the client goes on sending for {gap:.0f} s",
                since[-1].last_t,
                [n for f in since for n in f.last_frames or f.frames],
            ),
            more,
            detail=detail,
            confidence="high" if unknown else "medium",
        ),
        summary=f"nothing came back after {last:.0f} s",
        seen=[*out, *back],
    )


def _was_quiet(out: list[EspFlow], back: list[EspFlow], gap: float) -> bool:
    """Whether the gateway was silent about as long before, while the client sent, and was well: an
    idle computer announces itself and searches its network, and nobody answers that."""
    return any(
        b.longest_silence >= 0.8 * gap
        and any(
            f.t <= b.silence_from
            and f.last_t >= b.silence_from + b.longest_silence
            and f.longest_silence <= 0.5 * b.longest_silence
            for f in out
        )
        for b in back
    )
