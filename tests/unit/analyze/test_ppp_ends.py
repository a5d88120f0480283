"""PPP read in the clear, up to where one side refuses, insists or leaves in LCP or the login: what
is said of each. Beside a failure stands what looks much like it and is none."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.analyze.links import BY_EAP, BY_MD5, BY_MS_CHAPV2, BY_PAP, linked, logged_in
from tests.unit.analyze.scene import CHAP, EAP, LCP, PAP, Pair, Scenes, Wire, played

SCENES = Scenes()
scene = SCENES.keep


# Login


@scene("a password has expired, and changing it fails", "failed", "login.password-change-failed")
def _(wire: Wire) -> None:
    pair = linked(wire)
    pair.mschap(4, b"E=648 R=0 C=00 V=3 M=expired")
    pair.ppp(True, CHAP, 7, 2, bytes(582))
    pair.ppp(False, CHAP, 4, 2, b"E=709 R=0 C=00 V=3 M=too short")


@scene("a password has expired, and changing it is refused", "failed", "login.password-expired")
def _(wire: Wire) -> None:
    pair = linked(wire)
    pair.mschap(4, b"E=648 R=0 C=00 V=3 M=expired")
    pair.ppp(True, CHAP, 7, 2, bytes(582))
    pair.ppp(False, CHAP, 4, 2, b"E=691 R=0 C=00 V=3 M=no")


@scene("a password has expired, and is changed", "healthy")
def _(wire: Wire) -> None:
    pair = linked(wire)
    pair.mschap(4, b"E=648 R=0 C=00 V=3 M=expired")
    pair.ppp(True, CHAP, 7, 2, bytes(582))
    pair.ppp(False, CHAP, 3, 2, b"S=00 M=ok")
    pair.ipcp()
    pair.users()


@scene("wrong passwords until the account is locked", "failed", "login.account-disabled")
def _(wire: Wire) -> None:
    pair = linked(wire)
    pair.mschap(4, b"E=691 R=1 C=00 V=3 M=no")
    pair.ppp(True, CHAP, 2, 2, b"\x31" + bytes(49) + b"bob")
    pair.ppp(False, CHAP, 4, 2, b"E=647 R=0 C=00 V=3 M=locked")


for _said, _code in (
    (b"\r\nYou are already logged in - access denied\r\n\n", "login.session-limit"),
    (b"Multiple logins not permitted", "login.session-limit"),
    (b"E=691 R=0 C=00 V=3 M=Maximum sessions reached for user", "login.session-limit"),
    (b"E=691 R=0 C=00 V=3 M=Account locked", "login.account-disabled"),
    (b"E=691 R=0 C=00 V=3 M=RADIUS server is not responding", "login.no-answer"),
    (b"rejected by RADIUS server", "login.wrong-password"),
    (b"Your account has expired", "login.account-disabled"),
    (b"You are calling outside your allowed timespan\r\n", "login.restricted-hours"),
    (b"Access denied", "login.wrong-password"),
):

    @scene(f"a refusal in words: {_said!r}", "failed", _code)
    def _(wire: Wire, said: bytes = _said) -> None:
        pair = linked(wire, BY_MD5)
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        pair.ppp(True, CHAP, 2, 1, b"\x10" + bytes(16) + b"bob")
        pair.ppp(False, CHAP, 4, 1, said)
        pair.ppp(False, LCP, 5, 3)


def _eap_mschapv2(wire: Wire) -> Pair:
    pair = linked(wire, BY_EAP)
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
    pair = linked(wire)
    for _ in range(10):
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns", wait=3.0)
    pair.ppp(False, LCP, 5, 2, b"Peer failed to respond to CHAP challenge")


@scene("one answer in EAP, and half a minute later the gateway gives up", "failed",
       "login.no-answer")  # fmt: skip
def _(wire: Wire) -> None:
    pair = linked(wire, BY_EAP)
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob", wait=30.0)
    pair.ppp(False, LCP, 5, 2, b"EAP timed out")


@scene("EAP's answer is sent for each repeat of the question, and goes nowhere", "failed",
       "login.no-answer")  # fmt: skip
def _(wire: Wire) -> None:
    pair = linked(wire, BY_EAP)
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    for _ in range(6):
        pair.ppp(False, EAP, 1, 2, b"\x0d\x20")
        pair.ppp(True, EAP, 2, 2, b"\x0d\0" + bytes(1200), wait=3.0)


def _asked_anew(wire: Wire, *answers: int, challenges: int = 2) -> Pair:
    """CHAP asked with new Challenges, answered with these identifiers behind the last of them, and
    the gateway's CDN in place of a verdict, as l2tpns does."""
    pair = linked(wire, BY_MD5)
    for ident in range(1, challenges + 1):
        pair.ppp(False, CHAP, 1, ident, b"\x10" + bytes([ident]) * 16 + b"lns", wait=2.0)
    for ident in answers:
        pair.ppp(True, CHAP, 2, ident, b"\x10" + bytes([ident]) * 16 + b"bob", wait=0.05)
    call = struct.pack("!H", pair.calls[False])
    pair.control(False, 14, (1, b"\0\3\0\0"), (14, call), call=pair.calls[True])
    return pair


