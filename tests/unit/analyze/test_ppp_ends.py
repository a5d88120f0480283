"""PPP read in the clear, up to where one side refuses, insists or leaves: what is said of each.
Beside a failure stands what looks much like it and is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analyze.scene import CCP, CHAP, EAP, IPCP, LCP, PAP, Pair, Scenes, Wire, played

SCENES = Scenes()
scene = SCENES.keep
MS_CHAPV2, MD5, PAP_, EAP_ = (
    b"\3\5\xc2\x23\x81",
    b"\3\5\xc2\x23\5",
    b"\3\4\xc0\x23",
    b"\3\4\xc2\x27",
)
MPPE = b"\x12\6\1\0\0\x40"


def _up(wire: Wire, auth: bytes = MS_CHAPV2) -> Pair:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.lcp(auth)
    return pair


def _in(wire: Wire) -> Pair:
    """Logged in."""
    pair = _up(wire)
    pair.mschap()
    return pair


# Login


@scene("a password has expired, and changing it fails", "failed", "login.password-change-failed")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.mschap(4, b"E=648 R=0 C=00 V=3 M=expired")
    pair.ppp(True, CHAP, 7, 2, bytes(582))
    pair.ppp(False, CHAP, 4, 2, b"E=709 R=0 C=00 V=3 M=too short")


@scene("a password has expired, and changing it is refused", "failed", "login.password-expired")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.mschap(4, b"E=648 R=0 C=00 V=3 M=expired")
    pair.ppp(True, CHAP, 7, 2, bytes(582))
    pair.ppp(False, CHAP, 4, 2, b"E=691 R=0 C=00 V=3 M=no")


@scene("a password has expired, and is changed", "healthy")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.mschap(4, b"E=648 R=0 C=00 V=3 M=expired")
    pair.ppp(True, CHAP, 7, 2, bytes(582))
    pair.ppp(False, CHAP, 3, 2, b"S=00 M=ok")
    pair.ipcp()
    pair.users()


@scene("wrong passwords until the account is locked", "failed", "login.account-disabled")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.mschap(4, b"E=691 R=1 C=00 V=3 M=no")
    pair.ppp(True, CHAP, 2, 2, b"\x31" + bytes(49) + b"bob")
    pair.ppp(False, CHAP, 4, 2, b"E=647 R=0 C=00 V=3 M=locked")


for _said, _code in (
    (b"\r\nYou are already logged in - access denied\r\n\n", "login.session-limit"),
    (b"Multiple logins not permitted", "login.session-limit"),
    (b"E=691 R=0 C=00 V=3 M=Maximum sessions reached for user", "login.session-limit"),
    (b"E=691 R=0 C=00 V=3 M=Account locked", "login.account-disabled"),
    (b"Your account has expired", "login.account-disabled"),
    (b"You are calling outside your allowed timespan\r\n", "login.restricted-hours"),
    (b"Access denied", "login.wrong-password"),
):

    @scene(f"a refusal in words: {_said!r}", "failed", _code)
    def _(wire: Wire, said: bytes = _said) -> None:
        pair = _up(wire, MD5)
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        pair.ppp(True, CHAP, 2, 1, b"\x10" + bytes(16) + b"bob")
        pair.ppp(False, CHAP, 4, 1, said)
        pair.ppp(False, LCP, 5, 3)


def _eap_mschapv2(wire: Wire) -> Pair:
    pair = _up(wire, EAP_)
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    pair.ppp(False, EAP, 1, 2, b"\x1a\1\2\0\x1a\x10" + bytes(16) + b"rad")
    pair.ppp(True, EAP, 2, 2, b"\x1a\2\2\0\x3b\x31" + bytes(49) + b"bob")
    pair.ppp(False, EAP, 1, 3, b"\x1a\3\2\0\x2fS=" + b"0" * 40)
    return pair


@scene("the client leaves at EAP's proof of the server", "failed", "login.server-unproven")
def _(wire: Wire) -> None:
    pair = _eap_mschapv2(wire)
    pair.ppp(True, LCP, 5, 3)
    pair.ppp(False, LCP, 6, 3)


@scene("the client takes EAP's proof of the server, and then leaves", "inconclusive")
def _(wire: Wire) -> None:
    pair = _eap_mschapv2(wire)
    pair.ppp(True, EAP, 2, 3, b"\x1a\3")
    pair.ppp(True, LCP, 5, 3, b"User request")
    pair.ppp(False, LCP, 6, 3)


@scene("the gateway waits for an answer to its Challenge, and gives up", "failed",
       "login.client-silent")  # fmt: skip
def _(wire: Wire) -> None:
    pair = _up(wire)
    for _ in range(10):
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns", wait=3.0)
    pair.ppp(False, LCP, 5, 2, b"Peer failed to respond to CHAP challenge")


@scene("one answer in EAP, and half a minute later the gateway gives up", "failed",
       "login.no-answer")  # fmt: skip
def _(wire: Wire) -> None:
    pair = _up(wire, EAP_)
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob", wait=30.0)
    pair.ppp(False, LCP, 5, 2, b"EAP timed out")


@scene("PAP, and the gateway hangs up", "failed", "login.refused")
def _(wire: Wire) -> None:
    pair = _up(wire, PAP_)
    pair.ppp(True, PAP, 1, 1, b"\3bob\4pass", wait=3.0)
    pair.ppp(False, LCP, 5, 2)


for _said, _code in (
    (b"Max sessions for user exceeded", "login.session-limit"),
    (b"Go away", "login.refused"),
    (b"", "login.refused"),
):

    @scene(f"the link is ended in place of a verdict: {_said.decode()}", "failed", _code)
    def _(wire: Wire, said: bytes = _said) -> None:
        pair = _up(wire)
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        pair.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + b"bob", wait=1.0)
        pair.ppp(False, LCP, 5, 9, said)


def _tls(wire: Wire, by_client: bool, alert: int, method: int = 13) -> Pair:
    """EAP-TLS up to an alert, and the server's end of it."""
    pair = _up(wire, EAP_)
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    kind = bytes((method,))
    pair.ppp(False, EAP, 1, 2, kind + b"\x20")
    pair.ppp(True, EAP, 2, 2, kind + b"\x80\0\0\0\x64\x16\3\1\0\x5f" + bytes(0x5F))
    pair.ppp(False, EAP, 1, 3, kind + b"\x80\0\0\4\0\x16\3\3\3\xfb" + bytes(1019))
    told = kind + b"\x80\0\0\0\7\x15\3\3\0\2\2" + bytes((alert,))
    if not by_client:
        pair.ppp(True, EAP, 2, 3, kind + b"\x80\0\0\4\0\x16\3\3\3\xfb" + bytes(1019))
        pair.ppp(False, EAP, 1, 4, told)
    pair.ppp(True, EAP, 2, 3 if by_client else 4, told if by_client else kind + b"\0")
    pair.ppp(False, EAP, 4, 4)
    pair.ppp(False, LCP, 5, 5)
    return pair


