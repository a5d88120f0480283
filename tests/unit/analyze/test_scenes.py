"""Attempts as clients and gateways of many makers play them, packet by packet: what is said of
each. Beside a failure stands what looks much like it and is none."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.variants import Shot
from tests.unit.analyze.scene import (
    ANDROID,
    ANDROID_VENDORS,
    CCP,
    CHAP,
    EAP,
    IPCP,
    LCP,
    MACOS,
    MACOS_VENDORS,
    PAP,
    ROUTER,
    Pair,
    Scenes,
    Wire,
    offer,
    phase1,
    played,
)

SCENES = Scenes()
scene = SCENES.keep


def _refused_under_new_cookies(pair: Pair) -> None:
    for wait in (1.0, 2.0, 4.0):
        pair.mm1(ANDROID, ANDROID_VENDORS)
        pair.cr = pair.random.randbytes(8)
        pair.notify(False, 14, wait=wait)


def _up(wire: Wire, **how: object) -> Pair:
    """IPsec is up, and users' data went both ways."""
    pair = Pair(wire, **how)  # type: ignore[arg-type]
    pair.main_mode()
    pair.quick_mode()
    pair.users(60)
    return pair


def _linked(wire: Wire, auth: bytes = b"\3\5\xc2\x23\x81") -> Pair:
    """LCP is open, and can be read."""
    pair = Pair(wire, null=True)
    pair.main_mode()
    pair.quick_mode()
    pair.tunnel()
    pair.lcp(auth)
    return pair


# Phase 1


@scene("macOS with 3DES as the last resort", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, client="203.0.113.9", nat=False, null=True)
    pair.main_mode(MACOS, MACOS_VENDORS, chosen=MACOS[3])
    pair.quick_mode()
    pair.inside()


@scene(
    "Android, refused by a gateway that answers with a cookie of its own each time",
    "failed",
    "ike.no-proposal-chosen",
)
def _(wire: Wire) -> None:
    _refused_under_new_cookies(Pair(wire))


@scene("the same, only the gateway's side recorded", "failed", "ike.no-proposal-chosen")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.only = False
    _refused_under_new_cookies(pair)


@scene("message 4 again and again behind message 5", "failed", "auth.psk-mismatch")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(upto=4)
    fourth = wire.shots[-1].data
    pair.proof(True, wait=1.0)
    for wait in (2.0, 4.0, 8.0):
        wire.frame(fourth)
        pair.proof(True, wait, pair.proved)


@scene(
    "PAYLOAD-MALFORMED from port 500 in answer to message 5 on 4500", "failed", "auth.psk-mismatch"
)
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(upto=5)
    pair.notify(False, 16, wait=3.0)


@scene("the choice comes from another port than was asked", "failed", "path.answer-from-elsewhere")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.mm1()
        pair.mm2(wait=wait, sport=61234)


# Quick mode, renewals


@scene("a session of small packets that the client ends after a minute", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    pair.users(150, wait=0.4, size=100)
    pair.info(True)
    pair.info(True)


@scene("a login's worth of packets, and the client leaves", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    pair.users(12, wait=0.2, size=40)
    pair.info(True)
    pair.info(True)


def _asked_twice(wire: Wire, later: float) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode(answered=False, wait=10.0)
    pair.ask_again(later)
    pair.udp(True, 40_000, 123, b"time")


@scene("recorded from quick mode on, and refused in what cannot be read", "failed", "ipsec.refused")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    wire.shots.clear()
    pair.quick_mode(answered=False, wait=1.0)
    for wait in (1.0, 2.0):
        pair.ask_again(wait)
    pair.info(False)


SCENES["quick mode asked twice, and nothing for a while"] = (
    "failed", "ipsec.unanswered", lambda wire: _asked_twice(wire, 5.0))  # fmt: skip
SCENES["quick mode asked twice, and the capture ends with that"] = (
    "inconclusive", None, lambda wire: _asked_twice(wire, 0.05))  # fmt: skip


@scene("keys renewed by the gateway, both phases", "healthy")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.quick_mode(mine=False)
    pair.users(20)
    pair.new_sa()
    pair.ike(False, 2, [(1, offer([phase1()]))], natt=True, begin=True)
    pair.mm2(natt=True)
    for mine in (False, True):
        pair.key_exchange(mine, natt=True)
    for mine in (False, True):
        pair.proof(mine)
    pair.users(20)


@scene("a renewal that waits twelve seconds for its answer", "healthy")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.quick_mode(answered=False, wait=2.0)
    for wait in (4.0, 6.0):
        pair.ask_again(wait)
    pair.answer()
    pair.users(60)


@scene("phase 1 renewed in vain, right behind the last data", "failed", "path.dpd-timeout")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.new_sa()
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0):
        pair.mm1(natt=True, wait=wait)


@scene("another attempt on UDP 500 right behind the last data", "failed", "path.silent")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.new_sa()
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0):
        pair.mm1(wait=wait)