@scene("an answer to an older Challenge, and the gateway hangs up", "failed", "login.hung-up")
def _(wire: Wire) -> None:
    _asked_anew(wire, 1)


@scene("an answer to the newer Challenge, and the gateway hangs up", "failed", "login.refused")
def _(wire: Wire) -> None:
    _asked_anew(wire, 2)


@scene("PAP, and the gateway hangs up", "failed", "login.refused")
def _(wire: Wire) -> None:
    pair = linked(wire, BY_PAP)
    pair.ppp(True, PAP, 1, 1, b"\3bob\4pass", wait=3.0)
    pair.ppp(False, LCP, 5, 2)


for _said, _code in (
    (b"Max sessions for user exceeded", "login.session-limit"),
    (b"Go away", "login.refused"),
    (b"", "login.refused"),
):

    @scene(f"the link is ended in place of a verdict: {_said.decode()}", "failed", _code)
    def _(wire: Wire, said: bytes = _said) -> None:
        pair = linked(wire)
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        pair.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + b"bob", wait=1.0)
        pair.ppp(False, LCP, 5, 9, said)


def _tls(wire: Wire, by_client: bool, alert: int, method: int = 13) -> Pair:
    """EAP-TLS up to an alert, and the server's end of it."""
    pair = linked(wire, BY_EAP)
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


for _name, _auth in (("MD5", BY_MD5), ("MS-CHAP of 1998", b"\3\5\xc2\x23\x80")):

    @scene(f"a client leaves after {_name}, which has no proof of the server", "inconclusive")
    def _(wire: Wire, auth: bytes = _auth) -> None:
        pair = linked(wire, auth)
        pair.mschap(said=b"Welcome")
        pair.ppp(True, LCP, 5, 4, b"User request")
        pair.ppp(False, LCP, 6, 4)


@scene("a client leaves after EAP-MD5, which has none either", "inconclusive")
def _(wire: Wire) -> None:
    pair = linked(wire, BY_EAP)
    pair.ppp(False, EAP, 1, 2, b"\4\x10" + bytes(16))
    pair.ppp(True, EAP, 2, 2, b"\4\x10" + bytes(16))
    pair.ppp(False, EAP, 3, 2)
    pair.ppp(True, LCP, 5, 4, b"User request")


@scene("the gateway hangs up behind Success, and the client closes the call", "failed",
       "address.hung-up")  # fmt: skip
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(False, LCP, 5, 4)
    pair.ppp(True, LCP, 6, 4)
    pair.control(True, 14, (14, b"\0\7"), (1, b"\0\1"), call=9)


@scene("the client refuses the gateway's answer to its own Challenge", "failed",
       "login.server-unproven")  # fmt: skip
def _(wire: Wire) -> None:
    pair = linked(wire, BY_MD5)
    pair.ppp(True, CHAP, 1, 5, b"\x10" + bytes(16) + b"bob")
    pair.mschap(said=b"Welcome")
    pair.ppp(False, CHAP, 2, 5, b"\x10" + bytes(16) + b"lns")
    pair.ppp(True, CHAP, 4, 5, b"not my server")
    pair.ppp(True, LCP, 5, 7, b"Authentication failed")
    pair.ppp(False, LCP, 6, 7)


def _mutual(wire: Wire, answered: bool, left: bool = True) -> None:
    """The client has a Challenge of its own, again and again; the gateway has let it in."""
    pair = linked(wire)
    pair.ppp(True, CHAP, 1, 82, b"\x10" + bytes(16) + b"bob")
    pair.mschap()
    for _ in range(4):
        if answered:
            pair.ppp(False, CHAP, 2, 82, b"\0")
        wire.at += 3
        pair.ppp(True, CHAP, 1, 82, b"\x10" + bytes(16) + b"bob")
    if left:
        pair.ppp(True, LCP, 5, 7, b"Authentication failed")
        pair.ppp(False, LCP, 6, 7)
    else:
        pair.ppp(False, CHAP, 2, 82, b"\x31" + bytes(49) + b"lns")
        pair.ppp(True, CHAP, 3, 82, b"welcome")
        pair.ipcp()
        pair.users()


SCENES["the client wants the gateway to log in, whose answer is empty"] = (
    "failed", "login.server-unproven", lambda wire: _mutual(wire, True))  # fmt: skip
