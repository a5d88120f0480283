"""A client and its gateway, written packet by packet: captures whose truth is known.

Everything above ESP is what RFC 2409, 2661 and 1661 say. Without ``null`` the inside of ESP is
random bytes of the right size, as it looks without keys; with it ESP has NULL encryption, and the
inside can be read.
"""

from __future__ import annotations

import hashlib
import ipaddress
import random
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.fuzz.variants import RAW, Shot, save
from vpndiag.capture.write import icmp_error, ip_packet, udp_packet
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import Report

EPOCH = 1_700_000_000
CLIENT, GATEWAY, ROUTER = "192.168.7.33", "198.51.100.20", "203.0.113.77"
"""``ROUTER`` translates the client's address."""
MARKER = bytes(4)
LCP, PAP, CHAP, EAP, IPCP, CCP = 0xC021, 0xC023, 0xC223, 0xC227, 0x8021, 0x80FD
VENDORS = {
    name: bytes.fromhex(value)
    for name, value in {
        "rfc3947": "4a131c81070358455c5728f20e95452f",
        "draft02n": "90cb80913ebb696e086381b5ec427b1f",
        "draft02": "cd60464335df21f87cfdb2fc68b6a448",
        "draft08": "8f8d83826d246b6fc7a8a6a428c11de8",
        "apple": "4df37928e9fc4fd1b3262170d515c662",
        "dpd": "afcad71368a1f1c96b8696fc77570100",
        "xauth": "09002689dfd6b712",
        "unity": "12f5f28c457168a9702d9fe274cc0100",
        "fragmentation": "4048b7d56ebce88525e7de7f00d6c2d380000000",
        "nt5": "1e2b516905991c7d7c96fcbfb587e46100000009",
        "keymods": "01528bbbc00696121849ab9a1c5b2a5100000001",
        "negotiation": "fb1de3cdf341b7ea16b7e5be0855f120",
        "initial": "26244d38eddb61b3172a36e3d0cfb819",
        "cga": "e3a5966a76379fe707228231e5ce8652",
        "fortigate": "1d6e178f6c2c0be284985465450fe9d4",
    }.items()
}
Payloads = Sequence[tuple[int, bytes]]
Avp = tuple[int, bytes] | tuple[int, bytes, int]


def _attribute(kind: int, value: int) -> bytes:
    if kind == 12 or value > 0xFFFF:
        return struct.pack("!HHI", kind, 4, value)
    return struct.pack("!HH", 0x8000 | kind, value)


def phase1(cipher: int = 7, bits: int = 256, hash_: int = 2, group: int = 14, auth: int = 1,
           life: int = 28800) -> bytes:  # fmt: skip
    """Attributes of one transform, by the numbers of RFC 2409 appendix A (7: AES, 5: 3DES)."""
    found = _attribute(1, cipher) + (_attribute(14, bits) if bits else b"")
    found += _attribute(2, hash_) + _attribute(4, group) + _attribute(3, auth)
    return found + _attribute(11, 1) + _attribute(12, life)


WINDOWS = [
    phase1(group=20),
    phase1(bits=128, group=19),
    phase1(),
    phase1(5, 0),
    phase1(5, 0, group=2),
]
WINDOWS_VENDORS = ("keymods", "nt5", "rfc3947", "draft02n", "negotiation", "initial", "cga")
MACOS = [phase1(hash_=4, life=3600), phase1(life=3600), phase1(hash_=1, life=3600),
         phase1(group=2, life=3600)]  # fmt: skip
MACOS_VENDORS = ("rfc3947", "apple", "draft08", "draft02", "draft02n", "fragmentation", "dpd")
ANDROID = [phase1(hash_=6, group=2), phase1(group=2), phase1(5, 0, group=2)]
ANDROID_VENDORS = ("rfc3947", "draft02", "draft02n", "fragmentation", "dpd")


def offer(transforms: Sequence[bytes], protocol: int = 1) -> bytes:
    """Body of an SA payload with one proposal."""
    out = b""
    for number, body in enumerate(transforms, 1):
        more = 3 if number < len(transforms) else 0
        out += struct.pack("!BBHBBH", more, 0, 8 + len(body), number, 1, 0) + body
    head = struct.pack("!BBHBBBB", 0, 0, 8 + len(out), 1, protocol, 0, len(transforms))
    return struct.pack("!II", 1, 1) + head + out


def chain(payloads: Payloads) -> tuple[int, bytes]:
    """First payload type and the bytes of all."""
    out = b""
    for number, (_, body) in enumerate(payloads):
        following = payloads[number + 1][0] if number + 1 < len(payloads) else 0
        out += struct.pack("!BBH", following, 0, 4 + len(body)) + body
    return payloads[0][0], out


