"""PPP over Ethernet: PADT ends the session (RFC 2516 section 5.5), whatever PPP said before."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.unit.analyze.scene import CHAP, LCP, Pair, Scenes, Wire, played

SCENES = Scenes()
scene = SCENES.keep
CLIENT, SERVER = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
ETHERNET = 1


class Line(Pair):
    """A PPP link in PPPoE in place of L2TP."""

    number = 7

    def data(self, mine: bool, frame: bytes, wait: float = 0.02) -> bytes:
        self._put(mine, 0x8864, 0, frame, wait)
        return frame

    def padt(self, mine: bool, said: bytes = b"") -> None:
        self._put(mine, 0x8863, 0xA7, struct.pack("!HH", 0x0203, len(said)) + said if said else b"")

    def _put(self, mine: bool, kind: int, code: int, body: bytes, wait: float = 0.02) -> None:
        ends = SERVER + CLIENT if mine else CLIENT + SERVER
        head = struct.pack("!HBBHH", kind, 0x11, code, self.number, len(body))
        self.wire.frame((ends + head + body).ljust(60, b"\0"), wait, ETHERNET)

    def login(self, accepted: bool = True) -> None:
        self.lcp()
        self.mschap() if accepted else self.mschap(4, b"E=691 R=0 C=00 V=3 M=no")

    def up(self) -> None:
        self.login()
        self.ipcp()


@scene("in place of a verdict on the login", "failed", "login.refused")
def _(wire: Wire) -> None:
    line = Line(wire)
    line.lcp()
    line.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"bras")
    line.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + b"bob", wait=1.0)
    line.padt(False, b"RADIUS says no")


@scene("behind a refusal", "failed", "login.wrong-password")
def _(wire: Wire) -> None:
    line = Line(wire)
    line.login(False)
    line.padt(False)


@scene("in the middle of LCP", "failed", "lcp.hung-up")
def _(wire: Wire) -> None:
    line = Line(wire)
    line.ppp(True, LCP, 1, 0, b"\5\6\1\2\3\4", wait=1.0)
    line.padt(False)


@scene("as soon as there is an address", "failed", "session.hung-up")
def _(wire: Wire) -> None:
    line = Line(wire)
    line.up()
    line.padt(False)


@scene("of the client, after a while", "healthy")
def _(wire: Wire) -> None:
    line = Line(wire)
    line.up()
    wire.at += 60
    line.padt(True)


@scene("for a session of before", "healthy")
def _(wire: Wire) -> None:
    old, line = Line(wire), Line(wire)
    old.number = 6
    old.padt(False)
    line.up()


@scene("and the same number again", "healthy")
def _(wire: Wire) -> None:
    line = Line(wire)
    line.login(False)
    line.padt(False)
    wire.at += 5
    line.up()


@pytest.mark.parametrize("name", SCENES)
def test_the_end_of_a_session_in_ethernet(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_the_reason_is_quoted(tmp_path: Path) -> None:
    found = played(SCENES["in place of a verdict on the login"][2], tmp_path)
    assert 'PPPoE PADT, "RADIUS says no"' in found.verdict.headline
