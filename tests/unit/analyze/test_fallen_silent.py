"""A gateway that falls silent has one code, seen inside ESP or in the clear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.analyze.scene import LCP, Pair, Wire, played
from vpndiag.capture.write import ip_packet


def _hello(pair: Pair) -> None:
    """HELLO and its repeats (RFC 2661 section 6.5), with users' data between them."""
    pair.control(True, 6)
    for wait in (1, 2, 4, 8, 16):
        pair.wire.at += wait
        pair.control(True, 6, again=True)
        pair.users(2, 0.5)


def _echoes(pair: Pair) -> None:
    for number in range(6):
        pair.ppp(True, LCP, 9, number, b"\1\2\3\4", wait=10)


def _anew(pair: Pair) -> None:
    for number in range(8):
        pair.ppp(True, LCP, 1, 20 + number, b"\1\4\5\x78\5\6\1\2\3\5", wait=3)
        pair.users(1, 0.5)


ASKS = {"l2tp.peer-gone": _hello, "lcp.peer-gone": _echoes, "lcp.peer-gone, LCP anew": _anew}


def _session(
    clear: bool, ask: Callable[[Pair], None], refuses: bool = False
) -> Callable[[Wire], None]:
    def play(wire: Wire) -> None:
        pair = Pair(wire, clear=clear, null=not clear)
        pair.inside() if clear else pair.session()
        if refuses:
            pair.notify(False, 11, natt=True, wait=1)
        pair.only = True
        pair.users(12, 1.5)
        ask(pair)

    return play


@pytest.mark.parametrize("clear", [True, False], ids=["in the clear", "inside ESP"])
@pytest.mark.parametrize("name", ASKS)
def test_seen_inside_and_in_the_clear_it_is_the_same(
    name: str, clear: bool, tmp_path: Path
) -> None:
    verdict = played(_session(clear, ASKS[name]), tmp_path).verdict
    assert (verdict.outcome, verdict.finding) == ("failed", name.split(",")[0]), verdict


def test_an_sa_that_the_gateway_does_not_know_is_a_fault_of_esp(tmp_path: Path) -> None:
    """INVALID-SPI says more than the silence inside."""
    verdict = played(_session(False, _hello, refuses=True), tmp_path).verdict
    assert verdict.finding == "esp.one-way", verdict


@pytest.mark.parametrize(
    ("target", "outcome", "finding"),
    [("10.20.0.1", "failed", "l2tp.peer-gone"), ("224.0.0.251", "healthy", None)],
    ids=["a host behind the gateway", "an idle computer's calls to its network"],
)
def test_data_one_way_in_the_clear(
    target: str, outcome: str, finding: str | None, tmp_path: Path
) -> None:
    """Nobody asks by L2TP or LCP. Inside ESP the same is ``esp.one-way``, equally sure."""

    def play(wire: Wire) -> None:
        pair = Pair(wire, clear=True)
        pair.inside()
        for _ in range(45):
            pair.data(True, b"\0\x21" + ip_packet("10.9.0.5", target, 17, bytes(60)), 1.0)

    verdict = played(play, tmp_path).verdict
    assert (verdict.outcome, verdict.finding) == (outcome, finding), verdict
    assert verdict.confidence == ("medium" if finding else "high")


def test_data_one_way_whose_session_is_not_seen(tmp_path: Path) -> None:
    """Without IPCP it is not known which addresses are of a network: no failure, and no health."""

    def play(wire: Wire) -> None:
        pair = Pair(wire, clear=True)
        pair.users(20)
        pair.users(45, 1.0, back=False)

    verdict = played(play, tmp_path).verdict
    assert (verdict.outcome, verdict.layer) == ("inconclusive", "address")
    assert "the client's alone" in verdict.headline
