"""IKE in IP fragments: what a recorder wrote twice, or left out, is not lost on the way."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.variants import Shot
from tests.unit.analyze.scene import Pair, Wire

SIZE = 104


def _pieces(shot: Shot) -> Iterator[Shot]:
    """The packet in fragments of ``SIZE`` bytes (RFC 791 section 3.2); header checksums are
    nobody's business here."""
    head, body = shot.data[:20], shot.data[20:]
    for at in range(0, len(body), SIZE):
        piece = body[at : at + SIZE]
        more = 0x2000 if at + SIZE < len(body) else 0
        size, place = struct.pack("!H", 20 + len(piece)), struct.pack("!H", more | at // 8)
        data = head[:2] + size + head[4:6] + place + head[8:] + piece
        yield replace(shot, data=data, length=len(data))


def _unanswered(wire: Wire) -> None:
    pair = Pair(wire)
    for wait in (1, 1, 2, 4, 8):
        pair.mm1(wait=wait)


def _refused(wire: Wire) -> None:
    pair = Pair(wire)
    for wait in (1, 2, 4, 8):
        pair.mm1()
        pair.notify(False, 14, wait=wait)


@pytest.mark.parametrize("whole_datagrams", [True, False])
def test_a_mirror_port_that_shows_each_fragment_twice_loses_none(
    whole_datagrams: bool, tmp_path: Path
) -> None:
    wire = Wire()
    _unanswered(wire)
    shots: list[Shot] = []
    for s in wire.shots:
        pieces = list(_pieces(s))
        shots += [*pieces, *pieces] if whole_datagrams else [p for p in pieces for p in (p, p)]
    wire.shots = shots
    report = wire.report(tmp_path)
    assert report.verdict.finding == "path.silent"
    assert [f.code for f in report.findings] == ["path.silent"]


def test_what_is_answered_had_arrived_whatever_was_recorded_of_it(tmp_path: Path) -> None:
    """A capture filter by port knows the first fragment only."""
    wire = Wire()
    _refused(wire)
    wire.shots = [next(_pieces(s)) for s in wire.shots]
    report = wire.report(tmp_path)
    assert report.verdict.finding == "ike.no-proposal-chosen"
    assert any("capture filter by port" in note for note in report.notes)


def test_first_fragments_alone_are_not_nothing(tmp_path: Path) -> None:
    wire = Wire()
    _unanswered(wire)
    wire.shots = [next(_pieces(s)) for s in wire.shots]
    verdict = wire.report(tmp_path).verdict
    assert verdict.outcome == "inconclusive"
    assert "IP fragments" in verdict.headline
