"""PPP read in the clear, beyond the login: addresses, MPPE, and links that end when they are up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.analyze.links import linked, logged_in
from tests.unit.analyze.scene import CCP, IPCP, LCP, Pair, Scenes, Wire, played

SCENES = Scenes()
scene = SCENES.keep
MPPE = b"\x12\6\1\0\0\x40"
IPV6CP = 0x8057


# Address


@scene("a fixed address in the profile", "failed", "address.refused")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(False, IPCP, 1, 1, b"\3\6\x0a\x09\0\1")
    pair.ppp(True, IPCP, 2, 1, b"\3\6\x0a\x09\0\1")
    for n in range(1, 12):
        pair.ppp(True, IPCP, 1, n, b"\3\6\x0a\x09\0\x63")
        pair.ppp(False, IPCP, 3, n, b"\3\6\x0a\x09\0\5", wait=1.0)
    pair.ppp(True, LCP, 5, 9)


@scene("a client that wants no other address than its own, and leaves", "failed", "address.refused")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(True, IPCP, 1, 1, b"\3\6\x0a\x09\0\x63")
    pair.ppp(False, IPCP, 3, 1, b"\3\6\x0a\x09\0\5")
    pair.ppp(True, LCP, 5, 9, b"No network protocols running")
    pair.ppp(False, LCP, 6, 9)


@scene("a client that takes what it is given, and leaves", "inconclusive")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    pair.ppp(False, IPCP, 3, 1, b"\3\6\x0a\x09\0\5")
    pair.ppp(True, LCP, 5, 9, b"User request")
    pair.ppp(False, LCP, 6, 9)


@scene("a gateway that does not allow an address", "failed", "address.refused")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(True, IPCP, 1, 1, b"\3\6\x0a\x09\0\x63")
    pair.ppp(False, IPCP, 5, 2, b"Unauthorized remote IP address")
    pair.ppp(True, IPCP, 6, 2)
    pair.ppp(False, LCP, 5, 3, b"No network protocols running")


@scene("an address of last time that the client lets go of", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    for n in range(2):
        pair.ppp(True, IPCP, 1, 8 + n, b"\3\6\x0a\x09\0\x63")
        pair.ppp(False, IPCP, 3, 8 + n, b"\3\6\x0a\x09\0\5")
    pair.ipcp()
    pair.users()


def _agreed(wire: Wire, times: int) -> None:
    pair = logged_in(wire)
    for _ in range(times):
        pair.ppp(True, IPCP, 1, 2, b"\3\6\x0a\x09\0\5")
        pair.ppp(False, IPCP, 2, 2, b"\3\6\x0a\x09\0\5", wait=3.0)


SCENES["the gateway agrees, and says no address of its own"] = (
    "failed", "address.no-answer", lambda wire: _agreed(wire, 8))  # fmt: skip
SCENES["the same, cut off behind the first Ack"] = (
    "inconclusive", None, lambda wire: _agreed(wire, 1))  # fmt: skip


@scene("the client says nothing in IPCP", "failed", "address.no-answer")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    for _ in range(8):
        pair.ppp(False, IPCP, 1, 1, b"\3\6\x0a\x09\0\1", wait=3.0)


WINDOWS_742 = b"\1\2\3\4\0\x3c\xcd\x74\0\0\2\xe6"
for _who, _said in (("Windows", WINDOWS_742), ("pppd", b"MPPE required")):

    @scene(f"{_who} wants MPPE, and the gateway has none", "failed", "address.mppe-demanded")
    def _(wire: Wire, said: bytes = _said) -> None:
        pair = logged_in(wire)
        pair.ppp(True, CCP, 1, 1, MPPE)
        pair.ppp(False, LCP, 8, 4, b"\x80\xfd\1\1\0\x0a" + MPPE)
        pair.ppp(True, LCP, 5, 5, said)
        pair.ppp(False, LCP, 6, 5)


@scene("the client would do MPPE, and goes on without", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(True, CCP, 1, 1, MPPE)
    pair.ppp(False, LCP, 8, 4, b"\x80\xfd\1\1\0\x0a" + MPPE)
    pair.ipcp()
    pair.users()
    wire.at += 60
    pair.ppp(True, LCP, 5, 5)
    pair.ppp(False, LCP, 6, 5)


def _mppe_refused(wire: Wire) -> Pair:
    """The gateway would do MPPE, the client would not, and IPCP goes on."""
    pair = logged_in(wire)
    pair.ppp(False, CCP, 1, 1, MPPE)
    pair.ppp(True, CCP, 4, 1, MPPE)
    pair.ppp(False, IPCP, 1, 1, b"\3\6\x0a\x09\0\1")
    pair.ppp(True, IPCP, 2, 1, b"\3\6\x0a\x09\0\1")
    pair.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    return pair


@scene("MPPE is refused, and the gateway ends without a word", "failed", "address.mppe-demanded")
def _(wire: Wire) -> None:
    _mppe_refused(wire).ppp(False, LCP, 5, 7)


@scene("MPPE is refused, and nothing more comes until the end", "failed", "address.mppe-demanded")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(False, CCP, 1, 1, MPPE)
    pair.ppp(True, CCP, 4, 1, MPPE, wait=15.0)
    pair.ppp(False, LCP, 5, 7)


@scene("MPPE is refused, and the gateway ends for want of an address", "failed",
       "address.pool-empty")  # fmt: skip
def _(wire: Wire) -> None:
    _mppe_refused(wire).ppp(False, LCP, 5, 7, b"No free addresses in pool")


@scene("MPPE is refused, and the gateway has no facilities", "failed", "address.pool-empty")
def _(wire: Wire) -> None:
    told = (14, b"\0\x09"), (1, b"\0\4")
    _mppe_refused(wire).control(False, 14, *told, call=7)


for _seconds in (60.0, 1.0):

    @scene(f"{_seconds:.0f} s behind the login, and no IPCP", "inconclusive")
    def _(wire: Wire, seconds: float = _seconds) -> None:
        pair = logged_in(wire)
        wire.at += seconds
        pair.ppp(False, LCP, 9, 9, b"\5\6\7\x08")


@scene("a login asked for again in a session of before", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.mschap()
    wire.at += 60
    pair.ppp(False, LCP, 9, 9, b"\5\6\7\x08")


@scene("no login is asked for, and no IPCP follows", "inconclusive")
def _(wire: Wire) -> None:
    pair = linked(wire, b"")
    wire.at += 60
    pair.ppp(False, LCP, 9, 9, b"\5\6\7\x08")


# A session that is up


@scene("the address is agreed, and the gateway ends all the same", "failed", "session.hung-up")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    pair.ppp(False, IPCP, 5, 9, b"Unauthorized remote IP address")
    pair.ppp(True, IPCP, 6, 9)
    pair.ppp(False, LCP, 5, 10, b"No network protocols running")
    pair.ppp(True, LCP, 6, 10)


@scene("three requests for accounting get no answer, and it ends", "failed", "session.hung-up")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    wire.at += 9
    pair.ppp(False, LCP, 5, 10)


@scene("a session that nobody uses ends a minute later", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    wire.at += 60
    pair.ppp(False, LCP, 5, 10)


def _without_an_ack(wire: Wire, which: int) -> Pair:
    pair = logged_in(wire)
    pair.ipcp()
    del wire.shots[which]
    return pair


@scene("the same without the client's Ack in IPCP", "healthy")
def _(wire: Wire) -> None:
    pair = _without_an_ack(wire, -4)
    wire.at += 60
    pair.ppp(False, LCP, 5, 10)


@scene("or without the gateway's", "inconclusive")
def _(wire: Wire) -> None:
    pair = _without_an_ack(wire, -1)
    wire.at += 60
    pair.ppp(False, LCP, 5, 10)


@scene("without it the client leaves a minute later", "inconclusive")
def _(wire: Wire) -> None:
    pair = _without_an_ack(wire, -1)
    wire.at += 60
    pair.ppp(True, LCP, 5, 10)


@scene("without it the client goes on asking, and the gateway ends", "failed", "address.hung-up")
def _(wire: Wire) -> None:
    pair = _without_an_ack(wire, -1)
    for _ in range(9):
        pair.ppp(True, IPCP, 1, 2, b"\3\6\x0a\x09\0\5\x81\6\x0a\x09\0\x35", wait=3)
    wire.at += 30
    pair.ppp(False, LCP, 5, 10)


@scene("the client says something that cannot be read, and the gateway ends", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, null=True)
    for play in (pair.main_mode, pair.quick_mode, pair.tunnel, pair.lcp, pair.mschap, pair.ipcp):
        play()
    pair.info(True)
    pair.ppp(False, LCP, 5, 10)


@scene("the address is agreed, and the client ends", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    pair.ppp(True, LCP, 5, 10, b"User request")
    pair.ppp(False, LCP, 6, 10)


@scene("the client ends, and that packet was not recorded", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    pair.ppp(False, LCP, 6, 10)
    pair.control(False, 14, (14, b"\0\x09"), (1, b"\0\1"), call=7)


@scene("nobody uses the link, and the gateway ends it after ten minutes", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    wire.at += 600
    pair.ppp(False, LCP, 5, 10, b"Link inactive")
    pair.ppp(True, LCP, 6, 10)


@scene("IPv6 alone: IPCP is rejected, and data flows", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    for mine in (True, False):
        pair.ppp(mine, IPV6CP, 1, 1, b"\1\x0aabcdefg%d" % mine)
        pair.ppp(not mine, IPV6CP, 2, 1, b"\1\x0aabcdefg%d" % mine)
    pair.ppp(True, IPCP, 1, 1, b"\3\6\0\0\0\0")
    pair.ppp(False, LCP, 8, 5, b"\x80\x21\1\1\0\x0a\3\6\0\0\0\0")
    for mine in (True, False) * 4:
        pair.data(mine, b"\0\x57\x60" + bytes(99), wait=0.5)


def _late(wire: Wire, heard: bool) -> None:
    """Recorded from IPCP on; the gateway is heard once, or never."""
    pair = Pair(wire, clear=True)
    if heard:
        pair.ppp(False, IPCP, 1, 1, b"\3\6\x0a\x09\0\1")
        pair.ppp(True, IPCP, 2, 1, b"\3\6\x0a\x09\0\1")
    for n in range(8):
        pair.ppp(True, IPCP, 1, n, b"\3\6\0\0\0\0", wait=3.0)


SCENES["an address asked for in vain, recorded from there on"] = (
    "failed", "address.no-answer", lambda wire: _late(wire, True))  # fmt: skip
SCENES["the same, and not a packet of the gateway"] = (
    "inconclusive", None, lambda wire: _late(wire, False))  # fmt: skip


@scene("another address each time that the client asks for the one it was given", "failed",
       "address.no-answer")  # fmt: skip
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(False, IPCP, 1, 1, b"\3\6\x0a\x09\0\1")
    pair.ppp(True, IPCP, 2, 1, b"\3\6\x0a\x09\0\1")
    for n in range(1, 12):
        pair.ppp(True, IPCP, 1, n, b"\3\6\x0a\x09\0" + bytes([n]))
        pair.ppp(False, IPCP, 3, n, b"\3\6\x0a\x09\0" + bytes([n + 1]), wait=0.5)
    pair.ppp(True, LCP, 5, 30, b"IPCP failed")


def _without_ipv4(wire: Wire) -> Pair:
    """The gateway rejects IPCP; IPV6CP is asked for both ways."""
    pair = logged_in(wire)
    asked = b"\3\6\0\0\0\0"
    pair.ppp(True, IPCP, 1, 1, asked)
    pair.ppp(True, IPV6CP, 1, 1, b"\1\x0a" + b"\1" * 8)
    pair.ppp(False, LCP, 8, 4, b"\x80\x21\1\1\0\x0a" + asked)
    pair.ppp(False, IPV6CP, 1, 1, b"\1\x0a" + b"\2" * 8)
    return pair


@scene("IPCP is rejected, and the capture ends within IPV6CP", "inconclusive")
def _(wire: Wire) -> None:
    _without_ipv4(wire)


for _data, _outcome in ((False, "inconclusive"), (True, "healthy")):

    @scene(f"the client rejects IPCP within IPV6CP; data follows: {_data}", _outcome)
    def _(wire: Wire, data: bool = _data) -> None:
        pair = logged_in(wire)
        pair.ppp(True, IPV6CP, 1, 1, b"\1\x0a" + b"\1" * 8)
        pair.ppp(False, IPCP, 1, 1, b"\3\6\x0a\x09\0\1")
        pair.ppp(True, LCP, 8, 3, b"\x80\x21\1\1\0\x0a\3\6\x0a\x09\0\1")
        if data:
            pair.users()


@scene("IPCP is rejected, and IPV6CP as well", "failed", "address.refused")
def _(wire: Wire) -> None:
    _without_ipv4(wire).ppp(False, LCP, 8, 5, b"\x80\x57\1\1\0\x0e\1\x0a" + b"\1" * 8)


@scene("IPCP is rejected, and the client leaves in spite of IPv6", "failed", "address.refused")
def _(wire: Wire) -> None:
    pair = _without_ipv4(wire)
    pair.ppp(True, IPV6CP, 2, 1, b"\1\x0a" + b"\2" * 8)
    pair.ppp(False, IPV6CP, 2, 1, b"\1\x0a" + b"\1" * 8, wait=5)
    pair.ppp(True, LCP, 5, 9, b"No network protocols running")


@pytest.mark.parametrize("clear", [True, False], ids=["in the clear", "in NULL ESP"])
@pytest.mark.parametrize(
    ("upto", "layer", "why"),
    [(1, "lcp", "the call was set up"), (2, "login", "LCP is open"), (3, "address", "the login"),
     (4, None, "")],
)  # fmt: skip
def test_a_capture_that_ends_between_two_phases(
    upto: int, layer: str | None, why: str, clear: bool, tmp_path: Path
) -> None:
    """What can be read shows that the next phase has not begun: nothing is known of it."""

    def play(wire: Wire) -> None:
        pair = Pair(wire, clear=clear, null=not clear)
        if not clear:
            pair.main_mode()
            pair.quick_mode()
        for phase in (pair.tunnel, pair.lcp, pair.mschap, pair.ipcp)[:upto]:
            phase()

    verdict = played(play, tmp_path).verdict
    assert verdict.outcome == ("inconclusive" if layer else "healthy")
    assert verdict.layer == layer and why in verdict.headline


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_the_number_in_a_farewell_of_windows_is_read(tmp_path: Path) -> None:
    found = played(SCENES["Windows wants MPPE, and the gateway has none"][2], tmp_path)
    said = [e.text for f in found.findings for e in f.evidence]
    assert any('"Windows error 742"' in text for text in said)


def test_the_first_word_of_the_gateway_s_end_is_quoted(tmp_path: Path) -> None:
    name = "the address is agreed, and the gateway ends all the same"
    found = played(SCENES[name][2], tmp_path)
    assert "Unauthorized remote IP address" in found.verdict.headline
    assert any("PPP and RADIUS log" in c.fix for f in found.findings for c in f.causes)


class Bare(Pair):
    """A link whose recorder did not tell directions."""

    def data(self, mine: bool, frame: bytes, wait: float = 0.02) -> bytes:
        self.wire.frame(b"\xff\x03" + frame, wait, 9)
        return frame


def test_who_is_who_on_a_bare_link_where_both_count_their_requests(tmp_path: Path) -> None:
    """The gateway's first identifier is the client's second."""
    wire = Wire()
    bare = Bare(wire)
    for play in (bare.lcp, bare.mschap, bare.ipcp):
        play()
    report = wire.report(tmp_path)
    address = next(x for x in report.sessions[0].layers if x.id == "address")
    assert address.summary == "10.9.0.5, gateway 10.9.0.1, DNS 10.9.0.53"


@pytest.mark.parametrize("wait", [0.05, 0.3, 3.0])
def test_a_packet_of_a_bare_link_that_comes_again_is_its_sender_s(
    wait: float, tmp_path: Path
) -> None:
    """Not the other side's, which would claim the address that it has just acknowledged."""
    for number in range(13):
        wire = Wire()
        bare = Bare(wire)
        for play in (bare.lcp, bare.mschap, bare.ipcp):
            play()
        shot = wire.shots[number]
        wire.shots.append(replace(shot, time_ns=shot.time_ns + int(wait * 1e9)))
        assert wire.report(tmp_path).verdict.outcome == "healthy", number


