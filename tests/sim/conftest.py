"""Diffie-Hellman values are computed once for all simulated runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.network import reuse_dh


@pytest.fixture(autouse=True, scope="package")
def _dh_once() -> Iterator[None]:
    undo = reuse_dh()
    yield
    undo()
