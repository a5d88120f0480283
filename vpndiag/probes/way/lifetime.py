"""How long a silent mapping of UDP 4500 survives in the NATs and firewalls on the way, sans-IO.

Only a packet *from* the gateway shows that a mapping lives: one of ours would make it anew, as a
rule with the same number. A gateway sends by itself when an answer of ours is missing: it repeats
message 2 of quick mode, after longer and longer waits. So two IKE SAs are left at that point. One
line is kept alive by keepalives, and shows what the gateway sends; the other is silent between two
packets of the gateway. What the first hears and the second does not was lost with its mapping.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from vpndiag.observations.way import NatLifetime
from vpndiag.records import record

Line = Literal["kept", "silent"]

KEEP_EVERY = 4.0
"""Seconds between the keepalives of the line that is kept alive."""
LIMIT = 200.0
LEAST = 15.0
"""Seconds without a packet of the gateway after which it may have given up."""
ENOUGH = 3
"""Packets in a row that only the kept line heard."""


@record(slots=True)
class _Heard:
    begun: float = 0.0
    times: list[float] = field(default_factory=list)
    """Since :attr:`begun`."""

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in zip([0.0, *self.times], self.times, strict=False)]

    @property
    def last(self) -> float:
        return self.times[-1] if self.times else 0.0


class LifetimeSearch:
    """Tell it when each line fell silent and what it heard; ask :meth:`over`."""

    def __init__(self) -> None:
        self._lines: dict[Line, _Heard] = {"kept": _Heard(), "silent": _Heard()}
        self._kept_at = 0.0

    def fell_silent(self, line: Line, now: float) -> None:
        """Our last packet on this line has left; the gateway waits for another."""
        self._lines[line] = _Heard(now)
        if line == "kept":
            self._kept_at = now

    def heard(self, line: Line, now: float) -> bool:
        """A packet of the gateway. True: answer with a keepalive, so that the mapping is fresh from
        here on, whether what comes in refreshes it or not (RFC 4787 section 4.3)."""
        known = self._lines[line]
        known.times.append(now - known.begun)
        return line == "silent"

    def keepalive_at(self) -> float:
        """When the kept line is due."""
        return self._kept_at + KEEP_EVERY

    def kept_alive(self, now: float) -> None:
        self._kept_at = now

    def over(self, now: float) -> bool:
        """Nothing more is to be learnt."""
        kept = self._lines["kept"]
        since = now - kept.begun
        if since >= LIMIT or len(self._missed(now)) >= ENOUGH:
            return True
        wait = max(LEAST, 2.3 * max(kept.gaps, default=0.0) + 5.0)
        return since - kept.last > wait

    def _missed(self, now: float) -> list[float]:
        """What came on the kept line after the last packet that came on the silent one."""
        kept, silent = self._lines["kept"], self._lines["silent"]
        return [
            t
            for t in kept.times
            if t > silent.last + _slack(t) and now - silent.begun > t + _slack(t)
            and not any(abs(t - other) <= _slack(t) for other in silent.times)
        ]  # fmt: skip

    def result(self, t: float, now: float, *, over: bool) -> NatLifetime:
        """What is known by ``now``."""
        kept, silent = self._lines["kept"], self._lines["silent"]
        missed = self._missed(now)
        survived = max(silent.gaps, default=0.0)
        gone = missed[0] - silent.last if missed else 0.0
        outcome: Literal["measured", "unanswered", "unfinished"] = "measured"
        if not kept.times:
            outcome = "unanswered" if over else "unfinished"
        elif gone and gone < survived:
            gone = 0.0  # a longer silence was survived: the gateway, or chance
        return NatLifetime(
            t=t,
            outcome=outcome,
            survived=round(survived, 1),
            gone=round(gone, 1),
            missed=len(missed) if gone else 0,
            heard=len(silent.times),
            gateway_waits=round(max(kept.gaps, default=0.0), 1),
        )


def _slack(t: float) -> float:
    """Seconds by which the same repeat may come at another time on the other line."""
    return 1.0 + 0.02 * t
