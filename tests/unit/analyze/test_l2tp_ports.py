"""An LNS that answers from a port of its own choice (RFC 2661 section 8.1)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.sim.network import Network, client_options
from tests.unit.analyze.own_captures import recorded
from tests.unit.analyze.scene import LCP, Pair, Scenes, Wire
from vpndiag.capture.files import open_capture
from vpndiag.capture.prefilter import Prefilter
from vpndiag.cli.analysis import analyze
from vpndiag.gateway import GatewayConfig

LNS = 40_000
SCENES = Scenes()


class Far(Pair):
    """The client asks from ``port``; ``follows``: and goes on where the answer came from.
    ``inside``: all this inside ESP, with NULL encryption."""

    def __init__(
        self, wire: Wire, port: int = 56_322, *, follows: bool = True, inside: bool = False
    ) -> None:
        super().__init__(wire, clear=not inside, null=inside)
        self.port, self.follows, self.told = port, follows, False
        if inside:
            self.main_mode()
            self.quick_mode()

    def l2tp(self, mine: bool, data: bytes, wait: float = 0.02) -> bytes:
        self.told = self.told or not mine
        theirs = LNS if not mine or (self.follows and self.told) else 1701
        ends = (self.port, theirs) if mine else (theirs, self.port)
        if self.clear:
            return self.udp(mine, *ends, data, wait)
        return self.esp(mine, struct.pack("!HHHH", *ends, 8 + len(data), 0) + data, wait)


@SCENES.keep("client and LNS have ports of their own", "healthy")
def _both(wire: Wire) -> None:
    Far(wire).inside()


@SCENES.keep("the client has 1701", "healthy")
def _one(wire: Wire) -> None:
    Far(wire, 1701).inside()


@SCENES.keep("xl2tpd takes the answer and goes on asking 1701", "healthy")
def _both_ports(wire: Wire) -> None:
    Far(wire, 1701, follows=False).inside()


@SCENES.keep("what is said there is judged", "failed", "login.wrong-password")
def _login(wire: Wire) -> None:
    pair = Far(wire)
    pair.tunnel()
    pair.lcp()
    pair.mschap(4, b"E=691 R=0 C=00112233445566778899AABBCCDDEEFF V=3 M=no")
    pair.ppp(False, LCP, 5, 9)


@SCENES.keep("a refusal from there", "failed", "l2tp.not-authorized")
def _refusal(wire: Wire) -> None:
    pair = Far(wire)
    pair.sccrq()
    pair.control(False, 4, (9, b"\0\x22"), (1, b"\0\4\0\0"))


@SCENES.keep("a client that does not take it", "failed", "path.answer-from-elsewhere")
def _not_taken(wire: Wire) -> None:
    pair = Far(wire, follows=False)
    number = struct.pack("!H", pair.tunnels[False])
    pair.sccrq()
    for again in (False, True, True, True):
        avps = (2, b"\1\0"), (3, b"\0\0\0\3"), (7, b"lns"), (9, number)
        pair.control(False, 2, *avps, again=again, wait=1)
        pair.sccrq(again=True, wait=1)


@SCENES.keep("the same inside ESP", "healthy")
def _inside(wire: Wire) -> None:
    Far(wire, inside=True).inside()


@SCENES.keep("inside ESP, to a client that does not follow", "healthy")
def _inside_both_ports(wire: Wire) -> None:
    Far(wire, follows=False, inside=True).inside()


@SCENES.keep("what is said there inside ESP is judged", "failed", "login.wrong-password")
def _login_inside(wire: Wire) -> None:
    pair = Far(wire, inside=True)
    pair.tunnel()
    pair.lcp()
    pair.mschap(4, b"E=691 R=0 C=00112233445566778899AABBCCDDEEFF V=3 M=no")
    pair.ppp(False, LCP, 5, 9)


@SCENES.keep("a refusal from there inside ESP", "failed", "l2tp.not-authorized")
def _refusal_inside(wire: Wire) -> None:
    pair = Far(wire, inside=True)
    pair.sccrq()
    pair.control(False, 4, (9, b"\0\x22"), (1, b"\0\4\0\0"))


@pytest.mark.parametrize("name", SCENES)
def test_scene(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_pieces_of_such_a_capture_cannot_be_joined(tmp_path: Path) -> None:
    """The second piece would not know the ports: the file is to be read in one go."""
    wire = Wire()
    Far(wire).inside()
    wire.report(tmp_path)
    with open_capture(tmp_path / "scene.pcapng") as capture:
        scan = Prefilter(capture)
        kept = [packet for packet in scan if getattr(packet, "kind", "") == "l2tp"]
    assert scan.odd_ports
    assert len(kept) == len(wire.shots)


def test_other_datagrams_are_none_of_l2tp(tmp_path: Path) -> None:
    wire = Wire()
    pair = Pair(wire, clear=True)
    for size in (12, 20, 200):
        pair.udp(True, 40_000, 50_000, b"\xc8\x02" + size.to_bytes(2, "big") + bytes(size - 4))
    assert wire.report(tmp_path).verdict.outcome == "not_applicable"


def test_a_live_client_follows(tmp_path: Path) -> None:
    """And its capture, in which neither side has port 1701 then, is judged alike."""
    options, config = client_options(plain_l2tp=True), GatewayConfig(plain_l2tp=True)
    result, keys = recorded(tmp_path / "run.pcapng", options, config, Network(l2tp_from=LNS))
    assert result.outcome == "healthy", result.diagnosis.verdict
    assert "path.answer-from-elsewhere" not in result.codes
    seen = analyze([tmp_path / "run.pcapng"], keys=keys)
    assert seen.verdict.outcome == "healthy", seen.verdict
