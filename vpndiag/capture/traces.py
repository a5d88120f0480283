"""Traces that a run of vpndiag made with IKE messages, out of its packets.

They show as one first message, sent again and again from other ports with rising time to live.
Each time to live has a source port of its own, so an ICMP error tells by the ports it quotes which
packet it is about, ordinary UDP from the same ports included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Literal

from vpndiag.capture.attempt import Attempt
from vpndiag.capture.packets import IcmpError
from vpndiag.capture.sketch import Sketch
from vpndiag.observations import Hop, PathTrace
from vpndiag.observe.icmp import icmp_what
from vpndiag.records import record

What = Literal["ike", "ike-natt", "udp"]

LEAST = 3
"""Different times to live that make a trace."""
TRIES = 3
"""Packets without an answer that make a silence."""
MOST = 40
_TRACEROUTE = range(33434, 33534)
_ORIGINS = (64, 128, 255)
"""What systems send with: the distance of the place of capture follows."""


@record(slots=True)
class _Line:
    port: int
    tries: dict[int, int] = field(default_factory=dict)
    hops: dict[int, Hop] = field(default_factory=dict)
    frames: list[int] = field(default_factory=list)
    end: Literal["reached", "refused"] | None = None
    end_ttl: int = 0
    end_by: str = ""
    end_how: str = ""

    def ended(
        self, end: Literal["reached", "refused"], ttl: int, by: str, how: str, frame: int
    ) -> None:
        self.frames.append(frame)
        if self.end is None or ttl < self.end_ttl:
            self.end, self.end_ttl, self.end_by, self.end_how = end, ttl, by, how


def traces(attempt: Attempt, t: Callable[[int], float]) -> list[PathTrace]:
    """None where there were none, or where the answers to them do not pass."""
    traced = [s for s in attempt.ike if attempt.is_client(s) and _is_trace(s)]
    if not traced:
        return []
    before = _hops_before(attempt, traced)
    sent: dict[int, int] = {}
    lines: dict[What, _Line] = {}
    last_ns = 0
    for s in traced:
        for m, out in zip(s.track.messages, s.sent, strict=True):
            what: What = "ike-natt" if m.marker else "ike"
            if out:
                ttl = m.ttl + before
                line = lines.setdefault(what, _Line(m.dst[1]))
                line.tries[ttl] = line.tries.get(ttl, 0) + 1
                sent[m.src[1]] = ttl
            elif m.dst[1] in sent and what in lines:
                lines[what].ended("reached", sent[m.dst[1]], m.src[0], "answer", m.frames[-1])
            last_ns = max(last_ns, m.time_ns)
    for error in attempt.icmp:
        ttl = sent.get(error.quote.sport, 0)
        if ttl and error.quote.src == attempt.client:
            _error(attempt, lines, error, ttl)
    if before and not any(line.hops or line.end for line in lines.values()):
        return []
    given_up = any(line.end is None and _given_up(line) for line in lines.values())
    return [_result(attempt, what, line, t(last_ns), given_up) for what, line in lines.items()]


def _is_trace(s: Sketch) -> bool:
    out = [m.ttl for m, mine in zip(s.track.messages, s.sent, strict=True) if mine]
    return s.opening and len(set(out)) >= LEAST and max(out) <= MOST


def _hops_before(attempt: Attempt, traced: list[Sketch]) -> int:
    """Routers between the client and the place of the capture."""
    usual = [
        m.ttl
        for s in attempt.ike
        if s not in traced and attempt.is_client(s)
        for m, mine in zip(s.track.messages, s.sent, strict=True)
        if mine and m.ttl
    ]
    if not usual:
        return 0
    return next((o for o in _ORIGINS if o >= usual[0]), usual[0]) - usual[0]


def _error(attempt: Attempt, lines: dict[What, _Line], error: IcmpError, ttl: int) -> None:
    port = error.quote.dport
    if port in _TRACEROUTE:
        line = lines.setdefault("udp", _Line(_TRACEROUTE[0]))
    else:
        known = [x for x in lines.values() if x.port == port]
        if not known:
            return
        line = known[0]
    what = icmp_what(error.type, error.code, ipv6=error.version == 6)
    gateway = error.src == attempt.gateway
    if what == "ttl-exceeded":
        line.hops.setdefault(ttl, Hop(ttl=ttl, address=error.src))
        line.frames.append(error.frame)
    elif gateway and what == "port-unreachable":
        line.ended("reached", ttl, error.src, what, error.frame)
    elif what in ("prohibited", "port-unreachable"):
        line.ended("refused", ttl, error.src, what, error.frame)


def _given_up(line: _Line) -> bool:
    beyond = [n for ttl, n in line.tries.items() if ttl > max(line.hops, default=0)]
    return max(beyond, default=0) >= TRIES


def _result(attempt: Attempt, what: What, line: _Line, t: float, given_up: bool) -> PathTrace:
    last = max(line.hops, default=0)
    if line.end:
        last = min(last, line.end_ttl - 1)
    return PathTrace(
        t=t,
        frames=tuple(sorted(line.frames)),
        what=what,
        port=line.port,
        gateway=attempt.gateway,
        hops=tuple(line.hops.get(ttl) or Hop(ttl=ttl) for ttl in range(1, last + 1)),
        end=line.end or ("silent" if given_up else "unfinished"),
        end_ttl=line.end_ttl,
        end_by=line.end_by,
        end_how=line.end_how,
        tries=max(line.tries.values(), default=0),
    )
