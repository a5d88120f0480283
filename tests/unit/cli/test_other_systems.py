"""The commands on Windows and macOS, as far as that can be pretended on Linux
(:mod:`tests.helpers.elsewhere`): what those systems lack is gone, names of files are no ASCII and
hold blanks, consoles have other character sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.analyze.test_shares import sessions, write

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this is another system")


def elsewhere(system: str, *commands: list[str], **environ: str) -> tuple[list[int], str, str]:
    """Exit codes, and all that was said on standard output and standard error."""
    words = [word for command in commands for word in ("--", *command)][1:]
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-m", "tests.helpers.elsewhere", system,
         *words],
        capture_output=True, timeout=120, cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environ},
    )  # fmt: skip
    out = done.stdout.decode(environ.get("PYTHONIOENCODING", "utf-8"))
    said, _, codes = out.rpartition("codes ")
    err = done.stderr.decode(errors="replace")
    assert done.returncode == 0 and "Traceback" not in err, err
    return [int(code) for code in codes.split()], said, err


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_a_run_its_capture_and_a_long_one(system: str, tmp_path: Path) -> None:
    place = tmp_path / "für Jürgen, 日本"
    place.mkdir()
    capture, keys = str(place / "ein Lauf.pcapng"), str(place / "die Schlüssel")
    many = str(write(place / "viele Sitzungen.pcap", sessions(80, 30, 1)))
    codes, out, err = elsewhere(
        system,
        ["demo", "-q", "--capture", capture, "--keys-out", keys],
        ["analyze", "-q", "--keys", keys, capture],
        ["demo", "-q", "--break", "login.wrong-password", "--json", str(place / "Bericht.json")],
        ["analyze", "-q", many],
        ["host", "-q"],
        ["explain", "809"],
    )
    assert codes == [0, 0, 1, 0, 3, 0]
    assert "failed login.wrong-password" in out
    assert "helper 2" in err, "three processes were to read the long one"
    assert (place / "Bericht.json").read_text("utf-8").startswith("{")


@pytest.mark.parametrize("charset", ["cp437"])
def test_consoles_with_other_character_sets(charset: str) -> None:
    """What they lack is shown in another way; nothing fails."""
    codes, out, _ = elsewhere(
        "win32", ["demo", "--break", "auth.psk-mismatch"], PYTHONIOENCODING=charset, COLUMNS="40"
    )
    assert codes == [1]
    assert "Failed at: IKE authentication" in out and "\\u" not in out
    box = [line for line in out.splitlines() if line[:1] in "+|┌│└"]
    assert box and max(map(len, box)) <= 40
