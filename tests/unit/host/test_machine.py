"""Asking this computer is bounded in time and size, and sends nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from vpndiag.host import machine
from vpndiag.host.machine import Machine

posix = pytest.mark.skipif(sys.platform == "win32", reason="uses sh")


@posix
def test_a_program_s_output_is_what_it_printed_untranslated() -> None:
    assert Machine().run("sh", "-c", 'printf "%s" "$LC_ALL"') == "C"


@posix
@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$"])
def test_a_program_that_fails_says_nothing(script: str) -> None:
    assert Machine().run("sh", "-c", script) is None
    assert Machine().run("no-such-program-anywhere") is None


@posix
def test_a_program_that_hangs_is_ended_with_its_children() -> None:
    began = time.monotonic()
    assert Machine().run("sh", "-c", "sleep 60 & sleep 60", timeout=0.2) is None
    assert time.monotonic() - began < 20


@posix
def test_all_programs_together_have_one_budget() -> None:
    asked = Machine(budget=0.0)
    assert asked.run("sh", "-c", "echo yes") is None


@posix
def test_a_program_that_floods_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAX_OUTPUT", 1000)
    assert Machine().run("sh", "-c", "while :; do echo flood; done", timeout=30) is None


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAX_OUTPUT", 10)
    (tmp_path / "large").write_bytes(b"x" * 100)
    assert Machine().read(str(tmp_path / "large")) == "x" * 10
    assert Machine().read(str(tmp_path / "none")) is None
    assert Machine().names(str(tmp_path)) == ["large"]
    assert Machine().names(str(tmp_path / "none")) is None


def test_the_way_to_an_address_is_told_by_the_local_address() -> None:
    assert Machine().source_towards("127.0.0.1") == "127.0.0.1"
    assert Machine().source_towards("no address") is None
