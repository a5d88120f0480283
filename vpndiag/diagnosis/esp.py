"""Rung ``esp``: did a protected packet go out and one come back that verifies?"""

from __future__ import annotations

from vpndiag.diagnosis import liveness, loss, numbers, told
from vpndiag.diagnosis.ike_sa import INVALID_SPI
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, number, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import EspFlow, IkeMessage
from vpndiag.report.model import Cause, Finding

MANY_SIZES = 5
"""Sizes among the first packets of an SA: a request and a farewell have two."""
REPEATS = 16
"""Packets that a client sends at most before it gives up L2TP that is not answered."""
R_U_THERE = 36136
"""Notify type of dead peer detection (RFC 3706)."""
_UNKNOWN_SA = (
    Cause("The gateway, or its IPsec service, was restarted and has lost the SA", "gateway-admin",
          "Look when it started; connect again", "likely"),
    Cause("It could not set up its own side (kernel without the algorithm, another client's SA in "
          "the way)", "gateway-admin", "Look in its log at the time of quick mode", "likely"),
    Cause("The packets get to another machine than IKE does (cluster, several lines)",
          "gateway-admin", "Send UDP 500, 4500 and ESP of one client to one machine", "possible"),
)  # fmt: skip


def judge(view: View) -> Ruling:
    if view.plain:
        return not_reached("esp", view.without_ipsec)
    out, back = view.esp_out, view.esp_back
    if not out and not back:
        if view.l2tp and not view.live:
            return rule("esp", "passed", summary="seen inside IPsec", seen=view.l2tp[:1])
        return not_reached("esp", "no ESP packet was sent")
    truncated = [f for f in back if f.truncated_to_96]
    if truncated:
        return _failed(
            finding(
                "esp.sha2-truncation",
                evidence("the check value fits only when it is cut to 96 bits: "
                         f"{number(truncated[0].truncated_to_96 or 0, 'packet')}", *truncated),
                detail="The gateway cuts HMAC-SHA2-256 to 96 bits; RFC 4868 says 128.",
                confidence="certain",
            ),
            "SHA2-256 cut to 96 bits",
            view,
        )  # fmt: skip
    if view.running and not back:
        return not_reached("esp", "waiting for a packet to come back")
    if not back:
        return _nothing_back(view, out)
    good = sum(f.verified or 0 for f in back)
    bad = sum(f.bad_integrity or 0 for f in back)
    unfit = not view.live and not good and bad > 0 and _unfit(view, out)
    if bad and not good and not unfit:
        return _failed(
            finding(
                "esp.bad-integrity",
                evidence(f"{number(bad, 'packet')} came back and none verifies", *back),
                detail="ESP packets come back, but their integrity check fails.",
            ),
            "packets do not verify",
            view,
        )
    if not out and not view.live:
        if view.ended is not None and view.ended.one_sided:
            return rule(
                "esp", "inconclusive", summary="the capture shows one direction only", seen=back
            )
        # Who the client is, is a guess where phase 1 was before the capture.
        told = any(m.step.startswith(("MM", "AM", "IKEv2")) for m in view.ike)
        return (_one_way(view, back) if told else None) or rule(
            "esp", "inconclusive", summary="ESP of one side alone is seen", seen=back
        )
    findings = numbers.findings(view)
    if view.local is not None and view.local.encapsulation_forced:
        findings.append(
            finding("esp.forced-encapsulation", evidence("a NAT was claimed in message 3"),
                    severity="info", confidence="certain",
                    detail="ESP travels inside UDP since this user may not send plain ESP.")
        )  # fmt: skip
    how = "in UDP" if any(f.udp_encapsulated for f in back) else "protocol 50"
    summary = f"{_count(out)} out, {_count(back)} in, {how}"
    if unfit:
        summary += "; the keys given do not fit"
    return rule("esp", "passed", *findings, summary=summary, seen=[*out, *back])


def _unfit(view: View, out: list[EspFlow]) -> bool:
    """Packets of the gateway do not verify with the keys that were given: these are wrong, where
    the client's do not either, or where it goes on, having understood what came back."""
    if any(f.bad_integrity and not f.verified for f in out):
        return True
    went_on = view.l2tp_of("out", "SCCCN", "ICRQ", "ICCN") or view.ppp
    return bool(went_on) or _goes_on(view, out)


def _count(flows: list[EspFlow]) -> int:
    return sum(f.packets for f in flows)


def _failed(found: Finding, summary: str, view: View) -> Ruling:
    return rule("esp", "failed", found, summary=summary, seen=view.esp)


def _one_way(view: View, flows: list[EspFlow]) -> Ruling | None:
    """ESP in one direction only, of an IKE that the capture shows in both."""
    packets = _count(flows)
    start = min(f.t for f in flows)
    span = max(view.end, *(f.last_t for f in flows)) - start
    if (
        packets < 3
        or span < 4.0
        or view.unrecorded
        or {m.direction for m in view.ike} < {"in", "out"}
    ):
        return None
    way, other = ("client", "gateway") if flows[0].direction == "out" else ("gateway", "client")
    alive = [m for m in view.ike if m.t >= start and m.direction != flows[0].direction]
    return _failed(
        finding(
            "esp.one-way",
            evidence(f"{packets} ESP packets from the {way} in {span:.1f} s, none from the {other}",
                     *flows),
            *([evidence("IKE is answered all the while", alive[0])] if alive else []),
            detail=f"ESP packets come from the {way} only; the {other} sends none.",
            confidence="high" if alive else "medium",
        ),
        f"{packets} one way, none back",
        view,
    )  # fmt: skip


