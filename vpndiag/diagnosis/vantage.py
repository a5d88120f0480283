"""Captures made near the gateway: they show answers that never reached the client.

A client that asks the same again, some time after an answer to it was seen, and never goes on, did
not get that answer. Judged is what the client saw, so that one fault has one verdict wherever it
was recorded; the lost answers are evidence of where packets vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from vpndiag.diagnosis import gave_up, outer_mtu
from vpndiag.diagnosis.ike_sa import ERROR_NOTIFY_LIMIT
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, rule, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import (
    EspFlow,
    IkeEstablished,
    IkeMessage,
    IpsecSa,
    L2tpMessage,
    Observation,
    PppMessage,
)
from vpndiag.report.model import Cause, Finding

ASKED_AGAIN = 2
"""Repeats after the answer that make it a lost one; a single one may have crossed it, and all that
leave within the round trip do (:func:`_crossing`)."""
REPEATED = 4
"""Packets of one size at growing intervals that are one message and its repeats."""
SOONEST = 0.35
"""Seconds after which a message is repeated at the earliest."""
COPY = 0.01
"""Seconds within which a packet like another is a copy of it."""
_REACTIONS = (("MM2", "MM3"), ("MM4", "MM5"), ("MM6", "QM1"), ("QM2", "QM3"))
_IKE_ANSWER = {"MM1": "MM2", "MM3": "MM4", "MM5": "MM6", "AM1": "AM2", "QM1": "QM2"}
_L2TP_ANSWER = {"SCCRQ": "SCCRP", "ICRQ": "ICRP"}
_L2TP_ORDER = ("SCCRQ", "SCCRP", "SCCCN", "ICRQ", "ICRP", "ICCN")


def as_the_client_saw(view: View) -> tuple[View, list[Observation]]:
    """What the client can have seen, and the answers that it never got.

    What a live run saw is the client's own and all kept.
    """
    if view.live:
        return view, []
    ordered = view.all
    lost: set[int] = set()
    cookies: dict[str, list[IkeMessage]] = {}
    if _asked_again(view.ike):
        cookies = {sa.cookie: [m for m in sa.messages if m.version == 1] for sa in view.ike_sas}
    deaf: set[str] = set()
    strange = {sa.cookie for sa in view.ike_sas if sa.foreign_choice} if cookies else set()
    for cookie, messages in cookies.items():
        if cookie in strange:
            continue  # heard, and not taken
        answers = _unheard_ike(messages, view)
        lost |= {id(m) for m in answers}
        if answers:
            deaf.add(cookie)
    ports = {m.port for c in deaf for m in cookies[c] if m.step == "MM2" and id(m) in lost}
    if ports:
        for messages in cookies.values():
            # nothing of such a port is heard: answers to questions on the side are lost as well
            if all(m.step in ("MM1", "AM1") for m in messages if m.direction == "out"):
                lost |= {id(m) for m in messages if m.direction == "in" and m.port in ports}
        lost |= {
            id(m) for m in view.ike if m.version != 1 and m.direction == "in" and m.port in ports
        }
    since = _unheard_l2tp(view)
    if since is not None:
        # ESP is counted as a whole: what came back is not heard either
        lost |= {
            id(o)
            for o in ordered
            if isinstance(o, L2tpMessage | PppMessage | EspFlow)
            and o.direction == "in"
            and (isinstance(o, EspFlow) or o.t >= since)
        }
    lost |= {id(f) for f in _unheard_esp(view)}
    if not lost:
        return view, []
    early = min(o.t for o in ordered if id(o) in lost)
    kept = [
        o
        for o in ordered
        if id(o) not in lost
        and not (isinstance(o, IkeEstablished) and o.initiator_cookie in deaf)
        and not (isinstance(o, IpsecSa) and deaf and o.t >= early and since is None)
    ]
    return View(kept), [o for o in ordered if id(o) in lost]


def _asked_again(messages: list[IkeMessage]) -> bool:
    return sum([m.repeat and m.direction == "out" for m in messages]) >= ASKED_AGAIN


def _crossing(view: View) -> float:
    """Seconds in which the client can have sent something before it had the answer: those from here
    to the client and back, as its reactions to other answers show; 0: there are none."""
    trips = []
    for sa in view.ike_sas:
        for answer, reaction in _REACTIONS:
            came, went = sa.of("in", answer), sa.of("out", reaction)
            if came and went and went[0].t > came[0].t:
                trips.append(went[0].t - came[0].t)
    return 1.5 * min(trips, default=0.0)


def _unheard_ike(messages: list[IkeMessage], view: View) -> list[IkeMessage]:
    """The gateway's messages from the first one on that the client did not get."""
    if not _asked_again(messages):
        return []
    for asked, answered in _IKE_ANSWER.items():
        answers = [m for m in messages if m.step == answered and m.direction == "in"]
        if not answers or (answered in ("MM2", "AM2") and not answers[0].transforms):
            continue  # an answer that makes no sense was perhaps heard and thrown away
        first = answers[0]
        since = first.t + _crossing(view)
        again = [
            m for m in messages
            if m.step == asked and m.direction == "out" and m.repeat and m.t > since
            and m.message_id == first.message_id
        ]  # fmt: skip
        on = [
            m for m in messages
            if m.direction == "out" and m.t > first.t and (
                (m.step not in (asked, "INFO") and m.step[:2] >= asked[:2]
                 and not (m.step[:2] == asked[:2] and m.step < asked))
                # who says what is wrong with an answer has got it
                or any(n.type < ERROR_NOTIFY_LIMIT for n in m.notifies)
            )
        ]  # fmt: skip
        if len(again) >= ASKED_AGAIN and not on:
            return [m for m in messages if m.direction == "in" and m.t >= first.t]
    return []


