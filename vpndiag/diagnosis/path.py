"""Rung ``path``: do UDP 500 and 4500 of the gateway answer a real IKE packet, and 1701 not?"""

from __future__ import annotations

from dataclasses import replace

from vpndiag.diagnosis import lifetime, loss, nat, other_addresses, outer_mtu, told, way
from vpndiag.diagnosis.ike_sa import IkeSa
from vpndiag.diagnosis.ruling import (
    Ruling,
    evidence,
    finding,
    not_reached,
    number,
    rule,
    times,
    tried,
)
from vpndiag.diagnosis.silence import Unanswered
from vpndiag.diagnosis.view import View
from vpndiag.observations import IcmpError, IkeMessage, Observation
from vpndiag.report.model import Evidence, Finding

_ICMP_RANK = (
    "port-unreachable",
    "prohibited",
    "host-unreachable",
    "net-unreachable",
    "protocol-unreachable",
)
NO_ROUTE = {"ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EADDRNOTAVAIL", "ENONET"}
"""What the system says when this computer has no way to the gateway."""
_TRACEROUTE = range(33434, 33534)


def judge(view: View) -> Ruling:
    """Looks at IKE messages by port, ICMP errors and local send errors."""
    extra = _warnings(view)
    if view.plain:
        return _plain(view, extra)
    seen: list[Observation] = [*view.asked(500), *view.asked(4500)]
    if not seen and not view.send_errors:
        if any(m.direction == "in" for m in view.ike) or view.esp:
            return rule("path", "passed", *extra, summary="packets arrive", seen=view.all[:1])
        return not_reached("path", "no IKE packet was sent")
    in500, in4500 = view.answered(500), view.answered(4500)
    if in500 or in4500 or view.esp_back:
        return _something_answers(view, extra, bool(in500), bool(in4500))
    if view.running:
        return not_reached("path", "waiting for an answer")
    return _nothing_answers(view, extra)


def _silence(view: View, port: int) -> tuple[Unanswered, Evidence] | None:
    asked = view.asked(port)
    # One message and its repeats; other offers and versions of IKE that were tried are told apart.
    same = [m for m in asked if m.initiator_cookie == asked[0].initiator_cookie]
    silence = view.unanswered(same)
    if silence is None:
        return None
    text = f"IKE sent to UDP {port} {tried(silence.tries, silence.seconds)}, no answer"
    others = len({m.initiator_cookie for m in asked}) - 1
    if others:
        text += f", nor to {number(others, 'other question')}"
    return silence, evidence(text, silence.first, silence.last)


def _nothing_answers(view: View, extra: list[Finding]) -> Ruling:
    # an error for 1701 or for a trace, where nothing should listen, says nothing about IKE
    reported = [e for e in view.icmp if e.port != 1701 and e.port not in _TRACEROUTE]
    seen: list[Observation] = [*view.asked(500), *view.asked(4500), *reported]
    silences = [s for s in (_silence(view, 500), _silence(view, 4500)) if s]
    said = [s[1] for s in silences]
    local = [e for e in view.send_errors if e.port in (500, 4500)]
    if local and not reported:
        code, detail = "path.local-blocked", "This computer could not send to the gateway"
        if local[0].error in NO_ROUTE:
            code = "path.no-route"
            detail = "This computer has no network connection over which it could reach the gateway"
        detail += f" ({local[0].error})."
        return rule(
            "path",
            "failed",
            finding(
                code, evidence(f"sending failed: {local[0].error} {local[0].detail}", *local[:3]),
                detail=detail, confidence="certain",
            ),
            *extra,
            summary=detail.rstrip("."),
            seen=[*seen, *local],
        )  # fmt: skip
    errors = [e for e in reported if e.direction == "in" and e.what in told.REFUSALS]
    if errors:
        worst = min(errors, key=lambda e: _ICMP_RANK.index(e.what))
        same = [e for e in errors if e.what == worst.what]
        who = _reporter(view, worst)
        detail = f"{who} answered with ICMP {told.in_words(worst.what)}."
        found = finding(
            told.REFUSALS[worst.what],
            evidence(f"ICMP {told.in_words(worst.what)} from {worst.reporter or 'unknown'} for UDP "
                     f"{worst.port}, {times(len(same))}", *same),
            *said,
            detail=detail,
            confidence="certain" if worst.from_gateway else "high",
        )  # fmt: skip
        return rule(
            "path",
            "failed",
            other_addresses.blamed(view, found),
            *extra,
            summary=detail.rstrip("."),
            seen=seen,
            facts=other_addresses.facts(view, "refuses"),
        )
    if view.from_elsewhere:
        return _elsewhere(view, said, extra)
    if not silences or not any(view.conclusive(s[0]) for s in silences):
        why = "interrupted before an answer" if view.interrupted else "too short to tell"
        return rule("path", "inconclusive", *extra, summary=why, seen=seen)
    ports = tuple(int(s[0].first.port) for s in silences)  # type: ignore[attr-defined]
    sides = " and ".join(map(str, ports))
    found = finding(
        "path.silent",
        *said,
        detail=f"Nothing came back from UDP {sides} of the gateway.",
        confidence="high" if view.live else "medium",
    )
    return _silent(view, ports, found, extra, f"UDP {sides}: no answer", seen, whole=True)


