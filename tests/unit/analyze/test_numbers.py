"""What ESP's sequence numbers show: repeats, packets overtaken, gaps; and what only the recorder
did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.variants import Shot
from tests.unit.analyze.scene import Pair, Wire
from vpndiag.report.document import Report

MS = 1_000_000
FIRST = 12
"""Frames before users' data."""


def _session(place: Path, change: Callable[[list[Shot]], list[Shot]]) -> Report:
    wire = Wire()
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    pair.users(100, wait=0.02)
    wire.shots = change(wire.shots)
    return wire.report(place)


def _severities(found: Report) -> dict[str, str]:
    return {f.code: f.severity for f in found.findings}


def _again(later: int, every: int) -> Callable[[list[Shot]], list[Shot]]:
    def change(shots: list[Shot]) -> list[Shot]:
        copies = [replace(s, time_ns=s.time_ns + later) for s in shots[FIRST::every]]
        return shots + copies

    return change


def _late(by: int, every: int) -> Callable[[list[Shot]], list[Shot]]:
    def change(shots: list[Shot]) -> list[Shot]:
        return [
            replace(s, time_ns=s.time_ns + by) if n > FIRST and n % every == 0 else s
            for n, s in enumerate(shots)
        ]

    return change


def test_repeated_packets_are_cited(tmp_path: Path) -> None:
    found = _session(tmp_path, _again(30 * MS, 10))
    assert found.verdict.outcome == "healthy"
    (seen,) = (f for f in found.findings if f.code == "esp.replayed")
    shots = sorted(_again(30 * MS, 10)(list(_written(tmp_path))), key=lambda s: s.time_ns)
    data = [s.data[28:] for s in shots]
    assert seen.severity == "warning" and seen.evidence[0].frames
    assert all(data[n - 1] in data[: n - 1] for n in seen.evidence[0].frames)


def _written(place: Path) -> list[Shot]:
    """The session without changes."""
    wire = Wire()
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    pair.users(100, wait=0.02)
    return wire.shots


def test_a_repeat_or_two_are_nothing(tmp_path: Path) -> None:
    assert "esp.replayed" not in _severities(_session(tmp_path, _again(30 * MS, 100)))


@pytest.mark.parametrize("only", ["both ways", "one way"])
def test_packets_that_a_recorder_wrote_twice_are_no_repeats(only: str, tmp_path: Path) -> None:
    def change(shots: list[Shot]) -> list[Shot]:
        twice = [s for s in shots if only == "both ways" or s.data[12:16] == shots[0].data[12:16]]
        return shots + [replace(s, time_ns=s.time_ns + 50_000) for s in twice]

    found = _session(tmp_path, change)
    assert found.verdict.outcome == "healthy"
    assert not {"esp.replayed", "esp.out-of-order"} & set(_severities(found))


def test_every_packet_twice_but_later_is_not_the_recorder(tmp_path: Path) -> None:
    assert _severities(_session(tmp_path, _again(200 * MS, 1)))["esp.replayed"] == "warning"


@pytest.mark.parametrize(("by", "severity"), [(100 * MS, "info"), (900 * MS, "warning")])
def test_overtaken_packets_do_harm_beyond_the_replay_window(
    by: int, severity: str, tmp_path: Path
) -> None:
    found = _session(tmp_path, _late(by, 7))
    assert found.verdict.outcome == "healthy"
    assert _severities(found)["esp.out-of-order"] == severity


def test_a_file_in_another_order_than_its_time_stamps_shows_nothing_of_that(tmp_path: Path) -> None:
    from tests.fuzz.variants import save
    from vpndiag.cli.analysis import analyze

    save(_written(tmp_path)[::-1], tmp_path / "c.pcapng")
    assert "esp.out-of-order" not in _severities(analyze([tmp_path / "c.pcapng"]))


def test_gaps_are_cited_where_they_are(tmp_path: Path) -> None:
    found = _session(tmp_path, lambda shots: [s for n, s in enumerate(shots) if n < FIRST or n % 9])
    (seen,) = (f for f in found.findings if f.code == "path.lossy")
    assert len(seen.evidence[0].frames) > 5 and min(seen.evidence[0].frames) > FIRST
