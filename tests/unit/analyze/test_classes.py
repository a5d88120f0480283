"""What an expert says of the usual kinds of capture: aggressive mode, XAUTH, IKEv2, plain L2TP."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.variants import RAW, Shot, save
from tests.unit.analyze.test_sessions import _OFFER, CLIENT, GATEWAY, MARKER, Peer, report
from vpndiag.capture.write import icmp_error, ip_packet, udp_packet
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import Report

Play = Callable[[Peer], object]


def _key_exchange(p: Peer, following: int) -> bytes:
    nonce = struct.pack("!BBH", following, 0, 20) + p.rng.randbytes(16)
    return struct.pack("!BBH", 10, 0, 132) + p.rng.randbytes(128) + nonce


def _identity(following: int, address: bytes) -> bytes:
    return struct.pack("!BBHBBH", following, 0, 12, 1, 17, 500) + address


def aggressive(p: Peer, choices: int = 1, proof: bool = False, again: int = 0) -> None:
    """Messages 1 and 2 (``choices`` times, five seconds apart), 3, and 2 again behind it."""
    offer = b"\x04" + _OFFER[1:60]
    first = offer + _key_exchange(p, 5) + _identity(0, bytes((192, 0, 2, 10)))
    p.ike(True, 1, 4, 0, 0, first, False, begin=True)
    proved = struct.pack("!BBH", 0, 0, 20) + p.rng.randbytes(16)
    second = offer + _key_exchange(p, 5) + _identity(8, bytes((203, 0, 113, 5))) + proved
    for _ in range(choices):
        p.ike(False, 1, 4, 0, 0, second, False, wait=0.05 if choices == 1 else 5.0)
    if proof:
        p.ike(True, 8, 4, 1, 0, p.rng.randbytes(64), True)
    for _ in range(again):
        p.ike(False, 1, 4, 0, 0, second, False, wait=5.0)


def config(p: Peer, *ways: bool) -> None:
    """A transaction exchange; True: the client's message."""
    body = p.rng.randbytes(80)
    for mine in ways:
        p.ike(mine, 8, 6, 1, 9, body, True, wait=5.0)


def keepalive(p: Peer) -> None:
    p.put(True, b"\xff", True, 10.0)


def v2(p: Peer, mine: bool, exchange: int, mid: int, flags: int, body: bytes, *, first: int = 46,
       begin: bool = False, wait: float = 0.05) -> None:  # fmt: skip
    natt = exchange != 34
    if first == 46:
        body = struct.pack("!BBH", 33, 0, 4 + len(body)) + body
    cr = bytes(8) if begin else p.cr
    head = struct.pack("!BBBBII", first, 0x20, exchange, flags, mid, 28 + len(body))
    p.put(mine, (MARKER if natt else b"") + p.ci + cr + head + body, natt, wait)


def sa_init(p: Peer, answered: bool = True) -> None:
    transforms = bytes.fromhex(
        "0300000c0100000c800e01000300000802000005030000080300000c000000080400000e"
    )
    proposal = struct.pack("!BBHBBBB", 0, 0, 44, 1, 1, 0, 4) + transforms
    ke = struct.pack("!BBHHH", 40, 0, 136, 14, 0) + p.rng.randbytes(128)
    nonce = struct.pack("!BBH", 0, 0, 36) + p.rng.randbytes(32)
    body = struct.pack("!BBH", 34, 0, 48) + proposal + ke + nonce
    v2(p, True, 34, 0, 0x08, body, first=33, begin=True)
    if answered:
        v2(p, False, 34, 0, 0x20, body, first=33)


def v2_auth(p: Peer, answer: int = 220) -> None:
    sa_init(p)
    v2(p, True, 35, 1, 0x08, p.rng.randbytes(260))
    v2(p, False, 35, 1, 0x20, p.rng.randbytes(answer))