def _silent(
    view: View,
    ports: tuple[int, ...],
    found: Finding,
    extra: list[Finding],
    summary: str,
    seen: list[Observation],
    *,
    whole: bool = False,
) -> Ruling:
    """Silence of these ports, and where on the way it begins. ``whole``: nothing else of the
    gateway answers."""
    where = way.look(view, ports)
    if where is not None:
        found = where.add_to(found)
        summary = where.summary or summary
    facts: dict[str, str] = {}
    if whole:
        facts = other_addresses.facts(view, "silent")
        # A place on the way that is known says more.
        if where is None or not where.title:
            found = other_addresses.blamed(view, found)
    return rule("path", "failed", found, *extra, summary=summary, seen=seen, facts=facts)


def _elsewhere(view: View, said: list[Evidence], extra: list[Finding]) -> Ruling:
    """The only answers came from another address or port: a client behind NAT never sees them."""
    found = next(f for f in extra if f.code == "path.answer-from-elsewhere")
    found = replace(found, severity="error", evidence=(*found.evidence, *said))
    rest = [f for f in extra if f.code != found.code]
    return rule("path", "failed", found, *rest, summary=found.detail.rstrip("."),
                seen=view.from_elsewhere)  # fmt: skip


def _something_answers(view: View, extra: list[Finding], ok500: bool, ok4500: bool) -> Ruling:
    seen: list[Observation] = [*view.ike[:1], *view.answered(500)[:1], *view.answered(4500)[:1]]
    asked500, asked4500 = view.asked(500), view.asked(4500)
    if ok500 and asked4500 and not ok4500 and not view.esp_back:
        ruling = _only_500(view, extra, seen)
        if ruling is not None:
            return ruling
    if not ok500 and asked500 and ok4500 and not _began_on_4500(view):
        silence = _silence(view, 500)
        if silence and view.conclusive(silence[0]):
            refused = _refused(view, 500, 4500, silence[1], extra, seen)
            if refused is not None:
                return refused
            found = finding(
                "path.500-silent",
                silence[1],
                *told.said(told.refusals(view, 500)),
                evidence("UDP 4500 answers IKE", *view.answered(4500)[:1]),
                detail="The gateway answers on UDP 4500 but not on UDP 500.",
            )
            return _silent(view, (500,), found, extra, "500 silent, 4500 answers", seen)
    ports = [str(p) for p, ok in ((500, ok500), (4500, ok4500)) if ok]
    summary = f"{' and '.join(ports)} answer{'s' if len(ports) == 1 else ''}" if ports else "open"
    facts = outer_mtu.facts(view) | lifetime.facts(view) | other_addresses.facts(view, "answers")
    return rule("path", "passed", *extra, summary=summary, seen=seen, facts=facts)


