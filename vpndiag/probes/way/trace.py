"""A trace with several kinds of packets side by side, sans-IO.

Which packets to send with which time to live, and what came back; the sockets are
:mod:`~vpndiag.probes.way.tracing`'s. Each kind is traced on its own: a firewall that stops IKE lets
other UDP pass, and the difference between the two at the same moment is what proves it. Routers
that never say "time exceeded" show as gaps in all kinds alike.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from vpndiag.observations.way import Hop, PathTrace
from vpndiag.records import record

What = Literal["ike", "ike-natt", "udp"]
End = Literal["reached", "refused", "error"]

MAX_TTL = 24
AHEAD = 6
"""Hops that are asked beyond the last one that answered."""
TRIES = 3
EVERY = 0.02
"""Seconds between two packets."""
PATIENCE = 0.7
"""Seconds that a packet has to be answered before it is sent again."""
TRACEROUTE_PORT = 33434

_REFUSED = ("prohibited",)
_NO_WAY = ("host-unreachable", "net-unreachable", "protocol-unreachable")


@record(slots=True)
class _Step:
    ttl: int
    tries: int = 0
    sent: float = 0.0
    hop: Hop | None = None
    over: bool = False
    frames: tuple[int, ...] = ()


@record(slots=True)
class _Line:
    """One kind of packet."""

    what: What
    port: int
    steps: dict[int, _Step] = field(default_factory=dict)
    end: End | None = None
    end_ttl: int = 0
    end_by: str = ""
    end_how: str = ""

    @property
    def furthest(self) -> int:
        return max((s.ttl for s in self.steps.values() if s.hop is not None), default=0)


@record(frozen=True, slots=True)
class ToSend:
    """One packet: its kind, time to live, and the gateway's port."""

    what: What
    ttl: int
    port: int


class Trace:
    """``ports``: the gateway's port for each kind that is to be traced.

    Call :meth:`to_send` until it gives None, sleep until :meth:`get_timer`, pass in what comes
    back, until :attr:`done`.
    """

    def __init__(self, ports: dict[What, int], now: float) -> None:
        self._lines = {what: _Line(what, port) for what, port in ports.items()}
        self._next = now
        self._now = now

    @property
    def done(self) -> bool:
        """Nothing more is to be sent or waited for."""
        return self._due() is None

    def get_timer(self) -> float | None:
        """When :meth:`to_send` has something to say again; None: never."""
        due = self._due()
        return None if due is None else max(due[0], self._next)

    def to_send(self, now: float) -> ToSend | None:
        """The next packet, if one is due."""
        self._now = now
        while (due := self._due()) is not None:
            when, line, step = due
            if step.tries >= TRIES and when <= now:
                step.over = True
                continue
            if max(when, self._next) > now:
                return None
            step.tries += 1
            step.sent = now
            self._next = now + EVERY
            port = line.port + step.ttl - 1 if line.what == "udp" else line.port
            return ToSend(line.what, step.ttl, port)
        return None

    def _limit(self, line: _Line) -> int:
        """The last time to live worth asking with: some hops beyond the last router known, and
        not beyond the gateway, once its distance is known."""
        if line.end is not None:
            return line.end_ttl - 1
        lines = self._lines.values()
        known = max(max(x.furthest, x.end_ttl) for x in lines)
        distance = min((x.end_ttl for x in lines if x.end == "reached"), default=MAX_TTL)
        return min(distance, known + AHEAD)

    def _due(self) -> tuple[float, _Line, _Step] | None:
        """The packet whose turn comes first: all kinds with one time to live, then the next."""
        best: tuple[float, int, _Line, _Step] | None = None
        for line in self._lines.values():
            for ttl in range(1, self._limit(line) + 1):
                step = line.steps.setdefault(ttl, _Step(ttl))
                if step.hop is not None or step.over:
                    continue
                when = step.sent + PATIENCE if step.tries else 0.0
                if best is None or (when, ttl) < best[:2]:
                    best = (when, ttl, line, step)
        return None if best is None else (best[0], best[2], best[3])

    def exceeded(
        self, what: What, ttl: int, by: str, now: float, frames: tuple[int, ...] = ()
    ) -> None:
        """A router said "time exceeded" for the packet with this time to live."""
        line = self._lines.get(what)
        step = line.steps.get(ttl) if line is not None else None
        if step is not None and step.tries and step.hop is None:
            step.hop = Hop(ttl=ttl, address=by, seconds=max(0.0, now - step.sent))
            step.frames = frames

    def answered(
        self,
        what: What,
        ttl: int,
        how: str,
        by: str,
        gateway: bool,
        frames: tuple[int, ...] = (),
    ) -> None:
        """The end of the way for this packet: ``how`` is ``answer``, or the name of an ICMP error
        that ``by`` sent; ``gateway``: that is the gateway's own address."""
        line = self._lines.get(what)
        if line is None or ttl not in line.steps:
            return
        end: End
        if how == "answer" or (gateway and how == "port-unreachable"):
            end = "reached"
        elif how in _REFUSED or how == "port-unreachable":
            end = "refused"
        elif how in _NO_WAY:
            end = "error"
        else:
            return
        line.steps[ttl].frames = line.steps[ttl].frames or frames
        if line.end is None or ttl < line.end_ttl:
            line.end, line.end_ttl, line.end_by, line.end_how = end, ttl, by, how

    def result(self, t: float, gateway: str = "") -> list[PathTrace]:
        """One observation a kind; hops up to the last that answered."""
        found = []
        for line in self._lines.values():
            # beyond the end there is only what came back late, from the gateway's own NAT
            last = min(line.furthest, line.end_ttl - 1) if line.end else line.furthest
            hops = tuple(line.steps[ttl].hop or Hop(ttl=ttl) for ttl in range(1, last + 1))
            finished = line.end is not None or self.done
            frames = [f for ttl in sorted(line.steps) for f in line.steps[ttl].frames]
            found.append(
                PathTrace(
                    t=t,
                    frames=tuple(sorted(frames)),
                    what=line.what,
                    port=line.port,
                    gateway=gateway,
                    hops=hops,
                    end=line.end or ("silent" if finished else "unfinished"),
                    end_ttl=line.end_ttl,
                    end_by=line.end_by,
                    end_how=line.end_how,
                    tries=max((s.tries for s in line.steps.values()), default=0),
                )
            )
        return found