def v2_eap(p: Peer) -> None:
    """Three rounds of EAP; the last answer is an EAP Failure. The capture goes on for a while."""
    sa_init(p)
    for number, size in enumerate((1200, 120, 60), 1):
        v2(p, True, 35, number, 0x08, p.rng.randbytes(100))
        v2(p, False, 35, number, 0x20, p.rng.randbytes(size))
    p.packets.append((p.at + 6, p.client, 40_000, "203.0.113.99", 123, bytes(48)))


def v2_asked(p: Peer, mine: bool) -> None:
    """One INFORMATIONAL request, retransmitted."""
    body = p.rng.randbytes(52)
    for wait in (2, 4, 8, 16, 32):
        v2(p, mine, 37, 2, 0x08 if mine else 0, body, wait=wait)


def esp(p: Peer, back: bool = True) -> None:
    p.spis, p.sequence = (b"\1\2\3\4", b"\5\6\7\x08"), 0
    p.esp(20, back=back)


def from_gateway(p: Peer) -> None:
    for n in range(12):
        p.put(False, p.spis[1] + struct.pack("!I", n + 1) + p.rng.randbytes(80), True, 0.5)


def unprotected(p: Peer) -> None:
    """SCCRQ in the clear: the selectors of the SA do not cover it."""
    avp = struct.pack("!HHHH", 0x8008, 0, 0, 1) + struct.pack("!HHHH", 0x8008, 0, 9, 1)
    message = struct.pack("!HHHHHH", 0xC802, 12 + len(avp), 0, 0, 0, 0) + avp
    for wait in (1, 2, 4, 8):
        p.packets.append((p.at, p.client, 1701, p.gateway, 1701, message))
        p.at += wait


IKE: dict[str, tuple[str, str | None, Play]] = {
    "one first message and a minute of nothing": (
        "inconclusive", None, lambda p: (p.mm1(wait=60.0), keepalive(p))),
    "aggressive mode, ESP": (
        "healthy", None, lambda p: (aggressive(p, proof=True), p.quick_mode(), p.esp())),
    "aggressive mode, the client leaves at message 2": (
        "failed", "auth.psk-mismatch", lambda p: aggressive(p, choices=4)),
    "aggressive mode, the client refuses message 2": (
        "failed", "auth.psk-mismatch", lambda p: (aggressive(p), p.info(), keepalive(p))),
    "aggressive mode, message 3 is not taken": (
        "failed", "auth.psk-mismatch", lambda p: aggressive(p, proof=True, again=3)),
    "aggressive mode, cut at message 2": ("inconclusive", None, aggressive),
    "XAUTH asked in vain": (
        "failed", "auth.xauth-wanted", lambda p: (p.main_mode(), config(p, *[False] * 5))),
    "XAUTH refused": (
        "failed", "auth.xauth-refused",
        lambda p: (aggressive(p, proof=True), config(p, False, True, False, True),
                   p.info(mine=False), keepalive(p))),
    "XAUTH, then ESP": (
        "healthy", None,
        lambda p: (p.main_mode(), config(p, False, True, False, True), p.quick_mode(), p.esp())),
    "XAUTH, cut behind it": (
        "inconclusive", None, lambda p: (p.main_mode(), config(p, False, True, False, True))),
    "the gateway dies": (
        "failed", "path.dpd-timeout",
        lambda p: (p.main_mode(), p.quick_mode(), [p.info(wait=10.0) for _ in range(6)])),
    "the client dies": (
        "failed", "path.dpd-timeout",
        lambda p: (p.session(), [p.info(mine=False, wait=10.0) for _ in range(6)])),
    "aggressive mode, ESP from the client alone": (
        "failed", "esp.one-way",
        lambda p: (aggressive(p, proof=True), p.quick_mode(), p.esp(30, back=False))),
    "ESP from the gateway alone": (
        "failed", "esp.one-way", lambda p: (p.main_mode(), p.quick_mode(), from_gateway(p))),
    "L2TP beside the SA that should protect it": (
        "failed", "ipsec.selector-mismatch",
        lambda p: (p.main_mode(), p.quick_mode(), unprotected(p))),
    "IKEv2 without an answer": (
        "failed", "path.silent",
        lambda p: [(sa_init(p, False), setattr(p, "at", p.at + 4)) for _ in range(4)]),
    "IKEv2 AUTH refused": (
        "failed", "auth.refused", lambda p: (v2_auth(p, 52), keepalive(p))),
    "IKEv2 complete": ("healthy", None, v2_auth),
    "IKEv2 complete, and the client leaves at once": (
        "inconclusive", None,
        lambda p: (v2_auth(p), [v2(p, m, 37, 2, 8 if m else 0x20, p.rng.randbytes(56))
                                for m in (True, False)])),
    "IKEv2 complete, and asked much later whether it lives": (
        "healthy", None,
        lambda p: (v2_auth(p), setattr(p, "at", p.at + 30),
                   [v2(p, m, 37, 2, 8 if m else 0x20, p.rng.randbytes(56))
                    for m in (True, False)])),
    "IKEv2, EAP refused": ("failed", "auth.refused", lambda p: v2_eap(p)),
    "IKEv2, the gateway dies": (
        "failed", "path.dpd-timeout", lambda p: (v2_auth(p), esp(p), v2_asked(p, True))),
    "IKEv2, the client dies": (
        "failed", "path.dpd-timeout", lambda p: (v2_auth(p), esp(p), v2_asked(p, False))),
    "IKEv2, ESP one way": (
        "failed", "esp.one-way", lambda p: (v2_auth(p), esp(p, back=False))),
}  # fmt: skip


