"""What a capture says of its run's questions: names, and nothing that could do harm."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.capture.asked import MARK, MOST, Asked, AskedApp, comment, read_comment
from vpndiag.capture.files import open_capture
from vpndiag.capture.write import CaptureWriter

FULL = Asked(
    ("intranet.corp.example",),
    ("10.20.0.10",),
    (AskedApp("https://files.corp.example", "files.corp.example", 443, "https"),),
    "corp.example",
)


@pytest.mark.parametrize("asked", [Asked(), FULL])
def test_it_is_read_as_it_was_written(asked: Asked, tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    with CaptureWriter(place, comment=comment(asked)) as writer:
        writer.write(1.0, "192.0.2.1", "192.0.2.2", 500, 500, b"x")
    with open_capture(place) as capture:
        assert len(list(capture)) == 1
        assert [read_comment(c) for c in capture.comments] == [replace(asked, own=True)]


def test_a_section_in_the_other_byte_order_has_comments_as_well(tmp_path: Path) -> None:
    text = comment(FULL).encode()
    body = struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1) + struct.pack(">HH", 1, len(text)) + text
    body += bytes(-len(body) % 4)
    size = struct.pack(">I", len(body) + 12)
    place = tmp_path / "big.pcapng"
    place.write_bytes(struct.pack(">I", 0x0A0D0D0A) + size + body + size)
    with open_capture(place) as capture:
        assert not list(capture)
        assert read_comment(capture.comments[0]) == replace(FULL, own=True)


@pytest.mark.parametrize(
    "text",
    ["", "made by hand", MARK, MARK + "[]", MARK + "{", MARK + "[" * 9000, MARK + "1" * 99_999],
)
def test_any_other_comment_says_nothing(text: str) -> None:
    assert read_comment(text) is None


def test_only_plausible_names_are_taken_and_not_too_many() -> None:
    fields = {
        "names": ["ok.example", "with space", "esc\x1b[31m", "", 7, None, "x" * 300],
        "hosts": [f"10.0.0.{n}" for n in range(99)],
        "apps": [["a:1", "a", 0, ""], ["a:1", "a", True, ""], ["a:1", "a", 1, "gopher"], 3,
                 ["a:80", "a", 80, "http"]],
        "domain": ["corp"],
        "verdict": "healthy",
    }  # fmt: skip
    asked = read_comment(MARK + json.dumps(fields))
    assert asked is not None
    assert asked.names == ("ok.example",) and asked.domain == ""
    assert len(asked.hosts) == MOST
    assert asked.apps == (AskedApp("a:80", "a", 80, "http"),)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_whatever_is_in_it_nothing_breaks(value: object) -> None:
    asked = read_comment(MARK + json.dumps({"names": value, "apps": value, "domain": value}))
    assert asked is None or isinstance(asked.names, tuple)
