"""Two recorders whose clocks differ: a file merged of two TAPs, one for each direction.

Main and aggressive mode say in which order their first messages were sent: the choice of the
responder comes behind the offer, and before the initiator's next message, which names the
responder's cookie (RFC 2408 section 3.1). Where it is recorded much before the one or much behind
the other, no network has done that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import pairwise

from vpndiag.capture.flows import EspFlow
from vpndiag.capture.material import Hosts, IkeTrack, Material, other_host
from vpndiag.capture.ports import NO_COOKIE

APART = 30_000_000_000
"""Nanoseconds by which a message is at the wrong time: nobody repeats one for so long."""
_SA = 1
"""Payload type of the first payload of an offer and of the answer to it."""


def one_clock(material: Material) -> dict[Hosts, int]:
    """Put what the responder sent on the initiator's clock, in place.

    Returns (sender, receiver) -> nanoseconds that were added to the times of these packets.
    """
    moved: dict[Hosts, int] = {}
    for track in material.ike:
        found = _offset(track)
        if found is not None:
            moved.setdefault(*found)
    if moved:
        _move(material, moved)
    return moved


def _offset(track: IkeTrack) -> tuple[Hosts, int] | None:
    asked = next((m for m in track.messages if m.data[8:16] == NO_COOKIE), None)
    if asked is None or asked.data[16] != _SA:
        return None
    ends = asked.src[0], asked.dst[0]
    answer = later = None
    for m in track.messages:
        if m.data[8:16] == NO_COOKIE:
            continue
        if later is None and (m.src[0], m.dst[0]) == ends:
            later = m
        if answer is None and (m.dst[0], m.src[0]) == ends and m.data[16] == _SA:
            answer = m
        if later is not None and answer is not None:
            break
    if later is None or answer is None or ends[0] == ends[1]:
        return None
    if any(two.time_ns < one.time_ns for one, two in pairwise(track.messages)):
        return None  # one clock, that was set back (see order)
    if asked.time_ns - APART < answer.time_ns < later.time_ns + APART:
        return None
    # Of an offer that was sent often, the last is the one that was answered.
    offers = [m.time_ns for m in track.messages if m.data[8:16] == NO_COOKIE]
    last = max((t for t in offers if t <= later.time_ns), default=asked.time_ns)
    return ends[::-1], (last + later.time_ns) // 2 - answer.time_ns


def _move(material: Material, moved: dict[Hosts, int]) -> None:
    last = 0
    for messages in [t.messages for t in material.ike] + [t.messages for t in material.l2tp]:
        for m in messages:
            m.time_ns += moved.get((m.src[0], m.dst[0]), 0)
        messages.sort(key=lambda m: m.time_ns)
        last = max([last, *(m.time_ns for m in messages[-1:])])
    for ike in material.ike:
        ike.last_ns = max(m.time_ns for m in ike.messages)
    for tunnel in material.l2tp:
        for count in tunnel.data.values():
            by = moved.get((count.src, other_host(tunnel.hosts, count.src)), 0)
            count.first_ns += by
            count.last_ns += by
            last = max(last, count.last_ns)
    for flow in material.flows:
        by = moved.get((flow.src[0], flow.dst[0]), 0)
        for part in flow.parts if by else ():
            _move_flow(part, by)
        last = max(last, flow.last_ns)
    if any(by < 0 for by in moved.values()):
        material.last_ns = min(material.last_ns, last)


def _move_flow(part: EspFlow, by: int) -> None:
    part.first = [s._replace(time_ns=s.time_ns + by) for s in part.first]
    part.last = deque((s._replace(time_ns=s.time_ns + by) for s in part.last), part.last.maxlen)
    part.gap_samples = [g._replace(time_ns=g.time_ns + by) for g in part.gap_samples]
    if part.silence is not None:
        silence = part.silence
        part.silence = replace(silence, from_ns=silence.from_ns + by, to_ns=silence.to_ns + by)


def note(hosts: Hosts, by: int) -> str:
    """What was done, for people."""
    how = "ahead of" if by < 0 else "behind"
    return (
        f"What {hosts[0]} sends to {hosts[1]} was recorded with a clock that is "
        f"{abs(by) / 1e9:.0f} s {how} that of the other direction; both are judged by one clock."
    )
