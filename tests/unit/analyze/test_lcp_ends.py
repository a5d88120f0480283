"""LCP that does not open: the gateway goes ahead of it, rejects it, or says why it leaves."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.analyze.links import BY_PAP
from tests.unit.analyze.scene import CHAP, IPCP, LCP, Pair, Scenes, Wire

SCENES = Scenes()
scene = SCENES.keep
OURS, THEIRS = b"\1\4\5\x78\5\6\1\2\3\4", b"\3\5\xc2\x23\x81\5\6\5\6\7\x08"
CHALLENGE = b"\x10" + bytes(16) + b"lns"


def _begun(wire: Wire) -> Pair:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    return pair


# The login begins before the client's Configure-Request is acknowledged


def _ahead(wire: Wire, asks: bool, acknowledged: bool = False) -> Pair:
    pair = _begun(wire)
    pair.ppp(True, LCP, 1, 0, OURS)
    pair.ppp(False, LCP, 1, 1, THEIRS)
    pair.ppp(True, LCP, 2, 1, THEIRS)
    if acknowledged:
        pair.ppp(False, LCP, 2, 0, OURS)
    for _ in range(6):
        pair.ppp(False, CHAP, 1, 1, CHALLENGE, wait=1.5)
        if asks:
            pair.ppp(True, LCP, 1, 0, OURS, wait=1.5)
    return pair


@scene("Challenges, and the client goes on asking for an Ack", "failed", "lcp.no-answer")
def _(wire: Wire) -> None:
    _ahead(wire, asks=True)


@scene("the gateway blames the client for it", "failed", "lcp.no-answer")
def _(wire: Wire) -> None:
    pair = _ahead(wire, asks=True)
    pair.ppp(False, LCP, 5, 2, b"Peer failed to respond to CHAP challenge")


@scene("the client says nothing more at all", "failed", "login.client-silent")
def _(wire: Wire) -> None:
    _ahead(wire, asks=False)


@scene("LCP is open, and the client says nothing to the Challenge", "failed", "login.client-silent")
def _(wire: Wire) -> None:
    _ahead(wire, asks=False, acknowledged=True)


@scene("the Ack was not recorded, and the client logs in", "healthy")
def _(wire: Wire) -> None:
    pair = _begun(wire)
    pair.ppp(True, LCP, 1, 0, OURS)
    pair.ppp(False, LCP, 1, 1, THEIRS)
    pair.ppp(True, LCP, 2, 1, THEIRS)
    for play in (pair.mschap, pair.ipcp, pair.users):
        play()  # type: ignore[operator]


# LCP itself is rejected (RFC 1661 sections 5.6 and 5.7)


def _rejected(code: int, head: bytes = b"") -> Callable[[Wire], None]:
    def play(wire: Wire) -> None:
        pair = _begun(wire)
        for number in range(3):
            pair.ppp(True, LCP, 1, number, OURS)
            request = struct.pack("!BBH", 1, number, 4 + len(OURS)) + OURS
            pair.ppp(False, LCP, code, number, head + request, wait=3)

    return play


SCENES["Configure-Request is answered by Code-Reject"] = "failed", "lcp.refused", _rejected(7)
SCENES["LCP is answered by Protocol-Reject"] = (
    "failed", "lcp.refused", _rejected(8, b"\xc0\x21"))  # fmt: skip


@scene("what is rejected may be Windows' Identification", "failed", "lcp.no-answer")
def _(wire: Wire) -> None:
    pair = _begun(wire)
    said = b"\1\2\3\4MSRASV5.20"
    pair.ppp(True, LCP, 12, 9, said)
    pair.ppp(False, LCP, 7, 9, struct.pack("!BBH", 12, 9, 4 + len(said)) + said)
    for _ in range(4):
        pair.ppp(True, LCP, 1, 0, OURS, wait=3)


@scene("and that is no harm", "healthy")
def _(wire: Wire) -> None:
    pair = _begun(wire)
    pair.ppp(True, LCP, 12, 9, b"\1\2\3\4MSRASV5.20")
    pair.ppp(False, LCP, 7, 9, b"\x0c\x09\0\x12\1\2\3\4MSRASV5.20")
    for play in (pair.lcp, pair.mschap, pair.ipcp, pair.users):
        play()  # type: ignore[operator]


# The login is refused in LCP


def _refused(wire: Wire) -> Pair:
    """The client rejects PAP, and the gateway asks for no login then."""
    pair = _begun(wire)
    pair.ppp(True, LCP, 1, 0, OURS)
    pair.ppp(False, LCP, 2, 0, OURS)
    pair.ppp(False, LCP, 1, 1, BY_PAP)
    pair.ppp(True, LCP, 4, 1, BY_PAP)
    pair.ppp(False, LCP, 1, 2, b"\5\6\5\6\7\x08")
    pair.ppp(True, LCP, 2, 2, b"\5\6\5\6\7\x08")
    return pair


@scene("a capture that ends with the refusal", "inconclusive")
def _(wire: Wire) -> None:
    _refused(wire)


@scene("the gateway goes on without a login", "healthy")
def _(wire: Wire) -> None:
    pair = _refused(wire)
    pair.ipcp()
    pair.users()


@scene("of the refusal only pppd's word for it was recorded", "failed", "lcp.no-common-auth")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.ppp(False, LCP, 5, 3, b"peer refused to authenticate")
    pair.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    pair.ppp(True, LCP, 6, 3)


@scene("of MPPE as well", "failed", "address.mppe-demanded")
def _(wire: Wire) -> None:
    pair = _begun(wire)
    pair.lcp()
    pair.mschap()
    pair.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    pair.ppp(False, LCP, 5, 3, b"MPPE required but peer negotiation failed")
    pair.ppp(True, LCP, 6, 3)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)