def _refused(
    view: View,
    port: int,
    other: int,
    silence: Evidence,
    extra: list[Finding],
    seen: list[Observation],
) -> Ruling | None:
    """Somebody on the way says that nothing gets through to this port, and the other one answers.
    A closed port is not told apart from a silent one: that the VPN service does not run would be
    wrong."""
    errors = [e for e in told.refusals(view, port) if not told.is_closed(e)]
    if not errors:
        return None
    worst = min(errors, key=lambda e: _ICMP_RANK.index(e.what))
    detail = (
        f"{_reporter(view, worst)} answers what goes to UDP {port} with ICMP "
        f"{told.in_words(worst.what)}; UDP {other} works."
    )
    found = finding(
        told.REFUSALS[worst.what],
        *told.said([e for e in errors if e.what == worst.what]),
        silence,
        evidence(f"UDP {other} answers IKE", *view.answered(other)[:1]),
        detail=detail,
        confidence="certain" if worst.from_gateway else "high",
    )
    return rule("path", "failed", found, *extra, summary=f"{other} answers, {port} is refused",
                seen=[*seen, *errors])  # fmt: skip


def _began_on_4500(view: View) -> bool:
    primary = view.primary
    return primary is not None and primary.reached >= 3


def _only_500(view: View, extra: list[Finding], seen: list[Observation]) -> Ruling | None:
    """500 answered, 4500 was asked and did not: the float, or the port itself."""
    floated = [m for m in view.asked(4500) if m.step == "MM5"]
    fresh = [m for m in view.asked(4500) if m.step == "MM1" and _known_good(view, m)]
    if not floated and not fresh:
        return None
    primary = view.primary
    if floated and primary is not None and _reacted(primary, floated[0]):
        # Message 5 did arrive: the gateway answers it, if only from UDP 500.
        return None
    since = floated[0].t if floated else 0.0
    refused = told.refusals(view, 4500, since=since) if floated else []
    # Said of both ports it is about the host: the gateway is gone.
    if refused and not view.live and not told.refusals(view, 500, since=since):
        return _float_refused(view, extra, floated, refused, seen)
    silence = _silence(view, 4500)
    if silence is None or view.running or not view.conclusive(silence[0]):
        return None
    if floated and not fresh:
        # Not told apart from a wrong key here: the auth rung ranks both.
        return None
    if not floated and _stopped(view, fresh[0].t):
        return None
    if not floated and not _asked_alike(view, fresh):
        # 500 does not answer that question either: the silence is not about the port.
        return None
    if floated and primary is not None and view.gone_since(floated[0].t):
        # A fresh question to UDP 500 is not answered either: the gateway, not the port.
        return None
    lost = loss.silence(view, "path", floated or fresh)
    if lost is not None:
        return lost
    if not floated and (refusal := _refused(view, 4500, 500, silence[1], extra, seen)):
        return refusal
    code = "path.float-blocked" if floated else "path.4500-silent"
    after = " after the change of port" if floated else ""
    said = [silence[1], evidence("UDP 500 answers IKE", *view.answered(500)[:1])]
    if fresh and floated:
        said.insert(
            1, evidence(f"a fresh IKE message to UDP 4500, sent {times(len(fresh))}, is not "
                        "answered either", *fresh))  # fmt: skip
    said += told.said(told.refusals(view, 4500))
    detail = f"UDP 500 works, but nothing comes back from UDP 4500{after}."
    found = finding(code, *said, detail=detail)
    return _silent(view, (4500,), found, extra, "500 answers, 4500 silent", seen)


def _stopped(view: View, since: float) -> bool:
    """UDP 500 was asked something from then on as well, and has not answered any more."""
    asked = any(m.t >= since - 0.1 and m.step == "MM3" for m in view.asked(500))
    return asked and not any(m.t > since for m in view.answered(500))


def _float_refused(
    view: View,
    extra: list[Finding],
    floated: list[IkeMessage],
    refused: list[IcmpError],
    seen: list[Observation],
) -> Ruling:
    """Somebody says that message 5 cannot arrive: no need to wait for silence."""
    detail = (
        f"UDP 500 works; what goes to UDP 4500 is refused: {_reporter(view, refused[0])} answers "
        f"with ICMP {refused[0].what.replace('-', ' ')}."
    )
    found = finding(
        "path.float-blocked",
        evidence(f"message 5 sent to UDP 4500 {times(len(floated))}, no answer", *floated),
        *told.said(refused),
        evidence("UDP 500 answers IKE", *view.answered(500)[:1]),
        detail=detail,
    )
    return rule("path", "failed", found, *extra, summary="500 answers, 4500 is refused",
                seen=[*seen, *refused])  # fmt: skip


