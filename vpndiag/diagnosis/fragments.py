"""Large IKE messages that travel in IP fragments, and do not arrive: ``path.fragments-lost``."""

from __future__ import annotations

from vpndiag.diagnosis import told
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, number, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import FragmentsLost
from vpndiag.report.model import Finding

SOON = 2.0
"""Seconds in which a message is answered if it arrives."""


def judge(view: View) -> Ruling | None:
    """A large IKE message of which fragments are missing, in a session that never came up."""
    lost = [
        f for f in view.fragments_lost
        if f.port in (0, 500, 4500) and f.protocol == 17 and not _arrived(view, f)
    ]  # fmt: skip
    if view.esp_back or any(m.step.startswith("QM") for m in view.ike):
        return None
    if not lost:
        return _said_lost(view)
    way = "to the gateway" if lost[0].direction == "out" else "to the client"
    found = finding(
        "path.fragments-lost",
        evidence(f"{times(len(lost))} an IKE message came in fragments and was never complete",
                 *lost[:4]),
        detail=f"Large IKE messages are sent in IP fragments, and not all of them arrive on the "
        f"way {way}.",
        confidence="high" if len(lost) > 1 else "medium",
    )  # fmt: skip
    return rule("path", "failed", found, summary="IP fragments are lost", seen=lost)


def _arrived(view: View, lost: FragmentsLost) -> bool:
    """The other side answers what the capture has in part: the recorder missed the rest, as a
    filter by port does."""
    return any(
        m.direction != lost.direction and not m.repeat and 0 <= m.t - lost.t <= SOON
        for m in view.ike
    )


def _said_lost(view: View) -> Ruling | None:
    """The other side says that fragments of an IKE message never came."""
    errors = told.reassembly(view)
    if not errors:
        return _too_big(view)
    who = "gateway" if errors[0].direction == "in" else "client"
    found = finding(
        "path.fragments-lost",
        evidence(f"ICMP from the {who}, {times(len(errors))}: it waited in vain for the other "
                 "fragments of an IKE message (reassembly time exceeded)", *errors),
        detail=f"Large IKE messages are sent in IP fragments, and not all of them reach the {who}.",
    )  # fmt: skip
    return rule("path", "failed", found, summary="IP fragments are lost", seen=errors)


def _too_big(view: View) -> Ruling | None:
    errors = told.ike_too_big(view)
    if not errors:
        return None
    who, router = "client" if errors[0].direction == "in" else "gateway", errors[0].reporter
    size = f" of more than {errors[0].mtu} bytes" if errors[0].mtu else ""
    found = finding(
        "path.fragments-lost",
        evidence(f"ICMP fragmentation needed from {router or 'unknown'} about an IKE message of "
                 f"the {who}, {times(len(errors))}", *errors),
        detail=f"A link on the way lets no packet{size} through. The {who} is told so, and sends "
        "its large IKE message again as it was.",
    )  # fmt: skip
    return rule("path", "failed", found, summary="large IKE messages are lost", seen=errors)


def note(view: View) -> Finding | None:
    if not view.fragments_lost or judge(view) is not None:
        return None
    return finding(
        "path.fragments-lost",
        evidence(
            f"fragments of {number(len(view.fragments_lost), 'datagram')} are missing",
            *view.fragments_lost[:4],
        ),
        detail="IP fragments are lost on the way.",
        severity="warning",
        confidence="medium",
    )
