"""Rung ``login``: does PPP authentication succeed, and does the server prove itself?"""

from __future__ import annotations

from vpndiag.diagnosis import login_eap, login_refused, ppp
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, times, tried
from vpndiag.diagnosis.view import View
from vpndiag.observations import L2tpMessage, PppMessage
from vpndiag.report.model import Finding


def judge(view: View) -> Ruling:
    if not view.ppp:
        return not_reached("login", ppp.absent(view))
    packets = [m for m in view.ppp if m.protocol in ppp.AUTHENTICATION]
    unproven = [p for p in view.proofs if p.outcome != "verified"]
    good = ppp.success(view)
    failures = _failures(packets)
    start = packets[0].t if packets else 0.0
    left = None if good else ppp.left(view, start)
    if left is not None:
        # Once the client has given up, what the gateway says is no answer to it.
        failures = [m for m in failures if m.t <= left.t]
        packets = [m for m in packets if m.t <= left.t]
    alerted = None if good or view.running else login_eap.alerted(packets)
    if alerted is not None:
        return alerted
    if unproven and good:
        return _unproven(good, unproven[0].outcome)
    if failures and not [m for m in good if m.t > failures[-1].t]:
        if view.running:
            return not_reached("login", "refused")
        return login_refused.judge(view, packets, failures)
    if good or (ppp.network(view) and not _only_ours(packets)):
        return _passed(view, packets, good)
    if not packets:
        return _none(view)
    if view.running:
        return not_reached("login", "waiting for the server")
    return _unfinished(view, packets)


def _only_ours(packets: list[PppMessage]) -> bool:
    """We are still asking to be let in: network packets then are from another round."""
    return bool(packets) and packets[-1].direction == "out" and packets[-1].protocol == "PAP"


def _failures(packets: list[PppMessage]) -> list[PppMessage]:
    return [
        m
        for m in packets
        if m.direction == "in" and m.code in ("Failure", "Authenticate-Nak")
    ]  # fmt: skip


def _passed(view: View, packets: list[PppMessage], good: list[PppMessage]) -> Ruling:
    findings: list[Finding] = []
    if not packets:
        return rule("login", "passed", summary="no login was asked for", seen=view.ppp[:1])
    method = ppp.login_method(packets)
    name = next((m.name for m in packets if m.direction == "out" and m.name), "")
    summary = method + (f" as {name}" if name else "")
    if any(p.outcome == "verified" for p in view.proofs):
        summary += "; the server proved itself"
    elif view.live and not good and method == "MS-CHAPv2":
        summary += "; the server's Success was lost, and its proof with it"
    if view.plain and method == "PAP" and (view.live or view.l2tp):
        findings.append(
            finding(
                "login.cleartext-password",
                evidence("PAP outside IPsec", *[m for m in packets if m.direction == "out"][:1]),
                detail="The password crosses the network unencrypted.",
                severity="warning",
                confidence="certain",
            )
        )
    elif view.plain and not view.live and view.l2tp and _guessable(packets):
        findings.append(
            finding(
                "login.challenge-in-clear",
                evidence(f"{method} outside IPsec", *packets[:2]),
                detail=f"{method} outside IPsec: the password can be guessed offline.",
                severity="warning",
                confidence="high",
            )
        )
    return rule("login", "passed", *findings, summary=summary, seen=[*packets, *good],
                facts={"method": method})  # fmt: skip


def _guessable(packets: list[PppMessage]) -> bool:
    """Challenge and response of a kind whose password can be searched for."""
    return any(m.protocol == "CHAP" or m.method in ("MD5", "MS-CHAPv2") for m in packets)


def _unproven(good: list[PppMessage], outcome: str) -> Ruling:
    what = "is wrong" if outcome == "wrong" else "is missing"
    return rule(
        "login",
        "failed",
        finding(
            "login.server-unproven",
            evidence(f"the authenticator response in the Success message {what}", good[0]),
            detail="The server accepts the password but does not prove that it knows it.",
            confidence="certain",
        ),
        summary="the server does not prove itself",
        seen=good,
    )


