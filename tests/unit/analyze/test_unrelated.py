"""Traffic of others in the same capture: it is no session, and hides none."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.analyze.scene import EPOCH, GATEWAY, RAW, Pair, Shot, Wire, phase1, played
from vpndiag.capture.write import udp_packet

HOST, SERVER = "192.168.7.41", "203.0.113.7"
Packets = Iterator[tuple[bool, bytes]]


def quic() -> Packets:
    """RFC 9000 section 17: long headers first, then short ones with protected low bits. The server
    has a connection ID of eight bytes, the client none."""
    chance = random.Random(1)
    number = chance.randbytes(8)
    yield True, b"\xc3\0\0\0\1\x08" + number + chance.randbytes(1180)
    yield False, b"\xc5\0\0\0\1\0\x08" + number + chance.randbytes(1180)
    for _ in range(40):
        yield True, bytes([0x40 | chance.getrandbits(5)]) + number + chance.randbytes(40)
        yield False, bytes([0x40 | chance.getrandbits(5)]) + chance.randbytes(900)


def rtp() -> Packets:
    """RFC 3550 section 5.1: sequence number and time stamp."""
    for n in range(40):
        for mine in (True, False):
            head = struct.pack("!BBHII", 0x80, 0, 1000 + n, 160 * n, 77 + mine)
            yield mine, head + bytes(160)


def stun() -> Packets:
    """RFC 8489 section 5: the magic cookie stands where ESP has its sequence number."""
    for n in range(10):
        yield True, struct.pack("!HHI", 1, 0, 0x2112A442) + bytes([n]) * 12
        yield False, struct.pack("!HHI", 0x101, 12, 0x2112A442) + bytes([n]) * 24


def dns() -> Packets:
    """One question, and its answer (RFC 1035 section 4.1)."""
    asked = b"\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1"
    yield True, b"\x12\x34\1\0" + asked
    yield False, b"\x12\x34\x81\x80" + asked


def _talk(wire: Wire, packets: Packets, sport: int, dport: int) -> None:
    for number, (mine, data) in enumerate(packets):
        ends = (HOST, SERVER, sport, dport) if mine else (SERVER, HOST, dport, sport)
        packet = udp_packet(*ends, data, number)
        wire.shots.append(Shot(EPOCH * 10**9 + number * 20_000_000, RAW, packet, len(packet)))


TALKS = pytest.mark.parametrize(
    ("talk", "ports"),
    [
        (quic, (4500, 443)),
        (quic, (51_000, 4500)),
        (rtp, (4500, 16_384)),
        (stun, (4500, 3478)),
        (dns, (4500, 53)),
    ],
)
L2TP_TALKS = pytest.mark.parametrize(
    ("talk", "ports"),
    [(quic, (1701, 443)), (rtp, (16_384, 1701)), (stun, (1701, 3478)), (dns, (1701, 53))],
)


@TALKS
def test_what_does_not_count_up_is_no_esp(
    talk: Callable[[], Packets], ports: tuple[int, int], tmp_path: Path
) -> None:
    verdict = played(lambda wire: _talk(wire, talk(), *ports), tmp_path).verdict
    assert verdict.outcome == "not_applicable"
    assert "UDP 4500 that is no IPsec" in verdict.headline


@L2TP_TALKS
def test_a_port_alone_makes_no_l2tp(
    talk: Callable[[], Packets], ports: tuple[int, int], tmp_path: Path
) -> None:
    verdict = played(lambda wire: _talk(wire, talk(), *ports), tmp_path).verdict
    assert verdict.outcome == "not_applicable"
    assert "UDP 1701 that is no L2TP" in verdict.headline


@pytest.mark.parametrize(("talk", "ports"), [*TALKS.args[1], *L2TP_TALKS.args[1]])
def test_and_no_second_session(
    talk: Callable[[], Packets], ports: tuple[int, int], tmp_path: Path
) -> None:
    def scene(wire: Wire) -> None:
        Pair(wire).session()
        _talk(wire, talk(), *ports)

    report = played(scene, tmp_path)
    assert [s.verdict.outcome for s in report.sessions] == ["healthy"]


@pytest.mark.parametrize("back", [True, False])
def test_esp_of_which_no_ike_was_recorded_is_esp(back: bool, tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        pair.sequence = {True: 70_000, False: 1_000}
        pair.users(40, back=back)

    report = played(scene, tmp_path)
    assert [s.verdict.outcome for s in report.sessions] == ["healthy" if back else "inconclusive"]


def _scanned(wire: Wire, hosts: int, refused: bool) -> None:
    """As from the Internet: one offer without a vendor ID, to see what answers."""
    old = phase1(5, 0, group=2)
    for n in range(hosts):
        other = Pair(wire, f"203.0.113.{n + 1}", seed=n + 100)
        other.mm1([old], ())
        if refused:
            other.notify(False, 14)
        else:
            other.mm2(old)


@pytest.mark.parametrize("refused", [True, False])
def test_a_scan_behind_a_session_is_not_what_the_capture_is_about(
    refused: bool, tmp_path: Path
) -> None:
    def scene(wire: Wire) -> None:
        Pair(wire).session()
        _scanned(wire, 40, refused)

    report = played(scene, tmp_path)
    assert report.verdict.outcome == "healthy"
    assert report.session == 1


def test_nor_behind_a_failure(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        for wait in (1, 1, 2, 4, 8):
            pair.mm1(wait=wait)
        _scanned(wire, 40, refused=True)

    report = played(scene, tmp_path)
    assert report.verdict.finding == "path.silent"
    assert report.sessions[(report.session or 0) - 1].gateway == GATEWAY


def test_a_scan_alone_is_told(tmp_path: Path) -> None:
    report = played(lambda wire: _scanned(wire, 3, refused=True), tmp_path)
    assert report.verdict.finding == "ike.no-proposal-chosen"


def _older_tunnel(wire: Wire) -> None:
    """ESP without UDP between the same two hosts, which goes on while they connect."""
    other = Pair(wire, nat=False, seed=9)
    other.sequence = {True: 5_000, False: 7_000}
    for _ in range(40):
        for mine in (True, False):
            other.esp(mine, bytes(100), wait=0.1)
    wire.at = 2.0


def test_esp_of_another_tunnel_answers_no_request_of_this_one(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        _older_tunnel(wire)
        pair = Pair(wire)
        pair.main_mode()
        pair.quick_mode()
        pair.sccrq_in_vain()

    assert played(scene, tmp_path).verdict.finding == "l2tp.no-answer"


def test_nor_does_it_prove_a_key(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        _older_tunnel(wire)
        pair = Pair(wire)
        pair.main_mode(upto=4)
        proof = pair.random.randbytes(68)
        for wait in (1, 2, 4, 8):
            pair.proof(True, wait=wait, body=proof)

    assert played(scene, tmp_path).verdict.finding == "auth.unanswered"
