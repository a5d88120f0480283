"""Which sizes get to the gateway: what that means for large IKE messages and for the tunnel."""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, OuterMtu
from vpndiag.report.model import Evidence, Finding

USUAL = 1500
"""Bytes that a link carries where nothing is known of it."""
_HEADERS = 28 + 4
"""IPv4, UDP, non-ESP marker."""


def measured(view: View) -> OuterMtu | None:
    """The last measurement that shows anything."""
    found = [o for o in view.of(OuterMtu) if o.outcome in ("measured", "cannot-tell")]
    return found[-1] if found else None


def path_mtu(view: View) -> int | None:
    """The largest packet that is known to get to the gateway; None: not measured."""
    m = measured(view)
    return m.largest or None if m is not None and m.outcome == "measured" else None


def fragments(view: View) -> str:
    """``pass``, ``lost`` or empty: not known."""
    m = measured(view)
    return m.fragments if m is not None and m.fragments != "not-tested" else ""


def is_large(message: IkeMessage) -> bool:
    """Whether it needs fragments on a usual path."""
    return message.size + _HEADERS > USUAL


def said(view: View) -> list[Evidence]:
    """The measurement in words."""
    return [evidence(text, o) for o in view.of(OuterMtu)[-1:] for text in _texts(o)]


def _texts(o: OuterMtu) -> list[str]:
    if o.outcome == "unanswered":
        return ["which sizes get to the gateway cannot be told: it answers no IKE message of which "
                "the size can be chosen"]  # fmt: skip
    if o.outcome == "unsure":
        return ["which sizes get to the gateway cannot be told: after some questions it answered "
                "none any more"]  # fmt: skip
    texts = []
    if o.outcome == "measured" and o.largest:
        text = f"IKE messages with don't-fragment are answered up to packets of {o.largest} bytes"
        if o.lost and o.told_mtu:
            text += f'; {o.reporter} says "fragmentation needed", MTU {o.told_mtu}'
        elif o.lost and o.reporter:
            text += f'; {o.reporter} says "fragmentation needed"'
        elif o.local_limit:
            text += ", the most that this computer's interface takes"
        elif o.lost:
            text += f"; {o.lost} bytes are lost, and nobody says so"
        texts.append(text)
    if o.fragments == "pass":
        texts.append(f"a message of {o.fragmented_size} bytes, in fragments, is answered: "
                     "fragments get to the gateway")  # fmt: skip
    elif o.fragments == "lost":
        texts.append(f"a message of {o.fragmented_size} bytes, in fragments, is never answered, "
                     "while smaller ones are")  # fmt: skip
    return texts


def findings(view: View) -> list[Finding]:
    """Of the path itself, while nothing has failed for it."""
    m = measured(view)
    if m is None or _in_vain(view):
        return []
    found = []
    if m.fragments == "lost":
        found.append(
            finding(
                "path.fragments-dropped",
                *said(view),
                detail="IP fragments do not get to the gateway: logins with certificates, and full-"
                "size packets in the tunnel, will be lost where they need them.",
                severity="warning",
            )
        )
    if m.outcome == "measured" and 0 < m.largest < USUAL and not m.local_limit:
        silent = not m.reporter
        detail = f"Packets of more than {m.largest} bytes do not get to the gateway whole"
        found.append(
            finding(
                "path.small-mtu",
                *said(view),
                detail=f"{detail}, and nobody says so." if silent else f"{detail}.",
                severity="warning" if silent else "info",
                confidence="high" if silent else "certain",
            )
        )
    return found


def _in_vain(view: View) -> bool:
    """Phase 1 stops at a message for which the sizes were measured: judged there."""
    return not view.established and bool(unanswered_large(view))


def unanswered_large(view: View) -> Sequence[IkeMessage]:
    """Message 5 or 3 of the SA, sent in vain, where it or its answer may need fragments."""
    sa = view.primary
    if sa is None or sa.aggressive or sa.reached > 5:
        return []
    sent = sa.of("out", "MM5")
    certificate = any(c.direction == "out" for c in view.certificates) or (
        view.scope is not None and view.scope.certificate
    )
    if sent and (certificate or is_large(sent[0])):
        return sent
    third = sa.of("out", "MM3")
    return third if sa.reached == 3 and third and is_large(third[0]) else []


def facts(view: View) -> dict[str, str]:
    """For the rung."""
    m = measured(view)
    if m is None:
        return {}
    shown = {}
    if m.outcome == "measured" and m.largest:
        shown["largest packet to the gateway"] = str(m.largest)
    if m.fragments != "not-tested":
        shown["fragments to the gateway"] = m.fragments
    return shown
