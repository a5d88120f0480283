"""A login that the server refuses, or ends without a verdict: what is said of the reason."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.diagnosis import login_eap, ppp
from vpndiag.diagnosis import login_reasons as reasons
from vpndiag.diagnosis.l2tp import no_facilities
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import L2tpMessage, Observation, PppMessage
from vpndiag.report.model import Cause

_AGAIN = (
    Cause("The account was locked, or its password changed, since the connection was made",
          "helpdesk", "Check the account in the directory", "likely"),
    Cause("The gateway has several authentication servers, and one of them does not know the user",
          "gateway-admin", "Compare their logs at the two times given", "possible"),
)  # fmt: skip


_UNSEEN = "The server refuses the login by EAP, whose beginning is not in the capture."


def _let_in(view: View, failure: PppMessage, packets: list[PppMessage]) -> list[Observation]:
    """What shows that the user had been let in before the login that fails."""
    accepted: list[Observation] = [m for m in ppp.success(view) if m.t < failure.t]
    begun = min((m.t for m in packets if m.identifier == failure.identifier), default=failure.t)
    if not accepted and view.carried is not None and view.carried < begun:
        accepted = [d for d in view.data if d.packets > d.echoes]
    return accepted[:1]


def _text(m: PppMessage) -> str:
    number = "" if m.error_code is None else f" E={m.error_code}"
    quoted = f', "{m.message}"' if m.message else ""
    return f"{m.protocol} {m.code}{number}{quoted}"


def judge(view: View, packets: list[PppMessage], failures: list[PppMessage]) -> Ruling:
    """``failures`` are not empty, and nothing was accepted after the last of them."""
    last = failures[-1]
    notices = login_eap.notices(packets)
    told = reasons.told(failures, notices[-1].message if notices else "")
    code, detail = "login.wrong-password", "The user name or the password is wrong."
    if told is not None:
        code, detail = told.code, told.detail
    elif last.protocol == "EAP" and not any(m.code in ("Request", "Response") for m in packets):
        code, detail = "login.refused", _UNSEEN
    elif last.protocol == "EAP" and not any(
        m.direction == "out" and m.method not in ("", "Identity", "Notification", "Nak")
        for m in packets
    ):
        code = "login.eap-method"
        detail = (
            "The server refuses before any EAP method was agreed" + login_eap.methods(packets) + "."
        )
    elif last.protocol == "EAP" and ppp.login_method(packets)[4:] in login_eap.REFUSED:
        code, detail = "login.refused", login_eap.REFUSED[ppp.login_method(packets)[4:]]
    earlier = _let_in(view, last, packets)
    causes: tuple[Cause, ...] = login_eap.CAUSES if detail == login_eap.REFUSED["TLS"] else ()
    if earlier and code == "login.wrong-password":
        code, causes = "login.refused", _AGAIN
        detail = "The server accepted this login before, and refuses it now that it asks again."
    said: dict[str, list[PppMessage]] = {}
    for m in failures:
        said.setdefault(_text(m), []).append(m)
    shown = list(said.items())[-3:]
    return rule(
        "login",
        "failed",
        finding(code, *(evidence("the user had been let in", o) for o in earlier),
                *(evidence(f'the server shows the user "{m.message}"', m) for m in notices),
                *(evidence(f"the gateway answers {text}", *same) for text, same in shown),
                detail=detail,
                confidence="certain" if (told is not None and told.by_number) or (
                    last.protocol != "EAP" and code == "login.wrong-password") else "high",
                causes=causes),
        summary=detail.rstrip("."),
        seen=packets,
    )  # fmt: skip


_CROSSED = (
    Cause("Packets are lost or late on the way: the new Challenge did not get to the client, or "
          "its answer to the first one came only after the gateway had asked again", "network",
          "Connect again; look for loss on the way", "likely"),
    Cause("The gateway ends the call where it should ignore an answer to an older Challenge",
          "gateway-admin", "Update it, or let it wait longer before it asks again", "likely"),
)  # fmt: skip


_CONNECT_AGAIN = (
    "User: Connect again, with the same password.",
    "Network: It happens again: look for loss on the way at the time given.",
)


_NOTHING_LEFT = (
    Cause("The gateway has no free address or session for the user", "gateway-admin",
          "Look in its log at the time given; enlarge the pool or the limit", "likely"),
    Cause("User name or password is wrong", "user",
          "Type both again, in the form colleagues use", "possible"),
)  # fmt: skip
REACTS = 0.1
"""Seconds in which a gateway answers what it has just got; its RADIUS server takes longer to refuse
(FreeRADIUS: 1 s)."""


def _current(
    packets: list[PppMessage], ours: list[PppMessage], end: PppMessage | L2tpMessage
) -> tuple[PppMessage | None, list[PppMessage]]:
    """The last Challenge before ``end``, and the Responses sent since then that bear the identifier
    of an older one; None, none: all of CHAP is about one Challenge."""
    asked = [m for m in packets if m.code == "Challenge" and m.direction == "in" and m.t < end.t]
    if not asked or all(m.identifier == asked[0].identifier for m in asked):
        return None, []
    last = asked[-1]
    known = {m.identifier for m in asked} - {last.identifier}
    return last, [m for m in ours if last.t <= m.t <= end.t and m.identifier in known]


def to_older(
    packets: list[PppMessage], ours: list[PppMessage], end: PppMessage | L2tpMessage
) -> Ruling | None:
    """The gateway had asked with a new Challenge when it ends the link, and has an answer only to
    an older one, whose identifier is not the one that is due (RFC 1994 section 4.1): the password
    was not judged. A wrong one brings a Failure, or an end of the link, without a new Challenge."""
    last, stale = _current(packets, ours, end)
    if last is None or not stale or any(m.identifier == last.identifier for m in ours):
        return None
    found = finding(
        "login.hung-up",
        evidence(f"the gateway asks with a new Challenge (identifier {last.identifier})", last),
        evidence(
            "after that the client sends its answer to the older one (identifier "
            f"{stale[-1].identifier})",
            *stale,
        ),
        evidence(f"the gateway ends with {ppp.how(end)}", end),
        detail="The gateway had asked anew, got an answer to its older Challenge, and ended "
        "the link: nothing is said of the password.",
        confidence="high",
        causes=_CROSSED,
    )
    return rule(
        "login",
        "failed",
        replace(found, fix=_CONNECT_AGAIN, owner=_CROSSED[0].owner),
        summary=f"hung up on an answer to an older Challenge ({ppp.how(end)})",
        seen=[*packets, end],
    )  # fmt: skip


def hung_up(
    packets: list[PppMessage],
    ours: list[PppMessage],
    method: str,
    end: PppMessage | L2tpMessage,
) -> Ruling:
    """The gateway ends the link where its verdict is due."""
    text = end.message if isinstance(end, PppMessage) else end.error_message
    code, detail, summary = "login.refused", "", ppp.how(end)
    told = reasons.in_words(text) if ours else None
    # Where an answer that is sent again is what the gateway reacts to, it may have lost the first.
    again = [
        m for m in ours[-1:]
        if m.protocol == "CHAP" and m.repeat and not text and end.t - m.t <= REACTS
    ]  # fmt: skip
    if told is not None:
        code, detail = told
    elif not ours:
        code = "login.hung-up"
        detail = f"The gateway asks for the login, and ends the link: {summary}."
    elif text or no_facilities(end):
        detail = f"The gateway ends the link in answer to the login: {summary}."
    else:
        detail = "The gateway ends the link in answer to the login, without a reason."
        summary = f"refused without a reason ({summary})"
    sent = f"{method} sent" + (f" {times(len(ours))}" if again else "")
    unsure = bool(again) or bool(_current(packets, ours, end)[1])
    return rule(
        "login",
        "failed",
        finding(
            code,
            *([evidence(sent, *ours[:2])] if ours else []),
            evidence(f"the gateway ends with {ppp.how(end)}", end),
            detail=detail,
            confidence="medium" if unsure else "high",
            causes=_NOTHING_LEFT if code == "login.refused" and no_facilities(end) else (),
        ),
        summary=summary,
        seen=[*packets, end],
    )
