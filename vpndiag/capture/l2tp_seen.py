"""L2TP and PPP of a capture as observations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from vpndiag.capture.attempt import Attempt
from vpndiag.capture.packets import End, Message
from vpndiag.observations import Observation
from vpndiag.observe.l2tp import L2tpObserver
from vpndiag.observe.ppp import PppObserver
from vpndiag.protocols.ppp.frame import encode_frame


def l2tp_seen(
    attempt: Attempt,
    messages: list[Message],
    inside: Literal["esp", "clear"],
    t: Callable[[int], float],
) -> Iterator[Observation]:
    """L2TP messages of one attempt, and the PPP in them. ``t``: seconds of a packet's time."""
    if not messages:
        return
    observer = L2tpObserver()
    outward = {f.spi for f in attempt.flows if attempt.sent(f)}
    sent = [by_client(attempt, m, messages[0], outward) for m in messages]
    strange = _not_asked(messages, sent)
    for m, mine in zip(messages, sent, strict=True):
        elsewhere = not mine and m.src in strange and _is_control(m)
        seen = observer.observe(
            m.data + bytes(m.missing) if m.missing else m.data,
            t=t(m.time_ns),
            direction="out" if mine else "in",
            inside=inside,
            other_source=m.other_source or (f"{m.src[0]}:{m.src[1]}" if elsewhere else ""),
            source=m.src,
            destination=m.dst,
            frames=m.frames,
        )
        if seen is not None:
            yield seen


def ppp_seen(attempt: Attempt, t: Callable[[int], float]) -> Iterator[Observation]:
    """The packets of a PPP link that was captured bare."""
    if attempt.ppp is None:
        return
    number = attempt.ppp.packets[0].session
    observer = PppObserver(f"PPPoE {number}" if number else "PPP link")
    for p, sent in zip(attempt.ppp.packets, attempt.ppp.sent, strict=True):
        seen = observer.observe(
            encode_frame(p.protocol, p.payload),
            t=t(p.time_ns),
            direction="out" if sent else "in",
            frames=(p.frame,),
        )
        if seen is not None:
            yield seen


def by_client(attempt: Attempt, m: Message, first: Message, outward: set[int]) -> bool:
    """Whether the client sent it. ``first`` of the messages beside it; ``outward``: SPIs of the
    client's ESP."""
    if m.spi:
        return m.spi in outward
    if attempt.client != attempt.gateway:
        return m.src[0] == attempt.client
    # Both have one address: told by ports, and by who began.
    return m.src == first.src


def _not_asked(messages: list[Message], sent: list[bool]) -> set[End]:
    """Ends that answer, and that the client never sent to. An LNS may answer from another port
    (RFC 2661 section 8.1): who takes that goes on with it, or has nothing more to say."""
    both = list(zip(messages, sent, strict=True))
    asked = {m.dst for m, mine in both if mine}
    strange = {m.src for m, mine in both if not mine} - asked
    if not strange or not asked:
        return set()
    at_home = {address for address, _ in asked}
    last = max(m.time_ns for m, mine in both if mine)
    early = {m.src for m, mine in both if not mine and m.time_ns < last}
    return {end for end in strange if end[0] not in at_home or end in early}


def _is_control(m: Message) -> bool:
    return bool(m.data) and m.data[0] & 0x80 != 0
