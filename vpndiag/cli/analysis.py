"""A capture judged: sessions read, diagnosed one by one, then together."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from vpndiag import __version__
from vpndiag.capture.analyze import Analysis, FileProgress, FileRead, read
from vpndiag.capture.asked import Asked
from vpndiag.capture.heap import growing
from vpndiag.capture.keys import Keys
from vpndiag.capture.share import Share
from vpndiag.capture.trust import Trust
from vpndiag.cli.examine import MAX_FULL, Examined, examine
from vpndiag.cli.shares import Helper, HelperGone, helpers, independent, outline
from vpndiag.diagnosis.together import choose, nothing, with_notes
from vpndiag.observations import Observation
from vpndiag.report.document import Report, Session, Tool
from vpndiag.report.model import LADDER, Diagnosis, Layer


def analyze(
    paths: Sequence[str | Path],
    keys: Keys | None = None,
    progress: FileProgress | None = None,
    trust: Trust | None = None,
    asked: Asked | None = None,
) -> Report:
    """Judge capture files as one capture.

    :raises CaptureError: a file that cannot be read as a capture.
    """
    return judge(paths, keys, progress, trust, asked)[0]


def judge(
    paths: Sequence[str | Path],
    keys: Keys | None = None,
    progress: FileProgress | None = None,
    trust: Trust | None = None,
    asked: Asked | None = None,
) -> tuple[Report, tuple[FileRead, ...]]:
    """The same, with the files in the order in which they were read."""
    if keys is None and trust is None:
        with helpers(paths, asked) as others:
            found = _together(paths, progress, asked, others) if others else None
            if found is not None:
                return found
    whole = read(paths, keys, progress, trust, asked)
    with growing():
        examined = [examine(number, whole) for number in range(len(whole.attempts))]
        return _report(whole, examined, _Observed(whole)), whole.files


def _together(
    paths: Sequence[str | Path],
    progress: FileProgress | None,
    asked: Asked | None,
    others: list[Helper],
) -> tuple[Report, tuple[FileRead, ...]] | None:
    """What this process and others find in one share of the capture each; None: the shares cannot
    be told apart, or a helper failed."""
    mine = read(paths, None, progress, None, asked, Share(0, 1 + len(others)))
    with growing():
        examined = [examine(number, mine, whole=False) for number in range(len(mine.attempts))]
        homes: list[tuple[Helper | None, int]] = [(None, n) for n in range(len(examined))]
        outlines = [outline(mine)]
        try:
            for helper in others:
                seen, theirs = helper.results()
                outlines.append(seen)
                examined += theirs
                homes += [(helper, n) for n in range(len(theirs))]
            if not independent(outlines):
                return None
            places = sorted(range(len(examined)), key=lambda place: examined[place].order)
            examined = [examined[place] for place in places]
            observed = _Observed(mine, [homes[place] for place in places])
            return _report(mine, examined, observed), mine.files
        except HelperGone:
            return None


class _Observed:
    """What was seen of attempts, here or in another process."""

    def __init__(
        self, found: Analysis, homes: Sequence[tuple[Helper | None, int]] | None = None
    ) -> None:
        self._found = found
        self._homes = homes

    def of(self, numbers: list[int]) -> dict[int, tuple[Observation, ...]]:
        """:raises HelperGone: the process that knows them ended."""
        if self._homes is None:
            return {n: self._found.observe(self._found.attempts[n]) for n in numbers}
        seen: dict[int, tuple[Observation, ...]] = {}
        by_home: dict[Helper | None, list[int]] = {}
        for number in numbers:
            by_home.setdefault(self._homes[number][0], []).append(number)
        for helper, wanted in by_home.items():
            theirs = [self._homes[number][1] for number in wanted]
            if helper is None:
                answers = [self._found.observe(self._found.attempts[n]) for n in theirs]
            else:
                answers = helper.observations(theirs)
            seen |= zip(wanted, answers, strict=True)
        return seen


def _report(found: Analysis, examined: list[Examined], observed: _Observed) -> Report:
    start = found.material.first_ns or 0
    judged = [each.judged for each in examined]
    chosen = choose(judged)
    diagnoses = with_notes(judged)
    full = {n: each.observations for n, each in enumerate(judged[:MAX_FULL])}
    lacking = [n for n, seen in full.items() if len(seen) == 1]
    if chosen is not None and chosen not in full:
        lacking.append(chosen)
    full |= observed.of(lacking)
    sessions = tuple(
        _session(number, each, diagnosis, full.get(number, ()))
        for number, (each, diagnosis) in enumerate(zip(examined, diagnoses, strict=True))
    )
    if chosen is None:
        verdict = nothing(found.other)
        layers = tuple(Layer(i, "not_reached", reason=verdict.headline) for i in LADDER)
        main = Diagnosis(verdict, layers, ())
    else:
        main = diagnoses[chosen]
    return Report(
        tool=Tool("vpndiag", __version__),
        run_id=str(uuid.uuid4()),
        command="analyze",
        started_at=_iso(start),
        ended_at=_iso(max(found.material.last_ns, start)),
        verdict=main.verdict,
        layers=main.layers,
        findings=main.findings,
        target=", ".join(f.path.name for f in found.files[:8]),
        sessions=sessions,
        session=None if chosen is None else chosen + 1,
        observations=tuple(found.other),
        notes=found.notes,
    )


def _session(
    number: int, one: Examined, diagnosis: Diagnosis, observations: Sequence[Observation]
) -> Session:
    judged = one.judged
    return Session(
        verdict=diagnosis.verdict,
        layers=diagnosis.layers,
        findings=diagnosis.findings,
        number=number + 1,
        client=judged.client,
        gateway=judged.gateway,
        first=judged.first,
        last=judged.last,
        frames=one.frames,
        observations=tuple(observations),  # type: ignore[arg-type]
    )


def _iso(ns: int) -> str:
    try:
        moment = datetime.fromtimestamp(ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
