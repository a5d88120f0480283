"""Packets that are only counted."""

from __future__ import annotations

from dataclasses import field, replace

from vpndiag.records import record

MAX_ENDS = 8


@record(slots=True)
class Tally:
    """Packets of one kind: how many, how many bytes of frame, from when to when, and between whom
    (the first few, as (source, port, destination, port))."""

    packets: int = 0
    bytes: int = 0
    first_frame: int = 0
    last_frame: int = 0
    first_ns: int = 0
    last_ns: int = 0
    ends: list[tuple[str, int, str, int]] = field(default_factory=list)

    def append(self, later: Tally, frames: int) -> None:
        """Take over those of the same kind that came later, their frames numbered on by
        ``frames``."""
        self.packets += later.packets
        self.bytes += later.bytes
        self.last_frame, self.last_ns = later.last_frame + frames, later.last_ns
        self.ends += [e for e in later.ends if e not in self.ends][: MAX_ENDS - len(self.ends)]

    def moved(self, frames: int) -> Tally:
        """The same behind so many frames."""
        first, last = self.first_frame + frames, self.last_frame + frames
        return replace(self, first_frame=first, last_frame=last, ends=list(self.ends))
