"""The AVP PPP Disconnect Cause Code (RFC 3145)."""

from __future__ import annotations

import pytest

from vpndiag.protocols.l2tp.disconnect import cause

CHAP = b"\xc2\x23"


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (16, b"", ("authentication failed: bad name, password or secret", b"")),
        (8, b"line 7", ("LCP echoes were not answered", b"line 7")),
        (0, b"see the log", ("", b"see the log")),
        (99, b"", ("cause 99", b"")),
    ],
)
def test_what_is_told(code: int, said: bytes, expected: tuple[str, bytes]) -> None:
    assert cause(code.to_bytes(2, "big") + CHAP + b"\2" + said) == expected


@pytest.mark.parametrize("size", range(5))
def test_a_cut_value_tells_nothing(size: int) -> None:
    assert cause((b"\0\x10" + CHAP + b"\2")[:size]) == ("", b"")