def _unheard_l2tp(view: View) -> float | None:
    """When the first answer inside the tunnel came that the client did not get."""
    messages = view.l2tp
    for asked, answered in _L2TP_ANSWER.items():
        tries = view.l2tp_of("out", asked)
        if len(tries) < ASKED_AGAIN:
            continue
        answers = view.l2tp_of("in", answered)
        if not answers:
            continue
        since = answers[0].t + _crossing(view)
        again = [m for m in tries if m.t > since]
        later = _L2TP_ORDER[_L2TP_ORDER.index(answered) :]
        if len(again) >= ASKED_AGAIN and not any(
            m.direction == "out" and m.message in later for m in messages
        ):
            return answers[0].t
    return None


def _unheard_esp(view: View) -> list[EspFlow]:
    """The gateway's ESP where the client sends nothing but its first message, as nobody can read:
    one size, at growing intervals, as L2TP repeats a SCCRQ (RFC 2661 section 5.8)."""
    if view.l2tp_all or view.ppp:
        return []
    out, back = view.esp_out, view.esp_back
    times_ = sorted([t for f in out for t in f.times])
    if not back or len(times_) < REPEATED or len(times_) != sum([f.packets for f in out]):
        return []
    if len({size for f in out for size in f.sizes}) != 1 or view.other_ipsec or view.only_ikev2:
        return []
    if not any(m.step == "QM3" and m.direction == "out" for m in view.ike):
        return []
    # Not those of packets that were recorded twice.
    gaps = [b - a for a, b in pairwise(times_) if b - a >= COPY]
    if len(gaps) < REPEATED - 1 or gaps[0] < SOONEST:
        return []
    slower = all(b >= 0.9 * a for a, b in pairwise(gaps)) and gaps[-1] >= 1.8 * gaps[0]
    heard = sum(t > min(f.t for f in back) for t in times_)
    return back if slower and heard >= ASKED_AGAIN else []


def explained(found: Finding, lost: Sequence[Observation]) -> Finding:
    """``found`` with what the capture shows beyond what the client saw."""
    count = sum(o.packets if isinstance(o, EspFlow) else 1 for o in lost)
    seen = evidence(
        f"the gateway did answer, {times(count)}, but the client asks on as if nothing had "
        "come: the answers are lost between this capture and the client",
        *lost,
    )
    unheard = {n for o in lost for n in o.frames}
    if any(unheard.intersection(e.frames) for e in found.evidence):
        return found  # made of these answers
    protected = any(isinstance(o, EspFlow) for o in lost)
    return replace(
        found,
        evidence=(*found.evidence, seen),
        causes=(*_UNHEARD, _UNVERIFIED) if protected else _UNHEARD,
        owner=_UNHEARD[0].owner,
        detail=f"The gateway's answers do not get to the client. As the client sees it: "
        f"{found.detail}",
    )


_UNHEARD = (
    Cause("The answers are dropped between the place of this capture and the client: by a firewall "
          "or NAT near the client, or a way back that goes elsewhere", "network",
          "Capture at the client as well; let UDP 500 and 4500, and ESP, through both ways",
          "likely"),
    Cause("They reach the client's computer, and its own firewall or VPN service drops them",
          "helpdesk", "Look at its firewall and its VPN log at the time of the evidence",
          "possible"),
)  # fmt: skip
_UNVERIFIED = Cause(
    "The client gets them and cannot verify them: the two sides cut HMAC-SHA2-256 differently",
    "gateway-admin", "Offer SHA-1 as well, or set the gateway to RFC 4868 (128 bits)", "possible",
)  # fmt: skip
_DISBELIEVED = Cause(
    "The client gets message 6 and does not accept the gateway's certificate, without a word",
    "helpdesk", "Look whether it trusts the issuing authority, and at the names in the certificate",
    "possible",
)  # fmt: skip