SCENES["the client wants the gateway to log in, which says nothing"] = (
    "failed", "login.server-unproven", lambda wire: _mutual(wire, False))  # fmt: skip
SCENES["the client wants the gateway to log in, and it does at last"] = (
    "healthy", None, lambda wire: _mutual(wire, False, left=False))  # fmt: skip


def _disconnected(wire: Wire, code: int, said: bytes = b"") -> None:
    """The response to the Challenge is answered by CDN, with the AVP of RFC 3145."""
    pair = linked(wire)
    pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
    pair.ppp(True, CHAP, 2, 1, b"\x31" + bytes(49) + b"bob")
    cause = (46, code.to_bytes(2, "big") + b"\xc2\x23\2" + said, 0)
    pair.control(False, 14, (1, b"\0\2\0\6"), (14, b"\0\x09"), cause, call=7)


SCENES["CDN with the cause that name or password is bad"] = (
    "failed", "login.wrong-password", lambda wire: _disconnected(wire, 16))  # fmt: skip
SCENES["CDN with the cause that the administrator ends it"] = (
    "failed", "login.refused", lambda wire: _disconnected(wire, 1))  # fmt: skip


def test_a_disconnect_cause_is_told_with_its_text(tmp_path: Path) -> None:
    verdict = played(lambda wire: _disconnected(wire, 13, b"radius 2"), tmp_path).verdict
    assert '"authentication timed out: radius 2"' in verdict.headline
    verdict = played(lambda wire: _disconnected(wire, 0), tmp_path).verdict
    assert "without a reason" in verdict.headline


def _left_idle(wire: Wire, auth: bytes, seconds: float, leaves: bool) -> None:
    pair = linked(wire, auth)
    for n in range(3):
        pair.ppp(False, LCP, 9, n, b"\5\6\7\x08")
        pair.ppp(True, LCP, 10, n, b"\1\2\3\4", wait=seconds / 3)
    if leaves:
        pair.ppp(True, LCP, 5, 5)
    else:
        pair.ppp(False, LCP, 9, 9, b"\5\6\7\x08")


SCENES["PAP is agreed on, and the client leaves without it"] = (
    "failed", "login.client-silent", lambda wire: _left_idle(wire, BY_PAP, 6, True))  # fmt: skip
SCENES["CHAP is agreed on, and no Challenge comes until the client leaves"] = (
    "failed", "login.no-answer", lambda wire: _left_idle(wire, BY_MD5, 6, True))  # fmt: skip
SCENES["CHAP is agreed on, and nobody begins with it"] = (
    "inconclusive", None, lambda wire: _left_idle(wire, BY_MD5, 60, False))  # fmt: skip


# LCP


