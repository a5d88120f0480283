"""Whatever is named as a capture: the right exit code, and one clear line where it is none."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.helpers import pcap
from tests.unit.analyze.own_captures import recorded
from vpndiag.capture.keys import Keys
from vpndiag.capture.wireshark import dissect
from vpndiag.capture.write import CaptureWriter
from vpndiag.cli.analysis import analyze
from vpndiag.cli.analyze import carry_out
from vpndiag.cli.exits import UsageError
from vpndiag.cli.output import Output

OWN = Path(__file__).parents[3] / "captures"
FAILED = OWN / "wrong-psk-strongswan.pcapng"
HEALTHY = OWN / "healthy-softether.pcapng"
EMPTY = pcap.header(pcap.ETHERNET)


def refused(*captures: Path, frames: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        carry_out(list(captures), Output(quiet=True), frames=frames)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_verdicts_have_their_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "none.pcap").write_bytes(EMPTY)
    found = [carry_out([p], Output(quiet=True)) for p in (HEALTHY, FAILED, tmp_path / "none.pcap")]
    assert found == [0, 1, 3]


def test_a_capture_without_packets_is_told(tmp_path: Path) -> None:
    (tmp_path / "none.pcap").write_bytes(EMPTY)
    assert any("no packets" in note for note in analyze([tmp_path / "none.pcap"]).notes)


def test_a_huge_snap_length_and_an_impossible_record(tmp_path: Path) -> None:
    head = pcap.header(pcap.ETHERNET, snap=0xFFFFFFFF)
    record = struct.pack("<IIII", 1, 1, 0x7FFFFFFF, 0x7FFFFFFF) + bytes(60)
    (tmp_path / "huge.pcap").write_bytes(head + record)
    assert carry_out([tmp_path / "huge.pcap"], Output(quiet=True)) == 3


def test_what_is_no_capture(tmp_path: Path) -> None:
    (tmp_path / "empty.pcap").touch()
    (tmp_path / "text.pcap").write_text("12:00:01 IP 192.0.2.1.500 > 198.51.100.2.500: isakmp\n")
    assert "empty" in refused(tmp_path / "empty.pcap")
    assert "text" in refused(tmp_path / "text.pcap")
    assert "directory" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "missing.pcap")
    assert "no such file" in refused(tmp_path / "missing.pcap", HEALTHY)


@pytest.mark.skipif(sys.platform == "win32", reason="no such devices")
def test_devices_end() -> None:
    assert "empty" in refused(Path("/dev/null"))
    refused(Path("/dev/zero"))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs.pcap").write_bytes(EMPTY)

    def denied(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "permission" in refused(tmp_path / "theirs.pcap")


class _Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(FAILED.read_bytes()))
    assert carry_out([Path("-")], Output(quiet=True)) == 1


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(FAILED.read_bytes()))
    assert "alone" in refused(Path("-"), HEALTHY)
    assert "--frames" in refused(Path("-"), frames="F1")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(FAILED.read_bytes()), daemon=True)
    writer.start()
    assert carry_out([pipe], Output(quiet=True)) == 1
    writer.join(10)
    assert "alone" in refused(pipe, HEALTHY)


def test_a_file_named_twice_is_read_once() -> None:
    again = FAILED.parent / ".." / FAILED.parent.name / FAILED.name
    assert len(analyze([FAILED, again]).sessions) == 1


def test_files_of_different_link_types_are_one_capture(tmp_path: Path) -> None:
    """Ethernet beside raw IP: each file is read by its own."""
    with CaptureWriter(tmp_path / "raw.pcapng") as writer:
        writer.write(1.0, "192.0.2.1", "198.51.100.2", 40000, 443, b"hello")
    report = analyze([FAILED, tmp_path / "raw.pcapng"])
    assert report.verdict.finding == "auth.psk-mismatch"


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_frames_are_dissected_with_the_keys(tmp_path: Path) -> None:
    _, keys = recorded(tmp_path / "own.pcapng")
    report = analyze([tmp_path / "own.pcapng"], keys)
    frame = next(o.frames[0] for o in report.sessions[0].observations if o.kind == "ppp-message")
    assert "Layer 2 Tunneling Protocol" in dissect(tmp_path / "own.pcapng", [frame], keys)
    assert "Layer 2 Tunneling Protocol" not in dissect(tmp_path / "own.pcapng", [frame], Keys())


@pytest.mark.skipif(not shutil.which("editcap"), reason="editcap is not installed")
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_a_format_that_only_wireshark_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snoop = tmp_path / "vpn.snoop"
    ethernet = OWN / "wrong-psk-softether.pcapng"
    subprocess.run(["editcap", "-F", "snoop", str(ethernet), str(snoop)], check=True)
    assert analyze([snoop]).verdict.finding == analyze([ethernet]).verdict.finding
    monkeypatch.setattr("vpndiag.capture.wireshark.tshark", lambda: None)
    assert "tshark" in refused(snoop)