def _none(view: View) -> Ruling:
    if not ppp.lcp_up(view):
        return not_reached("login", "LCP did not open")
    if view.scope is not None and not view.scope.user:
        return not_reached("login", ppp.absent(view))
    start = ppp.opened(view, "LCP") or view.ppp[0].t
    end = ppp.hang_up(view, start)
    if ppp.network(view):
        return rule("login", "passed", summary="no login was asked for", seen=view.ppp[:1])
    if view.running:
        return not_reached("login", "waiting")
    if end is not None:
        return rule(
            "login",
            "failed",
            finding("login.hung-up", evidence(f"the gateway ends with {ppp.how(end)}", end),
                    detail=f"The gateway ended the link before the login: {ppp.how(end)}."),
            summary=ppp.how(end),
            seen=[end],
        )  # fmt: skip
    wanted = ppp.agreed_login(view)
    stopped = view.ended is not None and view.ended.why == "stopped"
    if wanted and stopped and not view.live and view.end - start < _FIRST:
        farewell = ppp.left(view, start)
        said = f" ({ppp.how(farewell)})" if farewell is not None else ""
        return rule(
            "login",
            "inconclusive",
            seen=view.ppp[-1:] if farewell is None else [farewell],
            summary=f"the client leaves before the login begins{said}",
        )
    acks = view.ppp_of("LCP", "out", "Configure-Ack")
    if wanted and stopped:
        never = evidence("the agreed login was never begun", *acks[-1:])
        # PAP is begun by who logs in (RFC 1334 section 2), CHAP and EAP by who asks for it.
        by_client = wanted == "PAP"
        code = "login.client-silent" if by_client else "login.no-answer"
        detail = (
            "The client does not begin the login by PAP that it agreed to."
            if by_client
            else "The gateway does not begin the login it asked for."
        )
        summary = "no request came" if by_client else "no challenge came"
        found = finding(code, never, detail=detail)
        return rule("login", "failed", found, summary=summary, seen=acks)
    waited = ppp.idle(view, start) if wanted else 0.0
    if waited:
        summary = f"{wanted} was agreed on, and in {waited:.0f} s nobody has begun with it"
        return rule("login", "inconclusive", summary=summary, seen=acks)
    if not wanted and ppp.opened(view, "LCP") is not None:
        refused = ppp.login_refusals(view)
        if refused:
            summary = "the client refused the login that was asked for; what follows is not seen"
            return rule("login", "inconclusive", summary=summary, seen=refused)
        return rule("login", "passed", summary="no login was asked for", seen=view.ppp[:1])
    soon = ppp.ends_soon(view, start, "LCP is open") if wanted else ""
    if soon:
        return rule("login", "inconclusive", summary=soon, seen=acks)
    return not_reached("login", "no login is seen")


_FIRST = 2.5
"""Seconds that a client waits at least for the first question of the login."""
_GIVES_UP = 30.0
"""Seconds after which everybody has given up a login: ten tries, one every 3 s (RFC 1661 section
4.6). Before that the user may still confirm a second factor."""
_PATIENCE = 10.0
"""Seconds. A refusal without words comes within a few (FreeRADIUS holds one back for 1 s by
default, others for up to 5); a hang-up after more, with the login repeated all the while, is a
gateway that waits for its authentication server in vain."""


def _never_answered(
    packets: list[PppMessage],
    ours: list[PppMessage],
    method: str,
    end: PppMessage | L2tpMessage,
) -> Ruling:
    return rule(
        "login",
        "failed",
        finding(
            "login.no-answer",
            evidence(f"{method} sent {times(len(ours))}, neither accepted nor refused", *ours[:2]),
            evidence(f"after {end.t - ours[0].t:.0f} s the gateway ends with {ppp.how(end)}", end),
            detail="The gateway waits for its authentication server in vain, and gives up.",
        ),
        summary="no answer to the login",
        seen=[*packets, end],
    )


def _never_began(packets: list[PppMessage], end: PppMessage | L2tpMessage) -> Ruling:
    """The gateway asks for the login until it gives up, and the client says nothing."""
    asked = [m for m in packets if m.direction == "in"]
    return rule(
        "login",
        "failed",
        finding(
            "login.client-silent",
            evidence(f"the gateway asks for the login {times(len(asked))}, no answer", *asked[:1],
                     *asked[1:][-1:]),
            evidence(f"after {end.t - packets[0].t:.0f} s the gateway ends with {ppp.how(end)}",
                     end),
            detail="The client does not answer the gateway's question for its login.",
        ),
        summary="the client does not log in",
        seen=[*packets, end],
    )  # fmt: skip


