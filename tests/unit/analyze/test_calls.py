"""Several tunnels between two hosts, and several calls in a tunnel: each is judged alone."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.unit.analyze.scene import CHAP, CLIENT, IPCP, LCP, Pair, Wire, played
from vpndiag.report.redact import redact

REFUSED = b"E=691 R=0 C=00 V=3 M=no"
Expected = list[tuple[str, str | None]]


class Line(Pair):
    """A tunnel with calls in it."""

    def setup(self) -> None:
        """The tunnel, without a call."""
        self.sccrq()
        number = struct.pack("!H", self.tunnels[False])
        self.control(False, 2, (2, b"\1\0"), (3, b"\0\0\0\3"), (7, b"lns"), (9, number))
        self.control(True, 3)

    def ask(self, call: int) -> None:
        self.calls = {True: call, False: call + 1000}
        self.control(True, 10, (14, struct.pack("!H", call)), (15, struct.pack("!I", call)))

    def call(self, call: int) -> None:
        self.ask(call)
        self.control(False, 11, (14, struct.pack("!H", call + 1000)), call=call)
        self.control(True, 12, (24, bytes(4)), (19, b"\0\0\0\1"), call=call + 1000)
        self.control(False, 0)

    def login(self, name: bytes, refused: bool = False) -> None:
        self.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        self.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + name)
        self.ppp(False, CHAP, 4 if refused else 3, 1, REFUSED if refused else b"S=00 M=welcome")

    def leave(self, mine: bool = True, result: int = 1) -> None:
        """LCP is closed, and the call."""
        self.ppp(mine, LCP, 5, 90)
        self.ppp(not mine, LCP, 6, 90)
        told = (14, struct.pack("!H", self.calls[mine])), (1, struct.pack("!H", result))
        self.control(mine, 14, *told, call=self.calls[not mine])
        self.control(not mine, 0)

    def user(self, call: int, name: bytes = b"bob", refused: bool = False) -> None:
        """A call up to data, or to a refusal and its end."""
        self.call(call)
        self.lcp()
        self.login(name, refused)
        if refused:
            self.leave(mine=False)
        else:
            self.ipcp()
            self.users(4)


def judged(wire: Wire, place: Path) -> Expected:
    """Outcome and finding of each attempt, and of the whole last."""
    report = wire.report(place)
    verdicts = [*(s.verdict for s in report.sessions), report.verdict]
    return [(v.outcome, v.finding) for v in verdicts]


def _silent(line: Line) -> None:
    line.call(8)
    for _ in range(8):
        line.ppp(True, LCP, 1, 1, b"\5\6\1\2\3\4", wait=3.0)


def _no_address(line: Line) -> None:
    line.call(8)
    line.lcp()
    line.login(b"bob")
    line.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    line.ppp(False, LCP, 5, 9, b"No free address")


def _full(line: Line) -> None:
    line.ask(8)
    line.control(False, 14, (14, b"\0\x09"), (1, struct.pack("!H", 4)), call=8)


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize(
    ("second", "code"),
    [
        (_silent, "lcp.no-answer"),
        (_no_address, "address.pool-empty"),
        (_full, "l2tp.no-facilities"),
        (lambda line: line.user(8, refused=True), "login.wrong-password"),
    ],
)
def test_a_second_call_in_the_tunnel_is_not_healthy_for_the_first(  # type: ignore[no-untyped-def]
    second, code: str, null: bool, tmp_path: Path
) -> None:
    wire = Wire()
    line = Line(wire, null=null, clear=not null)
    if null:
        line.main_mode()
        line.quick_mode()
    line.setup()
    line.user(7)
    line.leave()
    wire.at += 8
    second(line)
    expected = [("healthy", None), ("failed", code), ("failed", code)]
    assert judged(wire, tmp_path) == expected


def test_a_call_that_works_after_all_ends_the_client_s_trouble(tmp_path: Path) -> None:
    wire = Wire()
    line = Line(wire, clear=True)
    line.setup()
    line.user(7, refused=True)
    wire.at += 8
    line.user(8)
    expected = [("failed", "login.wrong-password"), ("healthy", None), ("healthy", None)]
    assert judged(wire, tmp_path) == expected


@pytest.mark.parametrize("wrong", range(4))
def test_one_user_of_an_access_concentrator_who_is_refused(wrong: int, tmp_path: Path) -> None:
    wire = Wire()
    line = Line(wire, clear=True)
    line.setup()
    for n in range(4):
        line.user(100 + n, b"user%d" % n, refused=n == wrong)
    refused = "failed", "login.wrong-password"
    expected = [refused if n == wrong else ("healthy", None) for n in range(4)]
    assert judged(wire, tmp_path) == [*expected, refused]


def test_the_same_user_s_second_try_counts_and_another_s_does_not(tmp_path: Path) -> None:
    for last, outcome in ((b"user1", "healthy"), (b"user2", "failed")):
        wire = Wire()
        line = Line(wire, clear=True)
        line.setup()
        line.user(100, b"user0")
        line.user(101, b"user1", refused=True)
        line.user(102, last)
        report = wire.report(tmp_path)
        assert report.verdict.outcome == outcome
        assert not [f for f in report.findings if f.code == "path.two-clients-one-nat"]


def test_each_of_several_users_is_named_and_is_not_where_names_are_taken_out(
    tmp_path: Path,
) -> None:
    wire = Wire()
    line = Line(wire, clear=True)
    line.setup()
    for n in range(3):
        line.user(100 + n, b"CORP\\user%d" % n, refused=n == 1)
    report = wire.report(tmp_path)
    assert [s.caller for s in report.sessions] == [f"CORP\\user{n}" for n in range(3)]
    clean = [s.caller for s in redact(report).sessions]
    assert len(set(clean)) == 3 and not any("CORP" in name for name in clean)


def test_a_call_that_fails_before_the_login_has_the_name_of_its_line(tmp_path: Path) -> None:
    """Calling Number of ICRQ, or Proxy Authen Name of ICCN (RFC 2661 section 4.4.5)."""
    wire = Wire()
    line = Line(wire, clear=True)
    line.setup()
    line.call(100)
    for call, number, proxy in ((1, b"0891", b""), (2, b"0892", b""), (3, b"", b"eve@isp")):
        line.calls = {True: call, False: call + 1000}
        told = [(22, number)] if number else []
        line.control(True, 10, (14, struct.pack("!H", call)), (15, bytes(4)), *told)
        if proxy:
            answer = (14, struct.pack("!H", call + 1000))
            line.control(False, 11, answer, call=call)
            line.control(True, 12, (24, bytes(4)), (30, proxy), call=call + 1000)
        refused = (14, b"\0\0"), (1, b"\0\4")
        line.control(False, 14, *refused, call=call)
    line.calls = {True: 4, False: 1004}
    line.control(True, 10, (14, b"\0\4"), (15, bytes(4)), (22, b"0892"))
    line.control(False, 11, (14, struct.pack("!H", 1004)), call=4)
    line.control(True, 12, (24, bytes(4)), call=1004)
    line.lcp()
    line.login(b"bob")
    line.ipcp()
    line.users(4)
    sessions = wire.report(tmp_path).sessions
    assert [s.caller for s in sessions] == ["call 1", "0891", "bob", "eve@isp", "bob"]
    assert sessions[2].verdict.finding == "l2tp.no-facilities"
    assert sessions[4].verdict.outcome == "healthy"


def test_calls_whose_packets_are_mixed(tmp_path: Path) -> None:
    wire = Wire()
    line = Line(wire, clear=True)
    line.setup()
    line.call(1)
    line.call(2)
    one, two = {True: 1, False: 1001}, {True: 2, False: 1002}
    for line.calls in (one, two):
        line.lcp()
    for code, body in ((1, b"\x10" + bytes(16) + b"lns"), (2, b"\x31" + bytes(49) + b"bob")):
        for line.calls in (one, two):
            line.ppp(code == 2, CHAP, code, 1, body)
    line.ppp(False, CHAP, 4, 1, REFUSED)
    line.calls = one
    line.ppp(False, CHAP, 3, 1, b"S=00 M=welcome")
    line.ipcp()
    line.users(4)
    refused = "failed", "login.wrong-password"
    assert judged(wire, tmp_path) == [("healthy", None), refused, refused]


def test_a_tunnel_that_goes_on_beside_a_second_one(tmp_path: Path) -> None:
    wire = Wire()
    first = Line(wire, clear=True)
    first.setup()
    first.user(7)
    second = Line(wire, clear=True, seed=2)
    second.tunnels = {True: 18, False: 35}
    second.sccrq()
    second.control(False, 4, (9, b"\0\x23"), (1, struct.pack("!H", 3)))
    first.users(4)
    first.leave()
    first.control(True, 4, (9, struct.pack("!H", 17)), (1, b"\0\1"))
    first.control(False, 0)
    refused = "failed", "l2tp.already-exists"
    assert judged(wire, tmp_path) == [("healthy", None), refused, refused]
    frames = wire.report(tmp_path).sessions[1].frames
    assert len(frames) == 2


def test_an_icrq_that_is_sent_again_is_no_second_call(tmp_path: Path) -> None:
    wire = Wire()
    line = Line(wire, clear=True)
    line.setup()
    line.ask(7)
    asked = wire.shots[-1].data
    for _ in range(4):
        wire.at += 2
        wire.frame(asked)
    failed = "failed", "l2tp.call-unanswered"
    assert judged(wire, tmp_path) == [failed, failed]


def test_a_later_tunnel_that_has_the_same_ids_is_another_attempt(tmp_path: Path) -> None:
    """Its user was not let in before: the data is that of the first one."""

    def scene(wire: Wire) -> None:
        first = Pair(wire, clear=True)
        first.inside()
        first.control(True, 4, (1, b"\0\1"), (9, struct.pack("!H", first.tunnels[True])), wait=60)
        later = Pair(wire, clear=True)
        later.tunnel()
        later.lcp()
        later.mschap(4, b"E=691 R=0 C=00 V=3 M=no")

    assert played(scene, tmp_path).verdict.finding == "login.wrong-password"


@pytest.mark.parametrize("by_client", [True, False])
@pytest.mark.parametrize("result", [4, 10])
def test_what_ends_a_call_in_use_refuses_nothing(
    by_client: bool, result: int, tmp_path: Path
) -> None:
    """Such a result is that of a call which did not come about, but for users' data before it."""

    def scene(wire: Wire) -> None:
        pair = Pair(wire, clear=True)
        pair.inside()
        wire.shots.clear()
        pair.users(40, 0.5)
        told = (1, struct.pack("!H", result)), (14, struct.pack("!H", pair.calls[by_client]))
        pair.control(by_client, 14, *told, call=pair.calls[not by_client])

    report = played(scene, tmp_path)
    assert report.verdict.outcome == "healthy"
    assert report.sessions[0].client == CLIENT


def test_what_ends_an_older_tunnel_ends_no_call_of_the_newer_one(tmp_path: Path) -> None:
    """A gateway that still waits for an answer in the tunnel that the client has given up."""
    wire = Wire()
    line = Line(wire, null=True)
    line.main_mode()
    line.quick_mode()
    line.setup()
    line.user(7)
    older = line.tunnels, line.ns
    line.tunnels, line.ns = {True: 18, False: 35}, {True: 0, False: 0}
    wire.at += 600
    line.setup()
    line.ask(8)
    newer, line.tunnels, line.ns = (line.tunnels, line.ns), *older
    line.control(False, 4, (9, b"\0\x22"), (1, b"\0\1\0\0Timeout"))
    line.tunnels, line.ns = newer
    line.control(False, 11, (14, struct.pack("!H", 1008)), call=8)
    line.control(True, 12, (24, bytes(4)), (19, b"\0\0\0\1"), call=1008)
    line.lcp()
    line.login(b"bob")
    line.ipcp()
    line.users(4)
    assert judged(wire, tmp_path) == [("healthy", None)] * 3