def _known_good(view: View, offer: IkeMessage) -> bool:
    """The same offer was taken on port 500: silence to it on 4500 then is the port's."""
    return any(
        sa.port == 500
        and sa.chosen is not None
        and sa.first.transforms == offer.transforms
        and sa.first.vendor_ids == offer.vendor_ids
        for sa in view.ike_sas
    )


def _reacted(sa: IkeSa, mm5: IkeMessage) -> bool:
    """Whether the gateway said something on this SA that only message 5 can have brought about:
    a repeat of message 4 is none."""
    return any(
        m.direction == "in" and m.t >= mm5.t and m.step not in ("MM2", "MM4") for m in sa.messages
    )


def _asked_alike(view: View, fresh: list[IkeMessage]) -> bool:
    """Whether UDP 500 answered a message with the same offer as one of these."""
    offers = {(m.version, m.step, m.transforms, m.vendor_ids) for m in fresh}
    for sa in view.ike_sas:
        asked = sa.first
        offer = (asked.version, asked.step, asked.transforms, asked.vendor_ids)
        if asked.direction == "out" and asked.port == 500 and sa.answers and offer in offers:
            return True
    return False


def _plain(view: View, extra: list[Finding]) -> Ruling:
    if view.bare:
        return not_reached("path", view.bare)
    sent = [m for m in view.l2tp if m.direction == "out"]
    got = [m for m in view.l2tp if m.direction == "in"]
    if got or any(m.direction == "in" for m in view.ppp):
        return rule("path", "passed", *extra, summary="1701 answers", seen=[*sent[:1], *got[:1]])
    silence = view.unanswered([m for m in sent if m.message == "SCCRQ"])
    asked = (
        f"SCCRQ sent to UDP 1701 {tried(silence.tries, silence.seconds)}, no answer"
        if silence is not None
        else ""
    )
    if view.from_elsewhere and silence is not None and view.conclusive(silence):
        said = evidence(f"{asked} from there", silence.first, silence.last)
        return _elsewhere(view, [said], extra)
    errors = [e for e in view.icmp if e.what in told.REFUSALS and e.direction == "in"]
    if errors and not view.running:
        worst = errors[0]
        what = f"ICMP {told.in_words(worst.what)} for UDP {worst.port}"
        detail = f"{_reporter(view, worst)} answered with {what}."
        return rule(
            "path",
            "failed",
            finding(
                told.REFUSALS[worst.what],
                *told.said(errors),
                *([evidence(asked, silence.first, silence.last)] if silence is not None else []),
                detail=detail,
                confidence="certain" if worst.from_gateway else "high",
            ),
            *extra,
            summary=detail.rstrip("."),
            seen=[*sent, *errors],
        )
    if view.send_errors and not sent:
        return _nothing_answers(view, extra)
    # One port only: silence of 1701 is judged on the rung that speaks there.
    reason = "nothing came back from UDP 1701" if sent else ""
    return rule("path", "not_reached", *extra, reason=reason, seen=sent[:1])


def _reporter(view: View, error: IcmpError) -> str:
    if error.from_gateway:
        return "The gateway"
    if view.local is not None and error.reporter == view.local.local_address.partition("%")[0]:
        return "This computer finds nobody at the next hop: it"
    return f"A router on the way ({error.reporter})" if error.reporter else "The network"


def _warnings(view: View) -> list[Finding]:
    found = [*outer_mtu.findings(view), *nat.findings(view), *lifetime.findings(view)]
    found += other_addresses.warnings(view)
    clear = [m for m in view.clear_probe if m.direction == "in" and m.message == "SCCRP"]
    if clear:
        found.append(
            finding(
                "path.l2tp-in-clear",
                evidence("an L2TP request outside IPsec (UDP 1701) is answered", *clear[:1]),
                detail="The gateway talks L2TP on UDP 1701 without IPsec.",
                severity="warning",
                confidence="certain",
            )
        )
    elsewhere = view.from_elsewhere
    if elsewhere:
        sources = ", ".join(sorted({m.other_source for m in elsewhere})[:3])
        found.append(
            finding(
                "path.answer-from-elsewhere",
                evidence(f"answers came from {sources}", *elsewhere[:3]),
                detail=f"Answers came from {sources} and not from the address asked.",
                severity="warning",
            )
        )
    lost = loss.finding_of(view)
    if lost is not None:
        found.append(lost)
    limit = told.too_big(view)
    if limit is not None:
        found.append(limit)
    return found
