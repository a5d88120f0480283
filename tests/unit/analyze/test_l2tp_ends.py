"""L2TP that one side ends or leaves, read in the clear: what is said of each."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.unit.analyze.scene import Avp, Pair, Scenes, Wire, played

SCENES = Scenes()
scene = SCENES.keep
OWN = (9, struct.pack("!H", 17))


def _asked(wire: Wire, *avps: Avp) -> Pair:
    pair = Pair(wire, clear=True)
    pair.control(True, 1, (2, b"\1\0"), (3, b"\0\0\0\1"), (7, b"PC"), OWN, *avps)
    return pair


def _answered(pair: Pair, *avps: Avp) -> None:
    pair.control(False, 2, (2, b"\1\0"), (7, b"lns"), (9, b"\0\x22"), *avps)


@scene("SCCRQ acknowledged, and no SCCRP for half a minute", "failed", "l2tp.no-answer")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    pair.control(False, 0)
    wire.at += 30
    pair.control(True, 4, OWN, (1, b"\0\1"))
    pair.control(False, 0)


@scene("the same, cut off after three seconds", "inconclusive")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    pair.control(False, 0)
    wire.at += 3
    pair.udp(True, 40_000, 123, b"time")


@scene("ICRQ acknowledged, and no ICRP for a minute", "failed", "l2tp.call-unanswered")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair)
    pair.control(True, 3)
    pair.control(True, 10, (14, b"\0\7"), (15, b"\0\0\0\1"))
    pair.control(False, 0)
    wire.at += 60
    pair.control(False, 6)
    pair.control(True, 0)


def _called(wire: Wire) -> Pair:
    """Up to the gateway's answer to the call."""
    pair = _asked(wire)
    _answered(pair)
    pair.control(True, 3)
    pair.control(True, 10, (14, b"\0\7"), (15, b"\0\0\0\1"))
    pair.control(False, 11, (14, b"\0\x09"), call=7)
    return pair


def _in_vain(pair: Pair, kind: int, *avps: Avp, call: int = 0) -> None:
    pair.control(True, kind, *avps, call=call)
    for wait in (1, 2, 4):
        pair.wire.at += wait
        pair.control(True, kind, *avps, call=call, again=True)


@scene("SCCCN is never acknowledged", "failed", "l2tp.peer-gone")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair)
    _in_vain(pair, 3)


@scene("nor ICCN, and LCP is asked for in vain beside it", "failed", "l2tp.peer-gone")
def _(wire: Wire) -> None:
    pair = _called(wire)
    pair.ppp(True, 0xC021, 1, 1, b"\1\4\5\x78")
    _in_vain(pair, 12, (24, b"\0\0\x10\0"), (19, b"\0\0\0\1"), call=9)


@scene("ICCN is acknowledged in the end, and LCP is not answered", "failed", "lcp.no-answer")
def _(wire: Wire) -> None:
    pair = _called(wire)
    _in_vain(pair, 12, (24, b"\0\0\x10\0"), (19, b"\0\0\0\1"), call=9)
    pair.control(False, 0)
    for number in range(4):
        pair.ppp(True, 0xC021, 1, number, b"\1\4\5\x78", wait=3)


@scene("xl2tpd, whose access list lacks the client", "failed", "l2tp.not-authorized")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    pair.control(False, 4, (9, b"\0\x22"), (1, b"\0\2\0\6No Authorization"))


def _dialled_out(wire: Wire) -> Pair:
    """The LNS asks for an outgoing call, and the LAC tries it."""
    pair = _asked(wire)
    _answered(pair)
    pair.control(True, 3)
    pair.control(False, 0)
    pair.control(False, 7, (14, b"\0\x09"), (15, b"\0\0\0\1"), (21, b"5551234"))
    pair.control(True, 8, (14, b"\0\7"), call=9)
    wire.at += 3
    return pair


@scene("an outgoing call: the number is busy", "failed", "l2tp.call-refused")
def _(wire: Wire) -> None:
    pair = _dialled_out(wire)
    pair.control(True, 14, (1, b"\0\x08"), (14, b"\0\7"), call=9)
    pair.control(False, 0)


@scene("an outgoing call that comes about", "healthy")
def _(wire: Wire) -> None:
    pair = _dialled_out(wire)
    pair.control(True, 9, (24, b"\0\0\xff\0"), (19, b"\0\0\0\1"), call=9)
    pair.control(False, 0)
    for play in (pair.lcp, pair.mschap, pair.ipcp, pair.users):
        play()  # type: ignore[operator]


@scene("an LNS that opens the tunnel and asks for an outgoing call in vain", "failed",
       "l2tp.call-unanswered")  # fmt: skip
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair)
    pair.control(True, 3)
    pair.control(False, 0)
    _in_vain(pair, 7, (14, b"\0\x09"), (15, b"\0\0\0\1"), (21, b"5551234"))


@scene("begun behind the request: the gateway's first word is StopCCN", "failed",
       "l2tp.not-authorized")  # fmt: skip
def _(wire: Wire) -> None:
    pair = _asked(wire)
    del wire.shots[:]
    pair.control(False, 4, (9, b"\0\x22"), (1, b"\0\4"))
    pair.control(True, 0)


@scene("of a tunnel that is older, begun behind a call that finds no place", "failed",
       "l2tp.no-facilities")  # fmt: skip
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.ns = {True: 40, False: 30}
    pair.control(False, 14, (1, b"\0\4"), (14, b"\0\0"), call=7)
    pair.control(True, 0)


