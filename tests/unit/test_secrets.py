"""Secrets: every source, and that none of them shows."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import pytest

from vpndiag.secrets import Secret, SecretError, from_file, obtain

VALUE = "hunter2-schlüssel"


def get(kind: Any = "psk", **options: Any) -> Secret | None:
    return obtain(kind, **{"environ": {}, "prompt": False, **options})


def test_a_secret_never_shows() -> None:
    secret = Secret(VALUE, "the prompt")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", repr({"k": [secret]})):
        assert "hunter2" not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(secret)
    assert secret.text() == VALUE
    assert secret.raw() == VALUE.encode()


def test_equality_is_by_value_and_secrets_are_not_hashable() -> None:
    assert Secret("a") == Secret(b"a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_the_environment_has_one_variable_for_each() -> None:
    environ = {"VPNDIAG_PSK": "k", "VPNDIAG_PASSWORD": "p"}
    psk, password = get(environ=environ), get("password", environ=environ)
    assert psk == Secret("k")
    assert password == Secret("p")
    assert psk is not None and psk.warnings == ()
    assert get(environ={"VPNDIAG_PSK": ""}) is None


def test_the_command_line_comes_with_a_warning() -> None:
    secret = get(option=VALUE, environ={"VPNDIAG_PSK": "other"})
    assert secret == Secret(VALUE)
    assert secret is not None and "command line" in secret.warnings[0]
    assert "hunter2" not in secret.warnings[0]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"key", b"key"),
        (b"key\n", b"key"),
        (b"key\r\n", b"key"),
        (b"key\n\n", b"key\n"),
        (b" key \n", b" key "),
        (b"k\xff\n", b"k\xff"),
    ],
)
def test_a_file_loses_one_newline_and_nothing_else(
    tmp_path: Path, content: bytes, value: bytes
) -> None:
    path = tmp_path / "psk"
    path.write_bytes(content)
    secret = get(file=path)
    assert secret is not None and secret.raw() == value


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
@pytest.mark.parametrize(
    "written",
    [
        b"\xef\xbb\xbfkey-\xc3\xa4\r\n",
        "key-\N{LATIN SMALL LETTER A WITH DIAERESIS}\r\n".encode("utf-16"),
        b"\xfe\xff" + "key-\N{LATIN SMALL LETTER A WITH DIAERESIS}\n".encode("utf-16-be"),
    ],
    ids=["Notepad", "PowerShell", "UTF-16BE"],
)
def test_the_byte_order_marks_of_windows_are_no_part_of_a_secret(
    tmp_path: Path, written: bytes
) -> None:
    path = tmp_path / "key"
    path.write_bytes(written)
    path.chmod(0o600)
    secret = from_file(path)
    assert secret.raw() == b"key-\xc3\xa4"
    assert "byte order mark" in secret.warnings[0] and "left out" in secret.warnings[0]


def test_bytes_that_only_begin_like_one_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfeabc")
    path.chmod(0o600)
    assert from_file(path).raw() == b"\xff\xfeabc"


def test_a_file_that_everybody_reads_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    path.write_text("k")
    path.chmod(0o644)
    assert "every user" in from_file(path).warnings[0]
    path.chmod(0o640)
    assert from_file(path).warnings == ()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "large").write_bytes(bytes(65537))
    for name in ("empty", "large", "missing", "."):
        with pytest.raises(SecretError):
            get(file=tmp_path / name)


def test_bytes_that_are_not_utf8_fail_without_showing_them() -> None:
    secret = Secret(VALUE.encode() + b"\xff", "file x")
    try:
        secret.text()
    except SecretError:
        assert "hunter2" not in traceback.format_exc()
    else:
        pytest.fail("no error")


def test_the_prompt_needs_a_terminal() -> None:
    options = {"prompt": True, "ask": lambda _label: VALUE}
    assert get(is_tty=lambda: False, **options) is None
    assert get(is_tty=lambda: True, **options) == Secret(VALUE)
    assert get(is_tty=lambda: True, prompt=True, ask=lambda _label: "") is None


def test_what_is_typed_in_another_encoding_is_one_line_without_it() -> None:
    def odd(_label: str) -> str:
        return b"k\xffey".decode()

    with pytest.raises(SecretError) as caught:
        get(is_tty=lambda: True, prompt=True, ask=odd)
    assert "encoding" in str(caught.value) and "ey" not in str(caught.value).split()


def test_two_named_sources_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="once"):
        get(option="a", file=tmp_path / "b")


def test_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("keyring")
    module.get_password = lambda service, user: {("a/b", "me"): VALUE}.get((service, user))
    monkeypatch.setitem(sys.modules, "keyring", module)
    assert get(option="keyring:a/b/me") == Secret(VALUE)
    for bad in ("keyring:a/you", "keyring:", "keyring:x", "keyring:/x"):
        with pytest.raises(SecretError):
            get(option=bad)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SecretError, match="not installed"):
        get(option="keyring:a/b/me")


def test_hex_is_only_read_on_demand() -> None:
    secret = get(environ={"VPNDIAG_PSK": "0x6b6579"})
    assert secret is not None and secret.raw() == b"0x6b6579"
    assert "hex" in secret.warnings[0]
    assert Secret.from_hex(secret).raw() == b"key"
    for bad in ("0x", "abc", "zz", "0x6b 65"):
        with pytest.raises(SecretError):
            Secret.from_hex(Secret(bad))


def test_white_space_at_the_ends_is_kept_and_told() -> None:
    secret = get(environ={"VPNDIAG_PSK": "key "})
    assert secret is not None and secret.raw() == b"key "
    assert "white space" in secret.warnings[0]
