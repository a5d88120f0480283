"""Attempts are observed and judged some dozens together: as each would be alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import pcap
from tests.unit.analyze.test_shares import sessions
from vpndiag.capture.analyze import Analysis, read
from vpndiag.capture.keys import Keys, read_keys
from vpndiag.cli import examine
from vpndiag.diagnosis.ladder import diagnose, diagnose_all

RECORDED = Path(__file__).parents[3] / "captures"


def _many(folder: Path) -> Analysis:
    path = folder / "many.pcap"
    path.write_bytes(pcap.capture(sorted(sessions(60, 9, seed=7)), pcap.ETHERNET))
    return read([path])


def _recordings(folder: Path) -> Analysis:
    keys = Keys()
    for path in sorted(RECORDED.glob("*.keys")):
        theirs = read_keys(path)
        keys.ike |= theirs.ike
        for key in (key for known in theirs.esp.values() for key in known):
            keys.add_esp(key)
    return read(sorted(RECORDED.glob("*.pcapng")), keys)


@pytest.mark.parametrize("found_in", [_many, _recordings])
def test_attempts_observed_and_judged_together_are_as_each_alone(
    found_in: Callable[[Path], Analysis], tmp_path: Path
) -> None:
    found = found_in(tmp_path)
    assert len(found.attempts) >= 15
    together = found.observe_all(found.attempts)
    assert together == [found.observe(attempt) for attempt in found.attempts]
    diagnoses = diagnose_all(together)
    assert diagnoses == [diagnose(seen) for seen in together]
    assert len({d.verdict.outcome for d in diagnoses}) > 1


def test_the_size_of_a_batch_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = _many(tmp_path)
    usual = list(examine.examine(found))
    assert len(usual) == len(found.attempts)
    for size in (1, 100, 10**9):
        monkeypatch.setattr(examine, "BATCH", size)
        assert list(examine.examine(found)) == usual
