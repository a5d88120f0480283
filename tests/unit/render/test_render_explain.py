"""``explain`` knows codes, layers and Windows errors, and helps with typing errors."""

import io

import pytest
from rich.console import Console

from vpndiag.catalogue import all_entries
from vpndiag.render.explain import closest, explain


def explained(topic: str | None) -> tuple[bool, str]:
    target = Console(file=io.StringIO(), width=100, _environ={})
    known = explain(topic, target)
    return known, target.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [e.code for e in all_entries()])
def test_every_finding_is_explained_in_full(code: str) -> None:
    known, text = explained(code)
    flat = " ".join(text.split())
    assert known
    for part in ("Causes, most likely first", "What to do now", "References"):
        assert part in flat


def test_no_topic_lists_all() -> None:
    known, text = explained(None)
    assert known
    assert all(e.code in text for e in all_entries())


def test_a_layer_lists_its_findings_only() -> None:
    known, text = explained("login")
    assert known
    assert "login.wrong-password" in text and "auth.psk-mismatch" not in text
    assert explained("mtu")[0]


@pytest.mark.parametrize("topic", ["789", "error 789", "Windows 789"])
def test_a_windows_error_lists_what_shows_it_most_usual_first(topic: str) -> None:
    known, text = explained(topic)
    assert known
    assert "processing error during initial negotiations" in " ".join(text.split())
    assert "auth.psk-mismatch" in text and "login.wrong-password" not in text


@pytest.mark.parametrize(
    "topic",
    ["The L2TP-VPN server did not respond. Try reconnecting.", "server did not respond",
     "L2TP error 2"],
)  # fmt: skip
def test_what_macos_says_lists_what_shows_it_most_usual_first(topic: str) -> None:
    known, text = explained(topic)
    assert known
    lines = text.splitlines()
    assert lines[0].startswith("macOS, iOS: The L2TP-VPN server did not respond.")
    codes = [line.split()[0] for line in lines if line.startswith("  ")]
    assert codes.index("path.silent") < codes.index("path.port-unreachable")


def test_words_of_windows_are_known_as_well() -> None:
    known, text = explained("the specified password has expired")
    assert known and "Windows error 648" in text and "login.password-expired" in text


def test_691_leads_to_the_password_first() -> None:
    lines = explained("691")[1].splitlines()
    codes = [line.split()[0] for line in lines if line.startswith("  ")]
    assert codes[0] == "login.wrong-password"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("login.wrong-pasword", "login.wrong-password"),
        ("psk", "auth.psk-mismatch"),
        ("wrong password", "login.wrong-password"),
        ("psk-mismatch", "auth.psk-mismatch"),
    ],
)
def test_typing_errors_get_the_closest(typed: str, meant: str) -> None:
    known, text = explained(typed)
    assert not known
    assert meant in closest(typed) and meant in text


@pytest.mark.parametrize("topic", ["999", "", "\x1b[2J", "x" * 100_000])
def test_nonsense_is_refused_quietly(topic: str) -> None:
    known, text = explained(topic)
    assert not known
    assert "\x1b" not in text and len(text) < 2000