def _unfinished(view: View, packets: list[PppMessage]) -> Ruling:
    """Our response went out, and neither acceptance nor refusal came."""
    ours = [m for m in packets if m.direction == "out"]
    end = ppp.hang_up(view, packets[0].t)
    method = ppp.login_method(packets)
    naks = [m for m in ours if m.protocol == "EAP" and m.method == "Nak"]
    if end is not None:
        if naks:
            ends = evidence(f"the gateway ends with {ppp.how(end)}", end)
            detail = "No EAP method in common" + login_eap.methods(packets) + "."
            return login_eap.no_method(naks, ends, detail, "high", [*packets, end])
        if not ours and not view.live and end.t - packets[0].t >= _PATIENCE:
            return _never_began(packets, end)
        older = login_refused.to_older(packets, ours, end)
        if older is not None:
            return older
        since = ours[0] if len(ours) >= 4 else ours[-1] if ours else end
        if end.t - since.t >= _PATIENCE:
            return _never_answered(packets, ours, method, end)
        return login_refused.hung_up(packets, ours, method, end)
    if not ours and not view.live:
        asked = view.unanswered([m for m in packets if m.code in ("Challenge", "Request")])
        if asked is not None and asked.tries >= 3 and view.conclusive(asked):
            return rule(
                "login",
                "failed",
                finding(
                    "login.client-silent",
                    evidence(f"the gateway asks for the login {times(asked.tries)} in "
                             f"{asked.seconds:.1f} s, no answer", asked.first, asked.last),
                    detail="The client does not answer the gateway's question for its login.",
                ),
                summary="the client does not log in",
                seen=packets,
            )  # fmt: skip
    if ours and not view.live:
        left = _client_stops(view, packets, ours)
        if left is not None:
            return left
    # In EAP each answer is to another request, or to one that is repeated.
    asked_eap = [m for m in packets if m.direction == "in" and m.protocol == "EAP"]
    heard = max((m.t for m in asked_eap if not m.repeat), default=-1.0)
    rounds = [] if view.live else [m for m in ours if m.t > heard]
    silence = view.unanswered(rounds or ours)
    if silence is None or not view.conclusive(silence):
        why = ppp.undecided(view)
        return rule("login", "inconclusive", summary=why, seen=packets)
    # Who has the answer does not ask again, and may be waiting for its authentication server.
    waits = (
        not view.live
        and view.ended is not None
        and view.ended.why == "capture-end"
        and not any(m.direction == "in" and m.t > silence.first.t for m in packets)
    )
    if waits and silence.seconds < _PATIENCE:
        summary = f"{method} is not answered yet when the capture ends, {silence.seconds:.0f} s on"
        return rule("login", "inconclusive", summary=summary, seen=packets)
    if naks and naks[-1] is ours[-1]:
        # Its refusal is said once, and may be lost; what it asks for comes from its RADIUS server.
        then = evidence(f"nothing comes after that, for {silence.seconds:.1f} s", naks[-1])
        known = login_eap.methods(packets)
        detail = f"No EAP method in common, it seems{known}: the gateway falls silent."
        return login_eap.no_method(naks, then, detail, "medium", packets)
    return rule(
        "login",
        "failed",
        finding(
            "login.no-answer",
            evidence(f"{method} {'request' if method == 'PAP' else 'response'} sent "
                     f"{tried(silence.tries, silence.seconds)}, neither accepted nor refused",
                     silence.first, silence.last),
            detail="The gateway asks for the same again and again: the client's answer does not "
            "get to it, or is not taken."
            if rounds and sum(m.repeat for m in asked_eap if m.t > heard) >= 2
            else "The gateway does not answer the login; most likely its authentication server is "
            "silent.",
            confidence="medium" if waits and silence.seconds < _GIVES_UP else "high",
        ),
        summary="no answer to the login",
        seen=packets,
    )  # fmt: skip


def _client_stops(view: View, packets: list[PppMessage], ours: list[PppMessage]) -> Ruling | None:
    """The gateway goes on asking, and the client answers no more."""
    asked = [m for m in packets if m.direction == "in" and m.t > ours[-1].t
             and m.code in ("Challenge", "Request")]  # fmt: skip
    waiting = view.unanswered(asked)
    if waiting is None or waiting.tries < 3 or not view.conclusive(waiting):
        return None
    what = f"{asked[-1].protocol} {asked[-1].method}".strip()
    return rule(
        "login",
        "failed",
        finding(
            "login.client-silent",
            evidence("the client's last answer", ours[-1]),
            evidence(f"the gateway asks for {what} {times(waiting.tries)} in "
                     f"{waiting.seconds:.1f} s, no answer", waiting.first, waiting.last),
            detail=f"The client begins the login and then does not answer the gateway's {what}.",
        ),
        summary=f"the client does not answer {what}",
        seen=packets,
    )  # fmt: skip
