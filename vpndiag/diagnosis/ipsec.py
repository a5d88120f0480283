"""Rung ``ipsec``: does quick mode agree on an ESP SA pair in transport mode for UDP 1701?"""

from __future__ import annotations

from vpndiag.diagnosis import liveness, loss, nat
from vpndiag.diagnosis.ike_sa import ERROR_NOTIFY_LIMIT, INVALID_COOKIE, IkeSa
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, listed, not_reached, rule, tried
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, IkeNotify
from vpndiag.report.model import Evidence, Finding

_NO_PROPOSAL = {14, 12, 13, 15, 10}
_IDENTITY = {18}


def judge(view: View) -> Ruling:
    if view.plain:
        return not_reached("ipsec", view.without_ipsec)
    if view.ipsec_sas:
        return _agreed(view)
    sa = view.primary
    sas = [s for s in view.ike_sas if s.step("QM1", "QM3")]
    if sa is None or not sas:
        if any(f.packets for f in view.esp):
            return rule("ipsec", "passed", summary="agreed before the capture began", seen=view.esp)
        if sa is not None and (view.established or sa.reached >= 6):
            return _before_quick_mode(view, sa)
        return not_reached("ipsec", "phase 1 did not complete")
    sa = sas[-1]
    answers = sa.of("in", "QM2")
    ours = sa.of("out", "QM1")
    if answers and not (view.esp or view.l2tp or sa.of("out", "QM3")):
        if view.live:
            return _useless(view, ours, answers)
        if not liveness.all_checks(view):
            why = "message 2 of quick mode is seen, and message 3 is not"
            return rule("ipsec", "inconclusive", summary=why, seen=[*ours, *answers])
    if answers or sa.of("out", "QM3"):
        sides = nat.text(view)
        summary = "quick mode complete (encrypted)" + (f"; {sides}" if sides else "")
        facts = {"nat": sides} if sides else {}
        seen = [*ours, *answers] or sa.of("out", "QM3")
        return rule("ipsec", "passed", summary=summary, seen=seen, facts=facts)
    if any(f.packets for f in view.esp):
        return rule("ipsec", "passed", summary="ESP is in use", seen=ours)
    if not ours or view.running:
        return not_reached("ipsec", "waiting for the gateway's answer")
    return _failed(view, sa, ours)


def _useless(view: View, ours: list[IkeMessage], answers: list[IkeMessage]) -> Ruling:
    """Our own run has message 2 of quick mode and does not take it."""
    if view.running:
        return not_reached("ipsec", "waiting for the gateway's answer")
    seen = [*ours, *answers]
    proven = [m for m in answers if m.protection == "decrypted"]
    if not proven:
        why = "the gateway's answer cannot be used: its hash is wrong"
        return rule("ipsec", "inconclusive", summary=why, seen=seen)
    said = "; ".join(proven[0].transforms) or "no ESP proposal"
    return rule(
        "ipsec",
        "failed",
        finding(
            "ipsec.client-stops",
            evidence(f"the gateway answers quick mode with {said}", proven[0]),
            evidence(f"offered: {listed(ours[0].transforms, 6)}", *ours[:1]),
            detail="The gateway's answer in quick mode does not fit what was offered.",
        ),
        summary="the gateway's answer does not fit what was offered",
        seen=seen,
    )


def _agreed(view: View) -> Ruling:
    pair = view.ipsec_sas[-1]
    sides = nat.text(view)
    summary = pair.transform + (f"; {sides}" if sides else "")
    findings: list[Finding] = []
    if pair.weak:
        findings.append(
            finding(
                "ipsec.weak-algorithm",
                evidence(f"agreed: {pair.transform}", pair),
                detail=f"Weak: {', '.join(pair.weak)}.",
                severity="warning",
                confidence="certain",
            )
        )
    refused = _pfs_story(view)
    if refused is not None:
        return rule("ipsec", "failed", refused, summary="accepted only with other PFS settings",
                    seen=view.ike)  # fmt: skip
    narrower = _accepted_after_refusal(view)
    if narrower is not None:
        return rule("ipsec", "failed", narrower, summary="proposal refused", seen=view.ike)
    if pair.mode == "tunnel":
        findings.append(
            finding(
                "ipsec.tunnel-mode",
                evidence(f"the SA is in tunnel mode: {pair.transform}", pair),
                detail="L2TP needs transport mode (RFC 3193).",
                severity="warning",
                confidence="medium",
            )
        )
    seen = [m for m in view.ike if m.step.startswith("QM")]
    facts = {"transform": pair.transform, "nat": sides or "none"}
    return rule("ipsec", "passed", *findings, summary=summary, seen=seen, facts=facts)


