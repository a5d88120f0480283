"""One attempt of a capture, observed and judged."""

from __future__ import annotations

from collections.abc import Iterator

from vpndiag.capture.analyze import Analysis
from vpndiag.capture.attempt import Attempt
from vpndiag.capture.sketch import is_proof
from vpndiag.diagnosis.judged import Judged, computer
from vpndiag.diagnosis.ladder import diagnose_all
from vpndiag.diagnosis.scans import is_scan
from vpndiag.observations import EspFlow, Observation
from vpndiag.records import record
from vpndiag.report.model import Diagnosis

Seen = tuple[Observation, ...]
MAX_FRAMES = 400
BATCH = 800
"""Messages of attempts that are observed together, and judged together then."""
MAX_FULL = 1_000
"""Sessions whose observations are in the report; all others have their verdict and findings."""


@record(frozen=True, slots=True)
class Examined:
    """One attempt judged, and the frames of its control packets. ``order``, its place among all:
    time of the first packet; then, as the whole capture is gone through, the kind of session and
    the first frame of these hosts."""

    order: tuple[int, int, int]
    judged: Judged
    frames: tuple[int, ...]


def examine(found: Analysis) -> Iterator[tuple[Examined, Seen]]:
    """Observe and judge each attempt: the result, and what was seen."""
    start = found.material.first_ns or 0
    for batch in _batches(found):
        seen = found.observe_all(batch)
        each = zip(batch, seen, diagnose_all(seen), strict=True)
        yield from zip([_examined(*one, start) for one in each], seen, strict=True)


def _batches(found: Analysis) -> Iterator[list[Attempt]]:
    """Attempts, some at a time: what observes and what judges do not fit a processor's cache
    together, and would drive each other out for every attempt. What was seen of too many does not
    fit there either."""
    batch: list[Attempt] = []
    size = 0
    for attempt in found.attempts:
        batch.append(attempt)
        size += 1 + attempt.messages
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch


def _examined(attempt: Attempt, seen: Seen, diagnosis: Diagnosis, start: int) -> Examined:
    first_ns = attempt.first_ns
    judged = Judged(
        attempt.key,
        attempt.client,
        attempt.gateway,
        max(0, first_ns - start) / 1e9,
        max(0, attempt.last_ns - start) / 1e9,
        diagnosis,
        seen[0].frames if seen else (),
        is_scan(seen),
        attempt.caller,
        computer(seen) if attempt.clear or attempt.inside else "",
        *_halves(attempt),
    )
    return Examined((first_ns, *attempt.place), judged, _frames(seen))


def _halves(attempt: Attempt) -> tuple[str, str]:
    """The cookies of a main mode that does not get to message 5 here, and of one that begins with
    that message."""
    begins = ends = ""
    for s in attempt.ike[:2]:
        if s.version != 1 or (s.established_ns is not None and s.opening):
            continue
        proofs = [is_proof(m.data) for m in s.track.messages]
        if not any(proofs):
            begins = s.track.cookie.hex()
        elif not s.opening and proofs[0]:
            ends = s.track.cookie.hex()
    return begins, ends


def _frames(seen: Seen) -> tuple[int, ...]:
    """Those that show something, in order, and always the last."""
    numbers = set().union(*[o.frames for o in seen])
    numbers.update(*[o.last_frames for o in seen if type(o) is EspFlow])
    ordered = sorted(numbers)
    return (*ordered[: MAX_FRAMES - 1], *ordered[MAX_FRAMES - 1 :][-1:])
