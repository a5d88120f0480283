"""``vpndiag host``: streams, exit codes and reports, on recorded systems and on this one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.unit.host import linux_samples
from tests.unit.host.recorded import Recorded
from vpndiag.cli import host as command
from vpndiag.cli.exits import UsageError
from vpndiag.cli.output import Output
from vpndiag.report.redact import redact
from vpndiag.report.schema import from_json, json_schema

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="recorded on Linux")
PROFILE = (
    'gateway = "203.0.113.5"\ninternal_networks = ["10.20.0.0/16"]\nexpected_dns = ["10.99.0.53"]\n'
)


@linux
@pytest.mark.parametrize(
    ("machine", "code"),
    [
        (linux_samples.up(), 0),
        (linux_samples.up(sources={"": "10.99.1.1"}), 1),
        (linux_samples.down(), 3),
    ],
)
def test_exit_codes(machine: Recorded, code: int, tmp_path: Path) -> None:
    (tmp_path / "corp.toml").write_text(PROFILE)
    assert command.host(str(tmp_path / "corp.toml"), Output(quiet=True), machine) == code


@linux
def test_people_see_the_ladder_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    command.host(None, Output(verbose=True), linux_samples.up())
    text = capsys.readouterr().out
    assert "10.99.1.1 on ppp0" in text
    assert "The VPN of this system is up" in text
    assert "routes: 0.0.0.0/0 ppp0" in text


@linux
def test_one_document_on_stdout_that_fits_the_schema_and_can_be_read_back(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    command.host(None, Output(json="-"), linux_samples.up())
    out, err = capfdbinary.readouterr()
    document = json.loads(out)
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    assert document["command"] == "host"
    assert b"The VPN of this system is up" in err
    report = from_json(out)
    assert redact(report, hosts=True).verdict.outcome == "healthy"
    assert "vpn.example.com" not in str(redact(report, hosts=True))


@linux
def test_interrupted_it_still_reports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    machine = linux_samples.up()
    monkeypatch.setattr(machine, "run", interrupt)
    where = tmp_path / "report.json"
    assert command.host(None, Output(json=str(where)), machine) == 130
    assert json.loads(where.read_text())["interrupted"] is True


def test_a_profile_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UsageError, match="no such profile"):
        command.host("no-such-profile", Output())


def test_on_this_system_as_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vpndiag", "host", "--json", "-"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3), done.stderr
    document = json.loads(done.stdout)
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    kinds = {o["kind"] for o in document["observations"]}
    assert {"host-scope", "host-interface", "host-routes", "host-way"} <= kinds
