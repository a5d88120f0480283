"""Which secrets a run has, from its options and the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vpndiag.cli.credentials import secrets_of
from vpndiag.cli.exits import UsageError
from vpndiag.cli.run import RunOptions, plan_of
from vpndiag.gateway.certificates import authority


@pytest.mark.parametrize(("variable", "key"), [("a-key", b"a-key"), ("", None), (None, None)])
def test_without_a_user_there_is_a_key_where_the_environment_has_one(
    variable: str | None, key: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VPNDIAG_PSK", raising=False)
    if variable is not None:
        monkeypatch.setenv("VPNDIAG_PSK", variable)
    assert secrets_of(RunOptions(host="192.0.2.1"), False, []) == (key, None)


@pytest.mark.parametrize(
    ("host", "told"),
    [("korp", True), ("localhost", False), ("vpn.example.com", False), ("192.0.2.1", False)],
)
def test_a_profile_that_may_have_been_meant_is_missed(host: str, told: bool) -> None:
    notes = plan_of(RunOptions(host=host)).notes
    assert [f"There is no profile {host}.toml here" in note for note in notes] == [True] * told


def test_who_is_asked_for_secrets_hears_first_that_the_profile_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: capsys.readouterr().err or "none")
    monkeypatch.delenv("VPNDIAG_PSK", raising=False)
    plan = plan_of(RunOptions(host="korp", user="alice"))
    assert "There is no profile korp.toml here" in str(plan.tunnel.psk)


@pytest.mark.parametrize("wrong", ["--cert", "--ca"])
def test_the_file_without_a_certificate_is_named(wrong: str, tmp_path: Path) -> None:
    good = tmp_path / "good.pem"
    good.write_bytes(authority("an authority", 1_800_000_000.0).der)
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    files = {"--cert": good, "--ca": good, wrong: bad}
    options = RunOptions(
        host="192.0.2.1", certificate=files["--cert"], ca=files["--ca"], key=tmp_path / "key.pem"
    )
    with pytest.raises(UsageError, match=f"{wrong} {re.escape(str(bad))}"):
        plan_of(options)
