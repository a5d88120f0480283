"""What a gateway answers that does not take our main mode: another offer, aggressive mode, or
IKEv2."""

from __future__ import annotations

from vpndiag.diagnosis.ike_sa import CERTIFICATE_METHODS, NATT_VENDOR_IDS, IkeSa
from vpndiag.diagnosis.ikev2 import COOKIE, NO_PROPOSAL_CHOSEN
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, listed, rule
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage, Observation

WRONG_VERSION = (5, 7, 29)
"""INVALID-MAJOR-VERSION, INVALID-EXCHANGE-TYPE, UNSUPPORTED-EXCHANGE-TYPE."""


def accepted(view: View, sa: IkeSa) -> IkeSa | None:
    """Another main mode attempt in this session that the gateway accepted, with another offer."""
    for other in view.others:
        if (
            other.version == 1
            and not other.aggressive
            and other.chosen is not None
            and not _offers_alike(other, sa)
        ):
            return other
    return None


def accepted_alike(view: View, sa: IkeSa) -> IkeMessage | None:
    """The gateway's choice of the very same offer in another attempt: what it is silent to is the
    attempt (lost packets, or too many that are half open) and not the offer."""
    for other in view.others:
        same = (other.version, other.aggressive) == (sa.version, sa.aggressive)
        if same and other.chosen is not None and _offers_alike(other, sa):
            return other.chosen
    return None


def _offers_alike(one: IkeSa, other: IkeSa) -> bool:
    mine, theirs = one.offered, other.offered
    return (mine.transforms, mine.vendor_ids) == (theirs.transforms, theirs.vendor_ids)


def accepts(sa: IkeSa, other: IkeSa, *, refused: bool) -> Ruling:
    chosen = other.chosen
    assert chosen is not None
    how = "refused (NO-PROPOSAL-CHOSEN)" if refused else "not answered"
    offered = listed(sa.offered.transforms, 4)
    had = any(v in NATT_VENDOR_IDS for v in sa.offered.vendor_ids)
    has = any(v in NATT_VENDOR_IDS for v in other.offered.vendor_ids)
    same = set(other.offered.transforms) == set(sa.offered.transforms)
    seen: list[Observation] = [*sa.messages, *other.messages]
    said = [
        evidence(f"offer {offered}: {how}", *sa.messages[:2]),
        evidence(f"another offer is accepted: {chosen.transforms[0]}", other.first, chosen),
    ]
    if same and has and not had:
        code, detail = (
            "ike.natt-vid-required",
            "The gateway answers only a client that announces NAT traversal.",
        )
        return rule(
            "ike",
            "failed",
            finding(code, *said, detail=detail),
            summary=detail.rstrip("."),
            seen=seen,
        )
    methods = set(chosen.auth_methods)
    if methods and not methods & set(sa.offered.auth_methods):
        wants_certificate = bool(methods & CERTIFICATE_METHODS)
        code = "auth.certificate-wanted" if wants_certificate else "auth.psk-wanted"
        what = "a certificate" if wants_certificate else "a pre-shared key"
        detail = f"The gateway accepts {what} only ({chosen.transforms[0]})."
        return rule(
            "auth",
            "failed",
            finding(code, *said, detail=detail),
            summary=detail.rstrip("."),
            seen=seen,
            own=rule("ike", "passed", summary=chosen.transforms[0], seen=seen).layer,
        )
    if refused:
        code, detail = (
            "ike.no-proposal-chosen",
            f"The gateway refuses this proposal; it accepts {chosen.transforms[0]}.",
        )
    else:
        code, detail = (
            "ike.proposal-ignored",
            f"The gateway ignores this proposal; it accepts {chosen.transforms[0]}.",
        )
    return rule(
        "ike", "failed", finding(code, *said, detail=detail), summary=detail.rstrip("."), seen=seen
    )


def _ikev2_answers(view: View) -> list[IkeMessage]:
    return [m for m in view.ike if m.direction == "in" and m.version == 2]


def _is_cookie(m: IkeMessage) -> bool:
    """An answer of IKEv2 that only asks for a cookie (RFC 7296 section 2.6)."""
    return [n.type for n in m.notifies] == [COOKIE]


def _refuses(m: IkeMessage) -> bool:
    """IKEv2's own NO_PROPOSAL_CHOSEN: a daemon that knows IKEv2 and has no such connection."""
    return any(n.type == NO_PROPOSAL_CHOSEN for n in m.notifies)


def held_off(seen: list[Observation], signs: list[IkeMessage], what: str) -> Ruling:
    """Gateways ask for cookies when too many exchanges are half open. Of IKEv1, which has no
    cookies of that kind, they then ignore new attempts: strongSwan from five for an address."""
    return rule(
        "ike",
        "inconclusive",
        finding(
            "ike.held-off",
            evidence("IKEv1 main mode is not answered", *seen[:2]),
            evidence(what, *signs[:2]),
            severity="warning",
            detail="The gateway takes no new attempts for the moment: too many were begun and not "
            "finished. Wait a minute and run this again.",
        ),
        summary="the gateway takes no new attempts for the moment, try again in a minute",
        seen=[*seen, *signs],
    )


def other_version(view: View, seen: list[Observation], *, refused: bool = False) -> Ruling | None:
    """The gateway speaks, but not main mode of IKEv1. ``refused``: it says that it takes none of
    our offers, and the same in IKEv2 says no more."""
    aggressive = [s for s in view.others if s.aggressive and s.chosen is not None]
    if aggressive:
        chosen = aggressive[0].chosen
        assert chosen is not None
        return rule(
            "ike",
            "failed",
            finding(
                "ike.aggressive-only",
                evidence("main mode is not accepted", *seen[:2]),
                evidence("aggressive mode is answered", aggressive[0].first, chosen),
                detail="The gateway accepts aggressive mode only.",
            ),
            summary="aggressive mode only",
            seen=seen,
        )
    v2 = [m for m in _ikev2_answers(view) if not refused or not _refuses(m)]
    if v2 and all(_is_cookie(m) for m in v2):
        what = "an IKEv2 request is answered with COOKIE, as against a flood"
        return held_off(seen, v2, what)
    wrong = [
        (m, n)
        for m in view.ike
        if m.direction == "in"
        for n in m.notifies
        if n.type in WRONG_VERSION
    ]
    if v2 or any(n.type == 5 for _, n in wrong):
        shown: list[IkeMessage] = v2[:1] or [wrong[0][0]]
        return rule(
            "ike",
            "failed",
            finding(
                "ike.ikev2-only",
                evidence("IKEv1 main mode is not accepted", *seen[:2]),
                evidence("the gateway answers with IKEv2", *shown),
                detail="The gateway speaks IKEv2 only; L2TP/IPsec needs IKEv1.",
            ),
            summary="IKEv2 only",
            seen=[*seen, *shown],
        )
    return None
