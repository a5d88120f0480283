"""A capture judged: sessions read, diagnosed one by one, then together."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vpndiag import __version__
from vpndiag.capture.analyze import Analysis, FileProgress, read
from vpndiag.capture.asked import Asked
from vpndiag.capture.heap import growing
from vpndiag.capture.keys import Keys
from vpndiag.capture.trust import Trust
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.diagnosis.together import Judged, choose, nothing, with_notes
from vpndiag.observations import EspFlow, Observation
from vpndiag.report.document import Report, Session, Tool
from vpndiag.report.model import LADDER, Diagnosis, Layer

MAX_FRAMES = 400
MAX_FULL = 1_000
"""Sessions whose observations are in the report; all others have their verdict and findings."""


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
    return report_of(read(paths, keys, progress, trust, asked))


def report_of(found: Analysis) -> Report:
    """The report of an analysis."""
    with growing():
        return _report(found)


def _report(found: Analysis) -> Report:
    start = found.material.first_ns or 0
    examined = [_examine(i, found) for i in range(len(found.attempts))]
    judged = [each.judged for each in examined]
    chosen = choose(judged)
    diagnoses = with_notes(judged)
    sessions = tuple(
        _session(i, examined[i], diagnoses[i], found, full=i < MAX_FULL or i == chosen)
        for i in range(len(examined))
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


@dataclass(frozen=True, slots=True)
class _Examined:
    """One attempt judged, and the frames of its control packets."""

    judged: Judged
    frames: tuple[int, ...]


def _examine(number: int, found: Analysis) -> _Examined:
    """Observe and judge an attempt. Of what was seen only the first is kept where the report will
    not have it."""
    attempt = found.attempts[number]
    seen = found.observe(attempt)
    start = found.material.first_ns or 0
    judged = Judged(
        attempt.key,
        attempt.client,
        attempt.gateway,
        max(0, attempt.first_ns - start) / 1e9,
        max(0, attempt.last_ns - start) / 1e9,
        diagnose(seen),
        seen if number < MAX_FULL else seen[:1],
    )
    return _Examined(judged, _frames(seen))


def _frames(seen: Sequence[Observation]) -> tuple[int, ...]:
    """Those that show something, in order, and always the last."""
    numbers = {f for o in seen for f in o.frames}
    for o in seen:
        if isinstance(o, EspFlow):
            numbers.update(o.last_frames)
    ordered = sorted(numbers)
    return (*ordered[: MAX_FRAMES - 1], *ordered[MAX_FRAMES - 1 :][-1:])


def _session(
    number: int, one: _Examined, diagnosis: Diagnosis, found: Analysis, *, full: bool
) -> Session:
    judged = one.judged
    observations = judged.observations
    if full and number >= MAX_FULL:
        observations = found.observe(found.attempts[number])
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
        observations=tuple(observations) if full else (),  # type: ignore[arg-type]
    )


def _iso(ns: int) -> str:
    try:
        moment = datetime.fromtimestamp(ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
