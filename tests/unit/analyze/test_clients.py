"""What real clients and gateways leave behind outside of the encryption: sizes, repeats, farewells
and silence. Nothing here can be read; beside a failure stands what looks much like it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.unit.analyze.scene import (
    CLIENT,
    MACOS,
    MACOS_VENDORS,
    MARKER,
    ROUTER,
    WINDOWS,
    Pair,
    Scenes,
    Wire,
    offer,
    phase1,
    played,
)

SCENES = Scenes()
scene = SCENES.keep


def _alive(pair: Pair, mine: bool) -> None:
    """Dead peer detection: a question and its answer, of one size."""
    pair.info(mine, size=84)
    pair.info(not mine, size=84)


def _elsewhere(pair: Pair, seconds: int) -> None:
    """The capture goes on with what the client says to others."""
    for _ in range(seconds):
        pair.udp(True, 53_211, 443, bytes(200), wait=1.0)


def _up(wire: Wire, **how: object) -> Pair:
    pair = Pair(wire, **how)  # type: ignore[arg-type]
    pair.main_mode()
    pair.quick_mode()
    return pair


@scene("a notification behind message 6, and no quick mode", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.info(False, wait=0.2)
    _elsewhere(pair, 20)


@scene("quick mode in vain while dead peer detection goes on", "failed", "ipsec.unanswered")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(MACOS, MACOS_VENDORS, chosen=MACOS[3])
    pair.quick_mode(answered=False, wait=3.0)
    for number in range(9):
        pair.ask_again(3.0)
        if number % 3 == 0:
            _alive(pair, False)


@scene("quick mode is answered with a notification, and asked no more", "failed", "ipsec.refused")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode(answered=False)
    pair.info(False, size=84)
    pair.info(True)
    _elsewhere(pair, 10)


@scene("few packets of data, and dead peer detection for a quarter of an hour", "healthy")
def _(wire: Wire) -> None:
    pair = _up(wire)
    pair.users(20)
    for _ in range(20):
        wire.at += 40
        pair.put(True, b"\xff", True)
        _alive(pair, False)


@scene("quick mode is complete, and the client leaves at once, again and again", "inconclusive")
def _(wire: Wire) -> None:
    for number in range(3):
        pair = _up(wire, seed=number)
        wire.at += 0.3
        pair.info(True)
        pair.info(True, wait=10.0)


@scene("quick mode is complete, and nothing follows for a minute", "inconclusive")
def _(wire: Wire) -> None:
    _elsewhere(_up(wire), 60)


@scene("a capture that ends with quick mode", "healthy")
def _(wire: Wire) -> None:
    _elsewhere(_up(wire), 1)


@scene("the IKE of a session alone: checks whether the other side is there", "healthy")
def _(wire: Wire) -> None:
    pair = _up(wire)
    for _ in range(10):
        wire.at += 30
        _alive(pair, False)


CERTIFICATES = [phase1(auth=3)]


def _proof_unheard(wire: Wire, size: int, transforms: list[bytes] = WINDOWS) -> None:
    """Recorded near the gateway: it answers each message 5, and the client asks on."""
    pair = Pair(wire)
    pair.main_mode(transforms, upto=4, chosen=transforms[-1])
    ours, theirs = bytes(900), bytes(size)
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.proof(True, body=ours)
        pair.proof(False, wait, body=theirs)


SCENES["message 6 never gets to the client"] = (
    "failed", "path.float-blocked", lambda wire: _proof_unheard(wire, 68))  # fmt: skip
SCENES["message 6 with a certificate never gets to the client"] = (
    "failed", "path.float-blocked",
    lambda wire: _proof_unheard(wire, 1200, CERTIFICATES))  # fmt: skip
SCENES["message 6 needs fragments and never gets to the client"] = (
    "failed", "path.fragments-lost",
    lambda wire: _proof_unheard(wire, 2400, CERTIFICATES))  # fmt: skip


@scene("message 2 of quick mode never gets to the client", "failed", "ipsec.unanswered")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.quick_mode(answered=False)
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.ike(False, 32, natt=True, hidden=(8, bytes(196)), mid=pair.mid, wait=wait)
        pair.ask_again(0.02)


def _gateway_begins(pair: Pair, users: bool) -> None:
    """Phase 1 anew, begun by the gateway and not answered."""
    pair.new_sa()
    for wait in (4.0, 7.2, 13.0, 23.3):
        pair.ike(False, 2, [(1, offer([phase1()]))], natt=True, begin=True)
        if users:
            pair.users(4, wait=wait / 4)
        else:
            pair.wire.at += wait


def _in_use(wire: Wire) -> Pair:
    pair = _up(wire)
    pair.users(120)
    return pair


@scene("the gateway renews phase 1 in vain while data goes on", "healthy")
def _(wire: Wire) -> None:
    _gateway_begins(_in_use(wire), users=True)


@scene("the gateway tries to get a client back that is gone", "failed", "path.dpd-timeout")
def _(wire: Wire) -> None:
    pair = _in_use(wire)
    for _ in range(5):
        pair.info(False, 10.0, 84)
    _gateway_begins(pair, users=False)


@scene("and one that said goodbye", "healthy")
def _(wire: Wire) -> None:
    pair = _in_use(wire)
    pair.info(True)
    pair.info(True, wait=5.0)
    _gateway_begins(pair, users=False)


def _client_alone(wire: Wire, step: int, tries: int = 5, *, late: bool = False) -> Pair:
    """The client's direction alone. It repeats message 3 or 5 of phase 1, or (7) quick mode."""
    pair = Pair(wire)
    pair.only = True
    pair.main_mode(upto=min(step, 6) - (step < 7))
    if late:
        wire.shots.clear()
    if step == 7:
        pair.quick_mode(answered=False)
    elif step == 5:
        pair.proof(True)
    else:
        pair.key_exchange(True)
    last = wire.shots[-1].data
    for number in range(1, tries):
        wire.at += 2.0**number
        wire.frame(last)
    return pair


