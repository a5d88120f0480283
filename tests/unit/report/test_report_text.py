"""Peer text becomes visible, harmless and short."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.report.text import visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text", "plain text"),
        ("DOMAIN\\user [bold]", "DOMAIN\\user [bold]"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\0"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\u2066x\u2069\u200b", "\\u2066x\\u2069\\u200b"),
        ("a\u2028b", "a\\u2028b"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("\u00a0wide\u3000", " wide "),
        ("Grüße 日本", "Grüße 日本"),
        ("Grüße".encode(), "Grüße"),
        (b"\xff\xfeok", "\\xff\\xfeok"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "\\u0301\\u0301"),
        ("", ""),
    ],
)
def test_what_is_hidden_is_shown(raw: str | bytes, shown: str) -> None:
    assert visible(raw) == shown


def test_a_megabyte_is_cut_at_once_and_said() -> None:
    started = time.perf_counter()
    assert visible("A" * 1_000_000) == "A" * 200 + "... (+999800)"
    assert len(visible(b"\xff" * 1_000_000)) < 230
    assert time.perf_counter() - started < 0.5


def test_a_cut_is_said_also_where_four_byte_characters_end_at_the_limit() -> None:
    assert "... (+" in visible("\U0001f600".encode() * 300)
    assert visible("\U0001f600".encode() * 200) == "\U0001f600" * 200


@given(st.text() | st.text(st.characters(categories=["Cs", "Cf", "Cc", "M"])) | st.binary())
def test_nothing_that_moves_a_cursor_gets_through(raw: str | bytes) -> None:
    shown = visible(raw)
    assert len(shown) <= 200 + 20
    shown.encode("utf-8")
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown)


@given(st.text(max_size=100))
def test_doing_it_twice_changes_nothing(raw: str) -> None:
    once = visible(raw, 5000)
    assert visible(once, 5000) == once
