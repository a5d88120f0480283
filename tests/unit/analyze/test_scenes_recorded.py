"""Where and how attempts were recorded: fragments, copies, cut packets, several clients."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.variants import Shot
from tests.unit.analyze.links import in_use
from tests.unit.analyze.scene import (
    ROUTER,
    Pair,
    Scenes,
    Wire,
    phase1,
    played,
)

SCENES = Scenes()
scene = SCENES.keep


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
    in_use(wire, client=ROUTER, ports=(1024, 1025)).users(60)
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


def test_a_session_goes_on_to_its_last_frame(tmp_path: Path) -> None:
    wire = Wire()
    in_use(wire)
    found = wire.report(tmp_path)
    assert found.sessions[0].frames[0] == 1
    assert found.sessions[0].frames[-1] == len(wire.shots)


def test_what_everybody_can_read_is_told_and_what_nobody_can_is_not(tmp_path: Path) -> None:
    for null in (True, False):

        def play(wire: Wire, null: bool = null) -> None:
            Pair(wire, null=null).session()

        found = played(play, tmp_path)
        assert ("ipsec.weak-algorithm" in {f.code for f in found.findings}) == null


def test_on_which_side_the_nat_is_needs_no_keys(tmp_path: Path) -> None:
    for nat, words in ((True, "NAT on the client's side"), (False, "no NAT")):

        def play(wire: Wire, nat: bool = nat) -> None:
            in_use(wire, nat=nat)

        rungs = {x.id: x for x in played(play, tmp_path).layers}
        assert words in rungs["ipsec"].summary and rungs["ipsec"].facts["nat"] == words
