"""Large packets that are lost inside the tunnel, told from the headers of users' IP packets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field

from vpndiag.capture.packets import Message
from vpndiag.observations import Direction, LargeLost
from vpndiag.records import record

SMALLEST = 576
"""Every IPv4 host takes this much (RFC 1122 section 3.3.2): smaller losses have other causes."""
TRIES = 4
SECONDS = 1.5
MANY = 8
"""Large echo requests without a reply, where small ones to the same host get lost as well."""
_MAX_STREAMS = 256
_ECHO, _ECHO_REPLY = 8, 0
_WRAP = 1 << 32


@record(slots=True)
class _Segment:
    first: Message
    last: Message
    size: int
    end: int
    tries: int = 1


@record(slots=True)
class _Stream:
    """One direction of a TCP connection."""

    next: int | None = None
    gap: tuple[Message, int] | None = None
    acked: int | None = None
    acked_ns: int = 0
    """When that was acknowledged first."""
    held_ns: int = 0
    """When it was acknowledged last."""
    segments: dict[int, _Segment] = field(default_factory=dict)
    passed: int = 0
    """Largest IP packet that was acknowledged."""


def _after(a: int, b: int) -> bool:
    """a is behind b in sequence space (RFC 9293 section 3.4)."""
    return 0 < (a - b) % _WRAP < _WRAP // 2


def large_lost(
    packets: Iterable[Message],
    sent: Callable[[Message], bool],
    t: Callable[[int], float],
    end_ns: int,
) -> list[LargeLost]:
    """What a session's inner packets show. ``sent`` tells whether the client sent one."""
    streams: dict[tuple[object, ...], _Stream] = {}
    echoes: dict[tuple[object, ...], Message] = {}
    answered: dict[bool, int] = {}
    alive: set[object] = set()
    ways: dict[tuple[object, ...], bool] = {}
    key: tuple[object, ...]
    for m in packets:
        data, size = m.data, len(m.data) + m.missing
        start = (data[0] & 15) * 4
        if data[0] >> 4 != 4 or start < 20 or len(data) < start + 8:
            continue
        out = sent(m)
        if data[9] == 1:
            _echo(m, data, start, size, out, echoes, answered, alive)
        elif data[9] == 6 and len(data) >= start + 20:
            key = (data[12:16], data[16:20], data[start : start + 2], data[start + 2 : start + 4])
            back = (key[1], key[0], key[3], key[2])
            if key not in streams and len(streams) >= _MAX_STREAMS:
                continue
            ways[key] = out
            _tcp(
                m, data, start, size, streams.setdefault(key, _Stream()),
                streams.setdefault(back, _Stream()),
            )  # fmt: skip
    found = [_stalled(s, ways[k], t, end_ns) for k, s in streams.items() if k in ways]
    passed: dict[bool, int] = dict(answered)
    for key, stream in streams.items():
        if key in ways:
            passed[ways[key]] = max(passed.get(ways[key], 0), stream.passed)
    found.append(_unanswered(echoes, alive, answered, t, end_ns))
    result: list[LargeLost] = []
    for one in found:
        if one is None:
            continue
        best = passed.get(one.direction == "out", 0)
        if one.size >= SMALLEST and 0 < best < one.size:
            result.append(_with(one, best))
    return result[:8]


def _with(one: LargeLost, passed: int) -> LargeLost:
    return LargeLost(
        t=one.t,
        frames=one.frames,
        direction=one.direction,
        how=one.how,
        size=one.size,
        passed=passed,
        tries=one.tries,
        seconds=one.seconds,
    )


def _echo(
    m: Message,
    data: bytes,
    start: int,
    size: int,
    out: bool,
    echoes: dict[tuple[object, ...], Message],
    answered: dict[bool, int],
    alive: set[object],
) -> None:
    kind, ident = data[start], data[start + 4 : start + 8]
    if kind == _ECHO:
        if len(echoes) < 1024:
            echoes[data[12:16], data[16:20], ident, out, size] = m
    elif kind == _ECHO_REPLY:
        alive.add(data[12:16])
        for key in list(echoes):
            if key[:3] == (data[16:20], data[12:16], ident):
                del echoes[key]
                answered[not out] = max(answered.get(not out, 0), size)


