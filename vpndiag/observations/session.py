"""What was asked of a run, and how the material ends."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Observation
from vpndiag.records import record


@record(frozen=True, slots=True, kw_only=True)
class Scope(Observation):
    """What this run was asked to do. Captures have none."""

    kind: Literal["scope"] = "scope"
    credentials: bool
    """A pre-shared key or certificate was given."""
    user: bool
    """A user name and password were given."""
    plain_l2tp: bool = False
    certificate: bool = False
    """Authenticate with a certificate rather than a pre-shared key."""


@record(frozen=True, slots=True, kw_only=True)
class Ended(Observation):
    """The end of the material."""

    kind: Literal["ended"] = "ended"
    why: Literal["done", "stopped", "interrupted", "capture-end"]
    """``done``: the run reached what was asked; ``stopped``: it found no way on; ``interrupted``:
    by the user; ``capture-end``: the capture shows no more."""
    one_sided: bool = False
    """A capture that shows only one direction."""
    keepalives: int = 0
    """Packets that keep an L2TP tunnel up (HELLO, acknowledgements), where a capture shows nothing
    else of it."""
