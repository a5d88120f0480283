"""What a run of vpndiag asked to find out which sizes get to the gateway, out of its packets.

The messages bear a mark (:mod:`vpndiag.protocols.ike.padded`). They open no SA and are nobody's
attempt to connect, so they are kept apart from the IKE of a session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from vpndiag.capture.material import IkeTrack
from vpndiag.capture.packets import IcmpError, Message
from vpndiag.observations import OuterMtu
from vpndiag.observe.icmp import icmp_what
from vpndiag.protocols.ike.padded import Question, read_padded

_UDP, _MARKER = 8, 4
_SMALL = 300
"""What is smaller was sent to learn whether it is answered at all."""
FULL = 1500


def is_sized(track: IkeTrack) -> bool:
    """Whether this cookie is one of those questions."""
    return read_padded(track.messages[0].data) is not None


def is_sized_head(head: bytes) -> bool:
    """The same of the first fragment of a datagram, UDP header included."""
    return any(read_padded(head[at:]) is not None for at in (_UDP, _UDP + _MARKER))


class _Line:
    """The packets of one question, with don't-fragment."""

    def __init__(self) -> None:
        self.answered: dict[int, tuple[int, ...]] = {}
        self.lost: dict[int, tuple[int, ...]] = {}
        self.last_small: bool | None = None


def outer_mtu(
    tracks: Sequence[IkeTrack], icmp: Sequence[IcmpError], t: Callable[[int], float]
) -> OuterMtu | None:
    """None: nothing was asked, or the capture does not show it. ``icmp``: of the same two hosts."""
    asked = [(track, found) for track in tracks if (found := read_padded(track.messages[0].data))]
    if not asked:
        return None
    lines: dict[Question, _Line] = defaultdict(_Line)
    fragments: list[tuple[int, bool, tuple[int, ...]]] = []
    ends: dict[tuple[str, int], bool] = {}
    tries = 0
    for track, what in asked:
        first = track.messages[0]
        answers = [m for m in track.messages if m.src == first.dst]
        sent = [m for m in track.messages if m.src == first.src]
        tries = max(tries, len(sent))
        frames = tuple(f for m in (*sent, *answers) for f in m.frames)[:4]
        size = _size(first)
        if not what.whole:
            fragments.append((size, bool(answers), frames))
            continue
        ends[first.src] = True
        line = lines[what.question]
        (line.answered if answers else line.lost).setdefault(size, frames)
        if size < _SMALL:
            line.last_small = bool(answers)
    question = next((q for q, line in lines.items() if line.answered), None)
    errors = [
        e for e in icmp
        if (e.quote.src, e.quote.sport) in ends
        and icmp_what(e.type, e.code, ipv6=e.version == 6) == "fragmentation-needed"
    ]  # fmt: skip
    first = asked[0][0].messages[0]
    last_ns = max(track.last_ns for track, _what in asked)
    return _result(lines, question, fragments, errors, t(last_ns), first, tries)


def _result(
    lines: dict[Question, _Line],
    question: Question | None,
    fragments: list[tuple[int, bool, tuple[int, ...]]],
    errors: list[IcmpError],
    t: float,
    first: Message,
    tries: int,
) -> OuterMtu:
    line = lines[question] if question is not None else _Line()
    largest = max(line.answered, default=0)
    lost = min((s for s in line.lost if s > largest), default=0)
    passed = any(answered for _size_, answered, _frames in fragments)
    sure = line.last_small is not False
    tried = max((*line.answered, *line.lost), default=0)
    frames = (*line.answered.get(largest, ()), *line.lost.get(lost, ()))
    frames += tuple(f for _s, _a, some in fragments for f in some)
    return OuterMtu(
        t=t,
        frames=tuple(sorted(set(frames)))[:12],
        port=4500 if first.marker else 500,
        question=question or "",
        outcome="unanswered" if question is None else "measured" if sure else "unsure",
        tried=tried,
        largest=largest,
        lost=lost,
        fragments="pass" if passed else "lost" if fragments and sure else "not-tested",
        fragmented_size=max((size for size, _a, _f in fragments), default=0),
        told_mtu=next((e.mtu for e in errors if e.mtu), None),
        reporter=errors[0].src if errors else "",
        # larger ones were never sent: this computer did not let them go
        local_limit=bool(question) and not lost and not errors and 0 < tried < FULL,
        tries=tries,
    )


def _size(m: Message) -> int:
    """Bytes of the IP packet."""
    header = 40 if ":" in m.src[0] else 20
    return header + _UDP + (_MARKER if m.marker else 0) + len(m.data) + m.missing


__all__ = ["is_sized", "is_sized_head", "outer_mtu"]
