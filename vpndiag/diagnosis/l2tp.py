"""Rung ``l2tp``: do SCCRQ..SCCCN and ICRQ..ICCN complete (RFC 2661 section 5)?"""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, tried
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, L2tpMessage, Observation, PppMessage
from vpndiag.observations.goodbyes import ends
from vpndiag.report.model import Cause, Evidence, Finding

STOPCCN_TEXT = {
    1: "general request to clear control connection",
    2: "general error",
    3: "control channel already exists",
    4: "requester is not authorized",
    5: "protocol version not supported",
    6: "requester is being shut down",
    7: "finite state machine error",
}
CDN_TEXT = {
    1: "lost carrier",
    2: "general error",
    3: "administrative reasons",
    4: "no facilities available at present",
    5: "no facilities available",
    6: "invalid destination",
    7: "no carrier detected",
    8: "busy",
    9: "no dial tone",
    10: "call not established in time",
    11: "no appropriate framing detected",
}
ERROR_TEXT = {
    1: "no control connection exists yet",
    2: "length is wrong",
    3: "field value out of range",
    4: "insufficient resources",
    5: "invalid session ID",
    6: "vendor-specific error",
    7: "try another LNS",
    8: "unknown AVP with the M bit",
}
_STOPCCN_CODES = {
    3: "l2tp.already-exists",
    4: "l2tp.not-authorized",
    5: "l2tp.version",
    6: "l2tp.shutting-down",
    7: "l2tp.protocol-error",
}
_MAY_BE_SECRET = ("l2tp.refused", "l2tp.not-authorized", "l2tp.protocol-error")
"""What a StopCCN means, unless the tunnel secret was asked for and its sender was not content."""


def judge(view: View) -> Ruling:
    messages = view.l2tp
    over = None if view.live or view.bare else _only_the_end(view)
    if over is not None:
        return over
    if not messages:
        return _not_seen(view)
    ours = [m for m in messages if m.direction == "out" and m.message != "ZLB"]
    theirs = [m for m in messages if m.direction == "in"]
    refusal = _refused_before_up(view)
    if refusal is not None and not view.running:
        return refusal
    secret = _secret(view)
    if secret is not None and not view.running:
        return secret
    dialled = None if view.live else _not_dialled(view)
    if dialled is not None:
        return dialled
    gone = None if view.running else _unacknowledged(view)
    if gone is not None:
        return gone
    if view.l2tp_of("out", "ICCN") or view.ppp:
        return _passed(view)
    before = view.data and not view.live and all(ends(m) for m in ours)
    if (not ours and theirs) or before:
        return rule("l2tp", "passed", summary="tunnel was up before", seen=messages)
    if view.running:
        return not_reached("l2tp", "waiting for the gateway")
    return _unanswered(view)


def _not_seen(view: View) -> Ruling:
    if view.ppp:
        return not_reached("l2tp", view.bare or "PPP without L2TP")
    if view.running or view.live:
        return not_reached("l2tp", "no L2TP message was sent")
    if view.esp:
        return not_reached("l2tp", unread(view))
    return not_reached("l2tp", "no L2TP is seen")


def unread(view: View) -> str:
    """Why L2TP is not seen inside ESP."""
    wrong = any(f.bad_integrity and not f.verified for f in view.esp)
    return "inside ESP, and " + ("the keys given do not fit" if wrong else "no keys were given")


def reason(m: L2tpMessage) -> str:
    """A closing message in words: ``StopCCN, result 2 (general error), error 6 (...), "text"``."""
    table = STOPCCN_TEXT if m.message == "StopCCN" else CDN_TEXT
    text = m.message
    if m.result_code is not None:
        text += f", result {m.result_code} ({table.get(m.result_code, 'unknown')})"
    if m.result_code == 5 and m.message == "StopCCN" and m.error_code:
        text += f", highest version {m.error_code >> 8}.{m.error_code & 255}"  # RFC 2661 4.4.2
    elif m.error_code:
        text += f", error {m.error_code} ({ERROR_TEXT.get(m.error_code, 'unknown')})"
    if m.error_message:
        text += f', "{m.error_message}"'
    return text


def in_vain(asked: Sequence[Observation], until: float) -> bool:
    """Whether ``asked`` was asked so often and so long before ``until`` that what comes then is no
    answer to it."""
    return len(asked) >= 3 and until - asked[0].t >= 4.0