for _step, _code in ((3, "ike.stalled"), (5, "auth.unanswered"), (7, "ipsec.unanswered")):
    for _late in (False, True):
        SCENES[f"the client alone repeats step {_step}, late: {_late}"] = (
            "failed", _code,
            lambda wire, step=_step, late=_late: _client_alone(wire, step, late=late))  # fmt: skip
    SCENES[f"the client alone sends step {_step} twice"] = (
        "inconclusive", None, lambda wire, step=_step: _client_alone(wire, step, 2))  # fmt: skip


@scene("the client alone repeats message 5 and goes on", "inconclusive")
def _(wire: Wire) -> None:
    pair = _client_alone(wire, 5)
    pair.quick_mode()
    pair.users(20)


def _first_message_again(wire: Wire, waits: tuple[float, ...], **how: object) -> None:
    """The client's ESP is of one size, and the gateway answers each; then the client leaves."""
    pair = _up(wire, **how)
    for wait in waits:
        pair.esp(True, bytes(116))
        pair.esp(False, bytes(124), wait)
    pair.info(True)
    pair.info(True)


SCENES["answers inside ESP never get to the client"] = (
    "failed", "l2tp.no-answer",
    lambda wire: _first_message_again(wire, (1.0, 2.0, 4.0, 8.0, 8.0)))  # fmt: skip
SCENES["the same without UDP"] = (
    "failed", "path.esp-blocked",
    lambda wire: _first_message_again(wire, (1.0, 2.0, 4.0, 8.0, 8.0), nat=False,
                                      client="203.0.113.9"))  # fmt: skip
SCENES["a ping each second is no message that is repeated"] = (
    "inconclusive", None, lambda wire: _first_message_again(wire, (1.0,) * 8))  # fmt: skip


def _l2tp_in_vain(wire: Wire, seed: int) -> None:
    pair = _up(wire, seed=seed)
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.esp(True, bytes(116), wait)
    pair.info(True)
    pair.info(True, wait=10.0)


@scene("a loop that the capture cuts short after quick mode", "failed", "l2tp.no-answer")
def _(wire: Wire) -> None:
    for number in range(3):
        _l2tp_in_vain(wire, number)
    _up(wire, seed=9)


@scene("a failed attempt, and one that comes through", "healthy")
def _(wire: Wire) -> None:
    _l2tp_in_vain(wire, 1)
    _up(wire, seed=9).users(60)


@scene("phase 1 is renewed, and the proof is refused", "failed", "ike.rekey-refused")
def _(wire: Wire) -> None:
    pair = _in_use(wire)
    pair.new_sa()
    pair.mm1(natt=True)
    pair.mm2(natt=True)
    pair.key_exchange(True, natt=True)
    pair.key_exchange(False, natt=True)
    proof = bytes(68)
    for wait in (1.0, 2.0, 4.0):
        pair.proof(True, body=proof)
        pair.info(False, wait, 52)
    pair.users(10)


