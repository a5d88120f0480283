"""A few rounds of ``python -m tests.fuzz.gateway``: nothing is raised, every run ends, and no layer
before the damage is blamed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.gateway import play
from tests.sim.network import reuse_dh


@pytest.fixture(scope="module", autouse=True)
def _dh_once() -> Iterator[None]:
    undo = reuse_dh()
    yield
    undo()


@pytest.mark.parametrize("seed", range(100, 112))
def test_damage_at_any_stage(seed: int) -> None:
    what, result = play(seed)
    assert result.seconds < 120, what
