"""What is kept of a row that was run: plain values that go through JSON and back.

A pass writes its records as it goes, so one that was interrupted is not lost, and several passes
can be put together: the later record of a row on a gateway replaces the earlier.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, str]
"""Row, gateway."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What ``analyze`` said of a capture made at one place."""

    place: str
    keys: bool
    score: str
    outcome: str
    layer: str | None
    finding: str | None

    @property
    def said(self) -> str:
        return self.finding or f"{self.outcome} {self.layer or ''}".strip()


@dataclass(frozen=True, slots=True)
class Real:
    """How the real Linux client fared with the same fault."""

    stage: str
    seconds: float
    gave_up: bool
    """False: still trying when its time was over."""
    said: str


@dataclass(slots=True)
class Record:
    """A row on a gateway."""

    row: str
    gateway: str
    what: str
    layer: str
    expected: list[str]
    score: str = "no result"
    notes: list[str] = field(default_factory=list)
    outcome: str = ""
    finding: str | None = None
    found: list[str] = field(default_factory=list)
    """Every finding of the live run, the verdict's first."""
    seconds: float | None = None
    """From the start of the live run to its verdict."""
    whole_seconds: float = 0.0
    """The whole row with set-up."""
    captures: list[Capture] = field(default_factory=list)
    differs: str = ""
    """Why the client's capture may say something else than the live run."""
    real: Real | None = None

    @property
    def key(self) -> Key:
        return self.row, self.gateway

    @property
    def said(self) -> str:
        return self.finding or self.outcome

    @property
    def disagreement(self) -> str:
        """What the capture made at the client says, with keys, where the live run says another
        thing; else the empty string."""
        for capture in self.captures:
            if capture.keys and capture.place == "client":
                same = (capture.outcome, capture.finding) == (self.outcome, self.finding)
                return "" if same else capture.said
        return ""

    @property
    def failed(self) -> bool:
        """Whether anything of it is not as it must be."""
        return (
            self.score != "right"
            or any(capture.score != "right" for capture in self.captures)
            or bool(self.disagreement and not self.differs)
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Record:
        real = values.pop("real", None)
        captures = [Capture(**one) for one in values.pop("captures", ())]
        return cls(**values, captures=captures, real=Real(**real) if real else None)


def save(file: Path, records: Iterable[Record]) -> None:
    """Write them all; whoever reads meanwhile, or a kill, finds a whole file."""
    draft = file.with_name(file.name + ".new")
    draft.write_text(json.dumps([asdict(record) for record in records], indent=1) + "\n")
    draft.replace(file)


def read(files: Sequence[Path]) -> dict[Key, Record]:
    """The records of several passes, the last of each row."""
    found: dict[Key, Record] = {}
    for file in files:
        for values in json.loads(file.read_text()):
            record = Record.from_json(values)
            old = found.get(record.key)
            if old is not None and record.real is None:
                record.real = old.real
            found[record.key] = record
    return found
