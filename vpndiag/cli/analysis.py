"""A capture judged: sessions read, diagnosed one by one, then together."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from vpndiag import __version__
from vpndiag.capture.analyze import Analysis, FileProgress, Observed, read
from vpndiag.capture.keys import Keys
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.diagnosis.together import Judged, choose, nothing, with_notes
from vpndiag.report.document import Report, Session, Tool
from vpndiag.report.model import LADDER, Diagnosis, Layer

MAX_FRAMES = 400
MAX_FULL = 1_000
"""Sessions whose observations are in the report; all others have their verdict and findings."""


def analyze(
    paths: Sequence[str | Path],
    keys: Keys | None = None,
    progress: FileProgress | None = None,
) -> Report:
    """Judge capture files as one capture.

    :raises CaptureError: a file that cannot be read as a capture.
    """
    return report_of(read(paths, keys, progress))


def report_of(found: Analysis) -> Report:
    """The report of an analysis."""
    start = found.material.first_ns or 0
    judged = [_judge(one, start) for one in found.observed]
    chosen = choose(judged)
    judged = [replace(j, diagnosis=d) for j, d in zip(judged, with_notes(judged), strict=True)]
    sessions = tuple(
        _session(i, one, j, found, full=i < MAX_FULL or i == chosen)
        for i, (one, j) in enumerate(zip(found.observed, judged, strict=True))
    )
    if chosen is None:
        verdict = nothing(found.other)
        layers = tuple(Layer(i, "not_reached", reason=verdict.headline) for i in LADDER)
        main = Diagnosis(verdict, layers, ())
    else:
        main = judged[chosen].diagnosis
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


def _judge(one: Observed, start_ns: int) -> Judged:
    attempt = one.attempt
    return Judged(
        attempt.key,
        attempt.client,
        attempt.gateway,
        max(0, attempt.first_ns - start_ns) / 1e9,
        max(0, attempt.last_ns - start_ns) / 1e9,
        diagnose(one.observations),
        one.observations,
    )


def _session(number: int, one: Observed, judged: Judged, found: Analysis, *, full: bool) -> Session:
    diagnosis = judged.diagnosis
    frames = sorted({f for o in one.observations for f in o.frames})[:MAX_FRAMES]
    start = found.material.first_ns or 0
    return Session(
        verdict=diagnosis.verdict,
        layers=diagnosis.layers,
        findings=diagnosis.findings,
        number=number + 1,
        client=judged.client,
        gateway=judged.gateway,
        first=max(0, one.attempt.first_ns - start) / 1e9,
        last=max(0, one.attempt.last_ns - start) / 1e9,
        frames=tuple(frames),
        observations=one.observations if full else (),  # type: ignore[arg-type]
    )


def _iso(ns: int) -> str:
    try:
        moment = datetime.fromtimestamp(ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
