"""Renewals of keys in a session that was up, as its messages show them: live and in captures."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from vpndiag.diagnosis.ike_sa import ERROR_NOTIFY_LIMIT, IkeSa
from vpndiag.observations import EspFlow, IkeMessage, Observation
from vpndiag.records import record

if TYPE_CHECKING:
    from vpndiag.diagnosis.view import View

HELD_UP = 2.0
"""Seconds without a packet back that are told."""
_SOON = 2.0
"""Seconds within which an encrypted notification is taken for the answer."""
_BLOCK = 16
"""Bytes by which question and answer may differ: one block of the cipher."""
_PROOFS = 3
"""Times that message 5 is sent in vain, from which on it is not taken."""


@record(slots=True)
class Renewal:
    """A quick mode or main mode of a session that was up. ``tries`` are its first message and the
    repeats, ``done`` when it was answered (main mode: complete), ``refusal`` what said no."""

    layer: str
    tries: list[IkeMessage]
    done: float | None = None
    refusal: list[IkeMessage] = field(default_factory=list)

    @property
    def first(self) -> IkeMessage:
        return self.tries[0]


def renewals(view: View) -> list[Renewal]:
    """In order of their first messages."""
    if not view.esp or not view.ike:
        return []
    back = [f.t for f in view.esp if f.direction == "in"]
    forth = [f.t for f in view.esp if f.direction == "out"]
    if not back or not forth:
        return []  # what comes back alone may be for another client behind the same NAT
    up = max(min(back), min(forth))
    left = _left(view)
    found: list[Renewal] = []
    for sa in view.ike_sas:
        opening = [m for m in sa.step("MM1") if m.t < left]
        # One that was begun before is of the attempt, or a question beside it.
        if opening and opening[0].t >= up:
            found.append(_main_mode(sa, opening))
        ids = dict.fromkeys(m.message_id for m in sa.step("QM1") if up <= m.t < left)
        last = max(f.last_t for f in view.esp if f.direction == "out")
        found += [_quick_mode(sa, number, last, view.end) for number in ids]
    return sorted(found, key=lambda r: r.first.t)


def _left(view: View) -> float:
    """When the client said goodbye."""
    farewell = [m.t for m in view.l2tp_of("out", "StopCCN", "CDN")]
    return min(farewell, default=float("inf"))


def _main_mode(sa: IkeSa, tries: list[IkeMessage]) -> Renewal:
    first = tries[0]
    back = [m for m in sa.messages if m.direction != first.direction and m.t >= first.t]
    last = [m for m in back if m.step == "MM6"]
    proofs = sa.of(first.direction, "MM5")
    if len(proofs) >= _PROOFS and not last:
        # It came to the proof, and no further.
        said = [m for m in back if m.step == "INFO" and m.t >= proofs[0].t]
        return Renewal("ike", [first, *proofs], None, said if first.direction == "out" else [])
    # Message 4 of a main mode that is still under way, or cut off, is an answer all the same.
    answers = last or [m for m in back if m.step in ("MM2", "MM4")]
    ours = first.direction == "out"
    refusal = [m for m in back if _says_no(m)] if ours and sa.reached < 6 else []
    return Renewal("ike", tries, answers[0].t if answers and not refusal else None, refusal)


def _quick_mode(sa: IkeSa, number: int, last_out: float, end: float) -> Renewal:
    """``last_out``: the last ESP packet of the client; ``end``: of all."""
    same = [m for m in sa.messages if m.message_id == number]
    tries = [m for m in same if m.step == "QM1"]
    first, last = tries[0], tries[-1]
    answers = [m for m in same if m.direction != first.direction and m.t >= first.t]
    if answers or first.direction == "in":
        return Renewal("ipsec", tries, answers[0].t if answers else None)
    told = [
        m for m in sa.messages
        if m.direction != first.direction and m.step == "INFO" and m.t >= first.t
        and (_says_no(m) or (m.protection == "opaque" and m.t <= last.t + _SOON))
    ]  # fmt: skip
    # Encrypted, it may be about anything: it is an answer when no repeat follows, and the client
    # did not ask anything else.
    asked = [m.t for m in sa.messages if m.step == "INFO" and m.direction == first.direction
             and m.t >= first.t]  # fmt: skip
    until = min(asked, default=end - _SOON)  # or its answer may still come
    told = [
        m for m in told
        if m.protection != "opaque" or (last.t <= m.t <= until and not _is_check(m, sa, last_out))
    ]  # fmt: skip
    return Renewal("ipsec", tries, None, told)


def _is_check(m: IkeMessage, sa: IkeSa, last_out: float) -> bool:
    """Whether the client answers ``m`` with a message like it, and goes on with the session: dead
    peer detection (RFC 3706)."""
    return any(
        x.step == "INFO" and x.direction != m.direction and 0 <= x.t - m.t <= _SOON
        and abs(x.size - m.size) <= _BLOCK and last_out > x.t
        for x in sa.messages
    )  # fmt: skip


def _says_no(m: IkeMessage) -> bool:
    refused = any(n.type < ERROR_NOTIFY_LIMIT for n in m.notifies)
    return m.step == "INFO" and (refused or any("ISAKMP" in d for d in m.deletes))


def refusal_text(m: IkeMessage) -> tuple[str, bool]:
    """In words, and whether it could be read."""
    for n in m.notifies:
        if n.type < ERROR_NOTIFY_LIMIT:
            return n.name, True
    if m.deletes:
        return "with a Delete of the IKE SA", True
    return f"with an encrypted notification of {m.size} bytes", False


def held_up(view: View) -> tuple[str, Observation, float] | None:
    """The longest time in which nothing came back although packets went out, right after a
    renewal: its layer, its first sign, and seconds."""
    measured = [r for r in view.rekeys if r.outcome == "renewed" and (r.stall or 0.0) >= HELD_UP]
    if measured:
        worst = max(measured, key=lambda r: r.stall or 0.0)
        return worst.what, worst, worst.stall or 0.0
    if view.live:
        return None
    found: list[tuple[str, Observation, float]] = []
    done = [r for r in view.renewals if r.done is not None]
    for r in done:
        gap = _gap(view.esp, r.done or 0.0)
        if gap < HELD_UP:
            continue
        # A quick mode right after a new main mode is part of it.
        within = [x for x in done if x.layer == "ike" and 0 <= r.first.t - (x.done or 0.0) <= 1.0]
        found.append((within[0].layer if within else r.layer, r.first, gap))
    return max(found, key=lambda f: f[2], default=None)


def _gap(flows: list[EspFlow], at: float) -> float:
    """Seconds around ``at`` without ESP from the gateway, while at least three packets went out."""
    back = [f for f in flows if f.direction == "in" and f.packets]
    before = [f for f in back if f.t <= at]
    after = [f for f in back if f.last_t > at]
    if not before or not after:
        return 0.0
    spanning = [f for f in before if f.last_t > at]
    if spanning:
        silent = [f for f in spanning if f.silence_from <= at + 1.0 <= f.silence_from
                  + f.longest_silence]  # fmt: skip
        if len(silent) < len(spanning):
            return 0.0
        start, end = silent[0].silence_from, silent[0].silence_from + silent[0].longest_silence
    else:
        start, end = max(f.last_t for f in before), min(f.t for f in after)
    sent = sum(start < t < end for f in flows if f.direction == "out" for t in f.times)
    return end - start if sent >= 3 else 0.0