def _refused_before_up(view: View) -> Ruling | None:
    """StopCCN or CDN from the gateway before PPP had a chance."""
    opened = min((m.t for m in view.ppp if m.direction == "in"), default=None)
    closing = [m for m in view.l2tp_of("in", "StopCCN", "CDN") if opened is None or m.t < opened]
    # A closing message that answers our own is politeness.
    left = min((m.t for m in view.l2tp_of("out", "StopCCN", "CDN")), default=None)
    begun = view.l2tp_of("out", "SCCRQ", "ICRQ", "ICCN", "SCCCN")
    if view.half_inside == "in":
        begun = view.l2tp_of("in", "SCCRP", "ICRP")
    if not begun and view.carried is None:
        begun = [m for m in closing if _is_refusal(m)]
    # An older tunnel of the same client may be closed at the start of the material.
    closing = [m for m in closing if begun and begun[0].t <= m.t and (left is None or m.t < left)]
    if not closing:
        return None
    m = closing[0]
    if in_vain([x for x in view.ppp if x.direction == "out" and x.t < m.t], m.t):
        return None  # it was up, and silent in PPP
    said = [evidence(f"the gateway answers {reason(m)}", m)]
    detail = f"The gateway closed with {reason(m)}."
    up = bool(view.l2tp_of("out", "ICCN"))
    if m.message == "StopCCN":
        code = _STOPCCN_CODES.get(m.result_code or 0, "l2tp.refused")
        if m.result_code == 2 and m.error_code in (1, 2, 3, 5, 8):
            code = "l2tp.protocol-error"
        if _lacks(m):
            code = "l2tp.no-facilities"
        if m.result_code == 2 and "authoriz" in m.error_message.lower():
            code = "l2tp.not-authorized"  # xl2tpd has error 6 and "No Authorization" for it
        wanted = [x for x in view.l2tp_of("in", "SCCRP") if x.challenge]
        if view.half_inside is not None:
            wanted = []  # what the client said to that is not seen
        if wanted and code in _MAY_BE_SECRET and not (up or view.l2tp_of("in", "ICRP")):
            # RFC 2661 section 5.1.1 says StopCCN 4; xl2tpd sends 2 with error 6.
            proved = any(x.challenge_response for x in view.l2tp_of("out", "SCCCN"))
            code = "l2tp.secret-mismatch" if proved else "l2tp.secret-wanted"
            said.insert(0, evidence("the gateway asks for a tunnel secret (Challenge)", wanted[0]))
            what = "does not take the tunnel secret" if proved else "wants a tunnel secret"
            detail = f"The gateway {what}: it closed with {reason(m)}."
        if code == "l2tp.refused" and view.l2tp_of("in", "SCCRP") and up:
            code = "l2tp.hung-up"
    else:
        code = "l2tp.no-facilities" if no_facilities(m) else "l2tp.call-refused"
        if up and code == "l2tp.call-refused":
            code = "l2tp.hung-up"
    return rule(
        "l2tp",
        "failed",
        finding(code, *said, detail=detail, confidence="certain"),
        summary=reason(m),
        seen=[*begun, m],
    )


def _lacks(m: L2tpMessage) -> bool:
    """A general error for want of resources. "Try another" (7) is what l2tpns says when its pool is
    empty."""
    return m.result_code == 2 and m.error_code in (4, 7)


def no_facilities(m: Observation) -> bool:
    """Whether a hang-up says that the gateway has nothing left: no address, no session."""
    return isinstance(m, L2tpMessage) and (m.result_code in (4, 5) or _lacks(m))


def _is_refusal(m: L2tpMessage) -> bool:
    """What can only be the answer to a request, recorded or not: a StopCCN that is its sender's
    first message (RFC 2661 section 5.8), a CDN of a call that did not come about (section 4.4.2).
    """
    if m.message == "StopCCN":
        return m.ns == 0 and m.nr == 1
    return m.result_code in range(4, 12)


def _secret(view: View) -> Ruling | None:
    """Tunnel authentication (RFC 2661 section 5.1.1): wanted, or failing."""
    asked = [m for m in view.l2tp_of("in", "SCCRP") if m.challenge]
    wrong = [m for m in view.l2tp_of("in", "SCCRP", "SCCCN") if m.response_valid is False]
    if wrong:
        return rule(
            "l2tp",
            "failed",
            finding(
                "l2tp.secret-mismatch",
                evidence(
                    "the gateway's Challenge Response does not fit our tunnel secret", wrong[0]
                ),
                detail="The tunnel secrets of the two sides differ.",
            ),
            summary="tunnel secrets differ",
            seen=view.l2tp,
        )
    if not asked:
        return None
    proved = any(m.challenge_response for m in view.l2tp_of("out", "SCCCN"))
    went_on = view.l2tp_of("in", "ICRP") or view.ppp
    if proved or went_on:
        return None
    if not view.live and not view.l2tp_of("out", "SCCCN", "StopCCN"):
        return None  # the client may still answer it: a capture that ends here shows no refusal
    return rule(
        "l2tp",
        "failed",
        finding(
            "l2tp.secret-wanted",
            evidence("the gateway sends a Challenge, and there is no tunnel secret here", asked[0]),
            detail="The gateway wants an L2TP tunnel secret.",
            confidence="certain",
        ),
        summary="tunnel secret wanted",
        seen=view.l2tp,
    )