class Wire:
    """What was recorded; ``at`` is the time of the next packet, in seconds."""

    def __init__(self) -> None:
        self.at = 0.0
        self.shots: list[Shot] = []

    def frame(self, data: bytes, wait: float = 0.02, link: int = RAW) -> None:
        self.shots.append(Shot(EPOCH * 10**9 + int(self.at * 1e9), link, data, len(data)))
        self.at += wait

    def report(self, place: Path) -> Report:
        save(sorted(self.shots, key=lambda s: s.time_ns), place / "scene.pcapng")
        return analyze([place / "scene.pcapng"])


class Pair:
    """One client and its gateway. ``nat``: the client's address is translated on the way, and ESP
    goes in UDP; ``clear``: L2TP without IPsec. ``mine`` is True for what the client sends."""

    def __init__(self, wire: Wire, client: str = CLIENT, gateway: str = GATEWAY, *, seed: int = 1,
                 ports: tuple[int, int] = (500, 4500), nat: bool = True, null: bool = False,
                 clear: bool = False) -> None:  # fmt: skip
        self.wire, self.client, self.gateway, self.ports = wire, client, gateway, ports
        self.nat, self.null, self.clear = nat, null, clear
        self.only: bool | None = None
        """Record one direction only."""
        self.random = random.Random(seed)
        self.ns = {True: 0, False: 0}
        self.tunnels, self.calls = {True: 17, False: 34}, {True: 7, False: 9}
        self.ident = 1
        self.new_sa()
        self.new_spis()

    def new_sa(self) -> None:
        self.ci, self.cr = self.random.randbytes(8), self.random.randbytes(8)

    def new_spis(self) -> None:
        self.spis = {mine: self.random.randbytes(4) for mine in (True, False)}
        self.sequence = {True: 0, False: 0}

    # Packets

    def udp(self, mine: bool, sport: int, dport: int, data: bytes, wait: float = 0.02,
            source: str = "") -> bytes:  # fmt: skip
        ends = (self.client, self.gateway) if mine else (source or self.gateway, self.client)
        self.ident += 1
        return self._record(mine, udp_packet(*ends, sport, dport, data, self.ident), wait)

    def ip(self, mine: bool, protocol: int, data: bytes, wait: float = 0.02) -> bytes:
        ends = (self.client, self.gateway) if mine else (self.gateway, self.client)
        self.ident += 1
        return self._record(mine, ip_packet(*ends, protocol, data, self.ident), wait)

    def _record(self, mine: bool, packet: bytes, wait: float) -> bytes:
        if self.only in (None, mine):
            self.wire.frame(packet, wait)
        else:
            self.wire.at += wait
        return packet

    def put(self, mine: bool, data: bytes, natt: bool, wait: float = 0.02, source: str = "",
            sport: int = 0) -> bytes:  # fmt: skip
        theirs = 4500 if natt else 500
        ends = (self.ports[natt], theirs) if mine else (sport or theirs, self.ports[natt])
        return self.udp(mine, *ends, data, wait, source)

    def refuse(self, packet: bytes, kind: int = 3, code: int = 3, wait: float = 1.0,
               reporter: str = "", mtu: int = 0) -> None:  # fmt: skip
        """An ICMP error about ``packet``."""
        self.wire.frame(icmp_error(reporter or self.gateway, kind, code, packet, mtu=mtu), wait)

    # IKE

    def ike(self, mine: bool, exchange: int, payloads: Payloads = (), *, natt: bool = False,
            hidden: tuple[int, bytes] | None = None, mid: int = 0, begin: bool = False,
            wait: float = 0.02, source: str = "", sport: int = 0) -> bytes:  # fmt: skip
        """``hidden``: first payload type and bytes of an encrypted message."""
        first, body = hidden or chain(payloads)
        head = (first, 0x10, exchange, 1 if hidden else 0, mid, 28 + len(body))
        data = self.ci + (bytes(8) if begin else self.cr) + struct.pack("!BBBBII", *head) + body
        return self.put(mine, (MARKER if natt else b"") + data, natt, wait, source, sport)

    def vendors(self, names: Iterable[str]) -> list[tuple[int, bytes]]:
        return [(13, VENDORS[name]) for name in names]

    def mm1(self, transforms: Sequence[bytes] = WINDOWS, vendors: Iterable[str] = WINDOWS_VENDORS,
            natt: bool = False, wait: float = 0.02) -> bytes:  # fmt: skip
        payloads = [(1, offer(transforms)), *self.vendors(vendors)]
        return self.ike(True, 2, payloads, natt=natt, begin=True, wait=wait)

    def mm2(self, chosen: bytes = WINDOWS[2], natt: bool = False, wait: float = 0.02,
            source: str = "", sport: int = 0) -> bytes:  # fmt: skip
        payloads = [(1, offer([chosen])), *self.vendors(("rfc3947", "dpd"))]
        return self.ike(False, 2, payloads, natt=natt, wait=wait, source=source, sport=sport)

    def key_exchange(self, mine: bool, natt: bool = False, wait: float = 0.02) -> bytes:
        """Message 3 or 4, with NAT-D over SHA-1 (RFC 3947 section 3.2)."""
        seen = ROUTER if self.nat else self.client
        ends = (
            ((self.gateway, 500), (self.client, 500))
            if mine
            else ((seen, self.ports[0]), (self.gateway, 500))
        )
        payloads = [(4, self.random.randbytes(256)), (10, self.random.randbytes(48))]
        payloads += [(20, self._hash(*end)) for end in ends]
        return self.ike(mine, 2, payloads, natt=natt, wait=wait)

    def _hash(self, address: str, port: int) -> bytes:
        packed = ipaddress.ip_address(address).packed + struct.pack("!H", port)
        return hashlib.sha1(self.ci + self.cr + packed).digest()

    def proof(self, mine: bool, wait: float = 0.02, body: bytes = b"") -> bytes:
        """Message 5 or 6."""
        self.proved = body or self.random.randbytes(68)
        return self.ike(mine, 2, natt=self.nat, hidden=(5, self.proved), wait=wait)

    def main_mode(self, transforms: Sequence[bytes] = WINDOWS,
                  vendors: Iterable[str] = WINDOWS_VENDORS, upto: int = 6,
                  chosen: bytes = WINDOWS[2]) -> None:  # fmt: skip
        self.mm1(transforms, vendors)
        self.mm2(chosen)
        for step, (play, mine) in enumerate(
            ((self.key_exchange, True), (self.key_exchange, False), (self.proof, True),
             (self.proof, False)), 3,
        ):  # fmt: skip
            if step <= upto:
                play(mine)  # type: ignore[operator]

    def info(self, mine: bool, wait: float = 0.02, size: int = 68) -> bytes:
        """An encrypted notification or Delete."""
        mid = self.random.getrandbits(32) | 1
        hidden = (8, self.random.randbytes(size))
        return self.ike(mine, 5, natt=self.nat, hidden=hidden, mid=mid, wait=wait)

    def notify(self, mine: bool, number: int, natt: bool = False, wait: float = 0.02) -> bytes:
        """One in the clear."""
        body = struct.pack("!IBBH", 1, 1, 16, number) + self.ci + self.cr
        mid = self.random.getrandbits(32) | 1
        return self.ike(mine, 5, [(11, body)], natt=natt, mid=mid, wait=wait)

    def quick_mode(self, mine: bool = True, answered: bool = True, wait: float = 0.02) -> None:
        self.mid = self.random.getrandbits(32) | 1
        self.asked = self.random.randbytes(180)
        self.ask_again(wait, mine)
        if answered:
            self.answer(mine)

    def ask_again(self, wait: float, mine: bool = True) -> None:
        self.ike(mine, 32, natt=self.nat, hidden=(8, self.asked), mid=self.mid, wait=wait)

    def answer(self, mine: bool = True) -> None:
        """Messages 2 and 3 of the quick mode that ``mine`` began; new SPIs."""
        for sender, size in ((not mine, 196), (mine, 52)):
            hidden = (8, self.random.randbytes(size))
            self.ike(sender, 32, natt=self.nat, hidden=hidden, mid=self.mid)
        self.new_spis()

    # ESP, L2TP, PPP

    def esp(self, mine: bool, inner: bytes, wait: float = 0.02, following: int = 17) -> bytes:
        self.sequence[mine] += 1
        head = self.spis[mine] + struct.pack("!I", self.sequence[mine])
        padding = -(len(inner) + 2) % (4 if self.null else 16)
        body = inner + bytes(range(1, padding + 1)) + bytes((padding, following))
        if not self.null:
            body = self.random.randbytes(16 + len(body))
        data = head + body + self.random.randbytes(12)
        return self.put(mine, data, True, wait) if self.nat else self.ip(mine, 50, data, wait)

    def l2tp(self, mine: bool, data: bytes, wait: float = 0.02) -> bytes:
        if self.clear:
            return self.udp(mine, 1701, 1701, data, wait)
        return self.esp(mine, struct.pack("!HHHH", 1701, 1701, 8 + len(data), 0) + data, wait)

    def control(self, mine: bool, kind: int, *avps: Avp, call: int = 0, again: bool = False,
                wait: float = 0.02) -> bytes:  # fmt: skip
        """``kind`` 0: an acknowledgement without message."""
        body = b""
        for number, value, *flags in ((0, struct.pack("!H", kind)), *avps) if kind else ():
            flag = flags[0] if flags else 0x8000
            body += struct.pack("!HHH", flag | 6 + len(value), 0, number) + value
        tunnel = 0 if kind == 1 else self.tunnels[not mine]
        ns = self.ns[mine] - again
        self.ns[mine] += bool(kind) and not again
        head = (0xC802, 12 + len(body), tunnel, call, ns, self.ns[not mine])
        return self.l2tp(mine, struct.pack("!HHHHHH", *head) + body, wait)

    def sccrq(self, again: bool = False, wait: float = 0.02) -> None:
        number = struct.pack("!H", self.tunnels[True])
        self.control(True, 1, (2, b"\1\0"), (3, b"\0\0\0\1"), (7, b"DESKTOP-7"), (9, number),
                     again=again, wait=wait)  # fmt: skip

    def sccrq_in_vain(self) -> None:
        """The first message, and its repeats."""
        self.sccrq()
        for wait in (1, 2, 4, 8):
            self.wire.at += wait
            self.sccrq(again=True)

    def tunnel(self) -> None:
        self.sccrq()
        number = struct.pack("!H", self.tunnels[False])
        self.control(False, 2, (2, b"\1\0"), (3, b"\0\0\0\3"), (7, b"lns"), (9, number))
        self.control(True, 3)
        self.control(True, 10, (14, struct.pack("!H", self.calls[True])), (15, b"\0\0\0\1"))
        number = struct.pack("!H", self.calls[False])
        self.control(False, 11, (14, number), call=self.calls[True])
        self.control(True, 12, (24, b"\0\0\x10\0"), (19, b"\0\0\0\1"), call=self.calls[False])
        self.control(False, 0)

    def data(self, mine: bool, frame: bytes, wait: float = 0.02) -> bytes:
        head = struct.pack("!HHH", 2, self.tunnels[not mine], self.calls[not mine])
        return self.l2tp(mine, head + b"\xff\x03" + frame, wait)

    def ppp(self, mine: bool, protocol: int, code: int, ident: int, body: bytes = b"",
            wait: float = 0.02) -> bytes:  # fmt: skip
        head = struct.pack("!HBBH", protocol, code, ident, 4 + len(body))
        return self.data(mine, head + body, wait)

    def lcp(self, auth: bytes = b"\3\5\xc2\x23\x81") -> None:
        ours, theirs = b"\1\4\5\x78\5\6\1\2\3\4", auth + b"\5\6\5\6\7\x08"
        self.ppp(True, LCP, 1, 0, ours)
        self.ppp(False, LCP, 1, 1, theirs)
        self.ppp(True, LCP, 2, 1, theirs)
        self.ppp(False, LCP, 2, 0, ours)

    def mschap(self, code: int = 3, said: bytes = b"S=00 M=welcome") -> None:
        self.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        self.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + b"CORP\\bob")
        self.ppp(False, CHAP, code, 1, said)

    def ipcp(self) -> None:
        given, own = b"\3\6\x0a\x09\0\5\x81\6\x0a\x09\0\x35", b"\3\6\x0a\x09\0\1"
        self.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0\x81\6\0\0\0\0")
        self.ppp(False, IPCP, 1, 1, own)
        self.ppp(True, IPCP, 2, 1, own)
        self.ppp(False, IPCP, 3, 1, given)
        self.ppp(True, IPCP, 1, 2, given)
        self.ppp(False, IPCP, 2, 2, given)

    def users(self, count: int = 20, wait: float = 0.3, back: bool = True, size: int = 200) -> None:
        """A question and its answer, ``count`` times."""
        for mine in (True, False) * count:
            ends = ("10.9.0.5", "10.20.0.1") if mine else ("10.20.0.1", "10.9.0.5")
            if mine or back:
                body = self.random.randbytes(size)
                self.data(mine, b"\0\x21" + ip_packet(*ends, 17, body), wait / 2)
            else:
                self.wire.at += wait / 2

    def inside(self) -> None:
        """From the tunnel to users' data."""
        for play in (self.tunnel, self.lcp, self.mschap, self.ipcp, self.users):
            play()  # type: ignore[operator]

    def session(self) -> None:
        self.main_mode()
        self.quick_mode()
        self.inside()


Scene = Callable[[Wire], object]


class Scenes(dict[str, tuple[str, str | None, Scene]]):
    """By name: the outcome and the finding that a scene must have, and the scene."""

    def keep(self, name: str, outcome: str, code: str | None = None) -> Callable[[Scene], Scene]:
        """A decorator for a scene."""

        def kept(play: Scene) -> Scene:
            self[name] = outcome, code, play
            return play

        return kept

    def check(self, name: str, place: Path) -> None:
        """The verdict on this scene has its outcome and its finding."""
        outcome, code, play = self[name]
        verdict = played(play, place).verdict
        assert (verdict.outcome, verdict.finding) == (outcome, code), verdict.headline


def played(scene: Scene, place: Path) -> Report:
    """The report on what ``scene`` wrote."""
    wire = Wire()
    scene(wire)
    return wire.report(place)
