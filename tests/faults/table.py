"""What people read: a line a row, and the score by layer and gateway."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.bench import Outcome
from tests.faults.rows import LAYERS
from tests.lab.gateways import GATEWAYS

SCORES = ("right", "wrong", "inconclusive", "FALSE HEALTHY", "WRONG LAYER", "no result")


def line(done: Outcome) -> str:
    """One row, at once when it is done."""
    live = done.live
    captures = _captures(done)
    text = (
        f"{done.row.id:30} {done.gateway:11} {done.score:13} "
        f"{f'{live.seconds:5.1f} s' if live else '':8}"
        f"{(live.finding or live.outcome) if live else '':28}{captures}"
    )
    if done.reference is not None:
        real = done.reference
        gave_up = "" if real.gave_up else ", still trying"
        text += f"\n{'':31}Linux client: {real.stage}, {real.seconds:.1f} s{gave_up}: {real.said}"
    if done.score != "right" and live is not None:
        text += f"\n{'':31}expected {' or '.join(done.row.finding)}; found {live.codes}"
    for note in done.notes:
        text += f"\n{'':31}{note}"
    return text.rstrip()


def _captures(done: Outcome) -> str:
    if not done.captures:
        return ""
    wrong = [c for c in done.captures if c.score != "right"]
    if not wrong:
        return f"captures {len(done.captures)}/{len(done.captures)}"
    words = [f"{c.place}{'' if c.keys else ' (no keys)'}: {c.score}: {c.said}" for c in wrong]
    right = len(done.captures) - len(wrong)
    return f"captures {right}/{len(done.captures)}\n{'':31}" + f"\n{'':31}".join(words)


@dataclass(slots=True)
class Table:
    """The whole matrix."""

    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, done: Outcome) -> None:
        self.outcomes.append(done)

    @property
    def failures(self) -> list[Outcome]:
        """Rows whose live verdict, or a capture's, is not right."""
        return [
            o for o in self.outcomes
            if o.score != "right" or any(s != "right" for s in o.capture_scores)
        ]  # fmt: skip

    def text(self) -> str:
        parts = [self._scores("live", lambda o: [o.score])]
        if any(o.captures for o in self.outcomes):
            parts.append(self._scores("captures with keys", lambda o: [
                c.score for c in o.captures if c.keys]))  # fmt: skip
            parts.append(self._scores("captures without keys", lambda o: [
                c.score for c in o.captures if not c.keys]))  # fmt: skip
            parts.append(self._agreement())
        parts.append(self._times())
        return "\n" + "\n\n".join(part for part in parts if part)

    def _scores(self, title, scores) -> str:  # type: ignore[no-untyped-def]
        lines = [f"{title:22} {'':11}" + "".join(f"{score:>14}" for score in SCORES)]
        total: Counter[str] = Counter()
        for layer in LAYERS:
            for gateway in GATEWAYS:
                count = Counter(
                    score
                    for o in self.outcomes
                    if o.row.layer == layer and o.gateway == gateway
                    for score in scores(o)
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
        both = [(o, c) for o in self.outcomes for c in o.captures
                if c.keys and c.place == "client" and o.live]  # fmt: skip
        differ = [
            f"  {o.row.id} on {o.gateway}: live {o.live.finding or o.live.outcome}, "
            f"capture {c.said}"
            for o, c in both
            if o.live and (c.finding, c.outcome) != (o.live.finding, o.live.outcome)
        ]
        head = f"live and client capture agree: {len(both) - len(differ)} of {len(both)}"
        return "\n".join([head, *differ])

    def _times(self) -> str:
        timed = [o for o in self.outcomes if o.live]
        if not timed:
            return ""
        seconds = sorted(o.live.seconds for o in timed if o.live)
        slow = sorted(timed, key=lambda o: -o.live.seconds if o.live else 0)[:5]
        lines = [
            f"time to verdict: median {seconds[len(seconds) // 2]:.1f} s, "
            f"longest {seconds[-1]:.1f} s ({slow[0].row.id} on {slow[0].gateway}); "
            f"{sum(o.seconds for o in self.outcomes):.0f} s in all with set-up and analysis"
        ]
        real = [o for o in timed if o.reference is not None]
        if real:
            lines += ["", f"{'':30} {'':11} {'vpndiag':>9}  {'Linux client':>13}"]
            for o in real:
                assert o.live is not None and o.reference is not None
                more = "+" if not o.reference.gave_up else ""
                lines.append(
                    f"{o.row.id:30} {o.gateway:11} {o.live.seconds:7.1f} s  "
                    f"{f'{o.reference.seconds:.1f}{more}':>11} s  "
                    f"{o.live.finding or o.live.outcome}  |  {o.reference.stage}: "
                    f"{o.reference.said[:110]}"
                )
        return "\n".join(lines)
