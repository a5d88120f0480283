"""The fault matrix as tests: in CI the rows marked ``fast``, on demand any others.

pytest tests/faults                                  the fast part: 2 to 4 minutes
VPNDIAG_FAULTS='wrong-*' pytest tests/faults         these rows instead
python -m tests.faults run                           everything, with the score
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest

from tests.faults.bench import Bench, apply_rule
from tests.faults.rows import LAYERS, Row, judge, load
from tests.faults.settings import client_config, gateway_config
from tests.faults.table import line
from tests.lab.gateways import ALL_GATEWAYS, missing_parts
from vpndiag import catalogue

ROWS = load()
CODES = {entry.code for entry in catalogue.all_entries()}
WANTED = os.environ.get("VPNDIAG_FAULTS")


def _chosen() -> list[tuple[str, Row]]:
    """By gateway, so that each machine is started once.  A fast row runs on one of its gateways, in
    turn, and "healthy" on all."""
    found: list[tuple[str, Row]] = []
    for number, (name, by_gateway) in enumerate(ROWS.items()):
        if WANTED:
            found += [(g, row) for g, row in by_gateway.items() if fnmatch(name, WANTED)]
            continue
        fast = [(g, row) for g, row in by_gateway.items() if row.fast]
        found += fast if name == "healthy" else fast[number % len(fast) :][:1] if fast else []
    return sorted(found, key=lambda pair: ALL_GATEWAYS.index(pair[0]))


class _Benches:
    """One bench at a time."""

    def __init__(self) -> None:
        self.bench: Bench | None = None

    def give(self, name: str) -> Bench:
        if self.bench is not None and self.bench.name != name:
            self.close()
        if self.bench is None:
            self.bench = Bench(name)
        return self.bench

    def close(self) -> None:
        if self.bench is not None:
            self.bench.close()
            self.bench = None


@pytest.fixture(scope="module")
def benches() -> Iterator[_Benches]:
    reason = missing_parts()
    if reason and os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"the lab must run in CI: {reason}")
    if reason:
        pytest.skip(f"lab: {reason}")
    found = _Benches()
    yield found
    found.close()


@pytest.mark.lab
@pytest.mark.parametrize(
    ("gateway", "row"), [pytest.param(g, r, id=f"{g}-{r.id}") for g, r in _chosen()]
)
def test_row(benches: _Benches, gateway: str, row: Row) -> None:
    """The live verdict is right, and so is what ``analyze`` says of the captures beside it."""
    done = benches.give(gateway).run(row)
    record = done.record()
    said = f"{line(record)}\n{done.live.text if done.live else ''}"
    assert not record.failed, said


# The data itself, without the lab


def test_the_matrix_is_large_enough() -> None:
    faults = {n for n, by in ROWS.items() if any(r.layer != "healthy" for r in by.values())}
    assert len(faults) >= 60
    assert {row.layer for by in ROWS.values() for row in by.values()} <= set(LAYERS)
    assert {gateway for by in ROWS.values() for gateway in by} == set(ALL_GATEWAYS)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_makes_sense(name: str) -> None:
    for gateway, row in ROWS[name].items():
        assert row.what
        places = [
            row.expected(p, k) for p in ("client", "gateway", "middle") for k in (True, False)
        ]
        for code in {*row.finding, *row.warns, *(c for codes in places for c in codes)}:
            kind, _, layer = code.partition(" ")
            assert kind in ("healthy", "inconclusive", "nothing") or code in CODES
            assert not layer or layer in LAYERS
        if len(row.finding) > 1:
            assert row.why, "several findings need a reason why they cannot be told apart"
        gateway_config(row, gateway)
        client_config(row)
        for rule in row.rules:
            apply_rule(_NoNetwork(), rule)  # type: ignore[arg-type]


class _NoNetwork:
    """Takes what Network.drop takes."""

    def drop(
        self, *, port: int | None = None, protocol: str | None = None, direction: str = "both",
        min_size: int | None = None, max_size: int | None = None, fragments: bool = False,
        share: float | None = None, match: str = "", reject: str | None = None,
        hop: int = 0,
    ) -> None:  # fmt: skip
        assert direction in ("to-gateway", "to-client", "both")


@pytest.mark.parametrize(
    ("expected", "verdict", "score"),
    [
        (("healthy",), ("healthy", None, None), "right"),
        (("healthy",), ("failed", "path", "path.silent"), "WRONG LAYER"),
        (("path.silent",), ("failed", "path", "path.silent"), "right"),
        (("path.silent",), ("failed", "path", "path.prohibited"), "wrong"),
        (("path.silent",), ("healthy", None, None), "FALSE HEALTHY"),
        (("path.silent",), ("failed", "ike", "ike.stalled"), "WRONG LAYER"),
        (("path.silent",), ("inconclusive", "path", None), "inconclusive"),
        (("inconclusive",), ("failed", "path", "path.silent"), "WRONG LAYER"),
        (("inconclusive esp",), ("inconclusive", "esp", None), "right"),
        (("inconclusive esp",), ("inconclusive", "l2tp", None), "inconclusive"),
        (("nothing",), ("not_applicable", None, None), "right"),
        (("a.b", "c.d"), ("failed", "c", "c.d"), "right"),
    ],
)
def test_judging(
    expected: tuple[str, ...], verdict: tuple[str, str | None, str | None], score: str
) -> None:
    assert judge(expected, *verdict) == score
