"""What is one attempt and what are several: rekeys, reconnects, probes, two clients, one side."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vpndiag.capture.write import CaptureWriter
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import Report

CLIENT, GATEWAY, OTHER = "192.0.2.10", "203.0.113.5", "192.0.2.11"
_OFFER = bytes.fromhex(
    "0d00003c00000001000000010000003001010001000000280101000080010007800e0100800200028004000e"
    "80030001800b0001000c000400007080"
    "000000144a131c81070358455c5728f20e95452f"
)
MARKER = bytes(4)

Packet = tuple[float, str, int, str, int, bytes]


@dataclass
class Peer:
    """A client that is recorded. Ports are those on the wire (behind a NAT: translated)."""

    at: float = 0.0
    client: str = CLIENT
    gateway: str = GATEWAY
    ports: tuple[int, int] = (500, 4500)
    seed: int = 1
    packets: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.new_sa()

    def new_sa(self) -> None:
        self.ci, self.cr = self.rng.randbytes(8), self.rng.randbytes(8)

    def put(self, mine: bool, payload: bytes, natt: bool, wait: float = 0.05) -> None:
        port = 4500 if natt else 500
        ends = (self.client, self.ports[natt]), (self.gateway, port)
        source, destination = ends if mine else ends[::-1]
        self.packets.append((self.at, *source, *destination, payload))
        self.at += wait

    def ike(self, mine: bool, first: int, exchange: int, flags: int, mid: int, body: bytes,
            natt: bool, wait: float = 0.05, begin: bool = False) -> None:  # fmt: skip
        cr = bytes(8) if begin else self.cr
        head = struct.pack("!BBBBII", first, 0x10, exchange, flags, mid, 28 + len(body))
        self.put(mine, (MARKER if natt else b"") + self.ci + cr + head + body, natt, wait)

    def mm1(self, wait: float = 0.05, natt: bool = False) -> None:
        self.ike(True, 1, 2, 0, 0, _OFFER, natt, wait, begin=True)

    def main_mode(self, natt: bool = False, upto: int = 6) -> None:
        self.mm1(natt=natt)
        self.ike(False, 1, 2, 0, 0, _OFFER, natt)
        for mine in (True, False):
            ke = struct.pack("!BBH", 10, 0, 132) + self.rng.randbytes(128)
            nonce = struct.pack("!BBH", 0, 0, 20) + self.rng.randbytes(16)
            self.ike(mine, 4, 2, 0, 0, ke + nonce, natt)
        for mine in (True, False)[: upto - 4]:
            self.ike(mine, 5, 2, 1, 0, self.rng.randbytes(64), True)

    def quick_mode(self, answered: bool = True, delay: float = 0.05) -> None:
        mid = self.rng.getrandbits(32) | 1
        self.ike(True, 8, 32, 1, mid, self.rng.randbytes(160), True, delay)
        if answered:
            self.ike(False, 8, 32, 1, mid, self.rng.randbytes(176), True)
            self.ike(True, 8, 32, 1, mid, self.rng.randbytes(48), True)
        self.spis = self.rng.randbytes(4), self.rng.randbytes(4)
        self.sequence = 0

    def esp(self, count: int = 40, wait: float = 0.5, back: bool = True) -> None:
        for _ in range(count):
            self.sequence += 1
            for mine in (True, False)[: 1 + back]:
                body = self.rng.randbytes(60 + 40 * (self.sequence % 20))
                head = self.spis[not mine] + struct.pack("!I", self.sequence)
                self.put(mine, head + body, True, wait / 2)

    def info(self, mine: bool = True, wait: float = 0.05) -> None:
        mid = self.rng.getrandbits(32) | 1
        self.ike(mine, 8, 5, 1, mid, self.rng.randbytes(64), True, wait)

    def session(self) -> None:
        self.main_mode()
        self.quick_mode()
        self.esp()


def report(place: Path, *peers: Peer, only: str = "") -> Report:
    packets = sorted((p for peer in peers for p in peer.packets), key=lambda p: p[0])
    with CaptureWriter(place / "c.pcapng") as writer:
        for at, src, sport, dst, dport, payload in packets:
            if not only or src == only:
                writer.write(1_700_000_000 + at, src, dst, sport, dport, payload)
    return analyze([place / "c.pcapng"])


def codes(found: Report) -> Iterator[str]:
    return (f.code for s in found.sessions for f in s.findings)


def test_a_rekey_is_part_of_its_session(tmp_path: Path) -> None:
    p = Peer()
    p.session()
    old = p.spis, p.sequence
    p.new_sa()
    p.main_mode(natt=True)
    new_start = len(p.packets)
    p.quick_mode()
    p.esp()
    # The old SA is still used for a moment while the new one is made.
    at = p.packets[new_start][0]
    late = old[0][0] + struct.pack("!I", 99) + bytes(60)
    p.packets.append((at + 0.2, CLIENT, 4500, GATEWAY, 4500, late))
    found = report(tmp_path, p)
    assert len(found.sessions) == 1 and found.verdict.outcome == "healthy"


def test_a_reconnect_after_the_end_is_a_new_attempt(tmp_path: Path) -> None:
    p = Peer()
    p.session()
    p.info()
    p.info()
    p.at += 30
    p.new_sa()
    p.session()
    found = report(tmp_path, p)
    assert [s.verdict.outcome for s in found.sessions] == ["healthy", "healthy"]


def test_a_failure_after_a_success_matters_and_before_it_does_not(tmp_path: Path) -> None:
    def silent(p: Peer) -> None:
        for _ in range(5):
            p.mm1(wait=3.0)

    first = Peer()
    silent(first)
    first.at += 10
    first.new_sa()
    first.session()
    found = report(tmp_path, first)
    assert [s.verdict.outcome for s in found.sessions] == ["failed", "healthy"]
    assert found.verdict.outcome == "healthy"
    last = Peer()
    last.session()
    last.info()
    last.at += 60
    last.new_sa()
    silent(last)
    found = report(tmp_path, last)
    assert found.verdict.finding == "path.silent"


def test_retransmissions_are_one_attempt(tmp_path: Path) -> None:
    p = Peer()
    for wait in (1, 2, 4, 8, 16):
        p.mm1(wait=wait)
    found = report(tmp_path, p)
    assert len(found.sessions) == 1 and found.verdict.finding == "path.silent"


def test_a_client_that_tries_for_ever_is_a_loop(tmp_path: Path) -> None:
    p = Peer()
    for _ in range(4):
        p.main_mode(upto=5)
        p.info(mine=False)
        p.at += 20
        p.new_sa()
    found = report(tmp_path, p)
    assert [s.verdict.finding for s in found.sessions] == ["auth.psk-mismatch"] * 4
    assert list(codes(found)).count("path.reconnect-loop") == 1


def test_two_clients_behind_one_nat_are_told_apart(tmp_path: Path) -> None:
    one = Peer(ports=(61000, 61001), seed=1)
    two = Peer(ports=(62000, 62001), seed=2, at=4.0)
    one.session()
    two.main_mode(upto=5)
    two.info(mine=False)
    found = report(tmp_path, one, two)
    assert [s.verdict.outcome for s in found.sessions] == ["healthy", "failed"]
    assert found.verdict.finding == "auth.psk-mismatch", "one client's success is not the other's"
    assert "path.two-clients-one-nat" in set(codes(found))


def test_a_client_whose_neighbour_behind_the_nat_was_connected_before(tmp_path: Path) -> None:
    """Seen at the gateway: ESP to another port is the neighbour's."""
    one = Peer(ports=(61000, 61001), seed=1)
    one.spis, one.sequence = (b"\1\2\3\4", b"\5\6\7\x08"), 500
    one.esp(60)
    two = Peer(ports=(62000, 62001), seed=2, at=10.0)
    two.main_mode()
    for _ in range(5):
        two.ike(True, 8, 32, 1, 7, bytes(range(160)), True, wait=2.0)
    found = report(tmp_path, one, two)
    assert found.verdict.finding == "ipsec.unanswered"
    assert "path.two-clients-one-nat" in {f.code for f in found.findings}
    assert sorted(s.verdict.outcome for s in found.sessions) == ["failed", "healthy"]


