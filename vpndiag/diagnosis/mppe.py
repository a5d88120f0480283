"""MPPE, an encryption inside PPP (RFC 3078), that one side insists on and the other refuses."""

from __future__ import annotations

from vpndiag.diagnosis import ppp
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import Direction, L2tpMessage, PppMessage
from vpndiag.report.model import Cause

_AT_ONCE = 3.0
"""Seconds from one side's refusal to the other's farewell, where that has no words."""
_WORDS = ("mppe", "encrypt", "windows error 741", "windows error 742")
_OF_CLIENT = (
    Cause("The client's profile demands encryption inside PPP (Windows: 'Require encryption', "
          "pppd: require-mppe), which L2TP/IPsec does not need", "helpdesk",
          "Windows: set data encryption to optional; pppd: take require-mppe out", "likely"),
    Cause("The login method leaves no keys for MPPE (PAP, CHAP-MD5)", "gateway-admin",
          "Offer MS-CHAPv2", "possible"),
)  # fmt: skip


def judge(view: View) -> Ruling | None:
    """Layer ``address``: who asks for MPPE is refused, and ends the link."""
    return _of_gateway(view) or _of_client(view)


def _asked(view: View, direction: Direction) -> list[PppMessage]:
    return [
        m
        for m in view.ppp_of("CCP", direction, "Configure-Request")
        if ppp.option(m, "MPPE") is not None
    ]


def _refusals(view: View, direction: Direction) -> list[PppMessage]:
    return view.ppp_of("CCP", direction, "Configure-Reject") + [
        m for m in view.ppp_of("LCP", direction, "Protocol-Reject") if m.method == "CCP"
    ]


def _speaks_of_it(end: PppMessage | L2tpMessage) -> bool:
    text = ppp.how(end).lower()
    return any(word in text for word in _WORDS)


def _wordless(end: PppMessage | L2tpMessage) -> bool:
    """No reason is given, in words or by a number that means another one (RFC 2661 section
    4.4.2: 4 and 5 are a lack of facilities)."""
    if isinstance(end, PppMessage):
        return not end.message
    return not end.error_message and end.result_code not in (4, 5)


def _because(view: View, refused: float, end: float) -> bool:
    """The gateway ends at once, or does nothing else before."""
    return end - refused <= _AT_ONCE or not view.ppp_of("IPCP", "in")


def _of_gateway(view: View) -> Ruling | None:
    asked = _asked(view, "in")
    end = ppp.hang_up(view, asked[0].t if asked else 0.0)
    if end is None:
        return None
    refused = _refusals(view, "out")
    # Where the request is not seen, only its own name will do.
    told = _speaks_of_it(end) if asked else "mppe" in ppp.how(end).lower()
    if not (asked or told):
        return None
    if not told and not (refused and _wordless(end) and _because(view, refused[-1].t, end.t)):
        return None
    return rule(
        "address",
        "failed",
        finding(
            "address.mppe-demanded",
            *(evidence("the gateway asks for MPPE encryption", m) for m in asked[:1]),
            *(
                [evidence("the client refuses: IPsec encrypts already", refused[0])]
                if refused
                else []
            ),
            evidence(f"the gateway ends with {ppp.how(end)}", end),
            detail="The gateway insists on MPPE encryption inside PPP.",
        ),
        summary="MPPE demanded",
        seen=[*asked, end],
    )


def _of_client(view: View) -> Ruling | None:
    asked, refused = _asked(view, "out"), _refusals(view, "in")
    if view.live or not asked or not refused or asked[0].t > refused[0].t:
        return None
    left = ppp.left(view, refused[0].t)
    if left is None:
        return None
    told = _speaks_of_it(left)
    silent = isinstance(left, PppMessage) and not left.message
    if not told and not (silent and left.t - refused[-1].t <= _AT_ONCE):
        return None
    return rule(
        "address",
        "failed",
        finding(
            "address.mppe-demanded",
            evidence("the client asks for MPPE encryption", asked[0]),
            evidence("the gateway refuses", refused[0]),
            evidence(f"the client ends with {ppp.how(left)}", left),
            detail="The client insists on MPPE encryption inside PPP, and the gateway refuses it.",
            confidence="high" if told else "medium",
            causes=_OF_CLIENT,
        ),
        summary="the client demands MPPE",
        seen=[*asked[:1], refused[0], left],
    )