@pytest.mark.parametrize("name", IKE)
def test_ike(name: str, tmp_path: Path) -> None:
    outcome, code, play = IKE[name]
    p = Peer()
    play(p)
    verdict = report(tmp_path, p).verdict
    assert (verdict.outcome, verdict.finding) == (outcome, code)


def test_a_refusal_in_ikev2_says_whether_it_was_in_eap(tmp_path: Path) -> None:
    for play, words in ((v2_eap, True), (lambda p: v2_auth(p, 52), False)):
        p = Peer()
        play(p)
        found = report(tmp_path, p)
        (said,) = (f for f in found.findings if f.code == "auth.refused")
        assert ("EAP" in said.detail) == words
        rungs = {x.id: x.status for x in found.layers}
        assert rungs["auth"] == "failed" and rungs["ipsec"] == "not_reached"


def test_aggressive_mode_with_a_key_is_a_security_warning(tmp_path: Path) -> None:
    p = Peer()
    aggressive(p, proof=True)
    p.quick_mode()
    p.esp()
    found = {f.code: f.severity for f in report(tmp_path, p).findings}
    assert found["auth.aggressive-psk"] == "warning"


class Clear:
    """L2TP without IPsec, as recorded; ``at`` in seconds."""

    def __init__(self) -> None:
        self.at = 0.0
        self.shots: list[Shot] = []
        self.ns = {True: 0, False: 0}

    def raw(self, packet: bytes, wait: float = 0.05) -> None:
        time_ns = int((1_700_000_000 + self.at) * 1e9)
        self.shots.append(Shot(time_ns, RAW, packet, len(packet)))
        self.at += wait

    def udp(self, mine: bool, payload: bytes, wait: float = 0.05) -> None:
        ends = (CLIENT, GATEWAY) if mine else (GATEWAY, CLIENT)
        self.raw(udp_packet(*ends, 1701, 1701, payload), wait)

    def control(self, mine: bool, kind: int, *avps: tuple[int, bytes], session: int = 0,
                again: bool = False, wait: float = 0.05) -> None:  # fmt: skip
        body = struct.pack("!HHHH", 0x8008, 0, 0, kind) if kind else b""
        body += b"".join(struct.pack("!HHH", 0x8000 | 6 + len(v), 0, t) + v for t, v in avps)
        tunnel = 0 if kind == 1 else 2 if mine else 1
        ns = self.ns[mine] - again
        head = (0xC802, 12 + len(body), tunnel, session, ns, self.ns[not mine])
        self.ns[mine] += bool(kind) and not again
        self.udp(mine, struct.pack("!HHHHHH", *head) + body, wait)

    def ppp(self, mine: bool, protocol: int, code: int, ident: int, body: bytes = b"",
            wait: float = 0.05) -> None:  # fmt: skip
        self.data(mine, struct.pack("!HBBH", protocol, code, ident, 4 + len(body)) + body, wait)

    def data(self, mine: bool, frame: bytes, wait: float = 0.05) -> None:
        head = struct.pack("!HHH", 0x0002, 2 if mine else 1, 20 if mine else 10)
        self.udp(mine, head + b"\xff\x03" + frame, wait)

    def tunnel(self) -> None:
        self.control(True, 1, (2, b"\1\0"), (7, b"client"), (9, b"\0\1"))
        self.control(False, 2, (2, b"\1\0"), (7, b"gateway"), (9, b"\0\2"))
        self.control(True, 3)
        self.control(True, 10, (14, b"\0\x0a"), (15, b"\0\0\0\1"))
        self.control(False, 11, (14, b"\0\x14"), session=10)
        self.control(True, 12, (24, b"\0\0\x10\0"), (19, b"\0\0\0\1"), session=20)
        self.control(False, 0)

    def lcp(self) -> None:
        auth, one, two = b"\3\5\xc2\x23\5", b"\5\6\1\2\3\4", b"\5\6\5\6\7\x08"
        self.tunnel()
        self.ppp(True, 0xC021, 1, 1, one)
        self.ppp(False, 0xC021, 1, 1, auth + two)
        self.ppp(False, 0xC021, 2, 1, one)
        self.ppp(True, 0xC021, 2, 1, auth + two)

    def login(self) -> None:
        self.lcp()
        self.ppp(False, 0xC223, 1, 1, b"\x10" + bytes(16) + b"gateway")
        self.ppp(True, 0xC223, 2, 1, b"\x10" + bytes(16) + b"user")
        self.ppp(False, 0xC223, 3, 1, b"welcome")

    def session(self) -> None:
        self.login()
        given, own = b"\3\6\x0a\0\0\5", b"\3\6\x0a\0\0\1"
        self.ppp(True, 0x8021, 1, 1, b"\3\6\0\0\0\0")
        self.ppp(False, 0x8021, 1, 1, own)
        self.ppp(True, 0x8021, 2, 1, own)
        self.ppp(False, 0x8021, 3, 1, given)
        self.ppp(True, 0x8021, 1, 2, given)
        self.ppp(False, 0x8021, 2, 2, given)
        for _ in range(5):
            for mine in (True, False):
                ends = ("10.0.0.5", "10.0.0.1") if mine else ("10.0.0.1", "10.0.0.5")
                self.data(mine, b"\0\x21" + ip_packet(*ends, 17, bytes(60)), 0.2)

    def pause(self) -> None:
        self.at += 10

    def hello(self, mine: bool) -> None:
        self.at += 60
        self.control(mine, 6, wait=1.0)
        for wait in (2, 4, 8, 8):
            self.control(mine, 6, again=True, wait=wait)

    def echoes(self, mine: bool) -> None:
        for n in range(8):
            self.ppp(mine, 0xC021, 9, n, b"\1\2\3\4", wait=10.0)

    def many(self, *message: object) -> None:
        for n in range(5):
            mine, protocol, code, body = message
            self.ppp(bool(mine), protocol, code, n, body, wait=3.0)  # type: ignore[arg-type]

    def asked(self, wait: float = 5.0) -> None:
        self.control(True, 1, (9, b"\0\1"), again=bool(self.ns[True]), wait=wait)


