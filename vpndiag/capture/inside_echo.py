"""Echo requests of users and runs: pings, the largest packet that crosses, traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from vpndiag.capture.inside_log import Echo
from vpndiag.capture.inside_part import TRACED, Part, dotted
from vpndiag.capture.inside_tcp import TcpFlow
from vpndiag.observations import Hop, InsideMtu, InsidePing, InsideTrace
from vpndiag.observe.inside import lost_first

SMALL = 64
LARGE = 576
"""Pings of people and programs are smaller, and every host takes this much (RFC 1122 3.3.2)."""
TRIES = 3
LINGER = 0.45
"""Seconds without an answer to the last of several requests."""
MAX_TRIPS = 16

Groups = dict[tuple[bytes, int], list[Echo]]
"""By target and identifier."""


def echoes(part: Part) -> tuple[list[Echo], Groups, Groups]:
    """Plain pings, echo requests about sizes, and those of traces."""
    groups: Groups = defaultdict(list)
    for echo in part.own(part.index.echoes):
        groups[echo.target, echo.identifier].append(echo)
    pings: list[Echo] = []
    sizes: Groups = {}
    traces: Groups = {}
    for key, found in groups.items():
        if any(e.ttl <= TRACED for e in found):
            traces[key] = found
        elif len({e.size for e in found}) > 1 or found[0].size > LARGE:
            sizes[key] = found
        else:
            pings += found
    return pings, sizes, traces


def pings(part: Part, found: Iterable[Echo]) -> list[InsidePing]:
    """One observation for each target."""
    by_target: dict[bytes, list[Echo]] = defaultdict(list)
    for echo in found:
        by_target[echo.target].append(echo)
    return [_ping(part, dotted(target), mine) for target, mine in by_target.items()]


def _ping(part: Part, target: str, mine: list[Echo]) -> InsidePing:
    alive = [e for e in mine if e.reply_ns]
    faults = [e.fault for e in mine if e.fault is not None]
    sent = sum(e.tries for e in mine)
    last = max(e.last_ns for e in mine)
    frames = [mine[0].frame, alive[0].reply_frame if alive else mine[-1].frame]
    return InsidePing(
        t=part.t(max([last, *(e.reply_ns for e in alive)])),
        frames=tuple(sorted(set(frames))),
        role=part.role(target),
        target=target,
        sent=sent,
        received=len(alive),
        lost_first=lost_first(
            [
                (e.first_ns / 1e9, (e.reply_ns - e.first_ns) / 1e9 if e.reply_ns else None)
                for e in mine
                for _ in range(1 if e.reply_ns else e.tries)
            ]
        ),
        round_trips=tuple(round((e.reply_ns - e.first_ns) / 1e9, 6) for e in alive[:MAX_TRIPS]),
        error=faults[0].what if faults else "",
        reporter=str(faults[0].reporter) if faults else "",
        complete=bool(alive) or (sent >= TRIES and part.waited(last) >= LINGER),
    )


def sizes(part: Part, groups: Groups, alive: set[str]) -> list[InsideMtu]:
    """Searches for the largest packet that were carried to their end; ``alive`` answered pings."""
    found = [_size(part, dotted(key[0]), mine, alive) for key, mine in groups.items()]
    return [m for m in found if m is not None]


def _size(part: Part, target: str, mine: list[Echo], alive: set[str]) -> InsideMtu | None:
    tried = max(e.size for e in mine)
    answered = {e.size for e in mine if e.reply_ns}
    if not answered and target not in alive:
        return None  # nothing answers there, whatever its size
    largest = max([*answered, SMALL])
    told = next((e.fault for e in mine if e.fault and e.fault.what == "fragmentation-needed"), None)
    if largest < tried:
        full = [e for e in mine if e.size == tried]
        following = min(e.size for e in mine if e.size > largest)
        closed = following - largest <= 1 or told is not None
        if not closed or (told is None and sum(e.tries for e in full) < TRIES):
            return None
    pieces = [e.fragment for e in mine if e.size == largest and e.fragment]
    last = max(mine, key=lambda e: max(e.last_ns, e.reply_ns))
    frames = {next(e.frame for e in mine if e.size == tried), last.frame}
    return InsideMtu(
        t=part.t(max(last.last_ns, last.reply_ns)),
        frames=tuple(sorted(frames)),
        role=part.role(target),
        target=target,
        tried=tried,
        largest=largest,
        fragments=pieces[0] if pieces else None,
        direction=_direction(part, target, tried) if largest < tried else "",
        told_mtu=told.mtu if told is not None else None,
        reporter=str(told.reporter) if told is not None else "",
    )


def _direction(part: Part, target: str, tried: int) -> Literal["", "out", "in"]:
    """Which way large packets are lost: large datagrams to closed ports bring small errors back."""
    mine = [s for s in part.own(part.index.sized) if dotted(s.target) == target]
    if not any(s.refused and s.size <= SMALL for s in mine):
        return ""
    return "in" if any(s.refused and s.size >= tried for s in mine) else "out"


class _Way:
    """One trace in the making."""

    def __init__(self) -> None:
        self.hops: dict[int, Hop] = {}
        self.end: tuple[int, Literal["reached", "error"], str, str] | None = None
        self.tries = 0
        self.last_ns = 0
        self.frames: list[int] = []

    def ended(self, ttl: int, end: Literal["reached", "error"], by: str, how: str) -> None:
        if self.end is None or ttl < self.end[0]:
            self.end = (ttl, end, by, how)

    def observation(
        self, part: Part, target: str, protocol: Literal["icmp", "tcp"], port: int
    ) -> InsideTrace:
        ttl, end, by, how = self.end or (0, "silent", "", "")
        known = [n for n in self.hops if not ttl or n < ttl]
        last = ttl - 1 if ttl else max(known, default=0)
        waited = self.tries >= 2 and part.waited(self.last_ns) >= 0.2
        return InsideTrace(
            t=part.t(self.last_ns),
            frames=tuple(sorted(self.frames)[:4]),
            target=target,
            protocol=protocol,
            port=port,
            hops=tuple(self.hops.get(n) or Hop(ttl=n) for n in range(1, last + 1)),
            end=end if ttl or waited else "unfinished",
            end_ttl=ttl,
            end_by=by,
            end_how=how,
            tries=self.tries,
        )


def traces(part: Part, groups: Groups, flows: list[TcpFlow]) -> list[InsideTrace]:
    """Traces by echo requests, and by the connection requests among ``flows``."""
    found = [_by_echo(part, dotted(key[0]), mine) for key, mine in groups.items()]
    by_port: dict[tuple[bytes, int], list[TcpFlow]] = defaultdict(list)
    for flow in flows:
        if flow.ttl <= TRACED:
            by_port[flow.server, flow.dport].append(flow)
    found += [_by_tcp(part, dotted(key[0]), key[1], mine) for key, mine in by_port.items()]
    return found


def _by_echo(part: Part, target: str, mine: list[Echo]) -> InsideTrace:
    way = _Way()
    for e in mine:
        way.tries = max(way.tries, e.tries)
        way.last_ns = max(way.last_ns, e.last_ns)
        way.frames.append(e.frame)
        if e.reply_ns:
            way.ended(e.ttl, "reached", target, "answer")
        elif e.fault is not None and e.fault.what == "ttl-exceeded":
            seconds = round((e.fault_ns - e.first_ns) / 1e9, 6)
            way.hops[e.ttl] = Hop(ttl=e.ttl, address=str(e.fault.reporter), seconds=seconds)
        elif e.fault is not None:
            way.ended(e.ttl, "error", str(e.fault.reporter), e.fault.what)
    return way.observation(part, target, "icmp", 0)


def _by_tcp(part: Part, target: str, port: int, mine: list[TcpFlow]) -> InsideTrace:
    way = _Way()
    for f in mine:
        way.tries = max(way.tries, f.syns)
        way.last_ns = max(way.last_ns, f.last_ns)
        way.frames.append(f.first_frame)
        if f.answered_ns or f.refused:
            way.ended(f.ttl, "reached", target, "reset" if f.refused else "answer")
        elif f.fault is not None and f.fault[0] == "ttl-exceeded":
            seconds = round((f.fault_ns - f.first_ns) / 1e9, 6)
            way.hops[f.ttl] = Hop(ttl=f.ttl, address=f.fault[1], seconds=seconds)
        elif f.fault is not None:
            way.ended(f.ttl, "error", f.fault[1], f.fault[0])
    return way.observation(part, target, "tcp", port)
