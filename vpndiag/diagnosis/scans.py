"""Who only asks what answers: scans of a gateway, and questions of administrators' tools.

They are no clients, so what they are told, or not told, is not what a capture is about as long as
there is a client in it. How they give themselves away follows from what a client does: it says that
it knows NAT traversal, it offers all that it would take in one message, and it goes on as soon as
the gateway has chosen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from vpndiag.diagnosis.ike_sa import ERROR_NOTIFY_LIMIT, NATT_VENDOR_IDS
from vpndiag.diagnosis.judged import Judged
from vpndiag.observations import Ended, IcmpError, IkeMessage, Observation

OFFERS = 3
"""Different offers of one transform each. A client that tries again has one or two."""
WENT_ON = 4.0
"""Seconds in which every client sends its next message."""
_FIRST = ("MM1", "AM1", "IKEv2 SA_INIT")
_Asked = dict[str, list[IkeMessage]]


def is_scan(observations: Iterable[Observation]) -> bool:
    """First messages and no more of an attempt, as no client sends them."""
    asked: _Asked = defaultdict(list)
    answered: dict[str, IkeMessage] = {}
    end = 0.0
    for o in observations:
        if isinstance(o, IkeMessage):
            if o.direction == "in":
                answered.setdefault(o.initiator_cookie, o)
                continue
            if o.step not in _FIRST or not (o.transforms or o.version == 2):
                return False
            asked[o.initiator_cookie].append(o)
        elif not isinstance(o, (IcmpError, Ended)):
            return False
        end = max(end, o.t)
    if not asked:
        return False
    return _tells_nothing(asked) or _tries_out(asked) or _leaves(asked, answered, end)


def _tells_nothing(asked: _Asked) -> bool:
    """Nothing is said of NAT, as a VPN client does (RFC 3947 section 3.1)."""
    return all(
        m.version == 1 and NATT_VENDOR_IDS.isdisjoint(m.vendor_ids)
        for messages in asked.values() for m in messages[:1]
    )  # fmt: skip


def _tries_out(asked: _Asked) -> bool:
    """One transform after the other, each under a cookie of its own."""
    offers = {messages[0].transforms for messages in asked.values()}
    return len(offers) >= OFFERS and all(len(transforms) == 1 for transforms in offers)


def _leaves(asked: _Asked, answered: dict[str, IkeMessage], end: float) -> bool:
    """Each question was answered with a choice, was not asked again after that, as a client does
    that has not got the answer, and nothing follows."""
    for cookie, messages in asked.items():
        answer = answered.get(cookie)
        if answer is None or answer.t < messages[-1].t or not _chooses(answer):
            return False
    return end - max(m.t for messages in asked.values() for m in messages) >= WENT_ON


def _chooses(answer: IkeMessage) -> bool:
    if answer.version == 2:
        known = answer.responder_cookie != "00" * 8
        return known and not any(n.type < ERROR_NOTIFY_LIMIT for n in answer.notifies)
    return bool(answer.transforms)


SWEEP = 8
"""Gateways of which a client of one VPN hears nothing, at most: its entries, and then some."""


def sweeping(attempts: Sequence[Judged]) -> set[str]:
    """Who asks one gateway after the other, and is answered by none of these."""
    asked: dict[str, set[str]] = defaultdict(set)
    for a in attempts:
        if a.diagnosis.verdict.finding == "path.silent":
            asked[a.client].add(a.gateway)
    return {client for client, gateways in asked.items() if len(gateways) > SWEEP}