@scene("a Nak that the gateway does not hear", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    for _ in range(4):
        pair.ppp(False, LCP, 1, 1, BY_PAP)
        pair.ppp(True, LCP, 3, 1, BY_MS_CHAPV2, wait=3.0)


def _hangs_up(wire: Wire, agreed: bool) -> None:
    """The client asks for callback, as Windows does, and lets go of it."""
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.ppp(True, LCP, 1, 0, b"\5\6\1\2\3\4\x0d\3\6")
    pair.ppp(False, LCP, 4, 0, b"\x0d\3\6")
    if agreed:
        pair.ppp(True, LCP, 1, 1, b"\5\6\1\2\3\4")
        pair.ppp(False, LCP, 2, 1, b"\5\6\1\2\3\4")
    pair.ppp(False, LCP, 5, 3)


SCENES["an option is turned down, and the gateway ends"] = (
    "failed", "lcp.refused", lambda wire: _hangs_up(wire, False))  # fmt: skip
SCENES["an option is let go of, and the gateway ends all the same"] = (
    "failed", "lcp.hung-up", lambda wire: _hangs_up(wire, True))  # fmt: skip


@scene("pppd without noauth", "failed", "lcp.no-common-auth")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.ppp(True, LCP, 1, 0, BY_MS_CHAPV2 + b"\5\6\1\2\3\4")
    pair.ppp(False, LCP, 4, 0, BY_MS_CHAPV2)
    pair.lcp()
    pair.ppp(True, LCP, 5, 2, b"peer refused to authenticate")
    pair.ppp(False, LCP, 6, 2)


@scene("a client that asks for that and goes on without", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.ppp(True, LCP, 1, 0, BY_MS_CHAPV2 + b"\5\6\1\2\3\4")
    pair.ppp(False, LCP, 4, 0, BY_MS_CHAPV2)
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
    pair = linked(wire)
    pair.ppp(True, LCP, 5, 2, b"User request")
    pair.ppp(False, LCP, 6, 2)


@scene("a gateway that says nothing in LCP but that it gives up", "failed", "lcp.no-answer")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    for number in range(4):
        pair.ppp(True, LCP, 1, number, b"\1\4\5\x78", wait=3)
    pair.ppp(False, LCP, 5, 9, b"timeout sending Config-Requests")


@scene("an option is turned down, and the client leaves", "failed", "lcp.no-convergence")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.ppp(True, LCP, 1, 1, b"\1\4\2\0\5\6\1\2\3\4")
    pair.ppp(False, LCP, 4, 1, b"\1\4\2\0")
    pair.ppp(True, LCP, 5, 2)
    pair.ppp(False, LCP, 6, 2)


@scene("turned down, and some seconds later the user cancels", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.ppp(True, LCP, 1, 1, b"\1\4\2\0\5\6\1\2\3\4")
    pair.ppp(False, LCP, 4, 1, b"\1\4\2\0")
    wire.at += 3
    pair.ppp(True, LCP, 5, 2)


@scene("an MRU is refused again and again, and the gateway ends", "failed", "lcp.no-convergence")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    for number in range(10):
        pair.ppp(True, LCP, 1, number, b"\1\4\5\xdc")
        pair.ppp(False, LCP, 3, number, b"\1\4\5\x78", wait=0.3)
    pair.ppp(False, LCP, 5, 50, b"LCP negotiation failed")


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_a_hang_up_that_names_a_reason_has_one(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        pair = linked(wire, BY_MD5)
        pair.ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
        pair.ppp(True, CHAP, 2, 1, b"\x10" + bytes(16) + b"bob", wait=0.5)
        call = struct.pack("!H", pair.calls[False])
        pair.control(False, 14, (1, b"\0\4"), (14, call), call=pair.calls[True])

    report = played(scene, tmp_path)
    assert "no facilities" in report.verdict.headline
    assert report.findings[0].causes[0].owner == "gateway-admin"


@pytest.mark.parametrize(
    ("answers", "challenges", "confidence"),
    [((2,), 2, "high"), ((1,), 1, "high"), ((1, 1), 1, "medium"), ((2, 1), 2, "medium")],
)
def test_how_sure_a_hang_up_is_a_refusal(
    answers: tuple[int, ...], challenges: int, confidence: str, tmp_path: Path
) -> None:
    """A gateway that hangs up on an answer which was sent again, or behind one to an older
    Challenge, may not have judged the password."""
    report = played(lambda w: _asked_anew(w, *answers, challenges=challenges), tmp_path)
    assert (report.verdict.finding, report.verdict.confidence) == ("login.refused", confidence)


def test_a_client_that_leaves_is_quoted(tmp_path: Path) -> None:
    found = played(SCENES["LCP is open, and the user changes his mind"][2], tmp_path)
    assert '"User request"' in found.verdict.headline


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
    pair = linked(wire, BY_EAP)
    pair.ppp(False, EAP, 1, 1, b"\1")
    pair.ppp(True, EAP, 2, 1, b"\1bob")
    pair.ppp(False, EAP, 1, 2, b"\x0d\x20")
    pair.ppp(True, EAP, 2, 2, b"\3\x19\x1a")
    pair.ppp(False, EAP, 4, 2)
    headline = wire.report(tmp_path).verdict.headline
    assert "the server asks for TLS; the client wants PEAP, MS-CHAPv2" in headline


def test_what_was_not_recorded_of_a_text_is_not_quoted(tmp_path: Path) -> None:
    wire = Wire()
    linked(wire).mschap(4, b"E=691 R=0 C=00 V=3 M=Access denied")
    wire.shots[-1] = replace(wire.shots[-1], data=wire.shots[-1].data[:-7])
    said = [e.text for f in wire.report(tmp_path).findings for e in f.evidence]
    assert any(text.endswith('M=Access"') for text in said)


def test_what_a_server_shows_the_user_is_its_reason(tmp_path: Path) -> None:
    """An EAP Notification (RFC 3748 section 5.2) before a Failure, which has no text."""

    def play(wire: Wire) -> None:
        pair = linked(wire, BY_EAP)
        pair.ppp(False, EAP, 1, 1, b"\1")
        pair.ppp(True, EAP, 2, 1, b"\1bob")
        pair.ppp(False, EAP, 1, 2, b"\2Your password has expired")
        pair.ppp(True, EAP, 2, 2, b"\2")
        pair.ppp(False, EAP, 4, 2)

    found = played(play, tmp_path).findings[0]
    assert found.code == "login.password-expired"
    assert "Your password has expired" in found.evidence[0].text


def test_answers_that_differ_are_shown_one_by_one(tmp_path: Path) -> None:
    """The password has expired, and the new one is not taken."""
    _, _, play = SCENES["a password has expired, and changing it fails"]
    told = played(play, tmp_path).findings[0].evidence
    assert [(e.text[20:38], len(e.frames)) for e in told] == [
        ("CHAP Failure E=648", 1),
        ("CHAP Failure E=709", 1),
    ]
