"""Wireshark's installers for Windows and macOS leave tshark out of the path of programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpndiag.capture import wireshark


def test_where_windows_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wireshark.shutil, "which", lambda _name: None)
    monkeypatch.setattr(wireshark.sys, "platform", "win32")
    monkeypatch.delenv("PROGRAMW6432", raising=False)
    monkeypatch.setenv("PROGRAMFILES", str(tmp_path))
    assert wireshark.tshark() is None
    place = tmp_path / "Wireshark" / "tshark.exe"
    place.parent.mkdir()
    place.touch()
    assert wireshark.tshark() == str(place)


def test_what_is_in_the_path_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wireshark.shutil, "which", lambda _name: "/elsewhere/tshark")
    assert wireshark.tshark() == "/elsewhere/tshark"