def _goes_on(view: View, out: list[EspFlow]) -> bool:
    """Without an answer a client has nothing to send in ESP but one request, again and again, and a
    farewell. Captures that nobody can read."""
    if view.live or view.l2tp or view.other_ipsec:
        return False
    return any(len(set(f.sizes)) >= MANY_SIZES for f in out)


def _older(view: View, out: list[EspFlow]) -> bool:
    """The SA was in use before the capture began: nothing of its making is here, and its numbers
    are beyond those of a first message and its repeats."""
    if view.live or any(not m.step.startswith(("INFO", "IKEv2 INFO")) for m in view.ike):
        return False
    return min((f.lowest or 0 for f in out), default=0) > REPEATS


def _unknown(view: View, out: list[EspFlow]) -> list[IkeMessage]:
    """The gateway's word that it does not know the SA."""
    start = min(f.t for f in out)
    return [
        m for m in view.ike
        if m.direction == "in" and m.t >= start and any(n.type == INVALID_SPI for n in m.notifies)
    ]  # fmt: skip


def _nothing_back(view: View, out: list[EspFlow]) -> Ruling:
    packets = _count(out)
    left = view.end if view.live else liveness.leaves(view, max(f.last_t for f in out))
    span = max(min(view.end, left), *(f.last_t for f in out)) - min(f.t for f in out)
    if view.ended is not None and view.ended.one_sided:
        return rule("esp", "inconclusive", summary="the capture shows one direction only", seen=out)
    refused = told.refusals(view, 0, 4500, since=min(f.t for f in out))
    if view.interrupted or (span < 4.0 and not refused and (packets < 2 or not view.live)):
        return rule("esp", "inconclusive", summary="too short to tell", seen=out)
    unknown = _unknown(view, out)
    if packets < 2 and not view.live and not refused and not unknown:
        return rule(
            "esp", "inconclusive", seen=out,
            summary="one ESP packet of the client is seen, and it does not send it again: it left "
            "off, or the rest was not recorded",
        )  # fmt: skip
    if view.other_ipsec:
        return _one_way(view, out) or rule(
            "esp", "inconclusive", summary="too short to tell", seen=out
        )
    if _goes_on(view, out):
        return rule(
            "esp", "inconclusive", seen=out,
            summary="the client's packets are of many sizes, so it goes on inside ESP: what comes "
            "back takes another way, or was not recorded",
        )  # fmt: skip
    start = min(f.t for f in out)
    asked = [
        m
        for m in view.ike
        if m.direction == "out" and m.t >= start and any(n.type == R_U_THERE for n in m.notifies)
    ]
    if _older(view, out) and not (unknown or refused or asked):
        return rule(
            "esp", "inconclusive", seen=out,
            summary="the client's SA was in use before the capture began; whether it asks anything "
            "is not seen",
        )  # fmt: skip
    said = evidence(f"{packets} ESP packets sent, none came back in {span:.1f} s", *out)
    if unknown:
        return _failed(
            finding(
                "esp.no-return",
                said,
                evidence(f"the gateway answers INVALID-SPI, {times(len(unknown))}", *unknown),
                detail="The gateway does not know the SA that the client sends with: it was "
                "restarted, or could not set up its own side.",
                causes=_UNKNOWN_SA,
                confidence="high" if unknown[0].protection == "decrypted" else "medium",
            ),
            f"{packets} out, none back",
            view,
        )
    lost = None if refused else loss.silence(view, "esp", view.l2tp_of("out", "SCCRQ") or out)
    if lost is not None:
        return lost
    own = rule("esp", "inconclusive", summary=f"{packets} out, none back", seen=out).layer
    if not any(f.udp_encapsulated for f in out):
        return rule(
            "path",
            "failed",
            finding(
                "path.esp-blocked",
                said,
                *told.said(refused),
                detail="IPsec is up with plain ESP (IP protocol 50), and nothing comes back.",
                confidence="high" if refused else "medium",
            ),
            summary="ESP: nothing comes back",
            seen=out,
            own=own,
        )
    since = asked[0].t if asked else start
    alive = [m for m in view.ike if m.direction == "in" and m.t > since and not m.repeat]
    if asked and not alive:
        return _failed(
            finding(
                "esp.no-return",
                said,
                evidence(f"IKE on the same port is not answered any more either "
                         f"(R-U-THERE sent {times(len(asked))})", *asked),
                detail="IPsec came up, and then nothing comes back from the gateway.",
            ),
            f"{packets} out, none back",
            view,
        )  # fmt: skip
    more = [said]
    if asked and alive:
        more.append(evidence("IKE on the same UDP port is answered all the while", alive[0]))
    if refused:
        return rule(
            "path",
            "failed",
            finding(
                told.REFUSALS[refused[0].what], said, *told.said(refused),
                detail="IPsec came up, and then its packets are refused on the way or by the "
                "gateway.",
            ),
            summary="ESP is refused",
            seen=[*out, *refused],
            own=own,
        )  # fmt: skip
    sent = view.l2tp_of("out", "SCCRQ")
    if sent:
        more.append(evidence(f"L2TP SCCRQ sent {times(len(sent))} inside IPsec, no answer", *sent))
    return rule(
        "l2tp",
        "failed",
        finding(
            "l2tp.no-answer",
            *more,
            detail="IPsec is up, but the L2TP service behind it does not answer.",
            confidence="high" if asked and alive else "medium",
        ),
        summary="no answer inside IPsec",
        seen=out,
        own=own,
    )
