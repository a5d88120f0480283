"""A name with several addresses: one was tested; what the others answered."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import ControlCheck
from vpndiag.report.model import Cause, Evidence, Finding

_DEAD = ("silent", "refused", "unreachable")


def others(view: View) -> list[ControlCheck]:
    return [c for c in view.controls if c.role == "other-address"]


def facts(view: View, tested: str) -> dict[str, str]:
    """Each address of the name with its outcome; ``tested``: that of the one that was tested."""
    asked = others(view)
    if not asked or view.local is None:
        return {}
    rest = [f"{c.address} {_words(c)}" for c in asked]
    return {"its addresses": ", ".join([f"{view.local.gateway_address} {tested}", *rest])}


def warnings(view: View) -> list[Finding]:
    """The tested address answers, and others do not: users who are sent there do not connect."""
    dead = [c for c in others(view) if c.outcome in _DEAD]
    if not dead or view.local is None or not (view.answered(500) or view.answered(4500)):
        return []
    which = " and ".join(c.address for c in dead[:3]) + (" ..." if len(dead) > 3 else "")
    gone = "do" if len(dead) > 1 else "does"
    v6 = all(":" in c.address for c in dead) and ":" not in view.local.gateway_address
    return [
        finding(
            "path.other-address-silent",
            evidence(f"{view.local.gateway_address} answers IKE", *view.answered(500)[:1]),
            *(evidence(f"IKE message 1 to {c.address}: {_words(c)}", c) for c in dead),
            detail=f"{dead[0].target} leads to {which} as well, which {gone} not answer; the "
            f"address that was tested, {view.local.gateway_address}, does.",
            severity="warning",
            confidence="medium",
            causes=(_NO_IPV6, _GONE, _OLD) if v6 else (),
        )
    ]


def blamed(view: View, found: Finding) -> Finding:
    """``found`` says that the tested address does not answer; where another address of the same
    name does, it is that one address, and neither this network nor the whole gateway."""
    alive = [c.address for c in others(view) if c.outcome == "answered"]
    if not alive or view.local is None:
        return found
    here = view.local.gateway_address
    too = f", another address of {others(view)[0].target}, does"
    told = f"{here} does not answer, but {alive[0]}{too}."
    causes = [_GONE, _OLD, *[c for c in found.causes if c.owner == "network"][:1]]
    if ":" in here and any(":" not in a for a in alive):
        causes.insert(0, _NO_IPV6)
    return replace(
        found,
        title="One of the VPN server's addresses does not answer, another does",
        detail=told if found.code == "path.silent" else f"{told} {found.detail}",
        evidence=(*found.evidence, *_asked(view, found)),
        causes=tuple(causes),
        fix=(
            "User: Try again: the next attempt may be sent to an address that works.",
            f"Helpdesk: Enter {alive[0]} instead of the name for now; give that address to "
            "vpndiag as well, to see whether it works all the way.",
            f"Gateway administrator: Bring {here} back up, or take it out of the DNS record.",
        ),
        owner="gateway-admin",
    )


def _asked(view: View, found: Finding) -> list[Evidence]:
    """What the others said, unless ``found`` tells it already."""
    told = {e.text for e in found.evidence}
    lines = [evidence(f"its other address {c.address}, IKE: {c.outcome}", c) for c in others(view)]
    return [line for line in lines if line.text not in told]


def _words(check: ControlCheck) -> str:
    return {
        "cannot-tell": "cannot be asked from here",
        "answered": "answers",
        "refused": "refuses (nothing listens there)",
        "unreachable": "cannot be reached",
    }.get(check.outcome, check.outcome)


_GONE = Cause(
    "The machine or line behind that address is down, or its VPN service or port forwarding is; "
    "the others of the name do the work",
    "gateway-admin",
    "Bring it back up, or take the address out of the DNS record until then",
    "likely",
)
_OLD = Cause(
    "The DNS record still holds an address that is not the gateway's any more",
    "gateway-admin",
    "Take it out of the record",
)
_NO_IPV6 = Cause(
    "The gateway serves no VPN over IPv6: the AAAA record is there for another service, or the "
    "firewall lets IKE in over IPv4 only. Systems with IPv6 try that address first",
    "gateway-admin",
    "Allow UDP 500 and 4500 over IPv6, or give the VPN a name without AAAA record",
    "likely",
)

__all__ = ["blamed", "facts", "others", "warnings"]