def _passed(view: View) -> Ruling:
    reply = next(iter(view.l2tp_of("in", "SCCRP")), None)
    parts = []
    facts: dict[str, str] = {}
    if reply is not None:
        if reply.host_name:
            parts.append(reply.host_name)
            facts["host"] = reply.host_name
        if reply.vendor_name:
            parts.append(reply.vendor_name)
            facts["vendor"] = reply.vendor_name
        if reply.assigned_tunnel_id is not None:
            parts.append(f"tunnel {reply.assigned_tunnel_id}")
    if view.half_inside is not None:
        parts.append(f"seen from the {'client' if view.half_inside == 'out' else 'gateway'} alone")
    elif not view.l2tp_of("out", "SCCRQ") and not view.l2tp_of("out", "ICCN"):
        parts.append("tunnel was up before the capture began")
    elif not view.live and not view.l2tp_of("out", "SCCRQ", "SCCCN"):
        parts.append("a further call in the tunnel")
    seen = [
        m for m in view.l2tp if m.message in ("SCCRQ", "SCCRP", "SCCCN", "ICRQ", "ICRP", "ICCN")
    ]
    return rule("l2tp", "passed", summary=", ".join(parts), seen=seen or view.l2tp, facts=facts)


def _acknowledged(sent: L2tpMessage, heard: list[L2tpMessage]) -> bool:
    """Whether ``sent`` was acknowledged (RFC 2661 section 5.8), and so is not sent again."""
    return any((m.nr - sent.ns - 1) % 65536 < 32768 for m in heard)


def _only_the_end(view: View) -> Ruling | None:
    """A capture that begins when a session is taken down shows nothing of how it was."""
    if view.data or not (view.l2tp or view.ppp) or any(m.step != "INFO" for m in view.ike):
        return None
    told = [m for m in view.l2tp if m.message != "ZLB" and not ends(m)]
    told_ppp = [m for m in view.ppp if not (ends(m) or m.code == "Terminate-Ack")]
    refused = any(_is_refusal(m) for m in view.l2tp_of("in", "StopCCN", "CDN"))
    farewells = [m for m in view.goodbyes if not isinstance(m, IkeMessage)]
    if told or told_ppp or refused or not farewells:
        return None
    first = farewells[0]
    how = reason(first) if isinstance(first, L2tpMessage) else "LCP Terminate-Request"
    if isinstance(first, PppMessage) and first.message:
        how += f', "{first.message}"'
    return rule(
        "l2tp",
        "inconclusive",
        summary=f"only the end of a session is in the capture ({how})",
        seen=farewells,
    )


_NOT_DIALLED = (
    Cause("The line or number that was to be called is busy, out of order, or wrong (the result "
          "says which)", "gateway-admin", "Try the number; look at the settings for dial-out",
          "likely"),
    Cause("The access concentrator makes no outgoing calls", "gateway-admin",
          "Look at its dial-out settings", "possible"),
)  # fmt: skip


def _not_dialled(view: View) -> Ruling | None:
    """The gateway wants a call made (OCRQ, RFC 2661 section 6.9), and the access concentrator ends
    it."""
    asked = view.l2tp_of("in", "OCRQ")
    ended = [m for m in view.l2tp_of("out", "CDN") if asked and m.t >= asked[0].t]
    if not ended or view.ppp or view.l2tp_of("out", "OCCN"):
        return None
    return rule(
        "l2tp",
        "failed",
        finding(
            "l2tp.call-refused",
            evidence("the gateway asks for an outgoing call (OCRQ)", asked[0]),
            evidence(f"the access concentrator ends it with {reason(ended[0])}", ended[0]),
            detail=f"The outgoing call did not come about: {reason(ended[0])}.",
            causes=_NOT_DIALLED,
        ),
        summary=reason(ended[0]),
        seen=[asked[0], ended[0]],
    )


