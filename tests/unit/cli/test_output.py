"""What cannot be shown or written ends no run: the gateway is left politely, the report is kept."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vpndiag import profile
from vpndiag.capture.write import CaptureWriter
from vpndiag.cli import output
from vpndiag.cli.demo import demo as carry_out_demo
from vpndiag.cli.exits import UsageError
from vpndiag.cli.interrupts import Interrupts
from vpndiag.cli.live import Show
from vpndiag.cli.output import Output, check_writable
from vpndiag.observations import Ended
from vpndiag.render.ladder import LiveLadder

DEMO = [sys.executable, "-m", "vpndiag", "demo"]


def demo(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*DEMO, *arguments], stdin=subprocess.DEVNULL, timeout=60, check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


def test_a_host_too_long_for_a_file_name_is_no_profile() -> None:
    assert profile.find("a" * 400) is None


def test_an_unwritable_report_is_found_out_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--json"):
        check_writable(str(tmp_path / "no" / "report.json"), None)
    with pytest.raises(UsageError, match="--json"):
        check_writable(str(tmp_path), None)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--keys-out"):
        check_writable(None, tmp_path / "file" / "keys")


def test_the_check_leaves_no_empty_file_and_no_old_report_harmed(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "new.json"), None)
    assert not (tmp_path / "new.json").exists()
    (tmp_path / "old.json").write_text("{}")
    check_writable(str(tmp_path / "old.json"), None)
    (tmp_path / "old.pcapng").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(24))
    check_writable(None, None, tmp_path / "old.pcapng")
    with pytest.raises(UsageError, match="no capture; it is not overwritten"):
        check_writable(None, None, tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "{}"


def test_a_report_is_not_written_over_a_capture(tmp_path: Path) -> None:
    """``--json *.pcapng`` names the first of the captures."""
    place = tmp_path / "ticket.pcapng"
    place.write_bytes(b"\x0a\x0d\x0d\x0a and so on")
    with pytest.raises(UsageError, match="not overwritten"):
        check_writable(str(place), None)
    assert place.read_bytes().endswith(b"and so on")
    for report in (b"", b" \n", b'{"schema_version": "1.2.0"}'):
        place.write_bytes(report)
        check_writable(str(place), None)


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("I/O operation on closed file"),
        UnicodeEncodeError("ascii", "ä", 0, 1, "ordinal not in range"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_message_that_cannot_be_shown_does_not_end_the_run(error: Exception) -> None:
    shown = []

    def fails(observation: object) -> None:
        shown.append(observation)
        raise error

    from rich.console import Console

    show = Show(LiveLadder(Console(), quiet=True), fails)
    show.message(Ended(t=0.0, why="done"))
    show.message(Ended(t=0.0, why="done"))
    assert show.failed is error
    assert len(shown) == 1, "nothing more is shown after that"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_the_output_still_gives_the_report(tmp_path: Path) -> None:
    where = tmp_path / "report.json"
    with Path("/dev/full").open("wb") as full:
        done = demo("-v", "--json", str(where), stdout=full)
    assert done.returncode == 2
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert json.loads(where.read_text())["verdict"]["outcome"] == "healthy"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_report_that_cannot_be_written_is_kept_elsewhere() -> None:
    done = demo("-q", "--json", "/dev/full")
    assert done.returncode == 2
    found = re.search(r"the report is in (\S+)", done.stderr.decode())
    assert found, done.stderr
    kept = Path(found[1])
    try:
        assert json.loads(kept.read_text())["verdict"]["outcome"] == "healthy"
        assert kept.stat().st_mode & 0o077 == 0
    finally:
        kept.unlink()


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_goes_away_changes_neither_verdict_nor_exit_code(tmp_path: Path) -> None:
    where = tmp_path / "report.json"
    read, write = os.pipe()
    os.close(read)
    done = demo("-v", "--json", str(where), stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(where.read_text())["verdict"]["outcome"] == "healthy"


def test_a_disk_that_fills_up_ends_the_capture_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = CaptureWriter.write
    written: list[int] = []

    def write(self: CaptureWriter, *given: object, **more: object) -> None:
        if len(written) == 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(1)
        whole(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(CaptureWriter, "write", write)
    report = tmp_path / "report.json"
    with pytest.raises(UsageError, match="No space left on device; it holds the first 9 packets"):
        carry_out_demo(None, Output(json=str(report), quiet=True), str(tmp_path / "a.pcapng"), None)
    assert json.loads(report.read_text())["verdict"]["outcome"] == "healthy"


def test_characters_that_the_terminal_lacks_are_escaped() -> None:
    done = demo("--break", "login.wrong-password", "-v",
                env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})  # fmt: skip
    assert done.returncode == 1, done.stderr
    done.stdout.decode("ascii")


def test_two_interrupts_are_patience_and_the_third_is_not() -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert interrupts.count == 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_run_under_nohup_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert interrupts.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_run_gives_one_document_also_when_interrupted_twice() -> None:
    with subprocess.Popen(
        [*DEMO, "--break", "lcp.no-answer", "--json", "-", "-v"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if b"LCP Configure-Request" in line:
                break
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    report = json.loads(out)
    assert report["interrupted"] is True
    assert report["verdict"]["outcome"] == "inconclusive"


def test_who_interrupts_when_all_is_known_still_sees_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prints = output._print_report

    def slowly(*given: object, **named: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        prints(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(output, "_print_report", slowly)
    assert carry_out_demo(None, Output(quiet=True), None, None) == 0
    assert "healthy: The VPN works" in capsys.readouterr().out


def test_an_interrupt_caught_while_text_was_executed_is_exit_code_130() -> None:
    """Python remembers it as one that nobody caught, and would end by the signal."""
    code = (
        "import sys, vpndiag.cli.main as cli\n"
        "def main():\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
        "cli.main = main\n"
        "from vpndiag.__main__ import start\n"
        "start()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 130
