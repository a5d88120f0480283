"""Large captures read by several processes: the same report, whatever becomes of them."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_modules import benchmark
from tests.helpers import pcap
from vpndiag.capture import analyze as reading
from vpndiag.capture import pieces
from vpndiag.capture.errors import CaptureError
from vpndiag.cli import ahead, process, shares
from vpndiag.cli.ahead import Ahead
from vpndiag.cli.analysis import judge
from vpndiag.report.document import to_dict

MADE = benchmark("bulk_capture")


@pytest.fixture(params=["pcap", "pcapng"])
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"bulk.{request.param}"
    MADE.generate(path, 22_000, request.param == "pcapng")
    return path


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[ahead._Reader]:
    """Those that are started; captures are large now, and there are three processors,
    one of them ours."""
    started: list[ahead._Reader] = []

    class Noted(ahead._Reader):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            started.append(self)

    monkeypatch.setattr(ahead, "processors", lambda: 3)
    monkeypatch.setattr(ahead, "LEAST", 2 * 1024 * 1024)
    monkeypatch.setattr(ahead, "PIECE", 1024 * 1024)
    monkeypatch.setattr(ahead, "_Reader", Noted)
    return started


def told(*paths: Path, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    with Ahead(paths) as reader:
        before()
        report, _ = judge(paths, ahead=reader)
    return to_dict(report) | {"run_id": ""}


def alone(*paths: Path) -> dict[str, Any]:
    return to_dict(judge(paths)[0]) | {"run_id": ""}


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether what the pieces say was good, file by file."""
    said: list[bool] = []
    join = pieces.join

    def noted(parts: Any) -> Any:
        whole = join(parts)
        said.append(whole is not None)
        return whole

    monkeypatch.setattr(pieces, "join", noted)
    return said


def ended(readers: list[ahead._Reader]) -> bool:
    return all(r.process.ended for r in readers)


@pytest.mark.parametrize("anew", [False, True])
def test_the_report_is_that_of_one_process(
    anew: bool,
    capture: Path,
    readers: list[ahead._Reader],
    joined: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if anew:
        monkeypatch.setattr(process, "copyable", lambda: False)
    expected = alone(capture)
    assert told(capture) == expected
    assert len(readers) == 2 and ended(readers) and joined == [True]
    assert expected["sessions"][0]["frames"][-1] > 20_000


def test_several_files_have_a_reader_each(
    tmp_path: Path,
    readers: list[ahead._Reader],
    joined: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "SMALL", 0)
    paths = [tmp_path / name for name in ("one.pcap", "two.pcapng", "three.pcap")]
    for path in paths:
        MADE.generate(path, 4_000, path.suffix == ".pcapng")
    expected = alone(*paths)
    assert told(*paths) == expected
    assert len(readers) == 2 and joined == [True] * 3


def test_what_the_pieces_cannot_tell_is_read_again(
    tmp_path: Path, readers: list[ahead._Reader], joined: list[bool]
) -> None:
    path = tmp_path / "cut.pcap"
    MADE.generate(path, 12_000, False)
    path.write_bytes(path.read_bytes()[:-7])
    expected = alone(path)
    assert any("cut off" in note for note in expected["notes"])
    assert told(path) == expected
    assert len(readers) == 2 and joined == [False]


def test_a_reader_that_dies(capture: Path, readers: list[ahead._Reader]) -> None:
    def kill() -> None:
        readers[1].process.kill()

    expected = alone(capture)
    assert told(capture, before=kill) == expected
    assert ended(readers)


def test_where_none_can_be_started(
    capture: Path, readers: list[ahead._Reader], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = alone(capture)
    monkeypatch.setattr(process, "copyable", lambda: False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python-here"))
    assert told(capture) == expected
    assert not readers


def test_more_control_packets_than_are_held_in_memory(
    capture: Path, readers: list[ahead._Reader], joined: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = alone(capture)
    monkeypatch.setattr(pieces, "MOST_KEPT", 0)  # of the pieces that are read here
    monkeypatch.setattr(ahead._Reader, "_work", lambda _self: None)  # all of them
    assert told(capture) == expected
    assert readers and ended(readers) and not joined


def test_an_answer_that_is_none(
    capture: Path, readers: list[ahead._Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = alone(capture)
    monkeypatch.setattr(ahead.Process, "hear", lambda _self: b"d?")
    monkeypatch.setattr(threading, "excepthook", lambda _what: None)
    assert told(capture) == expected
    assert readers and ended(readers)


def test_interrupted_it_leaves_no_process(capture: Path, readers: list[ahead._Reader]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        told(capture, before=interrupt)
    assert len(readers) == 2 and ended(readers)


@pytest.mark.parametrize("processors", [1, 2])
def test_small_files_and_one_processor_need_none(
    processors: int, capture: Path, readers: list[ahead._Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "processors", lambda: processors)
    if processors > 1:
        monkeypatch.setattr(ahead, "LEAST", 64 * 1024 * 1024)
    told(capture)
    assert not readers


def test_a_file_that_is_not_there(capture: Path, readers: list[ahead._Reader]) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        told(capture, capture.with_name("missing.pcap"))
    assert ended(readers)


def test_the_progress_is_that_of_all(capture: Path, readers: list[ahead._Reader]) -> None:
    seen: list[tuple[int, int]] = []
    with Ahead([capture]) as begun:
        assert begun(capture, lambda done, total: seen.append((done, total))) is not None
    size = capture.stat().st_size
    assert seen and all(total == size for _, total in seen)
    assert seen == sorted(seen)
    # Each piece has the head of the file before it.
    assert size <= sum(begun.read.values()) <= size + 200 * len(begun.read)


def test_what_nobody_has_begun_is_read_here(
    capture: Path, readers: list[ahead._Reader], joined: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the others are to start."""
    expected = alone(capture)
    monkeypatch.setattr(ahead._Reader, "_work", lambda _self: None)
    assert told(capture) == expected
    assert len(readers) == 2 and ended(readers) and joined == [True]


def test_control_packets_are_left_to_others(
    tmp_path: Path, readers: list[ahead._Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where processes judge a share each, these stop."""
    path = tmp_path / "control.pcap"
    rng = random.Random(2)
    with path.open("wb") as file:
        file.write(pcap.header(pcap.ETHERNET))
        for n in range(1200):
            client = bytes((10, 0, n >> 8, n & 255))
            body = bytes(4) + MADE._informational(rng, rng.randbytes(16), 1800)
            frame = MADE._datagram(client, MADE.GATEWAY, 4500, 4500, body, n)
            file.write(pcap.record(frame, 1_700_000_000 + n))
    expected = alone(path)
    monkeypatch.setattr(shares, "processors", lambda: 2)
    monkeypatch.setattr(shares, "SIZE", 2 * 1024 * 1024)
    monkeypatch.setattr(reading, "LONG", 0)
    assert told(path) == expected
    assert readers and ended(readers)
