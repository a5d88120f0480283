"""Exit codes: a contract with scripts (docs/report.md)."""

from __future__ import annotations

from typing import Final

from vpndiag.report.model import Verdict

HEALTHY: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INCONCLUSIVE: Final = 3
INTERRUPTED: Final = 130


class UsageError(Exception):
    """A wrong option or input, or a local problem: one line for the user, exit code 2."""


def code_of(verdict: Verdict, *, interrupted: bool = False) -> int:
    """The exit code for a verdict."""
    if interrupted:
        return INTERRUPTED
    return {"healthy": HEALTHY, "failed": FAILED}.get(verdict.outcome, INCONCLUSIVE)
