"""What a measured NAT lifetime means: enough for usual keepalives, or not."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.test_outer_mtu import healthy
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import NatLifetime


def lifetime(survived: float, gone: float = 0.0, missed: int = 2, **changes: object) -> NatLifetime:
    values: dict[str, object] = {
        "t": 90.0, "outcome": "measured", "survived": survived, "gone": gone,
        "missed": missed if gone else 0, "heard": 5, "gateway_waits": max(survived, gone),
    }  # fmt: skip
    return NatLifetime(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "confidence", "fact"),
    [
        (lifetime(17.6, 29.6), "high", "survives 18 s, gone after 30 s"),
        (lifetime(16.0, 32.0, 1), "medium", "survives 16 s, gone after 32 s"),
        (lifetime(0.0, 2.0, 3, heard=0), "high", "survives 0 s, gone after 2 s"),
        (lifetime(29.6, 45.0), None, "survives 30 s, gone after 45 s"),
        (lifetime(32.0), None, "survives 32 s (longer cannot be told"),
        (lifetime(8.0, outcome="unfinished"), None, "survives 8 s (longer cannot be told"),
        (lifetime(0.0, heard=0, outcome="unanswered"), None, "cannot be told"),
        (lifetime(0.0, heard=0, outcome="no-session"), None, "cannot be told"),
    ],
)
def test_a_short_lifetime_is_a_warning(
    seen: NatLifetime, confidence: str | None, fact: str
) -> None:
    found = diagnose(healthy(seen))
    assert found.verdict.outcome == "healthy"
    told = [f for f in found.findings if f.code == "path.nat-short-lived"]
    assert [(f.severity, f.confidence) for f in told] == (
        [("warning", confidence)] if confidence else []
    )
    rung = next(x for x in found.layers if x.id == "path")
    assert rung.facts["silent mapping"].startswith(fact)
    assert rung.status == ("warning" if confidence else "passed")


@pytest.mark.parametrize(
    ("survived", "gone", "every"), [(17.6, 29.6, 17), (32.0, 39.0, 20), (1.5, 3.0, 1)]
)
def test_the_keepalive_interval_that_is_needed(survived: float, gone: float, every: int) -> None:
    (found,) = diagnose(healthy(lifetime(survived, gone))).findings
    assert f"every {every} s" in found.detail
