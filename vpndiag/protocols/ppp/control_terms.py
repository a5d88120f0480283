"""What a control protocol is told and what it tells: timers, an option policy, notices."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from vpndiag.protocols.ppp.options import Option, Options
from vpndiag.protocols.ppp.packet import (
    Code,
)
from vpndiag.records import record

Answer = tuple[Code, Options]


def answer(options: Options, naks: list[Option], rejects: list[Option]) -> Answer:
    """Rejects go first: what may be Nak'ed is only worth saying about what is left."""
    if rejects:
        return Code.CONFIGURE_REJECT, tuple(rejects)
    if naks:
        return Code.CONFIGURE_NAK, tuple(naks)
    return Code.CONFIGURE_ACK, options


@record(frozen=True, slots=True)
class ControlTimers:
    """The parameters of RFC 1661 section 4.6 (times in seconds), and some of our own."""

    restart: float = 1.0
    """Shorter than the RFC's 3 s: a tunnel is faster than a modem, and a peer that has only just
    started answers sooner."""
    max_configure: int = 10
    max_terminate: int = 2
    max_failure: int = 5
    max_rounds: int = 40
    """Configure-Requests in both directions, timed repetitions of ours not counted, before a
    negotiation that does not converge is given up. Some peers repeat or Nak for ever."""
    max_starts: int = 64
    """Times that the peer may begin anew with what was open."""
    await_request: float = 3.5
    """How long to wait for the peer's request once it has acknowledged ours: others repeat theirs
    every 3 s, the RFC's default, and another request of ours would only start them over."""
    max_unasked: int = 3
    """Such waits. Each Ack refills the restart counter of the RFC's table, so that a peer which
    acknowledges and never asks would be waited for without end."""
    lossy: bool = False
    """The path loses packets. Our last answer is sent again with each of our own repeats, since
    SoftEther repeats its request every 3 s only; a peer that has it discards this one, whose
    identifier is no longer outstanding (RFC 1661 sections 5.2 and 5.3). And an open protocol stays
    open when the peer asks for the same again: a late repeat of ours has started it over, and to
    start over as well would do so once more."""


class OptionPolicy(Protocol):
    """What one side wants, and what it thinks of the other side's wishes."""

    def reset(self) -> None:
        """A new negotiation begins; forget what the last one led to."""
        ...

    def request(self) -> Options:
        """The options to ask for now."""
        ...

    def judge(self, options: Options, exhausted: bool) -> Answer:
        """The answer to the peer's request: CONFIGURE_ACK with the same options, or
        CONFIGURE_NAK or CONFIGURE_REJECT with what is wrong. ``exhausted``: enough was Nak'ed,
        reject instead (RFC 1661 section 4.6, Max-Failure)."""
        ...

    def naked(self, options: Options) -> None: ...

    def rejected(self, options: Options) -> None: ...


class Upcall(Enum):
    """What a control protocol tells the link."""

    UP = "up"
    DOWN = "down"
    FINISHED = "finished"


@record(frozen=True, slots=True)
class TimeoutNotice:
    waiting_for: str
    tries: int


@record(frozen=True, slots=True)
class StuckNotice:
    """``max_rounds`` was reached; ``options`` is the peer's last word."""

    options: Options


@record(frozen=True, slots=True)
class TerminatedNotice:
    """The peer sent a Terminate-Request."""

    message: bytes


@record(frozen=True, slots=True)
class DroppedNotice:
    reason: str


ControlNotice = Upcall | TimeoutNotice | StuckNotice | TerminatedNotice | DroppedNotice
