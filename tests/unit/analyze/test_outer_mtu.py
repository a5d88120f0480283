"""Which sizes get to the gateway: read from the capture of the run that asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpndiag.capture.write import CaptureWriter, icmp_error, udp_packet
from vpndiag.cli.analysis import analyze
from vpndiag.observations import IkeMessage, OuterMtu
from vpndiag.probes.outside import MainModeProbe
from vpndiag.protocols.ike.foreign import clear_notify, version_refusal
from vpndiag.protocols.ike.padded import Question, padded
from vpndiag.report.document import Report
from vpndiag.tunnel.options import TunnelOptions
from vpndiag.tunnel.recorder import Recorder

CLIENT, GATEWAY = "192.168.7.2", "198.51.100.2"
START = 1_700_000_000.0
SMALL = 200


class Run:
    """A run's capture: message 1 of main mode and its refusal, then the sizes."""

    def __init__(self, path: Path, port: int = 500) -> None:
        self.writer, self.port, self.now, self.number = CaptureWriter(path), port, 0.0, 0
        probe = MainModeProbe("t", TunnelOptions(gateway=GATEWAY, local=CLIENT), Recorder(),
                              lambda n: b"\1" * n)  # fmt: skip
        probe.start(0.0)
        first = probe.pump(0.0)[0].data
        self.packet(True, 500, 500, first)
        self.packet(False, 500, 500, clear_notify(first, 14, lambda n: b"\2" * n))

    def packet(self, out: bool, mine: int, theirs: int, data: bytes, *, whole: bool = True) -> None:
        self.now += 0.05
        ends = (CLIENT, GATEWAY, mine, theirs) if out else (GATEWAY, CLIENT, theirs, mine)
        self.writer.write(START + self.now, *ends, data, whole=whole)

    def ask(self, size: int, answered: bool, *, whole: bool = True, tries: int = 1,
            question: Question = "version") -> None:  # fmt: skip
        self.number += 1
        marker = bytes(4) if self.port == 4500 else b""
        cookie = self.number.to_bytes(8, "big")
        message = padded(question, cookie, size - 28 - len(marker), whole=whole,
                         random=lambda n: b"\3" * n)  # fmt: skip
        mine = 40000 if whole else 40001
        for _ in range(tries):
            self.packet(True, mine, self.port, marker + message, whole=whole)
        if answered:
            reply = version_refusal(message)
            self.packet(False, mine, self.port, marker + reply)

    def too_big(self, mtu: int) -> None:
        quoted = udp_packet(CLIENT, GATEWAY, 40000, self.port, b"")
        self.writer.write_packet(START + self.now, icmp_error("100.64.0.1", 3, 4, quoted, mtu=mtu))


def read(path: Path) -> tuple[OuterMtu, Report]:
    report = analyze([path])
    assert len(report.sessions) == 1, report
    (found,) = [o for o in report.sessions[0].observations if isinstance(o, OuterMtu)]
    return found, report


@pytest.mark.parametrize("port", [500, 4500])
def test_a_usual_path(tmp_path: Path, port: int) -> None:
    run = Run(tmp_path / "a.pcapng", port)
    run.ask(SMALL, False, question="unknown-cookie")
    run.ask(SMALL, True)
    run.ask(1500, True)
    run.ask(2000, True, whole=False)
    found, report = read(tmp_path / "a.pcapng")
    assert (found.port, found.question, found.outcome) == (port, "version", "measured")
    assert (found.tried, found.largest, found.lost, found.local_limit) == (1500, 1500, 0, False)
    assert (found.fragments, found.fragmented_size) == ("pass", 2000)
    seen = report.sessions[0].observations
    assert {o.version for o in seen if isinstance(o, IkeMessage)} == {1}, "they are no IKE of its"
    assert report.sessions[0].verdict.finding == "ike.no-proposal-chosen"


def test_a_narrow_path_and_lost_fragments(tmp_path: Path) -> None:
    run = Run(tmp_path / "a.pcapng")
    run.ask(SMALL, True)
    run.ask(1500, False, tries=3)
    run.ask(2000, False, whole=False, tries=3)
    run.ask(1400, True)
    run.ask(1401, False, tries=2)
    run.ask(SMALL, True)
    found, report = read(tmp_path / "a.pcapng")
    assert (found.largest, found.lost, found.reporter) == (1400, 1401, "")
    assert (found.fragments, found.outcome, found.tries) == ("lost", "measured", 3)
    codes = {f.code for f in report.sessions[0].findings}
    assert {"path.small-mtu", "path.fragments-dropped"} <= codes


def test_who_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path / "a.pcapng")
    run.ask(SMALL, True)
    run.ask(1500, False)
    run.too_big(1420)
    run.ask(1420, True)
    found, _report = read(tmp_path / "a.pcapng")
    assert (found.largest, found.told_mtu, found.reporter) == (1420, 1420, "100.64.0.1")


def test_a_gateway_that_fell_silent_shows_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path / "a.pcapng")
    run.ask(SMALL, True)
    run.ask(1500, False, tries=3)
    run.ask(2000, False, whole=False, tries=3)
    run.ask(SMALL, False, tries=3)
    found, report = read(tmp_path / "a.pcapng")
    assert (found.outcome, found.fragments) == ("unsure", "not-tested")
    assert not {f.code for f in report.sessions[0].findings} & {"path.fragments-dropped"}


def test_no_answer_at_all(tmp_path: Path) -> None:
    run = Run(tmp_path / "a.pcapng")
    for question in ("unknown-cookie", "version", "refused-proposal"):
        run.ask(SMALL, False, tries=3, question=question)  # type: ignore[arg-type]
    found, _report = read(tmp_path / "a.pcapng")
    assert (found.outcome, found.question, found.largest) == ("unanswered", "", 0)
