"""One attempt of a capture beside others: its diagnosis, and whose it is."""

from __future__ import annotations

from collections.abc import Iterable

from vpndiag.observations import L2tpMessage, Observation
from vpndiag.records import record
from vpndiag.report.model import Diagnosis


@record(frozen=True, slots=True)
class Judged:
    """One attempt and its diagnosis. ``key`` is the same for all attempts of one client at one
    gateway; times in seconds."""

    key: object
    client: str
    gateway: str
    first: float
    last: float
    diagnosis: Diagnosis
    frames: tuple[int, ...] = ()
    """Of the first observation."""
    scan: bool = False
    """Who began it only asks what answers (:mod:`~vpndiag.diagnosis.scans`)."""
    caller: str = ""
    """Whose call it is, where one L2TP tunnel carries those of several users."""
    host: str = ""
    """The computer's name, where it can be read (:func:`computer`)."""
    begins: str = ""
    ends: str = ""
    """Cookie of a main mode that is only begun here, or only ended (:mod:`~.split`)."""


def computer(observations: Iterable[Observation]) -> str:
    """The name that the client's computer gives itself in SCCRQ (RFC 2661 section 4.4.3); empty: it
    is not seen, or the one that all Android phones have."""
    for o in observations:
        if isinstance(o, L2tpMessage) and o.message == "SCCRQ" and o.direction == "out":
            return "" if o.host_name == "anonymous" else o.host_name
    return ""
