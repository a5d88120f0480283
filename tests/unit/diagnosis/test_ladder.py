"""What is said of a run that hardly began."""

from __future__ import annotations

from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import Ended, NameAnswer, Scope


def test_a_run_that_only_looked_up_the_name_is_not_healthy() -> None:
    answer = NameAnswer(
        t=0.1,
        name="vpn.example.com",
        rrtype="A",
        resolver="192.0.2.53",
        outcome="answered",
        addresses=("8.8.8.8",),
    )
    scope = Scope(t=0.0, credentials=False, user=False)
    verdict = diagnose([scope, answer, Ended(t=0.2, why="done")]).verdict
    assert (verdict.outcome, verdict.layer) == ("inconclusive", "path")
    assert "name" in verdict.headline
