"""IKEv2 in captures: another protocol than L2TP/IPsec uses, but its stages fall on the same rungs.

SA_INIT is the proposal, IKE_AUTH proves both sides and makes the first ESP SA pair (RFC 7296
section 1.2). Everything from IKE_AUTH on is encrypted; what is left are sizes and directions.
"""

from __future__ import annotations

from vpndiag.diagnosis.ike_sa import ERROR_NOTIFY_LIMIT
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule, tried
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage
from vpndiag.observations.ike import V2_FRAGMENT
from vpndiag.report.model import Cause

NO_PROPOSAL_CHOSEN, INVALID_KE_PAYLOAD, COOKIE, REDIRECT = 14, 17, 16390, 16407
ONLY_A_NOTIFY = 112
"""Bytes of the largest IKE_AUTH answer that has room for one notification and nothing else: 28 of
header, 4 of the encrypted payload, up to 16 each of IV and padding, 8 or 9 of notification, and an
integrity value of up to 32. A success has identity, proof, SA, both selectors: well above 150."""

GOES_ON = 5.0
"""Seconds in which a client answers a round of EAP, which its user does not see."""
SOON = 2.0
"""Seconds within which a side leaves because of what it has just read."""


def judge(layer: str, view: View) -> Ruling | None:
    """The ruling for one rung; None where the common rules do."""
    judges = {"ike": _ike, "auth": _auth, "ipsec": _ipsec, "esp": _esp}
    found = judges.get(layer)
    if found is None:
        return None
    return found(view)


def _of(view: View, step: str) -> list[IkeMessage]:
    return [m for m in view.ike if m.step == f"IKEv2 {step}"]


def _asked_first(messages: list[IkeMessage]) -> str:
    """The initiator asks in both (RFC 7296 section 1.2)."""
    return "out" if not messages or messages[0].initiated_by_client else "in"


def _ike(view: View) -> Ruling:
    inits = _of(view, "SA_INIT")
    if not inits:
        return rule("ike", "passed", summary="IKEv2, agreed before the capture began",
                    seen=view.ike[:1])  # fmt: skip
    began = _asked_first(inits)
    answers = [m for m in inits if m.direction != began]
    if not answers:
        return _other_version(view, inits) or not_reached(
            "ike", "no answer to the first IKE message"
        )
    last = answers[-1]
    numbers = {n.type for n in last.notifies}
    errors = sorted(n for n in numbers if n < ERROR_NOTIFY_LIMIT)
    went_on = any(m.t >= last.t for m in _later(view))
    if NO_PROPOSAL_CHOSEN in errors and not went_on:
        found = finding(
            "ike.no-proposal-chosen",
            evidence("IKEv2 NO_PROPOSAL_CHOSEN in answer to IKE_SA_INIT", last),
            detail="The gateway accepts none of the offered IKEv2 proposals.",
        )
        return rule("ike", "failed", found, summary="IKEv2, NO_PROPOSAL_CHOSEN", seen=inits)
    if went_on:
        return rule("ike", "passed", summary="IKEv2, proposal accepted", seen=inits)
    if REDIRECT in numbers:
        return rule(
            "ike", "inconclusive", summary="IKEv2, redirected to another gateway", seen=inits
        )
    if COOKIE in numbers or INVALID_KE_PAYLOAD in errors:
        what = "a cookie" if COOKIE in numbers else "another key exchange group"
        return rule("ike", "inconclusive", seen=inits,
                    summary=f"the gateway asks for {what}; no second try is seen")  # fmt: skip
    if errors:
        found = finding(
            "ike.refused",
            evidence(f"IKEv2 notification {errors[0]} in answer to IKE_SA_INIT", last),
            detail=f"The gateway refused the first IKEv2 message (notification {errors[0]}).",
        )
        return rule("ike", "failed", found, summary=f"IKEv2, notify {errors[0]}", seen=inits)
    return rule("ike", "passed", summary="IKEv2, proposal accepted", seen=inits)


def _later(view: View) -> list[IkeMessage]:
    """What belongs to an SA that is agreed; a notification of IKEv1 does not."""
    return [m for m in view.ike if m.version == 2 and not m.step.endswith("SA_INIT")]