SCENES["the client does not know the server's authority"] = (
    "failed", "login.certificate-refused", lambda wire: _tls(wire, True, 48))  # fmt: skip
SCENES["the user's certificate has expired"] = (
    "failed", "login.certificate-refused", lambda wire: _tls(wire, False, 45))  # fmt: skip


# LCP


@scene("pppd without noauth", "failed", "lcp.no-common-auth")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.ppp(True, LCP, 1, 0, MS_CHAPV2 + b"\5\6\1\2\3\4")
    pair.ppp(False, LCP, 4, 0, MS_CHAPV2)
    pair.lcp()
    pair.ppp(True, LCP, 5, 2, b"peer refused to authenticate")
    pair.ppp(False, LCP, 6, 2)


@scene("a client that asks for that and goes on without", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.ppp(True, LCP, 1, 0, MS_CHAPV2 + b"\5\6\1\2\3\4")
    pair.ppp(False, LCP, 4, 0, MS_CHAPV2)
    for play in (pair.lcp, pair.mschap, pair.ipcp, pair.users):
        play()


@scene("LCP unanswered until the gateway ends the call", "failed", "lcp.no-answer")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    for _ in range(10):
        pair.ppp(True, LCP, 1, 1, b"\5\6\1\2\3\4", wait=3.0)
    pair.control(False, 14, (14, b"\0\x09"), (1, b"\0\1"), call=7)


@scene("LCP is open, and the user changes his mind", "inconclusive")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.ppp(True, LCP, 5, 2, b"User request")
    pair.ppp(False, LCP, 6, 2)


# Address


@scene("a fixed address in the profile", "failed", "address.refused")
def _(wire: Wire) -> None:
    pair = _in(wire)
    pair.ppp(False, IPCP, 1, 1, b"\3\6\x0a\x09\0\1")
    pair.ppp(True, IPCP, 2, 1, b"\3\6\x0a\x09\0\1")
    for n in range(1, 12):
        pair.ppp(True, IPCP, 1, n, b"\3\6\x0a\x09\0\x63")
        pair.ppp(False, IPCP, 3, n, b"\3\6\x0a\x09\0\5", wait=1.0)
    pair.ppp(True, LCP, 5, 9)


@scene("an address of last time that the client lets go of", "healthy")
def _(wire: Wire) -> None:
    pair = _in(wire)
    for n in range(2):
        pair.ppp(True, IPCP, 1, 8 + n, b"\3\6\x0a\x09\0\x63")
        pair.ppp(False, IPCP, 3, 8 + n, b"\3\6\x0a\x09\0\5")
    pair.ipcp()
    pair.users()


def _agreed(wire: Wire, times: int) -> None:
    pair = _in(wire)
    for _ in range(times):
        pair.ppp(True, IPCP, 1, 2, b"\3\6\x0a\x09\0\5")
        pair.ppp(False, IPCP, 2, 2, b"\3\6\x0a\x09\0\5", wait=3.0)


SCENES["the gateway agrees, and says no address of its own"] = (
    "failed", "address.no-answer", lambda wire: _agreed(wire, 8))  # fmt: skip
SCENES["the same, cut off behind the first Ack"] = (
    "inconclusive", None, lambda wire: _agreed(wire, 1))  # fmt: skip


WINDOWS_742 = b"\1\2\3\4\0\x3c\xcd\x74\0\0\2\xe6"
for _who, _said in (("Windows", WINDOWS_742), ("pppd", b"MPPE required")):

    @scene(f"{_who} wants MPPE, and the gateway has none", "failed", "address.mppe-demanded")
    def _(wire: Wire, said: bytes = _said) -> None:
        pair = _in(wire)
        pair.ppp(True, CCP, 1, 1, MPPE)
        pair.ppp(False, LCP, 8, 4, b"\x80\xfd\1\1\0\x0a" + MPPE)
        pair.ppp(True, LCP, 5, 5, said)
        pair.ppp(False, LCP, 6, 5)


@scene("the client would do MPPE, and goes on without", "healthy")
def _(wire: Wire) -> None:
    pair = _in(wire)
    pair.ppp(True, CCP, 1, 1, MPPE)
    pair.ppp(False, LCP, 8, 4, b"\x80\xfd\1\1\0\x0a" + MPPE)
    pair.ipcp()
    pair.users()
    wire.at += 60
    pair.ppp(True, LCP, 5, 5)
    pair.ppp(False, LCP, 6, 5)


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


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    outcome, code, play = SCENES[name]
    verdict = played(play, tmp_path).verdict
    assert (verdict.outcome, verdict.finding) == (outcome, code), verdict.headline


def test_the_number_in_a_farewell_of_windows_is_read(tmp_path: Path) -> None:
    found = played(SCENES["Windows wants MPPE, and the gateway has none"][2], tmp_path)
    said = [e.text for f in found.findings for e in f.evidence]
    assert any('"Windows error 742"' in text for text in said)


def test_a_client_that_leaves_is_quoted(tmp_path: Path) -> None:
    found = played(SCENES["LCP is open, and the user changes his mind"][2], tmp_path)
    assert '"User request"' in found.verdict.headline


def test_on_a_bare_link_too_the_client_is_the_one_that_is_rejected(tmp_path: Path) -> None:
    class Bare(Pair):
        def data(self, mine: bool, frame: bytes, wait: float = 0.02) -> bytes:
            self.wire.frame(b"\xff\x03" + frame, wait, 9)
            return frame

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


def test_a_tls_alert_says_whose_certificate_it_is(tmp_path: Path) -> None:
    for by_client, alert, words in (
        (True, 48, "client does not accept the authentication server's certificate: unknown CA"),
        (False, 45, "server does not accept the client's certificate: certificate expired"),
        (True, 70, "client ends the TLS of EAP-PEAP: protocol version"),
    ):
        wire = Wire()
        _tls(wire, by_client, alert, 25 if alert == 70 else 13)
        assert words in wire.report(tmp_path).verdict.headline


def test_the_eap_methods_that_were_offered_are_told(tmp_path: Path) -> None:
    wire = Wire()
    pair = _up(wire, EAP_)
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    pair.ppp(False, EAP, 1, 2, b"\x0d\x20")
    pair.ppp(True, EAP, 2, 2, b"\3\x19\x1a")
    pair.ppp(False, EAP, 4, 2)
    headline = wire.report(tmp_path).verdict.headline
    assert "the server asks for TLS; the client wants PEAP, MS-CHAPv2" in headline
