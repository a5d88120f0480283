"""Which sizes cross a path, found on a virtual clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from vpndiag.observations import OuterMtu
from vpndiag.probes.way.sizes import FRAGMENTED, FULL, SMALL, SizedAsk, SizeSearch
from vpndiag.protocols.ike.padded import QUESTIONS


@dataclass
class Path:
    """``carries``: bytes of a packet; ``tells``: ICMP says so, with the MTU or without;
    ``answers``: the questions that the gateway answers."""

    carries: int = 1500
    fragments: bool = True
    tells: int | None = None
    local: int = 1500
    answers: tuple[str, ...] = ("version",)
    delay: float = 0.02
    loss: float = 0.0
    mute_after: int | None = None
    can_forbid: bool = True
    sent: list[tuple[float, SizedAsk]] = field(default_factory=list)

    def measure(self, seed: int = 1) -> OuterMtu:
        now, chance = 3.0, random.Random(seed)
        search = SizeSearch(now, can_forbid=self.can_forbid)
        coming: list[tuple[float, int, Callable[[], None]]] = []
        while not search.done and now < 60:
            while (ask := search.to_send(now)) is not None:
                if ask.whole and ask.size > self.local:
                    search.too_big(ask.number)
                    continue
                self.sent.append((now, ask))
                reply = self._way(search, ask, now + self.delay)
                if reply is not None and chance.random() >= self.loss:
                    heapq.heappush(coming, (now + self.delay, len(self.sent), reply))
            timer = search.get_timer()
            times = [t for t in (timer, coming[0][0] if coming else None) if t is not None]
            if not times:
                break
            now = max(now, min(times))
            while coming and coming[0][0] <= now:
                heapq.heappop(coming)[2]()
        assert search.done
        self.seconds = now - 3.0
        return search.result(1.0, 500)

    def _way(self, search: SizeSearch, ask: SizedAsk, at: float) -> Callable[[], None] | None:
        if ask.whole and ask.size > self.carries:
            if self.tells is not None:
                return lambda: search.told(self.tells, "192.0.2.1")
            return None
        if not ask.whole and ask.size > self.carries and not self.fragments:
            return None
        if ask.question not in self.answers:
            return None
        if self.mute_after is not None and len(self.sent) > self.mute_after:
            return None
        return lambda: search.answered(ask.number, at, 7)


def test_a_usual_path_takes_a_moment_and_few_packets() -> None:
    path = Path()
    found = path.measure()
    assert (found.outcome, found.largest, found.lost, found.fragments) == (
        "measured", 1500, 0, "pass",
    )  # fmt: skip
    assert path.seconds < 0.3 and len(path.sent) <= 5


@pytest.mark.parametrize("carries", [SMALL, 576, 1000, 1280, 1337, 1399, 1400, 1492, 1499])
@pytest.mark.parametrize("tells", ["nothing", "that", "how much"])
def test_the_exact_size_is_found(carries: int, tells: str) -> None:
    path = Path(carries, tells={"nothing": None, "that": 0, "how much": carries}[tells])
    found = path.measure()
    assert (found.outcome, found.largest, found.lost) == ("measured", carries, carries + 1)
    assert found.fragments == "pass"
    assert found.reporter == ("192.0.2.1" if tells != "nothing" else "")
    assert found.told_mtu == (carries if tells == "how much" else None)
    assert path.seconds < 9 and len(path.sent) < 90


def test_a_router_that_tells_a_wrong_size_is_not_believed() -> None:
    found = Path(1400, tells=1450).measure()
    assert (found.largest, found.told_mtu) == (1400, 1450)


@pytest.mark.parametrize("carries", [1400, 1500])
def test_fragments_lost(carries: int) -> None:
    found = Path(carries, fragments=False).measure()
    assert (found.outcome, found.largest, found.fragments) == ("measured", carries, "lost")
    assert found.fragmented_size == FRAGMENTED


def test_this_computers_own_interface_is_no_fault_of_the_path() -> None:
    found = Path(local=1400).measure()
    assert (found.largest, found.lost, found.local_limit) == (1400, 0, True)


def test_without_dont_fragment_only_fragments_are_told() -> None:
    found = Path(can_forbid=False).measure()
    assert (found.outcome, found.largest, found.fragments) == ("cannot-tell", 0, "pass")
    found = Path(can_forbid=False, fragments=False).measure()
    assert (found.outcome, found.fragments) == ("cannot-tell", "lost")


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_question_that_is_answered_will_do(question: str) -> None:
    path = Path(1400, answers=(question,))
    assert (path.measure().question, path.measure().largest) == (question, 1400)
    asked = [a for _t, a in path.sent if a.size != SMALL]
    assert {a.question for a in asked} == {question}


def test_a_gateway_that_answers_none_shows_nothing() -> None:
    path = Path(answers=())
    found = path.measure()
    assert (found.outcome, found.question, found.largest, found.fragments) == (
        "unanswered", "", 0, "not-tested",
    )  # fmt: skip
    assert len(path.sent) == 3 * len(QUESTIONS)


def test_a_gateway_that_falls_silent_shows_nothing_about_sizes() -> None:
    """It answers a few questions and then no more, whatever their size (a rate limit)."""
    found = Path(mute_after=3).measure()
    assert (found.outcome, found.fragments) == ("unsure", "not-tested")


@pytest.mark.parametrize("seed", range(40))
def test_loss_by_chance_is_no_limit(seed: int) -> None:
    found = Path(loss=0.1).measure(seed)
    assert found.outcome == "measured"
    assert (found.largest, found.fragments) == (FULL, "pass")


@pytest.mark.parametrize("seed", range(20))
def test_the_same_bytes_go_out_again_under_the_same_number(seed: int) -> None:
    path = Path(1400, loss=0.2)
    path.measure(seed)
    by_number: dict[int, set[tuple[object, ...]]] = {}
    for _t, a in path.sent:
        by_number.setdefault(a.number, set()).add((a.question, a.size, a.whole))
    assert all(len(kinds) == 1 for kinds in by_number.values())


def test_cut_short_it_says_so() -> None:
    search = SizeSearch(0.0)
    ask = search.to_send(0.0)
    assert ask is not None
    assert search.result(1.0, 500).outcome == "unfinished"