def proof_unheard(
    ruling: Ruling, view: View, everything: View, lost: Sequence[Observation]
) -> Ruling | None:
    """Rung ``auth`` where silence was found and message 6 was sent all the same: a gateway sends it
    only after it has verified message 5, so neither key nor certificate of the client is wrong."""
    proofs = [
        m for m in lost
        if isinstance(m, IkeMessage) and m.step == "MM6" and m.protection in ("opaque", "decrypted")
    ]  # fmt: skip
    sa = view.primary
    codes = {f.code for f in ruling.findings}
    # That it is lost shows by repeats behind it, however long the capture goes on.
    silent = bool(codes & _SILENCE) or ruling.layer.status == "inconclusive"
    if not proofs or sa is None or not silent:
        return None
    asked = sa.step("MM5")
    large = outer_mtu.is_large(proofs[0])
    if not large and (not asked or asked[0].port != 4500):
        return gave_up.judge("auth", everything)
    seen = [*asked, *proofs]
    said = [
        evidence(f"the gateway answers message 5 with message 6, {times(len(proofs))} "
                 f"({proofs[0].size} bytes)", *proofs),
        evidence(f"message 5 is sent {times(len(asked))}, as if nothing had come", *asked),
    ]  # fmt: skip
    if asked and proofs[0].port != asked[0].port:
        text = (
            f"Message 5 goes to UDP {asked[0].port}, and the answers come from UDP {proofs[0].port}"
        )
        found = finding(
            "path.answer-from-elsewhere", *said, severity="error", confidence="high",
            detail=f"{text}: a NAT or firewall near the client throws them away.",
        )  # fmt: skip
        return rule("path", "failed", found, summary=text, seen=seen)
    causes: tuple[Cause, ...] = _UNHEARD
    if sa.by_certificate:
        causes += (_DISBELIEVED,)
    if large:
        found = finding(
            "path.fragments-lost", *said, causes=(_FRAGMENTED, *causes), confidence="medium",
            detail="The gateway's large message with its certificate travels in IP fragments, and "
            "the client asks on as if it had not come.",
        )  # fmt: skip
        return rule("path", "failed", found, summary="large IKE messages are lost", seen=seen)
    found = finding(
        "path.float-blocked", *said, causes=causes, confidence="medium",
        detail="The gateway accepts message 5, and its answers from UDP 4500 do not get to the "
        "client.",
    )  # fmt: skip
    found = replace(found, owner=causes[0].owner)
    return rule("path", "failed", found, summary="UDP 4500: the answers are lost", seen=seen)


_SILENCE = {"auth.unanswered", "auth.psk-mismatch", "auth.certificate-refused"}
_FRAGMENTED = Cause(
    "A firewall or NAT between this capture and the client drops IP fragments", "network",
    "Let fragments pass, or switch IKE fragmentation on at the gateway", "likely",
)  # fmt: skip


def client_gone(view: View) -> Ruling | None:
    """Rung ``auth`` of a capture in which the client sends nothing after the gateway's choice."""
    sa = view.primary
    if view.live or sa is None or sa.version != 1 or sa.reached != 2 or sa.chosen is None:
        return None
    if view.esp or view.established:
        return None
    said = [m for m, n in sa.notifies("out") if m.t >= sa.chosen.t]
    if said:
        names = ", ".join(dict.fromkeys(n.name for m in said for n in m.notifies))
        return rule("auth", "inconclusive", seen=[sa.chosen, *said],
                    summary=f"the client answers the gateway's choice with {names}")  # fmt: skip
    closed = [e for e in view.icmp if e.direction == "out" and e.t >= sa.chosen.t]
    if closed:
        return rule(
            "auth",
            "inconclusive",
            summary=f"the client sends nothing after the gateway's choice, and ICMP "
            f"{closed[0].what.replace('-', ' ')} comes back for that: the choice does not get to "
            "who asked (its program has ended, a firewall there, or it has only asked)",
            seen=[sa.first, sa.chosen, *closed],
        )
    return rule(
        "auth",
        "inconclusive",
        summary="the client sends nothing after the gateway's choice: its message is lost on the "
        "way here, or it has only asked",
        seen=[sa.first, sa.chosen],
    )
