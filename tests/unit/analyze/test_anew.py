"""A link that was open, and what is asked again over it: LCP begun anew (RFC 1661 section 4.3), the
login asked for once more (RFC 1994 section 2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analyze.links import linked, logged_in
from tests.unit.analyze.scene import CHAP, IPCP, LCP, Pair, Scenes, Wire, played

SCENES = Scenes()
scene = SCENES.keep


def _begin(pair: Pair, mine: bool, times: int) -> None:
    for number in range(times):
        pair.ppp(mine, LCP, 1, 9 + number, b"\1\4\5\x78\5\6\x9a\2\3\4", wait=3)


def _echoes(pair: Pair, times: int) -> None:
    """LCP Echo-Requests every 30 s, and their answers."""
    for number in range(times):
        pair.ppp(True, LCP, 9, number, b"\1\2\3\4")
        pair.ppp(False, LCP, 10, number, b"\5\6\7\x08", wait=30)


def _used(wire: Wire) -> Pair:
    pair = Pair(wire, clear=True)
    pair.inside()
    wire.at += 30
    return pair


@scene("the client begins LCP anew, and the gateway is silent", "failed", "lcp.peer-gone")
def _(wire: Wire) -> None:
    _begin(_used(wire), True, 4)


@scene("the same before the login", "failed", "lcp.peer-gone")
def _(wire: Wire) -> None:
    _begin(linked(wire), True, 4)


@scene("the gateway begins it anew, and the client is silent", "failed", "lcp.peer-gone")
def _(wire: Wire) -> None:
    _begin(_used(wire), False, 4)


@scene("the client begins IPCP anew", "failed", "lcp.peer-gone")
def _(wire: Wire) -> None:
    pair = _used(wire)
    for number in range(4):
        pair.ppp(True, IPCP, 1, 9 + number, b"\3\6\x0a\x09\0\5", wait=3)


@scene("twice is not enough to tell", "healthy")
def _(wire: Wire) -> None:
    _begin(_used(wire), True, 2)


@scene("the gateway does not care: users' data goes on", "healthy")
def _(wire: Wire) -> None:
    pair = _used(wire)
    _begin(pair, True, 4)
    pair.users()


@scene("the gateway had hung up before", "healthy")
def _(wire: Wire) -> None:
    pair = _used(wire)
    pair.ppp(False, LCP, 5, 1, b"Session-Timeout")
    _begin(pair, True, 4)


@scene("of a link older than the capture only echoes are seen, answered", "healthy")
def _(wire: Wire) -> None:
    _echoes(Pair(wire, clear=True), 4)


@scene("and then not", "failed", "lcp.peer-gone")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    _echoes(pair, 4)
    pair.only = True
    _echoes(pair, 4)


@scene("it is answered, and all is well again", "healthy")
def _(wire: Wire) -> None:
    pair = _used(wire)
    for play in (pair.lcp, pair.mschap, pair.ipcp, pair.users):
        play()  # type: ignore[operator]


@scene("the gateway hangs up on a client that begins LCP anew", "failed", "lcp.hung-up")
def _(wire: Wire) -> None:
    pair = _used(wire)
    _begin(pair, True, 1)
    pair.ppp(False, LCP, 5, 1)
    pair.ppp(True, LCP, 6, 1)


@scene("the same by closing the call", "failed", "lcp.hung-up")
def _(wire: Wire) -> None:
    pair = _used(wire)
    _begin(pair, True, 2)
    pair.control(False, 14, (1, b"\0\3"), (14, b"\0\x09"), call=7)


@scene("it does so in the middle of negotiating", "failed", "lcp.hung-up")
def _(wire: Wire) -> None:
    pair = _used(wire)
    pair.lcp()
    pair.ppp(False, LCP, 5, 2)


@scene("it was the gateway that began anew, and then hung up", "healthy")
def _(wire: Wire) -> None:
    pair = _used(wire)
    _begin(pair, False, 1)
    _begin(pair, True, 1)
    pair.ppp(False, LCP, 5, 1)


@scene("the client begins anew and leaves by itself", "healthy")
def _(wire: Wire) -> None:
    pair = _used(wire)
    _begin(pair, True, 1)
    pair.ppp(True, LCP, 5, 1)
    pair.ppp(False, LCP, 6, 1)


@scene("the gateway ends a session that was begun anew much earlier", "healthy")
def _(wire: Wire) -> None:
    pair = _used(wire)
    _begin(pair, True, 1)
    pair.users()
    wire.at += 30
    pair.ppp(False, LCP, 5, 1, b"Session-Timeout")


@scene("the login is asked for once more, and refused", "failed", "login.refused")
def _(wire: Wire) -> None:
    pair = _used(wire)
    pair.mschap(4, b"E=691 R=0 V=3")
    pair.ppp(False, LCP, 5, 9)


@scene("and accepted", "healthy")
def _(wire: Wire) -> None:
    pair = _used(wire)
    pair.mschap()
    pair.users()


@scene("a first try with the wrong password is no earlier login", "failed", "login.wrong-password")
def _(wire: Wire) -> None:
    pair = linked(wire)
    pair.mschap(4, b"E=691 R=1 C=00 V=3")
    pair.ppp(True, CHAP, 2, 2, b"\x31" + bytes(49) + b"bob")
    pair.ppp(False, CHAP, 4, 2, b"E=691 R=0 V=3")


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_both_answers_to_the_login_are_shown(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = logged_in(wire)
        pair.mschap(4, b"E=691 R=0 V=3")

    found = next(f for f in played(play, tmp_path).findings if f.code == "login.refused")
    assert [e.text[:12] for e in found.evidence] == ["the user had", "the gateway "]