@scene("the gateway ends it right behind quick mode, again and again", "inconclusive")
def _(wire: Wire) -> None:
    for number in range(3):
        pair = _up(wire, seed=number)
        pair.info(False)
        pair.info(False, wait=15.0)


@scene("racoon says INITIAL-CONTACT behind message 6, and the capture ends", "inconclusive")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(MACOS, MACOS_VENDORS, chosen=MACOS[1])
    pair.info(True, size=84)


@scene("the client leaves at message 6", "failed", "auth.gateway-unproven")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode()
    pair.info(True)
    _elsewhere(pair, 10)


@scene("the gateway knows nothing of the SA that it has just agreed", "failed", "esp.no-return")
def _(wire: Wire) -> None:
    pair = _up(wire)
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.esp(True, bytes(116))
        pair.notify(False, 11, natt=True, wait=wait)


@scene("message 6 comes from UDP 500", "failed", "path.answer-from-elsewhere")
def _(wire: Wire) -> None:
    pair = Pair(wire)
    pair.main_mode(upto=4)
    head = pair.ci + pair.cr + struct.pack("!BBBBII", 5, 0x10, 2, 1, 0, 96)
    for wait in (1.0, 2.0, 4.0, 8.0):
        pair.proof(True, body=bytes(68))
        pair.udp(False, 500, 4500, MARKER + head + bytes(68), wait)


@scene("the other side is there, and the client leaves without one ESP packet", "inconclusive")
def _(wire: Wire) -> None:
    pair = _up(wire)
    for _ in range(6):
        _alive(pair, True)
        wire.at += 5
    pair.info(True)
    pair.info(True)


def _login_in_vain(wire: Wire, seed: int) -> None:
    """As many packets as a login takes, and the client leaves."""
    pair = _up(wire, seed=seed)
    pair.users(12, wait=0.2, size=40)
    pair.info(True)
    pair.info(True, wait=10.0)


@scene("logins that seem to fail, and one attempt more that is cut short", "inconclusive")
def _(wire: Wire) -> None:
    for number in range(3):
        _login_in_vain(wire, number)
    _up(wire, seed=9)


@scene("a login that seems to fail, and one that does not", "healthy")
def _(wire: Wire) -> None:
    _login_in_vain(wire, 1)
    _up(wire, seed=9).users(60)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_a_capture_that_ends_with_quick_mode_says_what_it_does_not_show(tmp_path: Path) -> None:
    found = played(SCENES["a capture that ends with quick mode"][2], tmp_path)
    assert found.verdict.confidence == "medium"
    assert "L2TP and the login cannot be judged" in found.verdict.headline


