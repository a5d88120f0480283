"""L2TP, LCP, login and address, packet by packet: what is said of each. Beside a failure stands
what looks much like it and is none."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.unit.analyze.scene import (
    CCP,
    CHAP,
    EAP,
    IPCP,
    LCP,
    PAP,
    Pair,
    Scenes,
    Wire,
)

SCENES = Scenes()
scene = SCENES.keep


def _linked(wire: Wire, auth: bytes = b"\3\5\xc2\x23\x81") -> Pair:
    """LCP is open, and can be read."""
    pair = Pair(wire, null=True)
    pair.main_mode()
    pair.quick_mode()
    pair.tunnel()
    pair.lcp(auth)
    return pair


@scene("the gateway's licence is used up", "failed", "l2tp.call-refused")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.sccrq()
    pair.control(False, 2, (2, b"\1\0"), (7, b"lns"), (9, b"\0\x22"))
    pair.control(True, 3)
    pair.control(True, 10, (14, b"\0\7"), (15, b"\0\0\0\1"))
    pair.control(False, 14, (1, struct.pack("!HH", 2, 6) + b"license limit"), call=7)


@scene("an AVP that must be understood and is not", "failed", "l2tp.protocol-error")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.sccrq()
    pair.control(False, 4, (9, b"\0\0"), (1, struct.pack("!HH", 2, 8) + b"AVP 77"))


@scene("hidden AVPs, and another tunnel secret", "failed", "l2tp.secret-mismatch")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.sccrq()
    noise = pair.random.randbytes(16)
    pair.control(False, 2, (2, b"\1\0"), (36, noise), (9, noise, 0xC000), (11, noise))
    pair.control(True, 3, (13, noise))
    pair.control(False, 4, (1, struct.pack("!HH", 4, 0)))


@scene("the link is looped back", "failed", "lcp.loopback")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    for n in range(6):
        magic = b"\5\6\1\2\3" + bytes((n,))
        for code in (1, 3):
            for mine in (True, False):
                pair.ppp(mine, LCP, code, n, magic, wait=0.2)


@scene("PAP wanted, MS-CHAPv2 offered, for ever", "failed", "lcp.no-common-auth")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    for n in range(8):
        pair.ppp(False, LCP, 1, n, b"\3\4\xc0\x23\5\6\1\1\1\1")
        pair.ppp(True, LCP, 3, n, b"\3\5\xc2\x23\x81", wait=1.0)


for _number, _code in (
    (646, "login.restricted-hours"), (647, "login.account-disabled"),
    (648, "login.password-expired"), (649, "login.no-dialin-right"),
    (691, "login.wrong-password"), (709, "login.password-change-failed"), (742, "login.refused"),
):  # fmt: skip

    @scene(f"MS-CHAPv2 E={_number}", "failed", _code)
    def _(wire: Wire, number: int = _number) -> None:
        pair = _linked(wire)
        pair.mschap(4, b"E=%d R=0 V=3 M=no" % number)
        pair.ppp(False, LCP, 5, 2)


for _said, _code in (
    (b"Password expired", "login.password-expired"),
    (b"Account locked", "login.account-disabled"),
    (b"Login incorrect", "login.wrong-password"),
):

    @scene(f"PAP refused: {_said.decode()}", "failed", _code)
    def _(wire: Wire, said: bytes = _said) -> None:
        pair = _linked(wire, b"\3\4\xc0\x23")
        pair.ppp(True, PAP, 1, 1, b"\3bob\4pass")
        pair.ppp(False, PAP, 3, 1, bytes((len(said),)) + said)


@scene("E=691 inside EAP", "failed", "login.wrong-password")
def _(wire: Wire) -> None:
    pair = _linked(wire, b"\3\4\xc2\x27")
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1CORP\\bob")
    pair.ppp(False, EAP, 1, 2, b"\x1a\1\2\0\x1a\x10" + bytes(16) + b"rad")
    pair.ppp(True, EAP, 2, 2, b"\x1a\2\2\0\x3b\x31" + bytes(49) + b"bob")
    pair.ppp(False, EAP, 1, 3, b"\x1a\4\2\0\x1fE=691 R=0 C=00 V=3 M=no")
    pair.ppp(True, EAP, 2, 3, b"\x1a\4")
    pair.ppp(False, EAP, 4, 3)


@scene("EAP methods without one in common", "failed", "login.eap-method")
def _(wire: Wire) -> None:
    pair = _linked(wire, b"\3\4\xc2\x27")
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    pair.ppp(False, EAP, 1, 2, b"\x19\x20")
    pair.ppp(True, EAP, 2, 2, b"\3\x1a")
    pair.ppp(False, EAP, 4, 3)


def _eap_tls(wire: Wire, asked: int) -> None:
    pair = _linked(wire, b"\3\4\xc2\x27")
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    for _ in range(asked):
        pair.ppp(False, EAP, 1, 2, b"\x0d\x20", wait=3.0)


SCENES["a client that knows no EAP-TLS and says nothing"] = (
    "failed", "login.client-silent", lambda wire: _eap_tls(wire, 4))  # fmt: skip
SCENES["the same, cut off after the first question"] = (
    "inconclusive", None, lambda wire: _eap_tls(wire, 1))  # fmt: skip


@scene("the gateway asks anew and anew, and each answer is in vain", "failed", "login.no-answer")
def _(wire: Wire) -> None:
    pair = _linked(wire)
    for _ in range(4):
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        pair.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + b"bob", wait=3.0)


@scene("no address for this client", "failed", "address.refused")
def _(wire: Wire) -> None:
    pair = _linked(wire)
    pair.mschap()
    pair.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    pair.ppp(False, IPCP, 4, 1, b"\3\6\0\0\0\0")
    pair.ppp(True, LCP, 5, 4)


@scene("MPPE or nothing", "failed", "address.mppe-demanded")
def _(wire: Wire) -> None:
    pair = _linked(wire)
    pair.mschap()
    pair.ppp(False, CCP, 1, 1, b"\x12\6\1\0\0\x40")
    pair.ppp(True, LCP, 8, 3, b"\x80\xfd\1\1\0\x0a\x12\6\1\0\0\x40")
    pair.ppp(False, LCP, 5, 3, b"MPPE required")


@scene("echoes are not answered any more", "failed", "lcp.peer-gone")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.inside()
    for n in range(6):
        pair.ppp(False, LCP, 9, n, b"\5\6\7\x08", wait=10.0)


@scene("a capture that ends between an echo and its answer", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.inside()
    for n in range(12):
        pair.ppp(False, LCP, 9, n, b"\5\6\7\x08")
        if n < 11:
            pair.ppp(True, LCP, 10, n, b"\1\2\3\4", wait=30.0)


@scene("and one in which the answers stop in the middle", "failed", "lcp.peer-gone")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.inside()
    for n in range(12):
        pair.ppp(False, LCP, 9, n, b"\5\6\7\x08", wait=0.02 if n < 8 else 30.0)
        if n < 8:
            pair.ppp(True, LCP, 10, n, b"\1\2\3\4", wait=30.0)


@scene("length, sequence and offset fields in data messages", "healthy")
def _(wire: Wire) -> None:
    class Full(Pair):
        count = 0

        def data(self, mine: bool, frame: bytes, wait: float = 0.02) -> bytes:
            self.count += 1
            ids = struct.pack("!HH", self.tunnels[not mine], self.calls[not mine])
            rest = ids + struct.pack("!HHH2x", self.count, 0, 2) + b"\xff\x03" + frame
            return self.l2tp(mine, struct.pack("!HH", 0x4A02, 4 + len(rest)) + rest, wait)

    pair = Full(wire, null=True)
    pair.session()


@scene("an LNS that answers from another address", "failed", "path.answer-from-elsewhere")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    for n, wait in enumerate((1.0, 2.0, 4.0, 8.0)):
        pair.sccrq(again=n > 0)
        _answered_from(pair, "198.51.100.21", 1701, wait)


@scene(
    "an LNS that answers from another port, and a client that drops it",
    "failed",
    "path.answer-from-elsewhere",
)
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    for n, wait in enumerate((1.0, 2.0, 4.0, 8.0)):
        pair.sccrq(again=n > 0)
        _answered_from(pair, pair.gateway, 40_123, wait)


def _answered_from(pair: Pair, address: str, port: int, wait: float) -> None:
    """A SCCRP from elsewhere."""
    body = struct.pack("!HHHHHHHHH", 0x8008, 0, 0, 2, 0x8008, 0, 9, 34, 0)[:16]
    head = struct.pack("!HHHHHH", 0xC802, 12 + len(body), pair.tunnels[True], 0, 0, 1)
    pair.udp(False, port, 1701, head + body, wait, source=address)


@scene("an LNS that goes on from another port with the client (RFC 2661 section 8.1)", "healthy")
def _(wire: Wire) -> None:
    class Moved(Pair):
        port = 1701

        def udp(self, mine: bool, sport: int, dport: int, data: bytes, wait: float = 0.02,
                source: str = "") -> bytes:  # fmt: skip
            if mine:
                return super().udp(True, sport, self.port, data, wait)
            self.port = 40_123
            return super().udp(False, self.port, dport, data, wait)

    Moved(wire, clear=True).inside()


@scene("SCCRP again and again", "failed", "l2tp.client-stops")
def _(wire: Wire) -> None:
    _sccrp(wire, 4)


@scene("SCCRP twice, and the capture ends", "inconclusive")
def _(wire: Wire) -> None:
    _sccrp(wire, 1)


def _sccrp(wire: Wire, again: int) -> None:
    pair = Pair(wire, clear=True)
    pair.sccrq()
    for n in range(again + 1):
        pair.control(False, 2, (2, b"\1\0"), (7, b"lns"), (9, b"\0\x22"), again=n > 0, wait=2.0)


@scene("EAP-TLS refused: there is no password", "failed", "login.refused")
def _(wire: Wire) -> None:
    pair = _linked(wire, b"\3\4\xc2\x27")
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    for n in range(2, 5):
        pair.ppp(False, EAP, 1, n, b"\x0d" + bytes(200))
        pair.ppp(True, EAP, 2, n, b"\x0d" + bytes(300))
    pair.ppp(False, EAP, 4, 5)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)
