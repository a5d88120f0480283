"""What people read: a line a row, the score by layer and gateway, and the table of times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.faults.results import Key, Record
from tests.faults.rows import LAYERS
from tests.lab.gateways import ALL_GATEWAYS

SCORES = ("right", "wrong", "inconclusive", "FALSE HEALTHY", "WRONG LAYER", "no result")
_INDENT = f"\n{'':31}"


def line(done: Record) -> str:
    """One row, at once when it is done."""
    said = f"{done.seconds:5.1f} s{done.said:28}" if done.seconds is not None else ""
    text = f"{done.row:30} {done.gateway:11} {done.score:13} {said}{_captures(done)}"
    if done.real is not None:
        more = "" if done.real.gave_up else ", still trying"
        text += f"{_INDENT}Linux client: {done.real.stage}, {done.real.seconds:.1f} s{more}: "
        text += done.real.said
    if done.score != "right" and done.seconds is not None:
        text += f"{_INDENT}expected {' or '.join(done.expected)}; found {done.found}"
    if done.disagreement:
        text += f"{_INDENT}the client's capture: {done.disagreement}"
        text += f" ({done.differs})" if done.differs else ", which must not differ"
    for note in done.notes:
        text += f"{_INDENT}{note}"
    return text.rstrip()


def _captures(done: Record) -> str:
    if not done.captures:
        return ""
    wrong = [c for c in done.captures if c.score != "right"]
    right = f"captures {len(done.captures) - len(wrong)}/{len(done.captures)}"
    words = [f"{c.place}{'' if c.keys else ' (no keys)'}: {c.score}: {c.said}" for c in wrong]
    return _INDENT.join([right, *words])


def closing_line(scores: Iterable[str]) -> str:
    """``N right, N wrong, N inconclusive, N false healthy, N wrong layer``."""
    count = Counter(scores)
    words = [f"{count[score]} {score.lower()}" for score in SCORES[:-1]]
    if count["no result"]:
        words.append(f"{count['no result']} without a result")
    return ", ".join(words)


@dataclass(slots=True)
class Table:
    """The whole matrix, or as much of it as there is."""

    records: dict[Key, Record] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.records[record.key] = record

    @property
    def failures(self) -> list[Record]:
        """Rows whose live verdict, or a capture's, is not right, or that differ for no reason."""
        return [record for record in self.records.values() if record.failed]

    def text(self) -> str:
        records = list(self.records.values())
        parts = [self._scores("live", lambda r: [r.score])]
        if any(r.captures for r in records):
            parts.append(self._scores("captures with keys", lambda r: [
                c.score for c in r.captures if c.keys]))  # fmt: skip
            parts.append(self._scores("captures without keys", lambda r: [
                c.score for c in r.captures if not c.keys]))  # fmt: skip
            parts.append(self._agreement())
        parts.append(self._times())
        if any(r.real for r in records):
            parts.append("\n".join(self._reference()))
        if self.failures:
            parts.append("\n".join(["not as they must be:", *map(line, self.failures)]))
        captures = [score for r in records for score in (c.score for c in r.captures)]
        if captures:
            parts.append("captures: " + closing_line(captures))
        parts.append(closing_line(r.score for r in records))
        return "\n" + "\n\n".join(part for part in parts if part)

    def _scores(self, title: str, scores: Callable[[Record], list[str]]) -> str:
        lines = [f"{title:22} {'':11}" + "".join(f"{score:>14}" for score in SCORES)]
        total: Counter[str] = Counter()
        for layer in LAYERS:
            for gateway in ALL_GATEWAYS:
                count = Counter(
                    score
                    for r in self.records.values()
                    if r.layer == layer and r.gateway == gateway
                    for score in scores(r)
                )
                total += count
                if count:
                    lines.append(
                        f"{layer:22} {gateway:11}"
                        + "".join(f"{count[score] or '.':>14}" for score in SCORES)
                    )
        lines.append(f"{'all':34}" + "".join(f"{total[score]:>14}" for score in SCORES))
        return "\n".join(lines)

    def _agreement(self) -> str:
        """Whether the run and the capture made beside it say the same."""
        both = [r for r in self.records.values() if r.captures and r.seconds is not None]
        allowed = [r for r in both if r.disagreement and r.differs]
        others = [r for r in both if r.disagreement and not r.differs]
        agree = len(both) - len(allowed) - len(others)
        lines = [
            f"live run and client's capture with keys: {agree} of {len(both)} agree, "
            f"{len(allowed)} differ for a reason, {len(others)} differ and must not"
        ]
        for r in allowed + others:
            lines.append(f"  {r.row} on {r.gateway}: live {r.said}, capture {r.disagreement}"
                         f"{f'; {r.differs}' if r.differs else '; MUST NOT DIFFER'}")  # fmt: skip
        return "\n".join(lines)

    def _times(self) -> str:
        timed = sorted((r.seconds, r.row, r.gateway) for r in self.records.values() if r.seconds)
        if not timed:
            return ""
        longest, row, gateway = timed[-1]
        whole = sum(r.whole_seconds for r in self.records.values())
        return (
            f"time to verdict: median {timed[len(timed) // 2][0]:.1f} s, "
            f"longest {longest:.1f} s ({row} on {gateway}); {whole:.0f} s in all with set-up"
        )

    def _reference(self) -> list[str]:
        lines = [f"{'':30} {'':11} {'vpndiag':>9}  {'Linux client':>13}"]
        for r in self.records.values():
            if r.real is None or r.seconds is None:
                continue
            more = "" if r.real.gave_up else "+"
            lines.append(
                f"{r.row:30} {r.gateway:11} {r.seconds:7.1f} s  {f'{r.real.seconds:.1f}{more}':>11}"
                f" s  {r.said}  |  {r.real.stage}: {r.real.said[:110]}"
            )
        return lines
