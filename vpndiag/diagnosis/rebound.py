"""A NAT that forgets a client's mapping in the middle of a session, and makes another one.

A gateway has to send to where the client's newest packets come from (RFC 3947 section 6, RFC 3948
section 4). Seen where the client's translated ports are, near the gateway.
"""

from __future__ import annotations

from itertools import pairwise

from vpndiag.diagnosis.ruling import Ruling, at_frames, finding, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import EspFlow
from vpndiag.report.model import Cause, Finding

FOLLOWS = 5.0
"""Seconds in which a gateway follows a client whose port has changed: at its next packet."""
_STAYS = (
    Cause("The gateway does not follow a client whose port changes", "gateway-admin",
          "Switch that on or update it; let the client connect again until then", "likely"),
    Cause("The router forgets UDP connections sooner than the client sends keepalives, or was "
          "restarted", "network", "Set its UDP timeout to two minutes or more", "likely"),
)  # fmt: skip


def _rebound(view: View) -> tuple[EspFlow, EspFlow] | None:
    """One SPI of the client from two ports, one after the other: the NAT gave it a new mapping."""
    if len(view.esp_out) < 2:
        return None
    by_spi: dict[str, list[EspFlow]] = {}
    for f in view.esp_out:
        if f.udp_encapsulated:
            by_spi.setdefault(f.spi, []).append(f)
    for flows in by_spi.values():
        for one, two in pairwise(sorted(flows, key=lambda f: f.t)):
            if two.t >= one.last_t:
                return one, two
    return None


def judge(view: View) -> Ruling | None:
    """The gateway goes on sending to the port that the client had before."""
    ports = _rebound(view)
    if ports is None or not ports[1].client_port or ports[1].packets < 3:
        return None
    one, two = ports
    back = [f for f in view.esp if f.direction == "in" and f.last_t > two.t + FOLLOWS]
    if not back or any(f.client_port != one.client_port for f in back):
        return None
    found = finding(
        "path.nat-rebound",
        at_frames(f"the client's packets come from UDP {two.client_port} from {two.t:.1f} s on, "
                  f"from {one.client_port} before", two.t, two.frames[:2]),
        at_frames(f"the gateway goes on sending to {one.client_port} until "
                  f"{back[-1].last_t:.1f} s", back[-1].last_t, back[-1].last_frames[-1:]),
        detail="The NAT in front of the client made a new mapping, and the gateway goes on sending "
        "to the old one: nothing of it gets to the client.",
        causes=_STAYS,
    )  # fmt: skip
    return rule("path", "failed", found, summary="the client's new port is not followed",
                seen=[two, *back])  # fmt: skip


def note(view: View) -> Finding | None:
    """The NAT gave the client a new mapping."""
    ports = _rebound(view)
    if ports is None:
        return None
    one, two = ports
    new = (0, two.client_port)
    back = any(f.direction == "in" and f.last_t > two.t and f.client_port in new for f in view.esp)
    return finding(
        "path.nat-rebound",
        at_frames(f"SPI {one.spi} comes from one port until {one.last_t:.1f} s and from "
                  f"another from {two.t:.1f} s on", one.last_t,
                  (one.last_frames[-2:] or one.frames) + two.frames[:2]),
        detail="The NAT in front of the client forgot its mapping and made a new one"
        + ("." if back else "; nothing came back after that."),
        severity="info" if back else "warning",
        confidence="high",
    )  # fmt: skip