def test_two_clients_of_different_addresses(tmp_path: Path) -> None:
    one, two = Peer(), Peer(client=OTHER, seed=2, at=1.0)
    one.session()
    two.session()
    found = report(tmp_path, one, two)
    assert {s.client for s in found.sessions} == {CLIENT, OTHER}
    assert found.verdict.outcome == "healthy"


def test_a_nat_that_forgets_its_mapping(tmp_path: Path) -> None:
    p = Peer(ports=(61000, 61001))
    p.session()
    p.ports = (61000, 63333)
    p.esp()
    found = report(tmp_path, p)
    assert len(found.sessions) == 1 and found.verdict.outcome == "healthy"
    assert "path.nat-rebound" in set(codes(found))


@pytest.mark.parametrize("only", [CLIENT, GATEWAY])
def test_a_capture_of_one_direction_blames_nobody(only: str, tmp_path: Path) -> None:
    p = Peer()
    p.session()
    found = report(tmp_path, p, only=only)
    assert found.verdict.outcome == "inconclusive"


def test_a_gateway_that_vanishes_in_the_middle(tmp_path: Path) -> None:
    p = Peer()
    p.session()
    for _ in range(6):
        p.info(wait=10.0)
    found = report(tmp_path, p)
    assert found.verdict.finding == "path.dpd-timeout"


def test_a_renewal_that_is_never_answered(tmp_path: Path) -> None:
    p = Peer()
    p.session()
    spis, sequence = p.spis, p.sequence
    for _ in range(2):
        mid = 77
        p.ike(True, 8, 32, 1, mid, bytes(range(160)), True, wait=8.0)
    p.spis, p.sequence = spis, sequence
    p.esp(count=5, back=False)
    found = report(tmp_path, p)
    assert found.verdict.finding == "ipsec.rekey-stall"


def test_quick_mode_that_is_never_answered(tmp_path: Path) -> None:
    p = Peer()
    p.main_mode()
    mid = 5
    for _ in range(4):
        p.ike(True, 8, 32, 1, mid, bytes(range(160)), True, wait=4.0)
    found = report(tmp_path, p)
    assert found.verdict.finding == "ipsec.unanswered"


def test_esp_without_its_ike(tmp_path: Path) -> None:
    p = Peer()
    p.spis, p.sequence = (b"\1\2\3\4", b"\5\6\7\x08"), 1000
    p.esp()
    found = report(tmp_path, p)
    assert found.verdict.outcome == "healthy" and len(found.sessions) == 1


def test_nothing_of_ours(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c.pcapng") as writer:
        writer.write(0.0, CLIENT, GATEWAY, 40000, 443, b"hello")
    found = analyze([tmp_path / "c.pcapng"])
    assert found.verdict.outcome == "not_applicable" and found.sessions == ()
