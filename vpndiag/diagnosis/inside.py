"""What the rungs inside the tunnel share."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from vpndiag.diagnosis.ruling import Ruling, not_reached
from vpndiag.diagnosis.view import View
from vpndiag.observations import InsideScope

LAYERS = ("routes", "mtu", "dns", "app")
"""They stand upon the address."""


def scope(view: View) -> InsideScope | None:
    """What was assigned and asked inside; None: the inside was not tested."""
    found = view.of(InsideScope)
    return found[-1] if found else None


def untested(view: View, layer: str) -> Ruling:
    """The rung of a layer inside that was not tested, with the reason."""
    if not view.live:
        return not_reached(layer, "not to be seen in a capture of the outside")
    if view.running:
        return not_reached(layer, "not tested yet")
    if view.scope is not None and not view.scope.user:
        return not_reached(layer, "no user name was given")
    return not_reached(layer, "there was no connection to test it through")


def overlap(first: str, second: str) -> bool:
    """Whether two networks (or addresses) have an address in common; False for what is neither."""
    try:
        a, b = ip_network(first, strict=False), ip_network(second, strict=False)
    except ValueError:
        return False
    return a.version == b.version and a.overlaps(b)


def within(address: str, ranges: tuple[str, ...]) -> bool:
    """Whether ``address`` lies in one of ``ranges``: networks, addresses or ``first-last``."""
    try:
        number = ip_address(address)
        for text in ranges:
            first, dash, last = (part.strip() for part in text.partition("-"))
            if dash:
                low, high = ip_address(first), ip_address(last)
                if low.version == number.version and int(low) <= int(number) <= int(high):
                    return True
            elif number in ip_network(first, strict=False):
                return True
    except ValueError:
        return False
    return False


def milliseconds(seconds: float) -> str:
    """``12 ms``."""
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.0095 else f"{seconds * 1000:.1f} ms"
