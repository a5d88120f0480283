"""Shares of a long capture, read and judged one after the other.

Conversations of different hosts have nothing to do with each other, but for a few things that
:class:`Outline` is there to notice. A share is a part of the conversations, from the whole length
of the files. Nothing of it but verdicts is kept when the next one is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vpndiag.capture import l2tp_strangers
from vpndiag.capture.analyze import Analysis, FileProgress, read
from vpndiag.capture.asked import Asked
from vpndiag.capture.heap import growing
from vpndiag.capture.sessions import strays
from vpndiag.capture.share import Share
from vpndiag.cli.examine import MAX_FULL, Examined, Seen, examine
from vpndiag.diagnosis.together import choose
from vpndiag.records import record

SLACK = 128
"""Attempts more than their part of those that will be shown in full, of which all is kept."""

Place = tuple[int, int]
"""Which of a worker's shares, and which attempt in it."""


@record(frozen=True, slots=True)
class Outline:
    """What of one share may concern the others: the cookies of its IKE SAs (an answer from
    elsewhere, or one through a NAT, has a cookie of another conversation), how many attempts lack
    ESP, and ESP an attempt; ``lone``: answers to L2TP requests of another conversation.
    ``common``: what each share says of the whole capture; it differs when the file was still being
    written, and by packets that were too many."""

    cookies: frozenset[bytes]
    bare: int
    orphans: int
    lone: int
    common: tuple[object, ...]


def outline(found: Analysis) -> Outline:
    """The outline of a share that was read."""
    bare, orphans = strays(found.attempts)
    cookies = frozenset(track.cookie for track in found.material.ike)
    material = found.material
    common = material.frames, material.first_ns, material.last_ns, *found.notes
    lone = l2tp_strangers.lone(material)
    return Outline(cookies, len(bare), len(orphans), lone, common)


def independent(outlines: Sequence[Outline]) -> bool:
    """Whether the shares say together what the capture read as a whole would say."""
    cookies = sum(len(o.cookies) for o in outlines)
    if cookies != len(frozenset().union(*(o.cookies for o in outlines))):
        return False
    alone = sum(o.bare for o in outlines), sum(o.orphans for o in outlines)
    return (
        alone != (1, 1)
        and not any(o.lone for o in outlines)
        and len({o.common for o in outlines}) == 1
    )


class Work:
    """What this process does of it."""

    def __init__(
        self,
        paths: Sequence[Path],
        asked: Asked | None,
        shares: Sequence[Share],
        progress: FileProgress | None = None,
    ) -> None:
        self._paths = paths
        self._asked = asked
        self._shares = shares
        self._progress = progress
        self._read: tuple[int, Analysis] | None = None
        self._kept: dict[Place, Seen] = {}
        self._last: Analysis | None = None

    def results(self) -> Iterator[tuple[Outline, list[Examined]]]:
        """Share by share. :raises CaptureError: as :func:`~vpndiag.capture.analyze.read`."""
        for turn, share in enumerate(self._shares):
            with growing():
                told = self._examine(turn, int(MAX_FULL * share.part) + SLACK)
            yield told

    def _examine(self, turn: int, keep: int) -> tuple[Outline, list[Examined]]:
        """Let go of the share before anybody is waited for; kept is what will probably be shown."""
        found, self._read = self.found(turn), None
        examined: list[Examined] = []
        for number, (one, seen) in enumerate(examine(found)):
            examined.append(one)
            if number < keep:
                self._kept[turn, number] = seen
        chosen = choose([one.judged for one in examined])
        if chosen is not None and chosen >= keep:
            self._kept[turn, chosen] = found.observe(found.attempts[chosen])
        self._last = found.without_attempts()
        return outline(found), examined

    def observations(self, places: Sequence[Place]) -> Iterator[Seen]:
        """What was seen of these attempts; a share of which it was not kept is read again."""
        for turn, number in places:
            kept = self._kept.get((turn, number))
            if kept is None:
                found = self.found(turn)
                kept = found.observe(found.attempts[number])
            yield kept

    def found(self, turn: int) -> Analysis:
        """One of the shares, read now if it is not the last that was."""
        if self._read is None or self._read[0] != turn:
            self._read = None  # let go of it first
            share, progress = self._shares[turn], self._in_turn(turn)
            found = read(self._paths, None, progress, None, self._asked, share)
            self._read = turn, found
        return self._read[1]

    @property
    def last(self) -> Analysis:
        """The share that was read last: what it says of the files is true of all."""
        assert self._last is not None
        return self._last

    def _in_turn(self, turn: int) -> FileProgress | None:
        """All turns are one reading for who looks on."""
        progress, turns = self._progress, len(self._shares)
        if progress is None:
            return None

        def tell(index: int, done: int, total: int) -> None:
            progress(index, (turn * total + done) // turns, total)

        return tell
