"""A long capture judged by several processes: the same report, to the letter."""

from __future__ import annotations

import gc
import itertools
import random
import struct
import sys
import weakref
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_modules import benchmark
from tests.helpers import pcap
from vpndiag.capture import analyze as reading
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.share import Share
from vpndiag.cli import analysis, process, shares, work
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import to_dict

GATEWAY = bytes((203, 0, 113, 5))


MADE = benchmark("control_capture")
Packets = list[tuple[float, bytes]]


def sessions(count: int, clients: int, seed: int) -> Packets:
    """Sessions with loss, repeats, ends that are not recorded, clients that come again, and ICMP
    errors."""
    rng = random.Random(seed)
    packets: Packets = []
    for n in range(count):
        client = bytes((10, 0, 1, 1 + n % clients))
        moment, lost = n * 0.4, rng.choice((0.0, 0.1))
        last = rng.choice((5, 30, 999, 999))
        made = (MADE._ipsec if n % 2 else MADE._l2tp)(rng, client)
        for index, (mine, port, payload) in enumerate(made):
            moment += 0.03
            if index > last or rng.random() < lost:
                continue
            ends = (client, GATEWAY) if mine else (GATEWAY, client)
            frame = MADE._frame(*ends, port, port, payload)
            packets.append((moment, frame))
            if rng.random() < 0.02:
                error = struct.pack("!BBHI", 3, 3, 0, 0) + frame[14:58]
                head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(error), 0, 0, 60, 1, 0)
                packets.append((moment, frame[:14] + head + GATEWAY + client + error))
    return packets


def asked_inside(clients: int) -> Packets:
    """Pings of every client's to one address, and answers to them through another tunnel."""
    packets: Packets = []
    for n in range(clients):
        client = bytes((10, 0, 1, 1 + n))
        for back in (False, True):
            home = bytes((10, 0, 1, 1 + (n + 1) % clients)) if back else client
            echo = struct.pack("!BBHHH", 0 if back else 8, 0, 0, n, 1) + bytes(32)
            ends = (bytes((10, 1, 0, 5)), bytes((10, 1, 0, 9)))
            head = struct.pack("!BBHHHBBH", 0x45, 0, 60, 0, 0, 64, 1, 0)
            inner = head + (ends[1] + ends[0] if back else ends[0] + ends[1]) + echo
            data = struct.pack("!HHH", 2, 7, 7) + b"\xff\x03\x00\x21" + inner
            outer = (GATEWAY, home) if back else (home, GATEWAY)
            packets.append((1.5 + n + back * 0.1, MADE._frame(*outer, 1701, 1701, data)))
    return packets


def write(path: Path, packets: Packets) -> Path:
    timed = ((1_700_000_000 + moment, frame) for moment, frame in sorted(packets))
    path.write_bytes(pcap.capture(timed, pcap.ETHERNET))
    return path