@scene("another attempt on UDP 4500 behind a farewell", "failed", "path.silent")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.info(True)
    pair.info(True)
    pair.new_sa()
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0):
        pair.mm1(natt=True, wait=wait)


@scene("one answer of six to dead peer detection is lost", "healthy")
def _(wire: Wire) -> None:
    pair = _up(wire)
    for n in range(6):
        pair.info(True, size=84)
        if n != 2:
            pair.info(False, size=84)
        pair.users(5)
        wire.at += 10


@scene("deleted and made anew within a second", "healthy")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.info(True)
    pair.info(True)
    wire.at += 0.3
    pair.new_sa()
    pair.main_mode()
    pair.quick_mode()
    pair.users(60)


# Inside: L2TP, LCP, login, address


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


@scene("message 2 of quick mode again and again", "failed", "ipsec.client-stops")
def _(wire: Wire) -> None:
    _second(Pair(wire), 4)


@scene("the same twice, and ESP", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    _second(pair, 1)
    pair.users(60)


def _second(pair: Pair, again: int) -> None:
    pair.main_mode()
    pair.quick_mode(answered=False)
    pair.ike(False, 32, natt=True, hidden=(8, bytes(196)), mid=pair.mid)
    second = pair.wire.shots[-1].data
    for _ in range(again):
        pair.wire.at += 2
        pair.wire.frame(second)


@scene("message 2 of quick mode is answered with a notification", "failed", "ipsec.client-stops")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    _second(pair, 0)
    pair.info(True, wait=10.0)


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


# Where and how it was recorded


def _in_fragments(pair: Pair, mine: bool, body: bytes, left_out: int = -1) -> None:
    """Message 5 or 6 in three IKE fragments (payload 132), one of which may be left out."""
    head = struct.pack("!BBBBII", 5, 0x10, 2, 1, 0, 28 + len(body))
    whole = pair.ci + pair.cr + head + body
    size = -(-len(whole) // 3)
    for n in range(3):
        piece = whole[n * size : (n + 1) * size]
        if n != left_out:
            payload = struct.pack("!HBB", 1, n + 1, n == 2) + piece
            pair.ike(mine, 2, [(132, payload)], natt=True, wait=0.001)


@scene("large messages in IKE's own fragments", "healthy")
def _(wire: Wire) -> None:
    pair = _certificates(wire)
    for mine in (True, False):
        _in_fragments(pair, mine, bytes(1600))
    pair.quick_mode()
    pair.users(60)


@scene("the same, refused", "failed", "auth.certificate-refused")
def _(wire: Wire) -> None:
    pair = _certificates(wire)
    _in_fragments(pair, True, bytes(1600))
    pair.info(False, wait=5.0)


@scene("one of IKE's fragments is lost each time", "failed", "path.fragments-lost")
def _(wire: Wire) -> None:
    pair = _certificates(wire)
    for wait in (2.0, 4.0, 8.0):
        _in_fragments(pair, True, bytes(1600), left_out=1)
        wire.at += wait


@scene("a capture that ends between two of IKE's fragments", "inconclusive")
def _(wire: Wire) -> None:
    _in_fragments(_certificates(wire), True, bytes(1600), left_out=2)


def _certificates(wire: Wire) -> Pair:
    pair = Pair(wire)
    pair.main_mode([phase1(auth=3)], upto=4, chosen=phase1(auth=3))
    return pair


def _twice(wire: Wire, change: bytes) -> None:
    """A mirror port: every packet a second time, 40 microseconds later."""
    for shot in list(wire.shots):
        data = shot.data[:8] + bytes((shot.data[8] - 1, *shot.data[9:])) if change else shot.data
        wire.shots.append(replace(shot, time_ns=shot.time_ns + 40_000, data=data))


@scene("a mirror port shows everything twice", "healthy")
def _(wire: Wire) -> None:
    Pair(wire).session()
    _twice(wire, b"")


@scene("and with another time to live", "failed", "auth.psk-mismatch")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(upto=5)
    pair.info(False, wait=3.0)
    _twice(wire, b"ttl")


@scene("one request alone, recorded twice, is no repetition", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.mm1(wait=8.0)
    pair.udp(True, 40_000, 123, b"time")
    _twice(wire, b"")


def _cut(wire: Wire, size: int) -> None:
    wire.shots = [Shot(s.time_ns, s.linktype, s.data[:size], s.length) for s in wire.shots]


@scene("96 bytes of each packet, all is well", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.session()
    pair.users(60)
    _cut(wire, 96)


@scene("96 bytes of each packet, wrong key", "failed", "auth.psk-mismatch")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(upto=5)
    pair.info(False, wait=3.0)
    _cut(wire, 96)


@scene("96 bytes of each packet, and only the first two", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(upto=2)
    _cut(wire, 96)


@scene("the second client behind one NAT gets no answer inside", "failed", "l2tp.no-answer")
def _(wire: Wire) -> None:
    _up(wire, client=ROUTER, ports=(1024, 1025)).users(60)
    wire.at = 5.0
    pair = Pair(wire, client=ROUTER, ports=(2048, 2049), seed=7)
    pair.main_mode()
    pair.quick_mode()
    pair.sccrq(wait=1.0)
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.sccrq(again=True, wait=wait)


@scene(
    "a gateway with many clients, the last of which has the wrong key",
    "failed",
    "auth.psk-mismatch",
)
def _(wire: Wire) -> None:
    for n in range(12):
        wire.at = n * 2.0
        pair = Pair(wire, client=f"203.0.113.{n + 1}", seed=n)
        pair.main_mode(upto=5 if n == 11 else 6)
        if n == 11:
            pair.info(False, wait=3.0)
        else:
            pair.quick_mode()
            pair.users(30)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_a_renewal_is_part_of_its_session_though_its_data_has_stopped(tmp_path: Path) -> None:
    found = played(SCENES["phase 1 renewed in vain, right behind the last data"][2], tmp_path)
    assert len(found.sessions) == 1
    other = played(SCENES["another attempt on UDP 500 right behind the last data"][2], tmp_path)
    assert len(other.sessions) == 2


def test_the_one_direction_is_the_gateway_s(tmp_path: Path) -> None:
    found = played(SCENES["the same, only the gateway's side recorded"][2], tmp_path)
    assert found.sessions[0].gateway == "198.51.100.20"


def test_an_offer_that_is_encrypted_is_not_listed(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode()
        pair.quick_mode(answered=False, wait=2.0)
        for wait in (4.0, 8.0):
            pair.ask_again(wait)

    found = played(play, tmp_path)
    assert found.verdict.finding == "ipsec.unanswered"
    assert not any(e.text.startswith("offered") for f in found.findings for e in f.evidence)


def test_what_everybody_can_read_is_told_and_what_nobody_can_is_not(tmp_path: Path) -> None:
    for null in (True, False):

        def play(wire: Wire, null: bool = null) -> None:
            Pair(wire, null=null).session()

        found = played(play, tmp_path)
        assert ("ipsec.weak-algorithm" in {f.code for f in found.findings}) == null


def test_on_which_side_the_nat_is_needs_no_keys(tmp_path: Path) -> None:
    for nat, words in ((True, "NAT on the client's side"), (False, "no NAT")):

        def play(wire: Wire, nat: bool = nat) -> None:
            _up(wire, nat=nat)

        rungs = {x.id: x for x in played(play, tmp_path).layers}
        assert words in rungs["ipsec"].summary and rungs["ipsec"].facts["nat"] == words


def test_a_gateway_that_no_longer_knows_the_session_says_so(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = _up(wire)
        for _ in range(25):
            pair.users(1, wait=2.0, back=False)
            pair.notify(False, 11, natt=True)

    found = played(play, tmp_path)
    assert found.verdict.finding == "esp.one-way" and "INVALID-SPI" in found.verdict.headline


def test_what_the_gateway_said_before_its_silence_is_cited(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode()
        pair.info(False, size=84)
        pair.quick_mode(answered=False, wait=2.0)
        for wait in (4.0, 8.0):
            pair.ask_again(wait)

    found = played(play, tmp_path)
    assert found.verdict.finding == "ipsec.unanswered"
    assert any("may be a Delete" in e.text and e.frames == (7,)
               for f in found.findings for e in f.evidence)  # fmt: skip


def test_a_session_goes_on_to_its_last_frame(tmp_path: Path) -> None:
    wire = Wire()
    _up(wire)
    found = wire.report(tmp_path)
    assert found.sessions[0].frames[0] == 1
    assert found.sessions[0].frames[-1] == len(wire.shots)
