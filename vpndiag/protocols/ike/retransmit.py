"""When to repeat an unanswered message, and when to give up.

RFC 2408 section 5.1 leaves both to the implementation. The schedule is data; a caller that knows
more (a probe that is content with three tries to a silent port) passes a ``patience`` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.records import record

Patience = Callable[[str, int], float | None]
"""``patience(waiting_for, tries)`` replaces the schedule: how many seconds transmission number
``tries`` is given to be answered, or None not to make it and give up. The first one is made in any
case."""


@record(frozen=True, slots=True)
class Schedule:
    """``initial`` seconds, multiplied by ``factor`` each time, at most ``cap``; ``tries``
    transmissions in all. The wait after the last one is as long as any other."""

    initial: float = 0.5
    factor: float = 1.5
    cap: float = 1.0
    tries: int = 10

    def __post_init__(self) -> None:
        if self.initial <= 0 or self.factor < 1 or self.cap <= 0 or self.tries < 1:
            raise LocalProtocolError("a retransmission schedule must move forward in time")

    def interval(self, transmission: int) -> float:
        """Seconds to wait after the given transmission (1 is the first)."""
        wait = self.initial
        for _ in range(transmission - 1):
            wait = min(wait * self.factor, self.cap)
        return min(wait, self.cap)

    def total(self) -> float:
        """Seconds from the first transmission until giving up."""
        return sum(self.interval(number) for number in range(1, self.tries + 1))


class Due(Enum):
    """What :meth:`Retransmitter.poll` asks for."""

    NOTHING = "nothing"
    RESEND = "resend"
    GIVE_UP = "give-up"


class Retransmitter:
    """The timer of one outstanding message. It holds no bytes: its owner does."""

    __slots__ = ("_patience", "_schedule", "deadline", "tries", "waiting_for")

    def __init__(self, schedule: Schedule, patience: Patience | None = None) -> None:
        self._schedule = schedule
        self._patience = patience
        self.waiting_for = ""
        self.tries = 0
        self.deadline: float | None = None

    @property
    def running(self) -> bool:
        return self.deadline is not None

    def start(self, waiting_for: str, now: float) -> None:
        """The message was sent for the first time; ``waiting_for`` names its answer."""
        self.waiting_for = waiting_for
        self.tries = 1
        self.deadline = now + (self._wait(1) or 0.0)

    def stop(self) -> None:
        self.deadline = None

    def poll(self, now: float) -> Due:
        """What is due at ``now``. On RESEND the next deadline is set already; on GIVE_UP the
        timer is stopped, and ``waiting_for`` and ``tries`` tell the story."""
        if self.deadline is None or now < self.deadline:
            return Due.NOTHING
        wait = self._wait(self.tries + 1)
        if wait is None:
            self.deadline = None
            return Due.GIVE_UP
        self.tries += 1
        self.deadline = now + wait
        return Due.RESEND

    def _wait(self, transmission: int) -> float | None:
        if self._patience is None:
            if transmission > self._schedule.tries:
                return None
            return self._schedule.interval(transmission)
        wait = self._patience(self.waiting_for, transmission)
        # A zero or negative wait would spin the caller's loop.
        return None if wait is None else max(wait, 0.001)
