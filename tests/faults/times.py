"""docs/time-to-verdict.md: how long vpndiag and the real Linux client took, and what they said."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.results import Record
from tests.faults.rows import LAYERS

_HEAD = """# Time to verdict

The same faults, made in the lab (`tests/faults`), met by vpndiag and by a real Linux client:
strongSwan, xl2tpd and pppd with the timers that they come with, in a machine of its own. Measured,
not chosen; made by

    known=tests/faults/reference.json
    python -m tests.faults run --reference --no-captures --json $known --rows ...
    python -m tests.faults score $known pass.json --times docs/time-to-verdict.md

where `pass.json` (optional) holds the results of a later pass of vpndiag alone. Times are of one
run each, vpndiag's from its start to its exit: on a busy machine its seconds of computing grow, and
the timers of the other client do not. "Still trying" means that the client had not given up when
its time was over. What it says is the last line that the program that failed has for a person.

| fault | gateway | vpndiag | it says | Linux client | fails at | it says |
|---|---|--:|---|--:|---|---|
"""
_STAGES = {"ike": "IKE", "ipsec": "IPsec SA", "l2tp": "L2TP", "ppp": "PPP", "up": "connects"}


def times_document(records: Iterable[Record]) -> str:
    """The table of every row that both have met, in the order of the layers, and its sum."""
    met = [r for r in records if r.real is not None and r.seconds is not None]
    met.sort(key=lambda r: (LAYERS.index(r.layer), r.row, r.gateway))
    lines = []
    for r in met:
        assert r.real is not None and r.seconds is not None
        took = (
            f"{r.real.seconds:.1f} s"
            if r.real.gave_up
            else f"still trying at {r.real.seconds:.0f} s"
        )
        words = (
            ""
            if r.real.stage == "up"
            else r.real.said.replace("|", "\\|").replace("`", "'")[:120].strip()
        )
        lines.append(
            f"| {r.what} (`{r.row}`) | {r.gateway} | {r.seconds:.1f} s | {r.said} | {took} | "
            f"{_STAGES[r.real.stage]} | {f'`{words}`' if words else 'nothing'} |"
        )
    failed = [r for r in met if r.real and r.real.stage != "up"]
    ours = sorted(r.seconds or 0 for r in failed)
    theirs = sorted(r.real.seconds for r in failed if r.real)
    total = ""
    if failed:
        middle = len(failed) // 2
        total = (
            f"\n{len(failed)} failures: vpndiag needed {ours[middle]:.1f} s in the middle and "
            f"{ours[-1]:.1f} s at most, the Linux client {theirs[middle]:.1f} s and "
            f"{theirs[-1]:.0f} s.\n"
        )
    return _HEAD + "\n".join(lines) + "\n" + total
