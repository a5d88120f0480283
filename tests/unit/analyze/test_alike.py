"""Many clients of one gateway in a capture: which failure it is about, and whether it is one user's
trouble or everybody's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.unit.analyze.scene import ANDROID, ANDROID_VENDORS, ROUTER, Pair, Wire, played
from vpndiag.report.document import Report
from vpndiag.report.model import Finding

Play = Callable[[Pair], object]


def served(pair: Pair) -> None:
    pair.session()


def wrong_key(pair: Pair) -> None:
    pair.main_mode(upto=5)
    for wait in (1.0, 2.0, 4.0):
        pair.info(False, size=48)
        pair.proof(True, wait, pair.proved)


def no_proposal(pair: Pair) -> None:
    for wait in (3.0, 3.0):
        pair.mm1(ANDROID, ANDROID_VENDORS)
        pair.notify(False, 14, wait=wait)


def report(plays: Iterable[Play], place: Path) -> Report:
    def scene(wire: Wire) -> None:
        for number, play in enumerate(plays, 1):
            play(Pair(wire, f"203.0.113.{number}", seed=number))

    return played(scene, place)


def main_finding(found: Report) -> Finding:
    return next(f for f in found.findings if f.code == found.verdict.finding)


def test_it_is_about_what_most_clients_fail_with(tmp_path: Path) -> None:
    plays = [wrong_key, wrong_key, served, no_proposal]
    found = report(plays, tmp_path)
    assert (found.verdict.finding, found.session) == ("auth.psk-mismatch", 2)


def test_one_client_that_tries_again_and_again_is_no_majority(tmp_path: Path) -> None:
    def often(pair: Pair) -> None:
        for _ in range(4):
            pair.new_sa()
            wrong_key(pair)

    assert report([often, no_proposal], tmp_path).verdict.finding == "ike.no-proposal-chosen"


def test_where_others_are_served_it_is_told_and_is_this_client_s_trouble(tmp_path: Path) -> None:
    main = main_finding(report([served, served, wrong_key], tmp_path))
    assert main.evidence[-1].text == "2 other clients of this gateway are served"
    assert main.causes[0].owner == "helpdesk"


def test_where_all_fail_alike_the_gateway_s_causes_are_the_likely_ones(tmp_path: Path) -> None:
    main = main_finding(report([wrong_key] * 4, tmp_path))
    assert main.evidence[-1].text == (
        "3 other clients of this gateway fail alike, none is served"
    )  # fmt: skip
    assert (main.owner, main.causes[0].owner) == ("gateway-admin", "gateway-admin")
    assert main.causes[0].likelihood == "likely"


def test_clients_that_fall_silent_at_once_have_not_all_gone(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pairs = [Pair(wire, f"203.0.113.{n}", seed=n) for n in range(1, 5)]
        for pair in pairs:
            pair.session()
        for _ in range(5):
            for pair in pairs:
                pair.info(False)
            wire.at += 10

    main = main_finding(played(scene, tmp_path))
    assert (main.code, main.owner) == ("path.dpd-timeout", "gateway-admin")
    assert main.causes[0].text.startswith("A line that several clients share was down")


def test_several_computers_at_one_address_are_no_proof_against_the_gateway(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        for n in range(4):
            wrong_key(Pair(wire, "203.0.113.9", ports=(1025 + n, 2025 + n), seed=n))

    assert main_finding(played(scene, tmp_path)).causes[0].owner == "helpdesk"


def test_a_client_that_is_served_later_has_not_failed_alike(tmp_path: Path) -> None:
    def at_last(pair: Pair) -> None:
        wrong_key(pair)
        pair.new_sa()
        pair.session()

    main = main_finding(report([at_last, wrong_key], tmp_path))
    assert main.evidence[-1].text == "another client of this gateway is served"


def test_a_client_alone_is_compared_with_nobody(tmp_path: Path) -> None:
    main = main_finding(report([wrong_key], tmp_path))
    assert not any("other client" in e.text for e in main.evidence)


def two_behind_one_nat(second: Play, place: Path, shown: bool = True) -> Finding:
    """The first is served, and still there while the ``second`` tries."""

    def scene(wire: Wire) -> None:
        first = Pair(wire, "203.0.113.9", ports=(1025, 1026))
        first.main_mode()
        first.quick_mode()
        first.users(30)
        began = wire.at
        second(Pair(wire, "203.0.113.9", ports=(1027, 1028), seed=2))
        if shown:
            wire.at = began + 0.5
            first.users(30, back=False)

    return main_finding(played(scene, place))


def unanswered(pair: Pair) -> None:
    pair.main_mode()
    pair.quick_mode()
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.esp(True, bytes(116), wait)


def test_a_neighbour_that_was_served_is_the_likely_cause(tmp_path: Path) -> None:
    main = two_behind_one_nat(unanswered, tmp_path)
    assert main.code == "l2tp.no-answer"
    assert "behind the same router" in main.causes[0].text
    assert [c.likelihood for c in main.causes].count("likely") == 1
    assert "another client at 203.0.113.9 was served before" in main.evidence[-1].text


def test_it_is_none_of_a_wrong_key(tmp_path: Path) -> None:
    main = two_behind_one_nat(wrong_key, tmp_path)
    assert main.code == "auth.psk-mismatch"
    assert not any("was served before" in e.text for e in main.evidence)


def test_nor_is_one_that_has_gone(tmp_path: Path) -> None:
    main = two_behind_one_nat(unanswered, tmp_path, shown=False)
    assert main.code == "l2tp.no-answer"
    assert "behind the same router" not in main.causes[0].text


@pytest.mark.parametrize(("pause", "told"), [(0.0, True), (60.0, False)])
def test_two_clients_that_end_each_other_s_sessions(
    pause: float, told: bool, tmp_path: Path
) -> None:
    """Each session for itself is healthy: it is the row of them that shows it."""

    def play(wire: Wire) -> None:
        for number in range(5):
            other = number % 2
            pair = Pair(wire, client=ROUTER, seed=number + 1, ports=(20011 + other, 24511 + other))
            pair.main_mode()
            pair.quick_mode()
            pair.users(60, 0.5, size=600)
            wire.at += pause

    report = played(play, tmp_path)
    assert report.verdict.outcome == "healthy"
    found = [f for f in report.findings if f.code == "path.two-clients-one-nat"]
    assert [f.severity for f in found] == (["warning"] if told else [])
    assert not told or "4 times in a row" in found[0].detail
