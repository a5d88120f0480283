"""What a capture that lacks a part must not be said to show: a failure that the missing part
disproves, or a layer of which nothing is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.variants import judged, keys_beside, load
from tests.unit.analyze.links import in_use, linked, logged_in
from tests.unit.analyze.scene import CHAP, EAP, IPCP, LCP, Pair, Scenes, Wire
from tests.unit.analyze.test_outer_layers import sa_init, v2_notify
from tests.unit.analyze.test_ppp_ends import _eap_mschapv2
from vpndiag.capture.keys import Keys

OWN = Path(__file__).parents[3] / "captures"
SCENES = Scenes()
scene = SCENES.keep


def _leaves(pair: Pair) -> None:
    pair.ppp(True, LCP, 5, 3, b"User request")
    pair.ppp(False, LCP, 6, 3)


# IKE


@scene("nothing but the gateway's INVALID-COOKIE", "inconclusive")
def _(wire: Wire) -> None:
    Pair(wire, ports=(47_000, 55_820)).notify(False, 4, natt=True)


@scene("nothing but the gateway's NO-PROPOSAL-CHOSEN", "failed", "ike.no-proposal-chosen")
def _(wire: Wire) -> None:
    Pair(wire).notify(False, 14)


def _unanswered_inside(wire: Wire) -> None:
    """L2TP inside ESP is not answered; IKE is checked once; the client gives up with two Deletes.
    Both sides use port 4500: who alone sends ESP is the client."""
    pair = Pair(wire, null=False)
    for wait in (1, 2, 4, 8, 16):
        pair.esp(True, bytes(100), wait)
    pair.info(False, 0.2)
    pair.info(True, 1.0)
    for wait in (1, 2, 4, 8, 12):
        pair.esp(True, bytes(100), wait)
    pair.info(True, 0.01, size=52)
    pair.info(True)


@scene("an answer and a farewell that nobody can read are no questions", "failed", "l2tp.no-answer")
def _(wire: Wire) -> None:
    _unanswered_inside(wire)


@scene("but three questions are", "failed", "path.dpd-timeout")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    pair.users(60)
    pair.only = True
    for _ in range(6):
        pair.info(True, 5.0)


@scene("IKE from the last message of quick mode on, checked later whether the gateway is there",
       "healthy")  # fmt: skip
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    del wire.shots[:-1]
    wire.at += 30
    for _ in range(3):
        pair.info(False)
        pair.info(True, wait=30)


@scene("IKEv2 is refused, and the first message of IKEv1 is just sent", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    sa_init(pair, True, begin=True)
    v2_notify(pair, 14)
    pair.new_sa()
    pair.mm1()


@scene("of an old SA only packets that nobody answers", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.sequence[True] = 4_000
    for _ in range(6):
        pair.esp(True, bytes(130), wait=5)
    pair.info(False)
    pair.info(True)


@scene("a renewal, and dead peer detection behind it, where the capture ends", "inconclusive")
def _(wire: Wire) -> None:
    pair = in_use(wire)
    pair.quick_mode(answered=False)
    pair.info(False)


@scene("a renewal, and something that nobody can read behind it, and no more", "failed",
       "ipsec.rekey-refused")  # fmt: skip
def _(wire: Wire) -> None:
    pair = in_use(wire)
    pair.quick_mode(answered=False)
    pair.info(False, wait=5.0)
    pair.esp(True, bytes(130))


# The login


@scene("the client's IPCP is missing, and the gateway's answer to it is there", "inconclusive")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(False, IPCP, 3, 1, b"\3\6\x0a\x09\0\5")
    _leaves(pair)


@scene("nor is it seen, and the client leaves at the proof", "failed", "login.server-unproven")
def _(wire: Wire) -> None:
    _leaves(logged_in(wire))


@scene("EAP's Success follows the client's word that it takes the proof", "inconclusive")
def _(wire: Wire) -> None:
    pair = _eap_mschapv2(wire)
    pair.ppp(False, EAP, 3, 3)
    _leaves(pair)


@scene("a capture that begins with a login, which may not be the first", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.mschap()
    _leaves(pair)


@scene("a login that is asked for once more in a session in use", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.users(20)
    pair.mschap()
    _leaves(pair)


@scene("what the client asked for next is missing, and is rejected", "inconclusive")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ppp(False, LCP, 8, 4, b"\x80\xfd\1\1\0\x0a\x12\6\1\0\0\x40")
    _leaves(pair)


@scene("LCP begun anew, all that is recorded of it, and then the gateway's farewell", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire, clear=True)
    pair.users()
    pair.ppp(False, LCP, 1, 9, b"\1\4\5\x78\5\6\x9a\2\3\4")
    pair.ppp(False, LCP, 5, 1, b"Session-Timeout")


@scene("message 2 of quick mode again and again, to a recorder that misses packets", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    del wire.shots[1]
    pair.quick_mode(answered=False)
    for wait in (0.02, 4, 7, 13):
        pair.ike(False, 32, natt=True, hidden=(8, bytes(196)), mid=pair.mid, wait=wait)


# The end of a session


@scene("inside ESP, of a session only its end", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire, null=True)
    pair.ppp(False, LCP, 5, 3)
    pair.ppp(True, LCP, 5, 3, b"Authentication failed")
    pair.ppp(True, LCP, 6, 3)
    pair.ppp(False, LCP, 6, 3)
    pair.control(True, 14, (1, b"\0\3"), (14, b"\0\7"), call=9)
    pair.info(True)
    pair.info(False)


@scene("both ends take one address, and the gateway closes IPCP", "failed", "address.conflict")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    for mine in (True, False):
        pair.ppp(mine, IPCP, 1, 1, b"\3\6\x0a\x09\0\1")
        pair.ppp(not mine, IPCP, 2, 1, b"\3\6\x0a\x09\0\1")
    pair.ppp(False, IPCP, 5, 2)


@scene("the gateway's last Ack of IPCP is missing, and LCP is begun anew after long use", "healthy")
def _(wire: Wire) -> None:
    pair = logged_in(wire)
    pair.ipcp()
    del wire.shots[-1]
    pair.users()
    wire.at += 600
    pair.ppp(True, LCP, 1, 9, b"\1\4\5\x78\5\6\x9a\2\3\4")
    _leaves(pair)


@scene("a capture that ends two ESP packets after quick mode", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    pair.esp(True, bytes(130))
    pair.esp(False, bytes(100))


@scene("the same with an echo and its answer", "healthy")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    pair.esp(True, bytes(130))
    pair.esp(False, bytes(130))


def _echoes_at(wire: Wire, waits: tuple[float, ...], copied: bool) -> None:
    """One size out and back, the first packet recorded twice where it is ``copied``."""
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode()
    for wait in waits:
        packet = pair.esp(True, bytes(130), 1e-5)
        if copied:
            wire.frame(packet, 1e-3)
            copied = False
        pair.esp(False, bytes(130), wait)


@scene("an echo that is recorded twice is no message and its repeat", "healthy")
def _(wire: Wire) -> None:
    _echoes_at(wire, (0.2, 0.2, 0.2, 0.21, 0.2), copied=True)


@scene("a message that is repeated although it is answered", "failed", "l2tp.no-answer")
def _(wire: Wire) -> None:
    _echoes_at(wire, (1, 2, 4, 8, 16), copied=False)


@scene("the same where its first packet is recorded twice", "failed", "l2tp.no-answer")
def _(wire: Wire) -> None:
    _echoes_at(wire, (1, 2, 4, 8, 16), copied=True)


@scene("the client is asked for its login, and the capture ends", "inconclusive")
def _(wire: Wire) -> None:
    linked(wire).ppp(False, CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def _with_wrong_keys(keys: Keys) -> Keys:
    wrong = Keys()
    for cookie, found in keys.ike.items():
        for key in found:
            wrong.add_ike(cookie, bytes(b ^ 0x55 for b in key))
    return wrong


@pytest.mark.parametrize("name", ["healthy-strongswan", "healthy-softether", "nat-both-libreswan"])
def test_keys_that_open_nothing_are_no_failure(name: str, tmp_path: Path) -> None:
    """Keys of another run beside a capture that ends at message 6."""
    capture = OWN / f"{name}.pcapng"
    shots, keys = load(capture), keys_beside(capture)
    assert keys is not None
    for end in range(1, 20):
        verdict = judged(shots[:end], _with_wrong_keys(keys), tmp_path / "v").verdict
        assert verdict.outcome != "failed", f"first {end}: {verdict}"


def _late(name: str, keyed: bool, place: Path) -> Iterator[str]:
    """What is said of a recording that begins with each of its packets."""
    capture = OWN / f"{name}.pcapng"
    shots, keys = load(capture), keys_beside(capture) if keyed else None
    for n in range(1, len(shots), 3):
        yield judged(shots[n:], keys, place).verdict.headline


@pytest.mark.parametrize("name", ["sha2-truncation-strongswan", "wrong-password-softether"])
def test_no_session_ends_before_it_begins(name: str, tmp_path: Path) -> None:
    assert not [said for said in _late(name, False, tmp_path / "v") if " -0." in said]
