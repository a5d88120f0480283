"""Captures without L2TP/IPsec, or with a part of it: they are called what they are."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from tests.fuzz.variants import ETHERNET
from tests.unit.analyze.scene import EPOCH, IPCP, LCP, PAP, Pair, Wire, played
from vpndiag.capture.write import ip_packet, udp_packet
from vpndiag.cli.analysis import analyze

ASSIGNED = "10.9.0.5"
SEND, RECEIVE = bytes.fromhex("2053454e4400"), bytes.fromhex("205245435600")


def _surfing(wire: Wire, address: str, link: int, header: bytes = b"") -> None:
    for n in range(20):
        question = udp_packet(address, "10.9.0.53", 50_000 + n, 53, bytes(30))
        syn = struct.pack("!HHIIBBHHH", 50_000, 445, n, 1, 0x50, 2, 8192, 0, 0)
        for packet in (question, ip_packet(address, "10.20.0.1", 6, syn)):
            wire.frame(header + packet, 0.5, link)


@pytest.mark.parametrize(
    ("address", "link", "header", "adapter"),
    [
        (ASSIGNED, 101, b"", True),
        (ASSIGNED, ETHERNET, RECEIVE + SEND + b"\x08\0", True),
        (ASSIGNED, ETHERNET, bytes(range(12)) + b"\x08\0", False),
        ("8.8.8.8", 101, b"", False),
    ],
)
def test_the_vpn_s_own_adapter(
    address: str, link: int, header: bytes, adapter: bool, tmp_path: Path
) -> None:
    found = played(lambda wire: _surfing(wire, address, link, header), tmp_path)
    assert found.verdict.outcome == "not_applicable"
    (said,) = (n for n in found.notes if "other IP traffic: UDP (20), TCP (20)" in n)
    assert ("VPN's own adapter" in said) == adapter and address in said


@pytest.mark.parametrize("host", range(1, 9))
def test_of_two_hosts_the_one_that_speaks_first_is_named(host: int, tmp_path: Path) -> None:
    """Always the same one, whatever order a set of them has."""

    def scene(wire: Wire) -> None:
        for n in range(12):
            ends = (f"10.0.0.{host}", f"10.0.1.{host}")
            wire.frame(udp_packet(*ends[:: -1 if n % 2 else 1], 4000, 53, bytes(30)), 0.5, 101)

    (said,) = (n for n in played(scene, tmp_path).notes if "other IP traffic" in n)
    assert f"to or from 10.0.0.{host}." in said


def test_ah_alone_is_no_l2tp_ipsec(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = Pair(wire)
        for n in range(10):
            head = struct.pack("!BBHII", 6, 4, 0, 0x1234, n + 1) + bytes(12)
            pair.ip(bool(n % 2), 51, head + bytes(40))

    found = played(scene, tmp_path)
    assert found.verdict.outcome == "not_applicable"
    assert "AH (10 packets)" in found.verdict.headline and "ESP" in found.verdict.headline


class InAh(Pair):
    """L2TP in transport mode AH."""

    def udp(self, mine: bool, sport: int, dport: int, data: bytes, wait: float = 0.02,
            source: str = "") -> bytes:  # fmt: skip
        inner = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
        head = struct.pack("!BBHII", 17, 4, 0, 0x1234 + mine, self.ident) + bytes(12)
        return self.ip(mine, 51, head + inner, wait)


def test_l2tp_in_ah_is_judged_and_can_be_read_by_everybody(tmp_path: Path) -> None:
    found = played(lambda wire: InAh(wire, clear=True).inside(), tmp_path)
    assert found.verdict.outcome == "healthy"
    (seen,) = (f for f in found.findings if f.code == "path.l2tp-in-clear")
    assert seen.severity == "warning" and "AH" in seen.detail


def test_and_in_the_clear_it_is_not_said_to_be_in_ah(tmp_path: Path) -> None:
    found = played(lambda wire: Pair(wire, clear=True).inside(), tmp_path)
    (seen,) = (f for f in found.findings if f.code == "path.l2tp-in-clear")
    assert seen.severity == "info" and "AH" not in seen.detail


def _link(wire: Wire, link: int, good: bool) -> None:
    """A bare PPP link with a login by PAP."""

    def packet(mine: bool, protocol: int, code: int, ident: int, body: bytes = b"") -> None:
        head = {204: bytes((mine,)), 166: bytes((mine, 3)), 9: b"", 50: b"\xff\x03"}[link]
        data = struct.pack("!HBBH", protocol, code, ident, 4 + len(body)) + body
        wire.frame(head + data, link=link)

    ours, theirs = b"\5\6\1\2\3\4", b"\3\4\xc0\x23\5\6\5\6\7\x08"
    packet(True, LCP, 1, 1, ours)
    packet(False, LCP, 1, 1, theirs)
    packet(True, LCP, 2, 1, theirs)
    packet(False, LCP, 2, 1, ours)
    packet(True, PAP, 1, 1, b"\3bob\4pass")
    if not good:
        packet(False, PAP, 3, 1, b"\5wrong")
        packet(False, LCP, 5, 2)
        return
    packet(False, PAP, 2, 1, b"\0")
    packet(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    packet(False, IPCP, 1, 1, b"\3\6\x0a\0\0\1")
    packet(True, IPCP, 2, 1, b"\3\6\x0a\0\0\1")
    packet(False, IPCP, 3, 1, b"\3\6\x0a\0\0\5")
    packet(True, IPCP, 1, 2, b"\3\6\x0a\0\0\5")
    packet(False, IPCP, 2, 2, b"\3\6\x0a\0\0\5")


@pytest.mark.parametrize("link", [9, 50, 166, 204])
@pytest.mark.parametrize(("good", "outcome"), [(True, None), (False, "login.wrong-password")])
def test_a_bare_ppp_link_is_judged_to_the_address_and_not_below_ppp(
    link: int, good: bool, outcome: str | None, tmp_path: Path
) -> None:
    found = played(lambda wire: _link(wire, link, good), tmp_path)
    assert (found.verdict.outcome, found.verdict.finding) == (
        "healthy" if good else "failed", outcome,
    )  # fmt: skip
    rungs = {x.id: x for x in found.layers}
    for below in ("path", "ike", "auth", "ipsec", "esp", "l2tp"):
        assert rungs[below].status == "not_reached" and "PPP link" in rungs[below].reason
    assert rungs["address"].status == ("passed" if good else "not_reached")


def _checked(data: bytes) -> bytes:
    """In HDLC-like framing (RFC 1662): check sequence, escapes, flags."""
    check = 0xFFFF
    for byte in data:
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0x8408 if check & 1 else 0)
    data += struct.pack("<H", check ^ 0xFFFF)
    escaped = (
        bytes((0x7D, b ^ 0x20)) if b < 32 or b in (0x7D, 0x7E) else bytes((b,)) for b in data
    )
    return b"\x7e" + b"".join(escaped) + b"\x7e"


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_what_pppd_records_itself_and_has_not_closed(tmp_path: Path) -> None:
    """pppd(8), option ``record``: read through tshark, which complains of the missing end."""
    wire = Wire()
    _link(wire, 204, good=False)
    out = b"\x07" + struct.pack("!I", EPOCH)
    for shot in wire.shots:
        body = _checked(b"\xff\x03" + shot.data[1:])
        out += b"\x01" if shot.data[0] else b"\x02"
        out += struct.pack("!H", len(body)) + body + b"\x06\x01"
    path = tmp_path / "ppp.record"
    path.write_bytes(out)
    found = analyze([path])
    assert found.verdict.finding == "login.wrong-password"
    assert any("cut off after frame 7" in note for note in found.notes)
