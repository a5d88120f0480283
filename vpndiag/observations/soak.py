"""How the inside of the tunnel fared over time, and what happened when its keys were renewed.

Bounded whatever the time: one sample an interval (at most about a hundred), one observation a
renewal, and one for the whole.
"""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Observation
from vpndiag.records import record

SoakRole = Literal["peer", "dns", "host", "lcp"]
"""Who answered: as in ``inside-ping``; ``lcp``: nobody inside answers pings, so LCP Echo-Requests
(RFC 1661 section 5.8) were sent to the gateway."""


@record(frozen=True, slots=True, kw_only=True)
class SoakSample(Observation):
    """One interval; ``t`` is its end. Times in seconds, None: no answer in it."""

    kind: Literal["soak-sample"] = "soak-sample"
    seconds: float
    sent: int
    """Echo requests whose answer came, or was given up, in this interval."""
    received: int
    fastest: float | None = None
    median: float | None = None
    p95: float | None = None
    slowest: float | None = None
    jitter: float | None = None
    """As in RFC 3550 section 6.4.1 (smoothed over 16), of round trips, at the end."""
    throughput: float | None = None
    """Bits per second, at least; see :class:`Soak`."""


@record(frozen=True, slots=True, kw_only=True)
class Soak(Observation):
    """The whole time; ``t`` is its end."""

    kind: Literal["soak"] = "soak"
    planned: float
    """Seconds asked for."""
    seconds: float
    """Seconds that it lasted."""
    role: SoakRole
    target: str
    """Address; empty for ``lcp``."""
    sent: int
    received: int
    fastest: float | None = None
    median: float | None = None
    p95: float | None = None
    slowest: float | None = None
    jitter: float | None = None
    """The mean of the samples' jitter."""
    throughput: float | None = None
    """Median over the trains, bits per second: ``train_packets`` echo requests of ``train_size``
    bytes (IP packets) at once, and the bytes that came back by the time from the first request to
    the last answer. A lower bound: the time holds one round trip."""
    train_packets: int = 0
    train_size: int = 0
    trains: int = 0
    silent_for: float = 0.0
    """Seconds without an answer at the end."""

    @property
    def lost(self) -> int:
        return self.sent - self.received

    @property
    def loss(self) -> float:
        """Share of the requests that were not answered."""
        return self.lost / self.sent if self.sent else 0.0


@record(frozen=True, slots=True, kw_only=True)
class Rekey(Observation):
    """A renewal of keys while the session is up; ``t`` is its first message."""

    kind: Literal["rekey"] = "rekey"
    what: Literal["ipsec", "ike"]
    """``ipsec``: a quick mode under the IKE SA in use; ``ike``: a main mode beside it (and, when
    the client begins, a quick mode under it)."""
    begun_by: Literal["client", "gateway"]
    outcome: Literal["renewed", "refused", "unanswered", "unfinished"]
    """``unfinished``: the run ended before."""
    seconds: float | None = None
    """From the first message until the new SA was there (or was refused or given up)."""
    stall: float | None = None
    """Longest time that packets inside were not answered, or late, meanwhile; None: not measured.
    """
    detail: str = ""
    """What the gateway said."""