def test_quick_mode_is_complete_with_message_3(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        _up(wire)
        del wire.shots[-1]

    verdict = played(play, tmp_path).verdict
    assert (verdict.outcome, verdict.layer) == ("inconclusive", "ipsec")
    assert "message 3 is not" in verdict.headline


@pytest.mark.parametrize(("checks", "outcome"), [(1, "inconclusive"), (5, "healthy")])
def test_a_few_messages_of_an_older_session_are_no_health(
    checks: int, outcome: str, tmp_path: Path
) -> None:
    """An encrypted message and its answer may be anything; checks whether the other side is there,
    answered for minutes, are a session that lives."""

    def play(wire: Wire) -> None:
        pair = _up(wire)
        wire.shots.clear()
        for _ in range(checks):
            pair.info(False, size=84)
            pair.info(True, size=84, wait=20.0)

    verdict = played(play, tmp_path).verdict
    assert (verdict.outcome, verdict.layer) == (outcome, None if outcome == "healthy" else "ike")


def test_message_6_shows_that_the_key_is_right_whatever_follows(tmp_path: Path) -> None:
    found = played(SCENES["a notification behind message 6, and no quick mode"][2], tmp_path)
    rungs = {x.id: x for x in found.layers}
    assert rungs["auth"].status == "passed"
    assert "may be a Delete" in rungs["ipsec"].summary


def test_answers_that_the_capture_has_are_not_denied(tmp_path: Path) -> None:
    """Who reads only the headline must not look for the fault at a gateway that answers."""
    for name in ("message 6 never gets", "message 2 of quick mode never gets"):
        (play,) = (p for n, (_, _, p) in SCENES.items() if n.startswith(name + " to the client"))
        found = played(play, tmp_path)
        main = found.findings[0]
        assert "do not get to the client" in found.verdict.headline
        assert main.owner == main.causes[0].owner == "network" and "capture" in main.causes[0].text
        assert not any("key differs" in c.text or "without a notify" in c.text for c in main.causes)


@pytest.mark.parametrize("users", [True, False])
def test_what_the_gateway_begins_is_part_of_the_client_s_session(
    tmp_path: Path, users: bool
) -> None:
    def play(wire: Wire) -> None:
        _gateway_begins(_in_use(wire), users)

    found = played(play, tmp_path)
    assert [s.client for s in found.sessions] == [CLIENT]


def test_a_capture_that_goes_on_does_not_end_at_message_4(tmp_path: Path) -> None:
    for seconds, words in ((60, "no message 5 (from UDP 4500"), (1, "ends at message 4")):

        def play(wire: Wire, seconds: int = seconds) -> None:
            pair = Pair(wire)
            pair.main_mode(upto=4)
            _elsewhere(pair, seconds)

        verdict = played(play, tmp_path).verdict
        assert verdict.outcome == "inconclusive" and words in verdict.headline


def test_a_refusal_of_message_5_that_nobody_can_read_may_be_of_the_identity(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        pair = Pair(wire)
        pair.main_mode(upto=5)
        pair.info(False, wait=5.0)

    found = played(play, tmp_path)
    assert (found.verdict.finding, found.verdict.confidence) == ("auth.psk-mismatch", "medium")
    assert any("identity" in c.text for c in found.findings[0].causes)


@pytest.mark.parametrize("answered", [True, False])
def test_a_gateway_that_answers_another_client_is_not_off(tmp_path: Path, answered: bool) -> None:
    def play(wire: Wire) -> None:
        pair = Pair(wire)
        for wait in (1.0, 2.0, 4.0, 8.0):
            pair.mm1(MACOS, MACOS_VENDORS, wait=wait)
        if answered:
            Pair(wire, client="203.0.113.200", seed=2).session()

    found = played(play, tmp_path)
    (silent,) = (f for f in found.findings if f.code == "path.silent")
    assert any("203.0.113.200" in e.text for e in silent.evidence) == answered
    assert any("is off" in c.text for c in silent.causes) != answered


def test_a_client_that_the_gateway_calls_in_vain_does_not_hide_the_others(tmp_path: Path) -> None:
    """Both are behind one NAT; the session of the one that is gone was before the capture."""

    def play(wire: Wire) -> None:
        _gateway_begins(Pair(wire, client=ROUTER, ports=(61_000, 61_001), seed=2), users=False)
        _up(wire, client=ROUTER, ports=(1_024, 1_025), seed=3).users(60)

    found = played(play, tmp_path)
    assert found.verdict.outcome == "healthy"
    gone, there = found.sessions
    assert (gone.client, there.client) == (ROUTER, ROUTER)
    assert gone.verdict.outcome == "inconclusive" and "is gone" in gone.verdict.headline
    assert {x.id: x.status for x in there.layers}["esp"] == "passed"


def test_of_unclear_attempts_the_one_that_came_furthest_is_told(tmp_path: Path) -> None:
    def play(wire: Wire) -> None:
        _login_in_vain(wire, 1)
        Pair(wire, seed=9).main_mode(upto=4)

    assert played(play, tmp_path).verdict.layer == "l2tp"


@pytest.mark.parametrize("worked", [True, False], ids=["once served", "never served"])
def test_what_fails_at_times_is_not_over_with_an_attempt_whose_end_is_not_seen(
    worked: bool, tmp_path: Path
) -> None:
    """Two attempts fail at message 5; the last gets through it. Where one before them did as well,
    that shows nothing new."""

    def play(wire: Wire) -> None:
        if worked:
            Pair(wire, seed=1).session()
            wire.at += 60
        for seed in (2, 3):
            pair = Pair(wire, seed=seed)
            pair.main_mode(upto=4)
            body = pair.random.randbytes(68)
            for wait in (1, 2, 4, 20):
                pair.proof(True, wait=wait, body=body)
        Pair(wire, seed=9).main_mode()

    verdict = played(play, tmp_path).verdict
    expected = ("failed", "auth.unanswered") if worked else ("inconclusive", None)
    assert (verdict.outcome, verdict.finding) == expected