def test_the_end_of_a_bare_link_may_be_either_s_and_is_nobody_s_fault(tmp_path: Path) -> None:
    wire = Wire()
    bare = Bare(wire)
    for play in (bare.lcp, bare.mschap, bare.ipcp):
        play()
    bare.ppp(True, LCP, 5, 9, b"User request")
    bare.ppp(False, LCP, 6, 9)
    assert wire.report(tmp_path).verdict.outcome == "healthy"


def test_on_a_bare_link_too_the_client_is_the_one_that_is_rejected(tmp_path: Path) -> None:
    wire = Wire()
    pair = Bare(wire)
    pair.lcp()
    pair.mschap()
    pair.ppp(True, CCP, 1, 1, MPPE)
    pair.ppp(False, LCP, 8, 4, b"\x80\xfd\1\1\0\x0a" + MPPE)
    pair.ppp(True, LCP, 5, 5, b"MPPE required")
    pair.ppp(False, LCP, 6, 5)
    verdict = wire.report(tmp_path).verdict
    assert verdict.finding == "address.mppe-demanded" and "client insists" in verdict.headline


def _overlap(wire: Wire, client: str) -> None:
    pair = Pair(wire, client, clear=True)
    pair.tunnel()
    pair.lcp()
    pair.mschap()
    given, own = b"\3\6\x0a\x09\0\5", b"\3\6\x0a\x09\0\1"
    pair.ppp(False, IPCP, 1, 1, own)
    pair.ppp(True, IPCP, 2, 1, own)
    pair.ppp(True, IPCP, 1, 2, given)
    pair.ppp(False, IPCP, 2, 2, given)
    pair.users()


def test_a_home_network_with_the_addresses_of_the_inside_is_a_warning(tmp_path: Path) -> None:
    for client, warned in (("10.9.0.77", True), ("10.9.1.77", False), ("192.168.7.33", False)):
        wire = Wire()
        _overlap(wire, client)
        report = wire.report(tmp_path)
        assert report.verdict.outcome == "healthy"
        found = [f for f in report.findings if f.code == "routes.overlap"]
        assert bool(found) == warned and all(f.severity == "warning" for f in found)
