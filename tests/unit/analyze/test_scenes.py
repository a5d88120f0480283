"""Phase 1, quick mode and renewals as many makers play them, packet by packet: what is said of
each. Beside a failure stands what looks much like it and is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analyze.links import in_use
from tests.unit.analyze.scene import (
    ANDROID,
    ANDROID_VENDORS,
    MACOS,
    MACOS_VENDORS,
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


def _ikev2_refused(wire: Wire, times: int = 3) -> Pair:
    """IKE_SA_INIT, answered in IKEv1 (RFC 7296 section 2.5)."""
    pair = Pair(wire)
    for wait in (1.0, 2.0, 4.0)[:times]:
        head = bytes((33, 0x20, 34, 8)) + bytes(4) + (28 + 40).to_bytes(4, "big")
        body = b"\0\0\0\x28" + bytes(36)
        pair.put(True, pair.ci + bytes(8) + head + body, natt=False)
        pair.notify(False, 5, wait=wait)
    return pair


@scene("IKEv2 at a gateway that speaks IKEv1 only", "failed", "ike.refused")
def _(wire: Wire) -> None:
    _ikev2_refused(wire)


@scene('Windows, "Automatic": IKEv2 is refused, and L2TP/IPsec works', "healthy")
def _(wire: Wire) -> None:
    pair = _ikev2_refused(wire, 1)
    pair.new_sa()
    pair.session()


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
    pair = in_use(wire)
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
    pair = in_use(wire)
    pair.quick_mode(answered=False, wait=2.0)
    for wait in (4.0, 6.0):
        pair.ask_again(wait)
    pair.answer()
    pair.users(60)


@scene("phase 1 renewed in vain, right behind the last data", "failed", "path.dpd-timeout")
def _(wire: Wire) -> None:
    pair = in_use(wire)
    pair.new_sa()
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0):
        pair.mm1(natt=True, wait=wait)


@scene("another attempt on UDP 500 right behind the last data", "failed", "path.silent")
def _(wire: Wire) -> None:
    pair = in_use(wire)
    pair.new_sa()
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0):
        pair.mm1(wait=wait)


@scene("another attempt on UDP 4500 behind a farewell", "failed", "path.silent")
def _(wire: Wire) -> None:
    pair = in_use(wire)
    pair.info(True)
    pair.info(True)
    pair.new_sa()
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0):
        pair.mm1(natt=True, wait=wait)


@scene("one answer of six to dead peer detection is lost", "healthy")
def _(wire: Wire) -> None:
    pair = in_use(wire)
    for n in range(6):
        pair.info(True, size=84)
        if n != 2:
            pair.info(False, size=84)
        pair.users(5)
        wire.at += 10


@scene("deleted and made anew within a second", "healthy")
def _(wire: Wire) -> None:
    pair = in_use(wire)
    pair.info(True)
    pair.info(True)
    wire.at += 0.3
    pair.new_sa()
    pair.main_mode()
    pair.quick_mode()
    pair.users(60)


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


def test_a_gateway_that_no_longer_knows_the_session_says_so(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = in_use(wire)
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
