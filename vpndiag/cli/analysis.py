"""A capture judged: sessions read, diagnosed one by one, then together."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vpndiag import __version__
from vpndiag.capture.analyze import Analysis, FileProgress, FileRead, read
from vpndiag.capture.asked import Asked
from vpndiag.capture.heap import growing
from vpndiag.capture.keys import Keys
from vpndiag.cli.examine import MAX_FULL, Examined, Seen, examine
from vpndiag.cli.process import ProcessGone
from vpndiag.cli.shares import Helper, workers
from vpndiag.cli.work import Outline, Place, Work, independent
from vpndiag.diagnosis.no_attempt import nothing
from vpndiag.diagnosis.together import choose, with_notes
from vpndiag.report.document import Report, Session, Tool
from vpndiag.report.model import LADDER, Diagnosis, Layer

if TYPE_CHECKING:
    from vpndiag.capture.trust import Trust
    from vpndiag.cli.ahead import Ahead


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
    ahead: Ahead | None = None,
) -> tuple[Report, tuple[FileRead, ...]]:
    """The same, with the files in the order in which they were read. ``ahead``: they are being
    read already."""
    if keys is None and trust is None:
        with workers(paths, asked, progress) as several:
            if several is not None:
                if ahead is not None:
                    ahead.stop()
                report = _together(*several)
                if report is not None:
                    return report
    whole = read(paths, keys, progress, trust, asked, ahead=ahead)
    with growing():
        examined: list[Examined] = []
        seen: dict[int, Seen] = {}
        for number, (one, observed) in enumerate(examine(whole)):
            examined.append(one)
            if number < MAX_FULL:
                seen[number] = observed
        chosen = choose([each.judged for each in examined])
        if chosen is not None and chosen not in seen:
            seen[chosen] = whole.observe(whole.attempts[chosen])
        return _report(whole, examined, chosen, seen), whole.files


def _together(work: Work, helpers: list[Helper]) -> tuple[Report, tuple[FileRead, ...]] | None:
    """What this process and helpers find in shares of a capture; None: the shares cannot be told
    apart, or a helper failed."""
    found: list[tuple[Examined, Work | Helper, Place]] = []
    outlines: list[Outline] = []
    everyone: list[Work | Helper] = [work, *helpers]
    try:
        with growing():
            for worker in everyone:
                for turn, (seen, examined) in enumerate(worker.results()):
                    outlines.append(seen)
                    found += [(one, worker, (turn, n)) for n, one in enumerate(examined)]
            if not independent(outlines):
                return None
            found.sort(key=lambda one: one[0].order)
            ordered = [one for one, _, _ in found]
            chosen = choose([each.judged for each in ordered])
            wanted = list(range(min(len(found), MAX_FULL)))
            if chosen is not None and chosen not in wanted:
                wanted.append(chosen)
            # All are asked before the first one is heard.
            parts = [[n for n in wanted if found[n][1] is worker] for worker in everyone]
            answers = [
                worker.observations([found[n][2] for n in mine])
                for worker, mine in zip(everyone, parts, strict=True)
            ]
            observed: dict[int, Seen] = {}
            for mine, answer in zip(parts, answers, strict=True):
                observed |= zip(mine, answer, strict=True)
            last = work.last
            return _report(last, ordered, chosen, observed), last.files
    except ProcessGone:
        return None


def _report(
    found: Analysis, examined: list[Examined], chosen: int | None, observed: dict[int, Seen]
) -> Report:
    start = found.material.first_ns or 0
    diagnoses = with_notes([each.judged for each in examined])
    sessions = tuple(
        _session(number, each, diagnosis, observed.get(number, ()))
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


def _session(number: int, one: Examined, diagnosis: Diagnosis, seen: Seen) -> Session:
    judged = one.judged
    return Session(
        verdict=diagnosis.verdict,
        layers=diagnosis.layers,
        findings=diagnosis.findings,
        number=number + 1,
        client=judged.client,
        caller=judged.caller,
        gateway=judged.gateway,
        first=judged.first,
        last=judged.last,
        frames=one.frames,
        observations=seen,  # type: ignore[arg-type]
    )


def _iso(ns: int) -> str:
    try:
        moment = datetime.fromtimestamp(ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