def _quick_modes(view: View) -> list[tuple[IkeMessage, list[IkeMessage]]]:
    """Each quick mode of the client: its first message, and what the gateway says under the same
    IKE SA until the next one."""
    # By order, not by time: an answer and the next question may share a time stamp.
    found: list[tuple[IkeMessage, list[IkeMessage]]] = []
    for m in view.ike:
        if m.step == "QM1" and m.direction == "out" and not m.repeat:
            found.append((m, []))
        elif m.direction == "in" and found and m.initiator_cookie == found[-1][0].initiator_cookie:
            found[-1][1].append(m)
    return found


def _refusal(answers: list[IkeMessage]) -> tuple[IkeMessage, IkeNotify] | None:
    for m in answers:
        for n in m.notifies:
            # A gateway that does not have this IKE SA any more says nothing about an offer.
            error = n.type < ERROR_NOTIFY_LIMIT and n.type != INVALID_COOKIE
            if error and m.protection in ("decrypted", "clear"):
                return m, n
    return None


def _without_pfs(m: IkeMessage) -> tuple[str, ...]:
    return tuple(text.partition("/PFS")[0] for text in m.transforms)


def _taken_after_refusal(
    view: View,
) -> tuple[IkeMessage, tuple[IkeMessage, IkeNotify], IkeMessage] | None:
    """The client's first quick mode and its refusal, when a later one was accepted."""
    modes = _quick_modes(view)
    if not modes or any(a.step == "QM2" for a in modes[0][1]):
        return None  # what is refused later is a renewal, or about something else
    refusal = _refusal(modes[0][1])
    if refusal is None:
        return None
    for then, later in modes[1:]:
        if any(a.step == "QM2" for a in later):
            return modes[0][0], refusal, then
    return None


def _pfs_story(view: View) -> Finding | None:
    """Refused with one PFS setting and accepted with the other, all else being equal."""
    story = _taken_after_refusal(view)
    if story is None:
        return None
    ask, (answer, notify), then = story
    if bool(ask.pfs_group) == bool(then.pfs_group) or _without_pfs(ask) != _without_pfs(then):
        return None
    wants = "with" if then.pfs_group else "without"
    return finding(
        "ipsec.pfs-wanted",
        evidence(
            f"quick mode {'with' if ask.pfs_group else 'without'} PFS: {notify.name}", ask, answer
        ),
        evidence(f"the same {wants} PFS is accepted", then),
        detail=f"The gateway accepts quick mode only {wants} perfect forward secrecy.",
    )


def _accepted_after_refusal(view: View) -> Finding | None:
    """Refused, and another offer accepted."""
    story = _taken_after_refusal(view)
    if story is None:
        return None
    ask, (answer, notify), then = story
    taken = next((p.transform for p in view.ipsec_sas), "another one")
    return finding(
        "ipsec.no-proposal-chosen",
        evidence(f"offered {'; '.join(ask.transforms[:4])}: {notify.name}", ask, answer),
        evidence(f"another offer is accepted: {taken}", then),
        detail=f"The gateway refuses this ESP proposal; it accepts {taken}.",
    )


def _before_quick_mode(view: View, sa: IkeSa) -> Ruling:
    leaving = liveness.leaves(view, sa.first.t)
    gone = [
        m
        for m in sa.messages
        if m.direction == "in" and m.t <= leaving and any("ISAKMP" in d for d in m.deletes)
    ]
    if gone and not view.running:
        return rule(
            "ipsec",
            "failed",
            finding(
                "ipsec.hung-up",
                evidence("the gateway deletes the IKE SA before quick mode", gone[0]),
                detail="The gateway ends the IKE SA right after authentication.",
            ),
            summary="IKE SA deleted",
            seen=gone,
        )
    if view.running:
        return not_reached("ipsec", "phase 1 is complete")
    if view.live:
        return not_reached("ipsec", "quick mode was not started")
    said = _behind_proof(sa)
    summary = "the capture shows no quick mode"
    if said:
        summary += (
            f"; the gateway sent an encrypted notification of {said[0].size} bytes behind "
            "phase 1: it may be a Delete of the IKE SA"
        )
    return rule("ipsec", "inconclusive", summary=summary, seen=said or sa.messages)


