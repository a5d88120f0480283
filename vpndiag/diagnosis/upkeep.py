"""What goes wrong in a session that was up: captures show it, a short live run does not."""

from __future__ import annotations

from itertools import pairwise

from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import EspFlow, IkeMessage, Observation
from vpndiag.report.model import Finding

GONE = 20.0
"""Seconds without any packet of the gateway, while the client goes on sending."""
STALL = 5.0
"""Seconds that renewing an SA may take at most."""
R_U_THERE, R_U_THERE_ACK = 36136, 36137


def judge(layer: str, view: View) -> Ruling | None:
    """A failure of a session that was up, or of its large IKE messages; None: there is none."""
    if view.live:
        return None
    if layer == "path":
        return _fragments(view) or _gateway_gone(view)
    if layer == "ipsec":
        return _selectors(view) or _renewal_failed(view)
    if layer == "esp":
        return _one_way(view)
    return None


def notes(view: View) -> list[Finding]:
    """What is worth telling of a session and is no failure of it."""
    if view.live:
        return []
    found = [_nat_rebound(view), _slow_renewal(view), _old_fragments(view)]
    return [f for f in found if f is not None]


def _came_up(view: View) -> bool:
    return any(f.direction == "in" and f.packets for f in view.esp)


def _fragments(view: View) -> Ruling | None:
    """A large IKE message of which fragments are missing, in a session that never came up."""
    lost = [f for f in view.fragments_lost if f.port in (0, 500, 4500) and f.protocol == 17]
    if not lost or _came_up(view) or any(m.step.startswith("QM") for m in view.ike):
        return None
    way = "to the gateway" if lost[0].direction == "out" else "to the client"
    found = finding(
        "path.fragments-lost",
        evidence(f"{times(len(lost))} an IKE message came in fragments and was never complete",
                 *lost[:4]),
        detail=f"Large IKE messages are sent in IP fragments, and not all of them arrive on the "
        f"way {way}.",
        confidence="high" if len(lost) > 1 else "medium",
    )  # fmt: skip
    return rule("path", "failed", found, summary="IP fragments are lost", seen=lost)


def _old_fragments(view: View) -> Finding | None:
    if not view.fragments_lost or _fragments(view) is not None:
        return None
    return finding(
        "path.fragments-lost",
        evidence(f"{len(view.fragments_lost)} datagrams lack fragments", *view.fragments_lost[:4]),
        detail="IP fragments are lost on the way.",
        severity="warning",
        confidence="medium",
    )


def _last(view: View, direction: str) -> float:
    times_ = [m.t for m in view.ike if m.direction == direction]
    times_ += [f.last_t for f in view.esp if f.direction == direction]
    return max(times_, default=-1.0)


def _gateway_gone(view: View) -> Ruling | None:
    """The session was up; then nothing more comes from the gateway, and questions whether it is
    still there (RFC 3706) stay unanswered."""
    if not (_came_up(view) or (_set_up(view) and not view.esp)) or view.unrecorded:
        return None
    for silent, asking, who, other in (("in", "out", "gateway", "client"),
                                       ("out", "in", "client", "gateway")):  # fmt: skip
        last = _last(view, silent)
        asked = [
            m
            for m in view.ike
            if m.direction == asking and m.t > last
            and m.step in ("INFO", "IKEv2 INFORMATIONAL", "IKEv2 CREATE_CHILD_SA", "MM1", "QM1")
        ]  # fmt: skip
        deletes = [m for m in asked if m.deletes]
        if last < 0 or len(asked) < 3 or deletes or asked[-1].t - last < GONE:
            continue
        return rule(
            "path",
            "failed",
            finding(
                "path.dpd-timeout",
                evidence(f"the last packet from the {who}", *_at(view, last)),
                evidence(f"the {other} asks {times(len(asked))} in {asked[-1].t - last:.0f} s "
                         "whether it is still there, without an answer", *asked),
                detail=f"The session was up, and then the {who} answered nothing any more.",
            ),
            summary=f"nothing from the {who} after {last:.0f} s",
            seen=asked,
        )  # fmt: skip
    return None


def _set_up(view: View) -> bool:
    """Keys were agreed, although no ESP was recorded: quick mode or IKE_AUTH is complete."""
    steps = {(m.step, m.direction) for m in view.ike}
    quick = ("QM2", "in") in steps and ("QM3", "out") in steps
    return quick or {("IKEv2 AUTH", "in"), ("IKEv2 AUTH", "out")} <= steps


def _at(view: View, t: float) -> list[Observation]:
    return [o for o in view.all if o.t == t][:1]


def _selectors(view: View) -> Ruling | None:
    """The SA is for another port than L2TP's."""
    if view.ppp or any(f.packets for f in view.esp if f.direction == "out"):
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


