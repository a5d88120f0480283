"""The command line as scripts and people meet it: streams, exit codes, errors, what it loads."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vpndiag.cli.main import main

CLOSED = ("--port", "500=1", "--port", "4500=2", "--port", "1701=3")
"""Ports of this machine on which nothing listens."""
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's error queue")


def vpndiag(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal, as a script would."""
    return subprocess.run(
        [sys.executable, "-m", "vpndiag", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", **(env or {})},
    )


@dataclass(frozen=True)
class Here:
    """Runs the command in this process, which is quicker; for what ends before anything is sent."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    folder: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.monkeypatch.setattr(sys, "argv", ["vpndiag", *arguments])
        self.monkeypatch.setattr(sys, "stdin", io.StringIO())
        self.monkeypatch.chdir(self.folder)
        with pytest.raises(SystemExit) as end:
            main()
        out, err = self.capsys.readouterr()
        code = end.value.code
        return subprocess.CompletedProcess(
            ["vpndiag", *arguments], code if isinstance(code, int) else 0, out, err
        )


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Here:
    return Here(monkeypatch, capsys, tmp_path)


def is_refused(done: subprocess.CompletedProcess[str], *about: str) -> bool:
    """One line on stderr that says what is wrong, nothing on stdout, exit code 2."""
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert len(lines) == 1 and lines[0].startswith("vpndiag: "), done.stderr
    assert all(word in lines[0] for word in about), lines[0]
    return True


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["demo", "--help"], ["-h"]])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    # Typer itself has types of options checked by pydantic where that is installed.
    heavy = {"scapy", "rich", "cryptography", "dns", "asyncio", "vpndiag.diagnosis"}
    heavy |= {"pydantic"} if len(command) == 1 else set()
    code = (
        "import sys\n"
        "from vpndiag.cli.main import main\n"
        f"sys.argv = ['vpndiag', *{command!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"
    assert "Usage: vpndiag" in done.stdout


def test_the_version_is_told(here: Here) -> None:
    done = here("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("vpndiag ")


def test_without_a_command_there_is_help_and_no_success(here: Here) -> None:
    done = here()
    assert done.returncode == 2
    assert "Commands:" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["frobnicate"], ["frobnicate"]),
        (["run"], ["HOST"]),
        (["run", ""], ["HOST"]),
        (["run", "fe80::1"], ["interface"]),
        (["run", "fe80::1%nosuch0"], ["no interface nosuch0"]),
        (["run", "::1%lo"], ["give ::1"]),
        (["run", "0.0.0.0"], ["no address of a gateway"]),
        (["run", "224.0.0.1"], ["no address of a gateway"]),
        (["run", "[ff02::1]"], ["no address of a gateway"]),
        (["run", "fe80::1%n\x1b[31m"], ["no interface n\\x1b[31m"]),
        (["run", "127.0.0.1", "--frobnicate"], ["--frobnicate"]),
        (["run", "127.0.0.1", "--mru", "12"], ["--mru 12: 128 to 16384"]),
        (["run", "127.0.0.1", "--mru", "many"], ["--mru many: a whole number"]),
        (["run", "127.0.0.1", "--json"], ["--json", "(see vpndiag run --help)"]),
        (["run", "127.0.0.1", "--port", "500"], ["--port 500"]),
        (["run", "127.0.0.1", "--port", "22=22"], ["--port 22=22"]),
        (["run", "127.0.0.1", "--port", "500=70000"], ["70000"]),
        (["run", "127.0.0.1", "--port", "500=1", "--port", "4500=1"], ["port of its own"]),
        (["run", "127.0.0.1", "-u", "a", "--auth", "magic"], ["--auth magic", "mschapv2"]),
        (["run", "127.0.0.1", "--ike", "rot13-crc-modp2"], ["--ike", "rot13"]),
        (["run", "127.0.0.1", "--esp", "rot13"], ["--esp", "rot13"]),
        (["run", "127.0.0.1", "--pfs", "modp17"], ["--pfs", "modp17"]),
        (["run", "127.0.0.1", "--cert", "no.pem"], ["--key"]),
        (["run", "127.0.0.1", "--ca", "no.pem"], ["--cert"]),
        (["run", "127.0.0.1", "--cert", "no.pem", "--key", "no.pem"], ["no.pem"]),
        (["run", "127.0.0.1", "--user", "alice", "--psk-file", "no.psk"], ["no.psk"]),
        (["run", "127.0.0.1", "--soak", "10m"], ["--soak", "--user"]),
        (["run", "127.0.0.1", "--user", "alice", "--soak", "soon"], ["--soak", "soon", "10m"]),
        (["run", "127.0.0.1", "--user", "alice", "--soak", "2d"], ["--soak", "2d"]),
        (["run", "127.0.0.1", "--plain-l2tp", "--psk", "k"], ["--psk", "--plain-l2tp"]),
        (["run", "127.0.0.1", "--plain-l2tp", "--ike", "windows"], ["--ike", "--plain-l2tp"]),
        (["run", "127.0.0.1", "--password", "p"], ["--password", "--user"]),
        (["run", "127.0.0.1", "--auth", "pap"], ["--auth", "--user"]),
        (["run", "127.0.0.1", "--cert-name", "gw"], ["--cert-name", "--cert"]),
        (["run", "127.0.0.1", "--cert", "c", "--key", "k", "--psk", "p"], ["one of them"]),
        (["run", "127.0.0.1", "-u", "a", "--json", "none/r.json"], ["--json none/r.json"]),
        (["run", "127.0.0.1", "-u", "a", "--capture", "none/c"], ["--capture none/c"]),
        (["run", "127.0.0.1", "--reference", " "], ["--reference", "address"]),
        (["run", "127.0.0.1", "--resolver", "dns"], ["--resolver", "'dns'"]),
        (["run", "no-such-profile.toml"], ["no-such-profile.toml"]),
        (["run", "127.0.0.1", "--redact"], ["--redact", "--json"]),
        (["analyze", "x.pcap", "--redact"], ["--redact", "--json"]),
        (["demo", "--port", "500=10500"], ["--port", "--serve"]),
        (["demo", "--host", "127.0.0.1"], ["--host", "--serve"]),
        (["demo", "--serve", "--json", "-"], ["--json", "--serve"]),
        (["demo", "--break", "login.wrong-pasword"], ["login.wrong-password"]),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    arguments: list[str], about: list[str], here: Here
) -> None:
    assert is_refused(here(*arguments), *about)


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("gateway = ", "TOML"),
        ('user = "alice"', "gateway"),
        ('gateway = "a"\npsk = "s3cret"', "secrets do not belong"),
        ('gateway = "a"\ncolour = "red"', "colour"),
        ('gateway = "a"\nmru = "big"', "mru: a number is wanted"),
    ],
)
def test_a_profile_that_is_wrong_is_told_by_entry(text: str, about: str, here: Here) -> None:
    (here.folder / "corp.toml").write_text(text)
    done = here("run", "corp")
    assert is_refused(done, "corp.toml", about)
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("entry", "about"),
    [
        ('resolvers = ["dns"]', "resolvers: 'dns'"),
        ('pfs = "modp17"', "pfs 'modp17'"),
        ('auth = ["magic"]', "auth magic"),
        ('apps = ["files"]', "apps: files"),
        ('ike = ["rot13"]', "rot13"),
    ],
)
def test_a_profile_is_checked_without_a_run(entry: str, about: str, here: Here) -> None:
    (here.folder / "corp.toml").write_text(f'gateway = "a"\n{entry}\n')
    assert is_refused(here("profile", "check", "corp"), "corp.toml", about)


def test_a_profile_stands_for_its_gateway(tmp_path: Path) -> None:
    (tmp_path / "corp.toml").write_text('gateway = "127.0.0.1"\nmru = 1200\n')
    done = vpndiag("run", "corp", *CLOSED, "--json", "-", cwd=tmp_path)
    assert json.loads(done.stdout)["target"] == "127.0.0.1"


def test_secrets_are_not_asked_for_without_a_terminal() -> None:
    assert is_refused(vpndiag("run", "127.0.0.1", "--user", "alice"), "VPNDIAG_PSK", "--psk-file")
    known = {"VPNDIAG_PSK": "a-pre-shared-key"}
    done = vpndiag("run", "127.0.0.1", "--user", "alice", env=known)
    assert is_refused(done, "VPNDIAG_PASSWORD")
    assert "a-pre-shared-key" not in done.stderr


def test_a_refused_option_does_not_show_the_secret_beside_it() -> None:
    done = vpndiag("run", "127.0.0.1", "--psk", "hunter2-psk", "--esp", "magic")
    assert "hunter2-psk" not in done.stdout + done.stderr


def test_a_report_file_that_cannot_be_written_is_an_error_of_its_own(tmp_path: Path) -> None:
    where = tmp_path / "missing" / "report.json"
    done = vpndiag("demo", "--json", str(where))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("vpndiag: --json")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("topic", ["auth.psk-mismatch", "login", "789", None])
def test_explain_tells_what_is_known(topic: str | None, here: Here) -> None:
    done = here("explain", *([topic] if topic else []))
    assert done.returncode == 0
    assert "psk-mismatch" in done.stdout or "login.wrong-password" in done.stdout
    assert done.stderr == ""


def test_explain_of_something_unknown_is_no_success(here: Here) -> None:
    done = here("explain", "login.wrong-pasword")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "login.wrong-password" in done.stderr


def schema() -> dict[str, Any]:
    done = vpndiag("schema")
    assert done.returncode == 0
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_the_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@linux
def test_a_closed_port_is_told_by_layer_finding_and_exit_code() -> None:
    done = vpndiag("run", "127.0.0.1", *CLOSED, "--json", "-")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["verdict"]["outcome"] == "failed"
    assert report["verdict"]["layer"] == "path"
    assert report["verdict"]["finding"] == "path.port-unreachable"
    assert "Failed at" in done.stderr and "Traceback" not in done.stderr
    jsonschema.validate(report, schema())


def test_json_on_stdout_is_one_document_and_people_read_stderr() -> None:
    done = vpndiag("demo", "--json", "-")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["verdict"]["outcome"] == "healthy"
    assert "Healthy" in done.stderr
    jsonschema.validate(report, schema())


RECORDING = Path(__file__).parents[3] / "captures" / "wrong-psk-strongswan.pcapng"


def test_the_json_of_a_capture_leaves_stderr_to_people() -> None:
    done = vpndiag("analyze", str(RECORDING), "--json", "-")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    mine = next(s for s in report["sessions"] if s["number"] == report["session"])
    assert mine["verdict"] == report["verdict"]
    assert f"{mine['client']} → {mine['gateway']}" in done.stderr and "Failed at" in done.stderr
    jsonschema.validate(report, schema())


def test_a_redacted_report_names_nobody(tmp_path: Path) -> None:
    where = tmp_path / "report.json"
    done = vpndiag("demo", "--redact", "--quiet", "--json", str(where))
    assert done.returncode == 0
    text = where.read_text()
    assert json.loads(text)["redacted"] is True
    assert "alice" not in text and "user-1" in text


def test_json_in_a_file_leaves_stdout_to_people(tmp_path: Path) -> None:
    where = tmp_path / "report.json"
    done = vpndiag("demo", "--break", "login.wrong-password", "--json", str(where))
    assert done.returncode == 1
    assert json.loads(where.read_text())["verdict"]["finding"] == "login.wrong-password"
    assert "login.wrong-password" in done.stdout and str(where) in done.stdout.replace("\n", "")
    assert done.stderr == ""


def test_quiet_is_the_verdict_in_one_line() -> None:
    done = vpndiag("demo", "--break", "auth.psk-mismatch", "--quiet")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("failed auth.psk-mismatch: The pre-shared key is ")
    assert done.stderr == ""


def test_verbose_shows_the_messages() -> None:
    done = vpndiag("demo", "--verbose")
    assert all(step in done.stdout for step in ("MM1", "MM6", "QM2", "SCCRP", "CHAP"))


def test_without_a_terminal_there_is_no_escape_sequence() -> None:
    assert "\x1b" not in vpndiag("demo", "--verbose").stdout


def test_secrets_reach_no_output() -> None:
    secrets = {"VPNDIAG_PSK": "psk-9f1c-secret", "VPNDIAG_PASSWORD": "pw-77aa-secret"}
    done = vpndiag(
        *["run", "127.0.0.1", "--user", "alice", *CLOSED, "-v", "--json", "-"], env=secrets
    )
    assert json.loads(done.stdout)
    for secret in secrets.values():
        assert secret not in done.stdout + done.stderr


def test_demo_lists_what_it_can_break(here: Here) -> None:
    done = here("demo", "--list")
    assert done.returncode == 0
    assert {"login.wrong-password", "auth.psk-mismatch"} <= {
        line.split()[0] for line in done.stdout.splitlines() if line
    }


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = vpndiag("demo", "--serve", "--port", f"500={port}")
    assert is_refused(done, f"UDP {port}", "--port")


def test_a_capture_and_keys_are_left_where_wanted(tmp_path: Path) -> None:
    done = vpndiag("demo", "--capture", "run.pcapng", "--keys-out", "keys", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "run.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    assert any((tmp_path / "keys").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="signals to a process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_run_still_writes_its_one_document(name: str) -> None:
    """The gateway here is silent: sockets that nobody reads."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(3)]
        ports: list[str] = []
        for standard, one in zip((500, 4500, 1701), silent, strict=True):
            one.bind(("127.0.0.1", 0))
            ports += ["--port", f"{standard}={one.getsockname()[1]}"]
        run = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "vpndiag", "run", "127.0.0.1", *ports, "--json", "-"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        silent[0].settimeout(30)
        silent[0].recv(65535)  # the first message is out: the run has begun
        run.send_signal(getattr(signal, name))
        out, err = run.communicate(timeout=30)
    assert run.returncode == 130
    report = json.loads(out)
    assert report["interrupted"] is True
    assert report["verdict"]["outcome"] == "inconclusive"
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("vpndiag.cli.analyze.carry_out", ["analyze", "any.pcap"]),
        ("vpndiag.cli.run.plan_of", ["run", "192.0.2.1"]),
        ("vpndiag.cli.demo.demo", ["demo"]),
        ("vpndiag.cli.profiles.check", ["profile", "check", "corp"]),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_a_command_that_is_interrupted_before_there_is_a_report_says_so(
    what: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_given: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(what, interrupted)
    monkeypatch.setattr(sys, "argv", ["vpndiag", *command])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, capsys.readouterr().err) == (130, "vpndiag: interrupted\n")


def test_interrupted_while_it_is_loading() -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_given):\n"
        "        if name == 'typer':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from vpndiag.__main__ import start\n"
        "start()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "vpndiag: interrupted\n")