def _tcp(m: Message, data: bytes, start: int, size: int, stream: _Stream, other: _Stream) -> None:
    sequence = int.from_bytes(data[start + 4 : start + 8], "big")
    acked = int.from_bytes(data[start + 8 : start + 12], "big")
    header, flags = (data[start + 12] >> 4) * 4, data[start + 13]
    length = max(0, size - start - header)
    span = length + bool(flags & 2) + bool(flags & 1)
    if flags & 16:
        if other.acked is None or _after(acked, other.acked):
            other.acked, other.acked_ns = acked, m.time_ns
        if acked == other.acked:
            other.held_ns = m.time_ns
        for at, segment in list(other.segments.items()):
            if not _after(segment.end, acked):
                other.passed = max(other.passed, segment.size)
                del other.segments[at]
        if other.gap is not None and _after(acked, other.gap[1]):
            other.gap = None
    end = (sequence + span) % _WRAP
    if stream.next is None or flags & 2 or sequence == stream.next:
        stream.next = end
    elif _after(sequence, stream.next):
        if stream.gap is None:
            stream.gap = (m, stream.next)
        if span:
            stream.next = end
    # A SYN that is acknowledged shows that small packets pass, where no data has as yet.
    if length or flags & 2:
        known = stream.segments.get(sequence)
        if known is not None:
            known.tries += 1
            known.last = m
            known.size = min(known.size, size)
        elif len(stream.segments) < 256:
            stream.segments[sequence] = _Segment(m, m, size, end)


def _stalled(
    stream: _Stream, out: bool, t: Callable[[int], float], end_ns: int
) -> LargeLost | None:
    direction: Direction = "out" if out else "in"
    stuck = [
        s
        for s in stream.segments.values()
        if s.tries >= TRIES and (s.last.time_ns - s.first.time_ns) / 1e9 >= SECONDS
    ]
    if stuck:
        worst = max(stuck, key=lambda s: s.tries)
        return LargeLost(
            t=t(worst.first.time_ns),
            frames=(worst.first.frames[-1], worst.last.frames[-1]),
            direction=direction,
            how="retransmitted",
            size=worst.size,
            passed=0,
            tries=worst.tries,
            seconds=(worst.last.time_ns - worst.first.time_ns) / 1e9,
        )
    if stream.gap is not None and _receiver_lacks(stream, *stream.gap):
        m, at = stream.gap
        sequence = int.from_bytes(_sequence(m.data), "big")
        hole = (sequence - at) % _WRAP
        seconds = (end_ns - m.time_ns) / 1e9
        if SMALLEST <= hole < 1 << 24 and seconds >= SECONDS:
            return LargeLost(
                t=t(m.time_ns),
                frames=m.frames,
                direction=direction,
                how="gap",
                size=min(hole + 40, 1500),
                passed=0,
                tries=1,
                seconds=seconds,
            )
    return None


def _receiver_lacks(stream: _Stream, m: Message, at: int) -> bool:
    """Whether the receiver says that it lacks what the capture lacks: it acknowledges up to there,
    behind the gap or for a while. Else the recorder alone may have missed a packet."""
    if stream.acked != at:
        return False
    return stream.held_ns > m.time_ns or (stream.held_ns - stream.acked_ns) / 1e9 >= SECONDS


def _sequence(data: bytes) -> bytes:
    start = (data[0] & 15) * 4
    return data[start + 4 : start + 8]


def _unanswered(
    echoes: dict[tuple[object, ...], Message],
    alive: set[object],
    answered: dict[bool, int],
    t: Callable[[int], float],
    end_ns: int,
) -> LargeLost | None:
    """``alive``: hosts that do answer pings; ``answered``: the largest of the client's (True), or
    of those to it, to which a reply came."""
    by_size: dict[tuple[object, ...], list[Message]] = {}
    for key, m in echoes.items():
        if key[1] in alive:
            by_size.setdefault((key[0], key[1], key[3], key[4]), []).append(m)
    for key, messages in sorted(by_size.items(), key=lambda e: str(e[0][3])):
        first, last = messages[0], messages[-1]
        # No reply to what is as small as others that have one: that is chance.
        lossy = any(k[1] == key[1] and k[3] <= answered.get(bool(k[2]), 0) for k in by_size)  # type: ignore[operator]
        if len(messages) >= (MANY if lossy else 2) and (end_ns - first.time_ns) / 1e9 >= SECONDS:
            size = key[3]
            assert isinstance(size, int)
            return LargeLost(
                t=t(first.time_ns),
                frames=(first.frames[-1], last.frames[-1]),
                direction="out" if key[2] else "in",
                how="echo",
                size=size,
                passed=0,
                tries=len(messages),
                seconds=(last.time_ns - first.time_ns) / 1e9,
            )
    return None
