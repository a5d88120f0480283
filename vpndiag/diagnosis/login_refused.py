"""A login that the server refuses: what it says of the reason."""

from __future__ import annotations

from vpndiag.diagnosis import login_eap, ppp
from vpndiag.diagnosis import login_reasons as reasons
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule
from vpndiag.observations import PppMessage
from vpndiag.report.model import Cause

_AGAIN = (
    Cause("The account was locked, or its password changed, since the connection was made",
          "helpdesk", "Check the account in the directory", "likely"),
    Cause("The gateway has several authentication servers, and one of them does not know the user",
          "gateway-admin", "Compare their logs at the two times given", "possible"),
)  # fmt: skip


def judge(packets: list[PppMessage], failures: list[PppMessage], good: list[PppMessage]) -> Ruling:
    """``failures`` are not empty; ``good``: acceptances, of which the last is older than they."""
    last = failures[-1]
    notices = login_eap.notices(packets)
    told = reasons.told(failures, notices[-1].message if notices else "")
    code, detail = "login.wrong-password", "The user name or the password is wrong."
    if told is not None:
        code, detail = told.code, told.detail
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
    earlier = [m for m in good if m.t < last.t]
    causes: tuple[Cause, ...] = login_eap.CAUSES if detail == login_eap.REFUSED["TLS"] else ()
    if earlier and code == "login.wrong-password":
        code, causes = "login.refused", _AGAIN
        detail = "The server accepted this login before, and refuses it now that it asks again."
    text = f"{last.protocol} {last.code}"
    if last.error_code is not None:
        text += f" E={last.error_code}"
    if last.message:
        text += f', "{last.message}"'
    return rule(
        "login",
        "failed",
        finding(code, *(evidence("the server accepts the login", m) for m in earlier[:1]),
                *(evidence(f'the server shows the user "{m.message}"', m) for m in notices),
                evidence(f"the gateway answers {text}", *failures[:3]), detail=detail,
                confidence="certain" if (told is not None and told.by_number) or (
                    last.protocol != "EAP" and code == "login.wrong-password") else "high",
                causes=causes),
        summary=detail.rstrip("."),
        seen=packets,
    )  # fmt: skip
