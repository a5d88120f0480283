"""Causes and remedies of a silence whose place on the way is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from vpndiag.report.model import Cause

Side = Literal["here", "provider", "door"]
"""The network the user is in; between that and the gateway; the gateway and what is before it."""

FIX_ON_THE_WAY = (
    "User: Try from another network, for example with a phone as hotspot.",
    "Helpdesk: It works there: give the evidence, with the last hop that the packets come to, to "
    "whoever runs that router: this network or its provider.",
)

CAUSES_OF_A_LOOP = (
    Cause(
        "The routing between these routers is broken",
        "network",
        "Report both addresses to the provider that runs them",
        "likely",
    ),
    Cause(
        "The address is not in use any more: what nobody uses is often routed in a circle",
        "gateway-admin",
        "Compare the DNS record with the gateway's real public address",
        "possible",
    ),
)
FIX_OF_A_LOOP = (
    "Helpdesk: Check the server name and address; report the two routers to the provider.",
    "User: Meanwhile try from another network.",
)


def causes_on_the_way(sides: Sequence[Side], udp: str, *, computer: bool) -> tuple[Cause, ...]:
    """``sides``: whose routers may drop ``udp`` ("UDP 500"), likeliest first; ``computer``: this
    one may as well."""
    causes = [_on(side, udp) for side in dict.fromkeys(sides)]
    if computer:
        causes.append(
            Cause(
                "A security program on this computer, or another VPN, drops the packets",
                "helpdesk",
                "Turn it off for a moment and try again",
            )
        )
    return _ranked(causes)


def _on(side: Side, udp: str) -> Cause:
    if side == "here":
        return Cause(
            f"The firewall or router of the network the user is in drops {udp} (hotel, guest "
            "Wi-Fi, company firewall, IPsec passthrough)",
            "network",
            f"Allow {udp} out there, or use another network",
        )
    if side == "provider":
        return Cause(
            f"The provider of that network drops {udp} on its NAT or with a filter",
            "network",
            "Report it to the provider, with the last hop of the evidence",
        )
    return _before_the_gateway(udp)


def _before_the_gateway(udp: str) -> Cause:
    return Cause(
        f"The router or firewall before the gateway drops {udp} or does not forward it",
        "gateway-admin",
        f"Forward and allow {udp} to the gateway",
    )


def causes_at_the_gateway(udp: str, *, alive: bool, talks: bool) -> tuple[Cause, ...]:
    """``alive``: its address answers something; ``talks``: even IKE, on another port."""
    firewall = _before_the_gateway(udp)
    service = Cause(
        "The gateway's VPN service is stopped or hangs, or does not listen there",
        "gateway-admin",
        "Start it and look in its log",
    )
    off = Cause(
        "The gateway is off, or has lost its network connection",
        "gateway-admin",
        "Bring it back up",
    )
    address = Cause(
        "The name leads to an old or wrong address (dynamic DNS)",
        "gateway-admin",
        "Compare the DNS record with the gateway's real public address",
    )
    shut_out = Cause(
        "The gateway drops this address on purpose (block list, country filter, rate limit) or "
        "ignores what was proposed",
        "gateway-admin",
        "Look for the client's address in the gateway's firewall and IKE log",
    )
    way_back = Cause(
        "A firewall on the way lets the requests out but not the answers back",
        "network",
        "Try another network",
    )
    if talks and udp == "UDP 500":
        order = [firewall, way_back]
    elif talks:
        no_natt = Cause("NAT traversal is turned off on the gateway", "gateway-admin", "Turn it on")
        order = [firewall, no_natt, way_back]
    elif alive:
        order = [firewall, service, shut_out, address, way_back]
    else:
        order = [off, address, firewall, service, shut_out]
    return _ranked(order)


def _ranked(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    return tuple(
        replace(cause, likelihood="possible" if n else "likely") for n, cause in enumerate(causes)
    )


def fix_at_the_gateway(udp: str, *, alive: bool) -> tuple[str, ...]:
    """Steps, each with who does it."""
    check = "" if alive else "Check the server name and address; then "
    text = f"Helpdesk: {check}pass it to the gateway administrator with the evidence."
    return (
        text if check else f"{text.replace('pass', 'Pass', 1)} The way there is open.",
        f"Gateway administrator: Capture on the gateway's outer interface ({udp}) while the user "
        "tries. Nothing arrives: port forwarding, firewall or address. It arrives: the VPN service "
        "on the gateway.",
    )


__all__ = [
    "CAUSES_OF_A_LOOP",
    "FIX_OF_A_LOOP",
    "FIX_ON_THE_WAY",
    "Side",
    "causes_at_the_gateway",
    "causes_on_the_way",
    "fix_at_the_gateway",
]
