"""Parts of a session, read in the clear: what the rest would have told is not guessed, nor is it
called a success."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analyze.links import BY_EAP, linked, logged_in
from tests.unit.analyze.scene import CHAP, EAP, IPCP, LCP, Pair, Scenes, Wire, offer, phase1, played

SCENES = Scenes()
scene = SCENES.keep
IPV6CP = 0x8057


def _challenged(wire: Wire) -> Pair:
    pair = linked(wire)
    pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
    return pair


def _respond(pair: Pair, times: int) -> None:
    for _ in range(times):
        pair.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + b"bob", wait=3)


def _refused(wire: Wire) -> Pair:
    pair = linked(wire)
    pair.mschap(4, b"E=691 R=0 V=3")
    pair.ppp(False, LCP, 5, 9)
    pair.ppp(True, LCP, 6, 9)
    pair.control(False, 14, (1, b"\0\3"), (14, b"\0\x09"), call=7)
    pair.control(True, 0)
    return pair


@scene("the login has had no answer for six seconds when the capture ends", "inconclusive")
def _(wire: Wire) -> None:
    _respond(_challenged(wire), 3)


@scene("for half a minute", "failed", "login.no-answer")
def _(wire: Wire) -> None:
    _respond(_challenged(wire), 11)


@scene("the user confirms a second factor after twenty seconds", "healthy")
def _(wire: Wire) -> None:
    pair = _challenged(wire)
    _respond(pair, 7)
    pair.ppp(False, CHAP, 3, 1, b"S=00")
    pair.ipcp()
    pair.users()


@scene("begun after the refusal: the gateway takes the link down", "inconclusive")
def _(wire: Wire) -> None:
    _refused(wire)
    del wire.shots[:14]


@scene("the client's last words are first", "inconclusive")
def _(wire: Wire) -> None:
    _refused(wire)
    del wire.shots[:15]


@scene("begun in the middle of users' data: the login is refused when asked for again", "failed",
       "login.refused")  # fmt: skip
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.users(10)
    pair.mschap(4, b"E=691 R=0 V=3")


@scene("begun with users' data, and the gateway shuts down", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.users(10)
    pair.control(False, 4, (9, b"\0\x22"), (1, b"\0\6"))


@scene("IPv6 alone, begun in the middle of its negotiation", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    del wire.shots[:]
    pair.ppp(False, IPV6CP, 2, 1, b"\1\x0a" + bytes(7) + b"\5")
    pair.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    pair.ppp(False, LCP, 8, 4, b"\x80\x21\1\1\0\x0a\3\6\0\0\0\0")
    for _ in range(5):
        pair.data(True, b"\0\x57\x60" + bytes(60))
        pair.data(False, b"\0\x57\x60" + bytes(60))


@scene("a user who leaves soon, and the gateway's answer to that is not recorded", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    pair.users()
    pair.ppp(True, LCP, 5, 9, b"User request")
    wire.at += 5
    Pair(wire, client="192.168.7.99", clear=True).inside()


@scene("one answer is missing at the beginning, and the login has none for half a minute", "failed",
       "login.no-answer")  # fmt: skip
def _(wire: Wire) -> None:
    pair = _challenged(wire)
    del wire.shots[1]
    _respond(pair, 11)


@scene("one is missing, and so may be the two that are asked for later", "inconclusive")
def _(wire: Wire) -> None:
    pair = linked(wire)
    del wire.shots[1]
    pair.ppp(True, LCP, 9, 0, b"\1\2\3\4", wait=5)
    for number in range(3):
        pair.ppp(True, 0xC023, 1, number, b"\3bob\3pwd", wait=4)


@scene("one answer is missing at the beginning, and echoes stay unanswered later", "failed",
       "lcp.peer-gone")  # fmt: skip
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.inside()
    del wire.shots[1]
    for number in range(5):
        pair.ppp(True, LCP, 9, number, b"\1\2\3\4", wait=10)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_an_eap_failure_alone_says_nothing_of_the_method(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        linked(wire, BY_EAP).ppp(False, EAP, 4, 2)

    found = played(play, tmp_path).findings[0]
    assert found.code == "login.refused"
    assert "not in the capture" in found.detail


@pytest.mark.parametrize("start", range(7, 12))
def test_who_is_the_client_is_told_by_l2tp_where_ike_does_not(start: int, tmp_path: Path) -> None:
    """The first message recorded is of quick mode: either side may have begun that."""
    wire = Wire()
    pair = Pair(wire, null=True)
    pair.session()
    del wire.shots[:start]
    assert wire.report(tmp_path).sessions[0].client == pair.client


def test_who_begins_an_sa_is_its_client_whatever_was_recorded_before(tmp_path: Path) -> None:
    """The first packet is the refusal of a message 1 that the capture lacks."""
    wire = Wire()
    pair = Pair(wire)
    for wait in (3.0, 3.0, 3.0):
        payloads = [(1, offer([phase1()])), (4, bytes(256)), (10, bytes(16)), (5, b"\x0b\0\0\0vpn")]
        pair.ike(True, 4, payloads, begin=True)
        pair.notify(False, 24, wait=wait)
    del wire.shots[:1]
    report = wire.report(tmp_path)
    assert (report.verdict.outcome, report.sessions[0].client) == ("failed", pair.client)


def test_message_3_of_quick_mode_tells_who_began_it(tmp_path: Path) -> None:
    wire = Wire()
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    wire.at += 35
    pair.info(True)
    del wire.shots[:7]
    assert wire.report(tmp_path).sessions[0].client == pair.client


@pytest.mark.parametrize(
    ("protocol", "code", "options", "by_client"),
    [
        (IPCP, 2, b"\3\6\x0a\x09\0\5\x81\6\x0a\x09\0\x35", False),
        (IPCP, 4, b"\x82\6\0\0\0\0\x84\6\0\0\0\0", False),
        (LCP, 2, b"\3\5\xc2\x23\x81\5\6\1\2\3\4", True),
        (LCP, 3, b"\3\5\xc2\x23\x81", True),
    ],
    ids=["name servers are granted", "name servers are rejected", "a login is agreed to",
         "another login is wanted"],
)  # fmt: skip
def test_who_is_the_client_is_told_by_what_is_answered(
    protocol: int, code: int, options: bytes, by_client: bool, tmp_path: Path
) -> None:
    """The first packet of the capture, and the only one that tells."""
    wire = Wire()
    pair = Pair(wire, clear=True)
    pair.ppp(by_client, protocol, code, 2, options)
    for _ in range(3):
        pair.control(False, 6)
        pair.control(True, 0)
    assert wire.report(tmp_path).sessions[0].client == pair.client


@scene("an address is granted, and the gateway ends the idle link ten minutes later", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.ppp(False, IPCP, 2, 2, b"\3\6\x0a\x09\0\5\x81\6\x0a\x09\0\x35")
    wire.at += 600
    pair.ppp(False, LCP, 5, 10, b"Link inactive")
    pair.ppp(True, LCP, 6, 10)


@pytest.mark.parametrize(
    ("number", "outcome"), [(0, "failed"), (400, "inconclusive")], ids=["a new SA", "one in use"]
)
def test_what_an_sa_in_use_has_no_answer_to_is_no_request_for_a_tunnel(
    number: int, outcome: str, tmp_path: Path
) -> None:
    """Recorded from the middle on; whether the gateway is there is asked and answered."""
    wire = Wire()
    pair = Pair(wire)
    pair.sequence[True] = number
    for _ in range(9):
        for _ in range(3):
            pair.esp(True, bytes(104), wait=2)
        pair.info(False)
        pair.info(True)
    assert wire.report(tmp_path).verdict.outcome == outcome


def test_message_3_of_quick_mode_alone_asks_for_nothing(tmp_path: Path) -> None:
    wire = Wire()
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    del wire.shots[:8]
    for _ in range(6):  # is the client still there?
        wire.at += 30
        pair.info(False)
        pair.info(True)
    verdict = wire.report(tmp_path).verdict
    assert (verdict.outcome, verdict.layer) == ("healthy", None)


def test_who_no_longer_knows_the_sa_is_the_gateway(tmp_path: Path) -> None:
    """Recorded from the middle of a session on, in which the gateway is started anew."""
    wire = Wire()
    pair = Pair(wire)
    pair.data(False, b"\0\x21" + bytes(60))
    pair.users(20)
    for _ in range(8):
        pair.users(3, wait=1.0, back=False)
        wire.at += 7
    pair.notify(False, 11, natt=True)
    report = wire.report(tmp_path)
    assert (report.verdict.finding, report.sessions[0].client) == ("esp.one-way", pair.client)


def test_esp_of_a_third_client_behind_a_nat_heals_no_other(tmp_path: Path) -> None:
    """Its IKE was before the capture; the one that fails begins before that ESP is seen."""
    wire = Wire()
    pairs = [
        Pair(wire, "203.0.113.77", seed=n, ports=(1024 + n, 2048 + n), null=True) for n in range(3)
    ]
    for pair in pairs:
        pair.main_mode()
        pair.quick_mode()
    del wire.shots[:9]
    for pair in pairs[1:]:
        pair.tunnel()
        pair.lcp()
    pairs[1].mschap(4, b"E=649 R=0 V=3")
    pairs[2].mschap()
    pairs[2].ipcp()
    for _ in range(5):
        pairs[0].users(4)
        pairs[2].users(4)
    assert wire.report(tmp_path).verdict.finding == "login.no-dialin-right"
