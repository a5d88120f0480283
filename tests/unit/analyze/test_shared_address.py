"""One address inside for two sessions at the same time."""

from __future__ import annotations

from pathlib import Path

from tests.unit.analyze.scene import Pair, Wire
from vpndiag.report.document import Report

ONE, OTHER = "192.168.7.31", "192.168.7.32"


def _sessions(place: Path, *clients: str, apart: float = 0.0) -> Report:
    """Each is given 10.9.0.5, and uses it for ten seconds and more."""
    wire = Wire()
    for number, client in enumerate(clients):
        wire.at = number * apart
        pair = Pair(wire, client, clear=True, seed=number)
        pair.inside()
        pair.users(40)
    return wire.report(place)


def _codes(report: Report) -> set[str]:
    return {f.code for s in report.sessions for f in s.findings}


def test_it_is_told_at_both_and_fails_neither(tmp_path: Path) -> None:
    report = _sessions(tmp_path, ONE, OTHER)
    for session, other in zip(report.sessions, (OTHER, ONE), strict=True):
        found = next(f for f in session.findings if f.code == "address.shared")
        assert f"10.9.0.5 to another session too, that of {other}" in found.detail
        assert session.verdict.outcome == "healthy"


def test_an_address_that_is_given_out_again_later_is_not_shared(tmp_path: Path) -> None:
    assert "address.shared" not in _codes(_sessions(tmp_path, ONE, OTHER, apart=60.0))


def test_nor_is_that_of_a_client_whose_old_session_is_still_taken_down(tmp_path: Path) -> None:
    assert "address.shared" not in _codes(_sessions(tmp_path, ONE, OTHER, apart=15.0))