def told(path: Path) -> dict[str, Any]:
    return to_dict(analyze([path])) | {"run_id": ""}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One process; :func:`several` changes that."""
    monkeypatch.setattr(shares, "processors", lambda: 1)
    monkeypatch.setattr(analysis, "MAX_FULL", 25)
    monkeypatch.setattr(reading, "SMALL", 0)
    return monkeypatch


def several(patch: pytest.MonkeyPatch, count: int = 3) -> list[shares.Helper]:
    """All captures are long now. Helpers are noted as they are started."""
    started: list[shares.Helper] = []

    class Noted(shares.Helper):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            started.append(self)

    patch.setattr(shares, "processors", lambda: count)
    patch.setattr(shares, "Helper", Noted)
    patch.setattr(reading, "LONG", 0)
    patch.setattr(reading, "LOOK", 200)
    return started


@pytest.mark.parametrize("anew", [False, True])
def test_the_report_is_that_of_one_process(
    anew: bool, alone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if anew:
        alone.setattr(process, "copyable", lambda: False)
    path = write(tmp_path / "many.pcap", sessions(80, 30, 1) + asked_inside(30))
    expected = told(path)
    assert len({s["verdict"]["outcome"] for s in expected["sessions"]}) >= 2
    started = several(alone)
    together: list[int] = []
    report = analysis._report
    alone.setattr(analysis, "_report", lambda found, *given: (
        together.append(len(found.attempts)), report(found, *given))[1])  # fmt: skip
    assert told(path) == expected
    assert len(started) == 2 and all(h.ended for h in started)
    assert together and together[0] < len(expected["sessions"]), "it was read as a whole"


def test_one_process_that_reads_share_after_share(
    alone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So it needs no more memory for a longer capture. What it has not kept it reads again."""
    path = write(tmp_path / "many.pcap", sessions(60, 30, 7))
    expected = told(path)
    several(alone, 1)
    alone.setattr(shares, "SIZE", path.stat().st_size // 4)
    alone.setattr(work, "MAX_FULL", 0)
    alone.setattr(work, "SLACK", 3)
    turns: list[int] = []
    found = work.Work.found
    alone.setattr(work.Work, "found", lambda self, turn: (turns.append(turn), found(self, turn))[1])
    assert told(path) == expected
    assert turns[:5] == [0, 1, 2, 3, 4] and len(turns) > 5


def test_the_attempt_that_a_capture_is_about_is_kept_of_whichever_share(
    alone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else the whole file would be read once more for it."""
    path = write(tmp_path / "many.pcap", sessions(60, 30, 7))
    several(alone, 1)
    alone.setattr(shares, "SIZE", path.stat().st_size // 4)
    for module in (work, analysis):
        alone.setattr(module, "MAX_FULL", 0)
    alone.setattr(work, "SLACK", 0)
    turns: list[int] = []
    found = work.Work.found
    alone.setattr(work.Work, "found", lambda self, turn: (turns.append(turn), found(self, turn))[1])
    report = analyze([path])
    assert report.session is not None and report.sessions[report.session - 1].observations
    assert turns == [0, 1, 2, 3, 4]


def test_a_share_is_let_go_when_the_next_is_read(alone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No reference cycle keeps it: Python does not look for any meanwhile."""
    path = write(tmp_path / "many.pcap", sessions(20, 9, 8))
    several(alone, 1)
    alone.setattr(shares, "SIZE", path.stat().st_size // 3)
    held: list[weakref.ref[object]] = []
    alive: list[int] = []

    class Watched(Prefilter):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            if named.get("share") is not None:
                alive.append(sum(ref() is not None for ref in held))
                held.append(weakref.ref(self))

    alone.setattr(reading, "Prefilter", Watched)
    gc.disable()
    try:
        analyze([path])
    finally:
        gc.enable()
    assert len(alive) >= 3 and not any(alive)


def test_an_answer_with_the_cookie_of_another_share(
    alone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A capture on the router that translates: the two directions have other hosts. It is read as a
    whole then."""
    packets = []
    for moment, frame in sessions(12, 6, 2):
        if frame[30:34] == GATEWAY:
            packets.append((moment, frame))
        else:
            own = bytes((192, 168, 7)) + frame[33:34]
            packets.append((moment, frame[:30] + own + frame[34:]))
    path = write(tmp_path / "translated.pcap", packets)
    expected = told(path)
    assert any("translated" in note for note in expected["notes"])
    started = several(alone)
    assert told(path) == expected
    assert len(started) == 2


def test_a_helper_that_dies(alone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "many.pcap", sessions(20, 9, 3))
    expected = told(path)
    started = several(alone)
    results = shares.Helper.results

    def killed(self: shares.Helper) -> Any:
        started[-1].kill()
        return results(self)

    alone.setattr(shares.Helper, "results", killed)
    assert told(path) == expected
    assert len(started) == 2


def test_interrupted_it_leaves_no_process(alone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "many.pcap", sessions(20, 9, 4))
    started = several(alone)

    def interrupted(_self: shares.Helper) -> None:
        raise KeyboardInterrupt

    alone.setattr(shares.Helper, "results", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyze([path])
    assert len(started) == 2 and all(h.ended for h in started)


def test_where_no_helper_can_be_started(alone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "many.pcap", sessions(20, 9, 5))
    expected = told(path)
    several(alone)
    alone.setattr(process, "copyable", lambda: False)
    alone.setattr(sys, "executable", str(tmp_path / "no-python-here"))
    assert told(path) == expected


def test_what_is_worth_dividing(alone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    control = write(tmp_path / "control.pcap", sessions(20, 9, 6))
    assert not reading.divisible([control]), "it is short"
    several(alone)
    assert reading.divisible([control])
    assert not reading.divisible(["-"])
    assert not reading.divisible([control, tmp_path / "missing.pcap"])
    esp = [
        (n * 0.001, MADE._frame(GATEWAY, bytes((10, 0, 0, 1)), 4500, 4500,
                                struct.pack("!II", 77, n) + bytes(90)))
        for n in range(1, 2000)
    ]  # fmt: skip
    assert not reading.divisible([write(tmp_path / "bulk.pcap", esp)])


def test_every_conversation_is_in_one_share() -> None:
    for n in range(200):
        one, two = f"10.0.{n}.1", f"203.0.113.{n}"
        owners = [k for k in range(5) if Share.of(k / 5, (k + 1) / 5).has(one, two)]
        assert owners == [k for k in range(5) if Share.of(k / 5, (k + 1) / 5).has(two, one)]
        assert len(owners) == 1


def test_what_makes_shares_depend_on_each_other() -> None:
    def outline(
        cookie: bytes, bare: int = 0, orphans: int = 0, *common: str, lone: int = 0
    ) -> work.Outline:
        return work.Outline(frozenset((cookie,)), bare, orphans, lone, common)

    assert work.independent([outline(b"1"), outline(b"2")])
    assert not work.independent([outline(b"1"), outline(b"1")])
    assert not work.independent([outline(b"1", 1), outline(b"2", 0, 1)])
    assert work.independent([outline(b"1", 2), outline(b"2", 0, 1)])
    assert not work.independent([outline(b"1"), outline(b"2", lone=1)])
    assert not work.independent([outline(b"1", 0, 0, "7 packets were too many"), outline(b"2")])


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_shares_are_the_whole_and_this_process_has_the_largest(
    alone: pytest.MonkeyPatch, tmp_path: Path, processes: int
) -> None:
    """The others must start, and hand over what they found."""
    path = write(tmp_path / "many.pcap", sessions(20, 9, 6))
    several(alone, processes)
    alone.setattr(shares, "SIZE", path.stat().st_size // 20)
    divided = shares._shares([path])
    assert len(divided) == processes
    parts = [share for own in divided for share in own]
    assert (parts[0].start, parts[-1].stop) == (0, 1 << 32)
    assert all(one.stop == two.start for one, two in itertools.pairwise(parts))
    mine, *theirs = [sum(share.part for share in own) for own in divided]
    assert all(mine > part and part == pytest.approx(theirs[0]) for part in theirs)


def test_many_pairs_of_addresses_are_told_apart_as_one_is() -> None:
    numpy = pytest.importorskip("numpy")
    rng = random.Random(3)
    pairs = [rng.getrandbits(64) for _ in range(2_000)] + [0, (1 << 64) - 1]
    share = Share.of(0.3, 0.8)
    ours = [
        share.has(*(str(IPv4Address(half)) for half in divmod(pair, 1 << 32))) for pair in pairs
    ]
    assert share.have(numpy.array(pairs, numpy.uint64)).tolist() == ours
    assert 900 < sum(ours) < 1_100


@pytest.mark.parametrize("other", ["2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", ""])
def test_whatever_addresses_are_they_have_one_share_either_way_round(other: str) -> None:
    halves = Share.of(0, 0.5), Share.of(0.5, 1)
    for one in ("192.0.2.7", "2001:db8::2", other):
        assert sum(share.has(one, other) for share in halves) == 1
        assert [s.has(one, other) for s in halves] == [s.has(other, one) for s in halves]
