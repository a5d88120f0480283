"""A login that the server refuses: what it says of the reason."""

from __future__ import annotations

from vpndiag.diagnosis import login_eap, ppp
from vpndiag.diagnosis import login_reasons as reasons
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import Observation, PppMessage
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
