"""The client wants one address and the gateway gives it another (RFC 1332 section 3.3)."""

from __future__ import annotations

from vpndiag.diagnosis import ppp
from vpndiag.diagnosis.gave_up import SOON
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import PppMessage
from vpndiag.report.model import Cause

ADDRESS = "IP-Address"
NONE = ("", "0.0.0.0")
_OFTEN = 3
"""Times that the gateway names another address, and the client asks for its own all the same (RFC
1332 section 3.3 wants it to take the other, or to end)."""
FIXED = (
    Cause("The client's profile asks for a fixed address that the server does not give it",
          "helpdesk", "Set it to obtain an address automatically", "likely"),
    Cause("The fixed address that this user is to have is missing on the server",
          "gateway-admin", "Enter it for the user, or in RADIUS (Framed-IP-Address)", "possible"),
)  # fmt: skip


def insists(view: View, ipcp: list[PppMessage]) -> Ruling | None:
    """The client wants one address, the gateway gives another, over and over."""
    naks = [m for m in ipcp if m.direction == "in" and m.code == "Configure-Nak"
            and (ppp.option(m, ADDRESS) or "") not in NONE]  # fmt: skip
    wanted = claimed(ipcp, "out")
    given = [ppp.option(m, ADDRESS) or "" for m in naks]
    asked = [m for m in ipcp if m.direction == "out" and ppp.option(m, ADDRESS) in wanted]
    if view.live or not naks or len(wanted) != 1 or wanted & set(given):
        return None
    address = next(iter(wanted))
    if len(naks) < _OFTEN:
        return _leaves_for_it(view, naks[-1], asked[-1], address)
    return rule(
        "address",
        "failed",
        finding(
            "address.refused",
            evidence(f"the client asks for {address}, {times(len(asked))}", *asked[:2]),
            evidence(f"the gateway answers {given[-1]} each time", *naks[:2], *naks[2:][-1:]),
            detail=f"The client insists on the address {address}, and the gateway gives it "
            f"{given[-1]}.",
            causes=FIXED,
        ),
        summary=f"the client insists on {address}, the gateway on {given[-1]}",
        seen=ipcp,
    )


def never_content(ipcp: list[PppMessage]) -> Ruling | None:
    """The client asks for what the gateway names, and is given yet another address, over and over:
    negotiation does not converge (RFC 1661 section 4.6)."""
    naks = [m for m in ipcp if m.direction == "in" and m.code == "Configure-Nak"
            and (ppp.option(m, ADDRESS) or "") not in NONE]  # fmt: skip
    given = {ppp.option(m, ADDRESS) for m in naks}
    if len(naks) < ppp.CIRCLES or len(given) < ppp.CIRCLES // 2 or not given & claimed(ipcp, "out"):
        return None
    return rule(
        "address",
        "failed",
        finding(
            "address.no-answer",
            evidence(f"the gateway names another address {times(len(naks))}, and agrees to none",
                     *naks[:3], naks[-1]),
            detail="The gateway gives the client another address each time that it asks for the "
            "one it was given.",
        ),
        summary="the gateway agrees to no address",
        seen=ipcp,
    )  # fmt: skip


def _leaves_for_it(view: View, nak: PppMessage, asked: PppMessage, address: str) -> Ruling | None:
    """The client goes as soon as it is given another address than it asks for."""
    left = ppp.left(view, nak.t)
    if left is None or left.t - nak.t > SOON or asked.t > nak.t:
        return None
    given = ppp.option(nak, ADDRESS)
    detail = f"The client asks for the address {address}, is given {given}, and leaves."
    return rule(
        "address",
        "failed",
        finding(
            "address.refused",
            evidence(f"the client asks for {address}", asked),
            evidence(f"the gateway answers {given}", nak),
            evidence(f"the client ends with {ppp.how(left)}", left),
            detail=detail,
            confidence="medium",
            causes=FIXED,
        ),
        summary=detail.rstrip("."),
        seen=[asked, nak, left],
    )


def claimed(ipcp: list[PppMessage], direction: str) -> set[str]:
    return {
        value
        for m in ipcp
        if m.direction == direction and m.code == "Configure-Request"
        and (value := ppp.option(m, ADDRESS) or "") not in NONE
    }  # fmt: skip