_SECRET = (
    Cause("The two sides have different tunnel secrets, and the gateway drops the wrong response "
          "without a word", "helpdesk", "Enter the L2TP secret again on both sides", "likely"),
    Cause("The way broke, or the gateway stopped, just then", "network", "Try again", "possible"),
)  # fmt: skip


def _unacknowledged(view: View) -> Ruling | None:
    """The last message of the tunnel's or the call's handshake is repeated in vain (RFC 2661
    section 5.8), and nothing at all comes any more."""
    for name, before in (("SCCCN", "SCCRP"), ("ICCN", "ICRP")):
        tries = view.l2tp_of("out", name)
        silence = view.unanswered(tries)
        if len(tries) < 3 or silence is None or not view.conclusive(silence):
            continue
        replies = view.l2tp_of("in", before)
        # What comes before it is sent again may have crossed it.
        if not replies or view.last_seen["in"] > tries[1].t:
            continue
        secret = name == "SCCCN" and any(m.challenge_response for m in tries)
        return rule(
            "l2tp",
            "failed",
            finding(
                "l2tp.peer-gone",
                evidence(f"the gateway answers {before}", replies[-1]),
                evidence(f"{name} sent {tried(silence.tries, silence.seconds)}, no "
                         "acknowledgement", silence.first, silence.last),
                detail=f"The gateway answers {before}, and then nothing any more.",
                confidence="medium" if secret else "high",
                causes=_SECRET if secret else (),
            ),
            summary=f"no acknowledgement of {name}",
            seen=[*replies, *tries],
        )  # fmt: skip
    return None


_WITHOUT_IPSEC = (
    Cause("The L2TP service (xl2tpd, accel-ppp, RRAS, mpd5) is stopped or listens on another "
          "address", "gateway-admin", "Start it (Linux: ss -lun 'sport = 1701')", "likely"),
    Cause("A firewall, or the network on the way, blocks UDP 1701", "network",
          "Try from another network; allow UDP 1701, or better use IPsec", "likely"),
    Cause("The gateway takes L2TP inside IPsec only, as most do", "gateway-admin",
          "Test it with IPsec (without --plain-l2tp), and set the client to that", "possible"),
)  # fmt: skip
"""Of silence to a run that does without IPsec; a capture may have been made inside of it."""


def _unanswered(view: View) -> Ruling:
    for ask, answer, code, what in (
        ("ICRQ", "ICRP", "l2tp.call-unanswered", "The tunnel is up, but the call is not answered."),
        (
            "OCRQ",
            "OCRP",
            "l2tp.call-unanswered",
            "The tunnel is up, but the call that the other side is to make is not answered.",
        ),
        ("SCCRQ", "SCCRP", "l2tp.no-answer", "The L2TP service does not answer."),
    ):
        tries = view.l2tp_of("out", ask)
        if not tries or view.l2tp_of("in", answer):
            continue
        silence = view.unanswered(tries)
        # What is acknowledged is not sent again: one try may be all there is.
        waited = silence is not None and silence.seconds >= 4.0 and not view.interrupted
        heard = [m for m in view.l2tp if m.direction == "in" and m.t >= tries[0].t]
        held = silence is not None and silence.seconds >= 10.0 and _acknowledged(tries[0], heard)
        if silence is None or not (view.conclusive(silence) or (view.live and waited) or held):
            why = "interrupted" if view.interrupted else "too short to tell"
            return rule("l2tp", "inconclusive", summary=why, seen=tries)
        said: list[Evidence] = [
            evidence(f"{ask} sent {tried(silence.tries, silence.seconds)}, no answer",
                     silence.first, silence.last)
        ]  # fmt: skip
        refused = [e for e in view.icmp if e.port == 1701 and e.what == "port-unreachable"]
        if refused:
            said.append(evidence("ICMP port unreachable for UDP 1701", refused[0]))
        other = [o for o in view.other if o.what == "L2TPv3"]
        if other and code == "l2tp.no-answer":
            code, what = "l2tp.v3-only", "The other side speaks L2TPv3."
            said.append(evidence("L2TPv3 (version 3 in the header) comes instead", *other))
        causes = _WITHOUT_IPSEC if view.live and view.plain and code == "l2tp.no-answer" else ()
        found: Finding = finding(code, *said, detail=what, confidence="high", causes=causes)
        return rule("l2tp", "failed", found, summary=f"no answer to {ask}", seen=tries)
    how = "was begun and not completed" if view.live else "not complete in this material"
    return rule("l2tp", "inconclusive", summary=how, seen=view.l2tp)