@scene("and behind one that the gateway took down", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.ns = {True: 40, False: 30}
    pair.control(False, 14, (1, b"\0\3"), (14, b"\0\x09"), call=7)
    pair.control(True, 0)


@scene("the client's Challenge gets no response", "failed", "l2tp.secret-mismatch")
def _(wire: Wire) -> None:
    pair = _asked(wire, (11, bytes(16)))
    _answered(pair)
    pair.control(True, 4, OWN, (1, struct.pack("!HH", 4, 0)))
    pair.control(False, 0)


@scene("the client has no tunnel secret, and says so", "failed", "l2tp.secret-wanted")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair, (11, bytes(16)))
    pair.control(True, 4, OWN, (1, struct.pack("!HH", 2, 6) + b"no secret"))
    pair.control(False, 0)


@scene("the client turns SCCRP down", "failed", "l2tp.client-stops")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair)
    pair.control(True, 4, OWN, (1, struct.pack("!HH", 2, 8) + b"AVP 36"))
    pair.control(False, 0)


@scene("a call of the client's that ends before any PPP", "failed", "l2tp.client-stops")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    wire.at += 0.3
    pair.control(True, 14, (14, b"\0\7"), (1, struct.pack("!HH", 2, 6) + b"pppd exited"), call=9)
    pair.control(True, 4, OWN, (1, b"\0\1"))
    pair.control(False, 0)


def _hello(wire: Wire, answered: bool) -> None:
    """Every HELLO is sent twice; the second one is acknowledged."""
    pair = Pair(wire, clear=True)
    pair.inside()
    for _ in range(8):
        wire.at += 60
        pair.control(False, 6, wait=1.0)
        pair.control(False, 6, again=True)
        if answered:
            pair.control(True, 0)


SCENES["HELLO is lost once each time"] = (
    "healthy", None, lambda wire: _hello(wire, True))  # fmt: skip
SCENES["HELLO is never acknowledged"] = (
    "failed", "l2tp.peer-gone", lambda wire: _hello(wire, False))  # fmt: skip


@scene("a caller that hangs up before there is an answer", "inconclusive")
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair)
    pair.control(True, 3)
    pair.control(True, 10, (14, b"\0\7"), (15, b"\0\0\0\1"))
    pair.control(True, 14, (14, b"\0\7"), (1, b"\0\1"))
    pair.control(False, 0)


def _closed(pair: Pair, result: int, error: int = 0, said: bytes = b"") -> None:
    """StopCCN of the gateway."""
    pair.control(False, 4, (9, b"\0\x22"), (1, struct.pack("!HH", result, error) + said))


@scene("the gateway is out of memory", "failed", "l2tp.no-facilities")
def _(wire: Wire) -> None:
    _closed(_asked(wire), 2, 4, b"out of memory")


@scene("the gateway names another one to try", "failed", "l2tp.no-facilities")
def _(wire: Wire) -> None:
    _closed(_asked(wire), 2, 7, b"try another")


@scene("the end of an older tunnel, and then a refusal", "failed", "l2tp.refused")
def _(wire: Wire) -> None:
    old = Pair(wire, clear=True)
    old.tunnels = {True: 99, False: 98}
    _closed(old, 1)
    _closed(_asked(wire), 2, 6, b"go away")


@scene("the gateway is shut down while it waits for the tunnel secret", "failed",
       "l2tp.shutting-down")  # fmt: skip
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair, (11, bytes(16)))
    _closed(pair, 6)


@scene("the tunnel secret is right, and the gateway closes the tunnel later", "failed",
       "l2tp.refused")  # fmt: skip
def _(wire: Wire) -> None:
    pair = _asked(wire)
    _answered(pair, (11, bytes(16)))
    pair.control(True, 3, (13, bytes(16)))
    pair.control(True, 10, (14, b"\0\7"), (15, b"\0\0\0\1"))
    pair.control(False, 11, (14, b"\0\x09"), call=7)
    _closed(pair, 2, 6)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_a_tunnel_of_which_only_keepalives_are_seen_is_one(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = Pair(wire, clear=True)
        pair.tunnels = {True: 99, False: 98}
        for n in range(3):
            pair.control(True, 6, wait=60.0)
            pair.l2tp(False, struct.pack("!HHHHHH", 0xC802, 12, 98, 0, 5, n + 1))

    verdict = played(play, tmp_path).verdict
    assert (verdict.outcome, verdict.layer) == ("inconclusive", "l2tp")
    assert "set up before the capture began" in verdict.headline


def test_a_refused_version_is_told_with_the_one_that_is_known(tmp_path: Path) -> None:
    """Its error code is the highest version, 1.0 of L2TPv2 (RFC 2661 section 4.4.2)."""

    def play(wire: Wire) -> None:
        pair = _asked(wire)
        pair.control(False, 4, (9, b"\0\x22"), (1, b"\0\5\1\0"))

    assert "highest version 1.0" in played(play, tmp_path).verdict.headline


def test_a_wrong_tunnel_secret_may_be_met_with_silence(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = _asked(wire)
        _answered(pair, (11, bytes(16)))
        _in_vain(pair, 3, (13, bytes(16)))

    found = played(play, tmp_path).findings[0]
    assert (found.code, found.confidence) == ("l2tp.peer-gone", "medium")
    assert "secret" in found.causes[0].text