def analyzed(play: Callable[[Clear], object], place: Path) -> Report:
    line = Clear()
    play(line)
    save(line.shots, place / "clear.pcapng")
    return analyze([place / "clear.pcapng"])


def _unreachable(line: Clear) -> None:
    line.asked()
    line.raw(icmp_error(GATEWAY, 3, 3, line.shots[0].data))
    line.asked()


_CHALLENGE = b"\x10" + bytes(16) + b"gateway"
L2TP: dict[str, tuple[str, str | None, Callable[[Clear], object]]] = {
    "a session": ("healthy", None, Clear.session),
    "no answer": ("failed", "l2tp.no-answer", lambda c: [c.asked() for _ in range(4)]),
    "nobody listens": ("failed", "path.port-unreachable", _unreachable),
    "the gateway dies, Hello": (
        "failed", "l2tp.peer-gone", lambda c: (c.session(), c.hello(True))),
    "the client dies, Hello": (
        "failed", "l2tp.peer-gone", lambda c: (c.session(), c.hello(False))),
    "the gateway dies, LCP echoes": (
        "failed", "lcp.peer-gone", lambda c: (c.session(), c.echoes(True))),
    "the client dies, LCP echoes": (
        "failed", "lcp.peer-gone", lambda c: (c.session(), c.echoes(False))),
    "echoes of one side alone": ("inconclusive", None, lambda c: c.echoes(True)),
    "an idle session is ended": (
        "healthy", None,
        lambda c: (c.session(), c.pause(), c.ppp(False, 0xC021, 5, 7, b"Idle timeout"))),
    "the gateway shuts down": (
        "healthy", None, lambda c: (c.session(), c.pause(), c.control(False, 4, (1, b"\0\6")))),
    "a session in use is ended at once": (
        "failed", "session.hung-up",
        lambda c: (c.session(), c.ppp(False, 0xC021, 5, 7, b"Access denied"))),
    "the gateway is full": (
        "failed", "l2tp.no-facilities",
        lambda c: (c.tunnel(), c.control(False, 14, (1, b"\0\4"), session=10))),
    "the client does not speak PPP": (
        "failed", "lcp.no-answer",
        lambda c: (c.tunnel(), c.many(False, 0xC021, 1, b"\5\6\1\2\3\4"))),
    "the client does not log in": (
        "failed", "login.client-silent",
        lambda c: (c.lcp(), c.many(False, 0xC223, 1, _CHALLENGE))),
    "the client wants no IPv4": (
        "failed", "address.refused",
        lambda c: (c.login(), c.ppp(False, 0x8021, 1, 1, b"\3\6\x0a\0\0\1"),
                   c.ppp(True, 0xC021, 8, 5, b"\x80\x21\1\1\0\x0a\3\6\x0a\0\0\1"))),
    "L2TPv3": (
        "not_applicable", None,
        lambda c: [c.raw(ip_packet(CLIENT, GATEWAY, 115, b"\0\0\0\1" + bytes(60)))
                   for _ in range(3)]),
}  # fmt: skip