def _failed(view: View, sa: IkeSa, ours: list[IkeMessage]) -> Ruling:
    leaving = liveness.leaves(view, ours[-1].t)
    after = [m for m in sa.messages if m.direction == "in" and ours[0].t <= m.t <= leaving]
    refusal = _refusal(after)
    offered = listed(ours[0].transforms, 6)
    if refusal is not None:
        message, notify = refusal
        said = evidence(f"the gateway answers {notify.name}", message)
        what = evidence(f"offered: {offered}" if offered else "the client's offer, encrypted",
                        ours[0])  # fmt: skip
        if notify.type in _NO_PROPOSAL:
            found = finding(
                "ipsec.no-proposal-chosen",
                said,
                what,
                detail="The gateway accepts none of the offered ESP proposals.",
            )
        elif notify.type in _IDENTITY:
            found = finding(
                "ipsec.identity-refused",
                said,
                what,
                detail="The gateway does not accept the addresses, protocol and port "
                "of this SA (UDP 1701).",
            )
        else:
            found = finding("ipsec.refused", said, what,
                            detail=f"The gateway refused quick mode: {notify.name}.")  # fmt: skip
        return rule("ipsec", "failed", found, summary=notify.name, seen=[*ours, message])
    gone = [m for m in after if any("ISAKMP" in d for d in m.deletes)]
    how = "the gateway deletes the IKE SA during quick mode"
    if not gone:
        gone = [m for m in after if any(n.type == INVALID_COOKIE for n in m.notifies)]
        how = "the gateway does not know this IKE SA any more (INVALID-COOKIE)"
    if gone:
        return rule(
            "ipsec",
            "failed",
            finding(
                "ipsec.hung-up",
                evidence(how, gone[0]),
                detail="The gateway ended the IKE SA instead of answering quick mode.",
            ),
            summary="IKE SA deleted",
            seen=[*ours, *gone],
        )
    asked = liveness.checks(sa.messages)
    opaque = [
        m for m in after
        if m.step == "INFO" and m.protection in ("opaque", "undecryptable") and id(m) not in asked
    ]  # fmt: skip
    if opaque:
        return rule(
            "ipsec",
            "failed",
            finding(
                "ipsec.refused",
                evidence(f"the gateway answers quick mode with an encrypted notification of "
                         f"{opaque[0].size} bytes", *opaque[:3]),
                detail="The gateway refuses quick mode; the reason is encrypted.",
                confidence="medium",
            ),
            summary="refused (encrypted)",
            seen=[*ours, *opaque],
        )  # fmt: skip
    silence = view.unanswered(ours)
    if silence is None or not view.conclusive(silence):
        why = "interrupted" if view.interrupted else "too short to tell"
        return rule("ipsec", "inconclusive", summary=why, seen=ours)
    lost = loss.silence(view, "ipsec", ours)
    if lost is not None:
        return lost
    return rule(
        "ipsec",
        "failed",
        finding(
            "ipsec.unanswered",
            evidence(f"quick mode sent {tried(silence.tries, silence.seconds)}, "
                     "no answer", silence.first, silence.last),
            *([evidence(f"offered: {offered}", ours[0])] if offered else []),
            *_said_before(sa, ours[0]),
            detail="The gateway completes phase 1 and then does not answer quick mode.",
        ),
        summary="no answer to quick mode",
        seen=ours,
    )  # fmt: skip


def _said_before(sa: IkeSa, asked: IkeMessage) -> list[Evidence]:
    """What the gateway said, encrypted, between message 6 and quick mode."""
    said = [m for m in _behind_proof(sa) if m.t <= asked.t]
    if not said:
        return []
    text = f"before it the gateway sent an encrypted notification of {said[0].size} bytes: it may "
    return [evidence(text + "be a Delete of the IKE SA; keys would tell", *said[:2])]


def _behind_proof(sa: IkeSa) -> list[IkeMessage]:
    """Encrypted notifications of the gateway after the last message of phase 1."""
    proofs = [m.t for m in sa.step("MM6", "AM3") if (m.direction == "in") == (m.step == "MM6")]
    return [
        m for m in sa.messages
        if m.direction == "in" and m.step == "INFO" and proofs and m.t >= proofs[0]
        and m.protection in ("opaque", "undecryptable")
    ]  # fmt: skip