def _renewals(view: View) -> list[tuple[str, list[IkeMessage], float | None]]:
    """Later negotiations in a session that was up: code, the first message with its repeats, and
    when it was answered."""
    up = min((f.t for f in view.esp if f.direction == "in"), default=None)
    if up is None:
        return []
    found: list[tuple[str, list[IkeMessage], float | None]] = []
    seen: set[tuple[str, int]] = set()
    for m in view.ike:
        step = m.step
        if m.t < up or step not in ("MM1", "QM1"):
            continue
        key = (m.initiator_cookie, m.message_id)
        if key in seen:
            continue
        seen.add(key)
        same = [x for x in view.ike if (x.initiator_cookie, x.message_id) == key and x.step == step]
        answers = [
            x.t
            for x in view.ike
            if x.initiator_cookie == m.initiator_cookie
            and x.message_id == m.message_id
            and x.direction != m.direction
            and x.t >= m.t
        ]
        code = "ike.rekey-stall" if step == "MM1" else "ipsec.rekey-stall"
        found.append((code, same, min(answers, default=None)))
    return found


def _renewal_failed(view: View) -> Ruling | None:
    """A new SA was asked for again and again, and ESP of the gateway stopped."""
    last_in = max((f.last_t for f in view.esp if f.direction == "in"), default=None)
    for code, tries, answered in _renewals(view):
        if answered is not None or len(tries) < 2 or last_in is None:
            continue
        over = view.end - tries[0].t
        if over < 2 * STALL or last_in > tries[0].t + 2 * STALL:
            continue
        what = "phase 1" if code.startswith("ike") else "quick mode"
        found = finding(
            code,
            evidence(f"a new {what} asked for {times(len(tries))} in {over:.0f} s, no answer",
                     tries[0], tries[-1]),
            evidence(f"no ESP from the gateway after {last_in:.1f} s"),
            detail=f"The session was up; renewing its keys ({what}) was never answered.",
        )  # fmt: skip
        own = rule("ipsec", "inconclusive", summary="renewal unanswered").layer
        layer = code.partition(".")[0]
        return rule(layer, "failed", found, summary="renewal unanswered", seen=tries, own=own)
    return None


def _slow_renewal(view: View) -> Finding | None:
    slow = [(c, t, a) for c, t, a in _renewals(view) if a is not None and a - t[0].t >= STALL]
    if not slow:
        return None
    code, tries, answered = max(slow, key=lambda r: (r[2] or 0.0) - r[1][0].t)
    seconds = (answered or 0.0) - tries[0].t
    return finding(
        code,
        evidence(f"asked for {times(len(tries))}, answered after {seconds:.1f} s", *tries[:4]),
        detail=f"Renewing the keys took {seconds:.1f} s.",
        severity="warning",
        confidence="high",
    )


def _one_way(view: View) -> Ruling | None:
    """ESP went both ways, and then the gateway's stopped while the client's went on."""
    out = [f for f in view.esp if f.direction == "out" and f.packets]
    back = [f for f in view.esp if f.direction == "in" and f.packets]
    if not out or not back or view.only_ikev2:
        return None
    gap = max(f.last_t for f in out) - max(f.last_t for f in back)
    since = [f for f in out if f.last_t > max(b.last_t for b in back)]
    answered = [m for m in view.ike if m.direction == "in" and m.t > max(f.last_t for f in back)]
    if gap < 2 * GONE or sum(f.packets for f in since) < 10 or any(m.deletes for m in answered):
        return None
    if any(m.step == "INFO" and m.protection == "opaque" for m in answered):
        return None
    last = max(f.last_t for f in back)
    return rule(
        "esp",
        "failed",
        finding(
            "esp.one-way",
            evidence(f"the last ESP packet from the gateway is at {last:.1f} s", *back),
            evidence(f"the client goes on sending for {gap:.0f} s", *since),
            detail="Encrypted packets went both ways, and then none came back any more.",
            confidence="medium",
        ),
        summary=f"nothing came back after {last:.0f} s",
        seen=[*out, *back],
    )


def _nat_rebound(view: View) -> Finding | None:
    """One SPI of the client from two ports, one after the other: the NAT gave it a new mapping."""
    by_spi: dict[str, list[EspFlow]] = {}
    for f in view.esp:
        if f.direction == "out" and f.udp_encapsulated:
            by_spi.setdefault(f.spi, []).append(f)
    for flows in by_spi.values():
        ordered = sorted(flows, key=lambda f: f.t)
        for one, two in pairwise(ordered):
            if two.t < one.last_t:
                continue
            back = any(f.direction == "in" and f.last_t > two.t for f in view.esp)
            return finding(
                "path.nat-rebound",
                evidence(f"SPI {one.spi} comes from one port until {one.last_t:.1f} s and from "
                         f"another from {two.t:.1f} s on", one, two),
                detail="The NAT in front of the client forgot its mapping and made a new one"
                + ("." if back else "; nothing came back after that."),
                severity="info" if back else "warning",
                confidence="high",
            )  # fmt: skip
    return None