_TYPE = (
    Cause("The client is set to IKEv2, and the gateway serves L2TP/IPsec, which needs IKEv1",
          "helpdesk", "Set the type of the VPN to L2TP/IPsec (where it is \"Automatic\", Windows "
          "tries IKEv2 first)", "likely"),
    Cause("IKEv2 is not enabled on the gateway", "gateway-admin",
          "Enable it, if clients are to use it", "possible"),
)  # fmt: skip


def _other_version(view: View, inits: list[IkeMessage]) -> Ruling | None:
    """IKE_SA_INIT answered in IKEv1 (RFC 7296 section 2.5)."""
    refusals = [
        m for m in view.ike
        if m.version == 1 and m.direction != inits[0].direction and m.protection == "clear"
        and any(n.type < ERROR_NOTIFY_LIMIT for n in m.notifies)
    ]  # fmt: skip
    if not refusals:
        return None
    name = refusals[0].notifies[0].name
    return rule(
        "ike",
        "failed",
        finding(
            "ike.refused",
            evidence(f"{name} of IKEv1 in answer to IKE_SA_INIT", *refusals),
            detail=f"The gateway refuses IKEv2, in IKEv1: {name}.",
            causes=_TYPE,
        ),
        summary=f"IKEv2, refused in IKEv1: {name}",
        seen=[*inits, *refusals],
    )


def _auth(view: View) -> Ruling:
    proofs = _of(view, "AUTH")
    later = [m for m in view.ike if m.step in ("IKEv2 CREATE_CHILD_SA", "IKEv2 INFORMATIONAL")]
    both = {f.direction for f in view.esp if f.packets}
    if not proofs:
        if later or view.esp:
            return rule("auth", "passed", summary="IKEv2, before the capture began",
                        seen=later[:1] or view.esp[:1])  # fmt: skip
        return _left_off(view)
    began = _asked_first(proofs)
    answers = [m for m in proofs if m.direction != began]
    asked = [m for m in proofs if m.direction == began]
    if not answers:
        silence = view.unanswered(asked)
        going_on = [m for m in later if m.t > asked[0].t and m.direction != began]
        if going_on or any(m.step.endswith("CREATE_CHILD_SA") for m in later):
            return rule("auth", "passed", summary="IKE_AUTH was answered: the SA is used",
                        seen=[*proofs, *later[:2]])  # fmt: skip
        if both or silence is None or not view.conclusive(silence):
            status = "passed" if both else "inconclusive"
            summary = "ESP is in use" if both else "too short to tell"
            return rule("auth", status, summary=summary, seen=proofs)  # type: ignore[arg-type]
        return rule(
            "auth",
            "failed",
            finding(
                "auth.unanswered",
                evidence(f"IKE_AUTH sent {tried(silence.tries, silence.seconds)}, "
                         "never answered", silence.first, silence.last),
                detail="The gateway does not answer IKE_AUTH.",
                confidence="medium",
            ),
            summary="no answer to IKE_AUTH",
            seen=proofs,
        )  # fmt: skip
    last = answers[-1]
    after = [m for m in later if m.t >= last.t and m.direction != last.direction]
    answered_after = [m for m in later if m.t >= last.t and m.direction == last.direction]
    # Fragments (RFC 7383) share a message ID.
    whole = [m for m in answers if m.message_id == last.message_id and not m.repeat]
    known = any(m.message_id == last.message_id for m in asked)  # or the answer may be cut as well
    # What is short enough for that is not sent in fragments.
    known = known and not any(V2_FRAGMENT in m.payloads for m in whole)
    short = known and sum(m.size for m in whole) <= ONLY_A_NOTIFY and proofs[-1] is last
    eap = len({m.message_id for m in proofs}) > 1
    if short and eap and not (both or after) and view.end - last.t < GOES_ON:
        return rule("auth", "inconclusive", seen=proofs,
                    summary="the capture ends in the middle of IKE_AUTH with EAP")  # fmt: skip
    if short and not both and not (after and answered_after):
        return rule(
            "auth",
            "failed",
            finding(
                "auth.refused",
                evidence(f"the answer to IKE_AUTH has {last.size} bytes: one notification fits, "
                         "not for identity, proof and SA", last),
                evidence("nothing follows: no ESP, no further exchange", *after[:1]),
                detail="The gateway refuses the login by EAP inside IKE_AUTH; the reason is "
                "encrypted. User name, password or EAP method do not fit, most likely."
                if eap
                else "The gateway refuses IKE_AUTH; the reason is encrypted.",
                confidence="medium",
            ),
            summary="refused (encrypted)",
            seen=proofs,
        )  # fmt: skip
    if proofs[-1].direction == began and not (both or later):
        return rule("auth", "inconclusive", summary="IKE_AUTH is not complete here", seen=proofs)
    return rule("auth", "passed", summary="IKE_AUTH answered (encrypted)", seen=proofs)


