"""Whether questions had to be repeated because the way is long, or because packets were lost."""

from __future__ import annotations

import pytest

from tests.sim.network import Line, Network, simulate


@pytest.mark.parametrize("delay", [0.02, 0.3, 0.6])
def test_a_long_way_is_even(delay: float) -> None:
    line = Line(delay=delay)
    stack = simulate(network=Network(up=line, down=line)).run.stack
    assert stack is not None and stack.round_trip.even
    assert stack.round_trip.seconds == pytest.approx(2 * delay)


def test_a_way_that_loses_packets_is_not() -> None:
    line = Line(loss=0.4)
    results = [simulate(network=Network(up=line, down=line), seed=seed) for seed in range(4)]
    assert {r.outcome for r in results} == {"healthy"}
    told = [r.run.stack.round_trip.even for r in results if r.run.stack is not None]
    assert told == [False] * 4