@pytest.mark.parametrize("name", L2TP)
def test_l2tp_in_the_clear(name: str, tmp_path: Path) -> None:
    outcome, code, play = L2TP[name]
    verdict = analyzed(play, tmp_path).verdict
    assert (verdict.outcome, verdict.finding) == (outcome, code)


def test_echoes_are_no_data_of_users(tmp_path: Path) -> None:
    def answered(c: Clear) -> None:
        for n in range(4):
            c.ppp(True, 0xC021, 9, n, b"\1\2\3\4")
            c.ppp(False, 0xC021, 10, n, b"\5\6\7\x08", wait=10.0)

    report = analyzed(answered, tmp_path)
    address = next(layer for layer in report.layers if layer.id == "address")
    assert (address.status, address.reason) == (
        "not_reached", "only LCP echoes are seen, and no packet of a user"
    )  # fmt: skip
    assert [f.title for f in report.findings] == ["L2TP is not encrypted here"]


def test_what_can_be_read_by_everyone_is_told(tmp_path: Path) -> None:
    codes = {f.code for f in analyzed(Clear.session, tmp_path).findings}
    assert {"login.challenge-in-clear", "path.l2tp-in-clear"} <= codes


def test_answers_that_the_recorder_missed_are_no_silence(tmp_path: Path) -> None:
    line = Clear()
    line.session()
    line.shots = [s for n, s in enumerate(line.shots) if n not in (1, 4, 9)][:16]
    save(line.shots, tmp_path / "c.pcapng")
    assert analyze([tmp_path / "c.pcapng"]).verdict.outcome != "failed"