def _left_off(view: View) -> Ruling:
    """Nothing behind IKE_SA_INIT."""
    inits = _of(view, "SA_INIT")
    began = _asked_first(inits)
    chosen = [m for m in inits if m.direction != began]
    if not chosen or _ike(view).layer.status != "passed":
        return not_reached("auth", "no IKE_AUTH is seen")
    waited = view.end - chosen[-1].t
    summary = "the capture ends behind IKE_SA_INIT"
    if waited >= GOES_ON:
        summary = (
            f"nothing follows IKE_SA_INIT in {waited:.0f} s: IKE_AUTH is lost on the way here, or "
            "the client has only asked"
        )
    return rule("auth", "inconclusive", summary=summary, seen=inits)


def _ipsec(view: View) -> Ruling:
    proofs = _of(view, "AUTH")
    if proofs and _auth(view).layer.status != "passed":
        return not_reached("ipsec", "IKE_AUTH did not complete")
    left = _leaves(view, proofs)
    if left:
        return rule(
            "ipsec",
            "inconclusive",
            summary=f"an INFORMATIONAL exchange right behind IKE_AUTH, begun by the "
            f"{'client' if left[0].direction == 'out' else 'gateway'}, and not one ESP packet: "
            "there was no SA pair most likely, or one side did not accept the other's proof",
            seen=[*proofs, *left],
        )
    if not proofs and not view.esp:
        later = _later(view)
        if later:
            return rule("ipsec", "passed", summary="before the capture began", seen=later[:1])
        return not_reached("ipsec", "IKE_AUTH did not complete")
    return rule("ipsec", "passed", summary="SA pair made by IKE_AUTH", seen=proofs or view.esp[:1])


def _leaves(view: View, proofs: list[IkeMessage]) -> list[IkeMessage]:
    """What one side says right behind IKE_AUTH in place of sending ESP: a Delete, as a rule."""
    if not proofs or any(f.packets for f in view.esp):
        return []
    later = [m for m in view.ike if m.t > proofs[-1].t and not m.step.endswith(("AUTH", "SA_INIT"))]
    soon = [m for m in later if m.t - proofs[-1].t <= SOON]
    if not soon or len({m.message_id for m in later}) > 2:
        return []  # the SA is used on: questions whether the other side is there
    return soon


def _esp(view: View) -> Ruling | None:
    out, back = view.esp_out, view.esp_back
    if (out and back) or not (out or back):
        return None
    one = out or back
    packets = sum(f.packets for f in one)
    span = max(view.end, *(f.last_t for f in one)) - min(f.t for f in one)
    if (view.ended is not None and view.ended.one_sided) or packets < 3 or span < 4.0:
        return rule("esp", "inconclusive", summary="only one direction is seen", seen=one)
    start = min(f.t for f in one)
    alive = [m for m in view.ike if m.t >= start and m.direction != one[0].direction]
    said = [evidence(f"{packets} ESP packets one way in {span:.1f} s, none the other way", *one)]
    if alive:
        said.append(evidence("IKE is answered all the while", alive[0]))
    return rule(
        "esp",
        "failed",
        finding(
            "esp.one-way",
            *said,
            detail="ESP packets go one way only; nothing comes back.",
            confidence="high" if alive else "medium",
        ),
        summary=f"{packets} one way, none back",
        seen=one,
    )
