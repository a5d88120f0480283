"""IKE of both versions, NAT and ESP as they are seen from outside: scenes whose answer an expert
gave first. Beside what failed stands what looks much like it and has not."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.analyze.scene import (
    CLIENT,
    MARKER,
    WINDOWS,
    Pair,
    Scenes,
    Wire,
    offer,
    phase1,
    played,
)
from tests.unit.analyze.test_outer import am1, am2, am3
from vpndiag.capture.write import udp_packet

SCENES = Scenes()
scene = SCENES.keep
PSK_XAUTH = phase1(auth=65001, group=2)
CARRIER = {"client": "203.0.113.8", "ports": (20011, 31999)}
"""A client behind a NAT of its provider's, as the gateway sees it."""
NO_PROPOSAL_CHOSEN, PAYLOAD_MALFORMED, INVALID_ID = 14, 16, 18
COOKIE, INVALID_KE = 16390, 17


def goes_on(w: Wire, wait: float = 20.0) -> None:
    """The capture does, with something else."""
    w.at += wait
    w.frame(udp_packet(CLIENT, "203.0.113.99", 40_000, 123, bytes(48), 9))


def v2(p: Pair, mine: bool, exchange: int, number: int, body: bytes, *, first: int = 46,
       begin: bool = False, wait: float = 0.05) -> None:  # fmt: skip
    """A message of IKEv2; the client is the initiator. 46: encrypted, 53: a fragment of that."""
    if first in (46, 53):
        body = struct.pack("!BBH", 33, 0, 4 + len(body)) + body
    flags = 0x08 if mine else 0x20
    head = struct.pack("!BBBBII", first, 0x20, exchange, flags, number, 28 + len(body))
    data = p.ci + (bytes(8) if begin else p.cr) + head + body
    p.put(mine, (MARKER if exchange != 34 else b"") + data, exchange != 34, wait)


def sa_init(p: Pair, mine: bool, *, begin: bool = False) -> None:
    proposal = bytes((0, 0, 0, 44, 1, 1, 0, 4)) + bytes((3, 0, 0, 12, 1, 0, 0, 12, 0x80, 14, 1, 0))
    proposal += bytes((3, 0, 0, 8, 2, 0, 0, 5, 3, 0, 0, 8, 3, 0, 0, 12, 0, 0, 0, 8, 4, 0, 0, 14))
    ke, nonce = b"\0\x0e\0\0" + p.random.randbytes(256), p.random.randbytes(32)
    body = b"".join(
        struct.pack("!BBH", following, 0, 4 + len(content)) + content
        for following, content in ((34, proposal), (40, ke), (0, nonce))
    )
    v2(p, mine, 34, 0, body, first=33, begin=begin)


def v2_notify(p: Pair, number: int, data: bytes = b"") -> None:
    content = b"\0\0" + struct.pack("!H", number) + data
    body = struct.pack("!BBH", 0, 0, 4 + len(content)) + content
    v2(p, False, 34, 0, body, first=41, begin=True)


def v2_begun(p: Pair, rounds: Sequence[tuple[int, int]] = ()) -> None:
    """IKE_SA_INIT, and IKE_AUTH with these sizes of question and answer."""
    sa_init(p, True, begin=True)
    sa_init(p, False)
    for number, (asked, answered) in enumerate(rounds, 1):
        v2(p, True, 35, number, p.random.randbytes(asked))
        v2(p, False, 35, number, p.random.randbytes(answered))


def refused(p: Pair, again: int = 3) -> None:
    """Message 5, and the gateway cannot read it."""
    body = p.random.randbytes(68)
    for number in range(again):
        p.proof(True, body=body)
        p.notify(False, PAYLOAD_MALFORMED, natt=p.nat, wait=2.0**number)


# What the gateway chooses


@scene("the gateway chooses what was not offered, and the client asks on", "failed",
       "ike.malformed")  # fmt: skip
def _(w: Wire) -> None:
    p = Pair(w)
    for wait in (1, 2, 4, 8):
        p.mm1(WINDOWS)
        p.mm2(phase1(5, 0, 1, 1), wait=wait)


@scene("the same, and the client says that it does not take it", "failed", "ike.malformed")
def _(w: Wire) -> None:
    p = Pair(w)
    p.mm1(WINDOWS)
    p.mm2(phase1(7, 192, 2, 5))
    p.notify(True, NO_PROPOSAL_CHOSEN)
    goes_on(w)


@scene("the gateway chooses two", "failed", "ike.malformed")
def _(w: Wire) -> None:
    p = Pair(w)
    for wait in (1, 2, 4):
        p.mm1(WINDOWS)
        p.ike(False, 2, [(1, offer(WINDOWS[:2]))], wait=wait)


@scene("it chooses with another lifetime", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode(WINDOWS, chosen=phase1(life=3600))
    p.quick_mode()
    p.inside()


@scene("what was offered is chosen, and does not get to the client", "failed", "path.silent")
def _(w: Wire) -> None:
    p = Pair(w)
    for wait in (1, 2, 4, 8):
        p.mm1(WINDOWS)
        p.mm2(wait=wait)


@scene("unknown exchange type", "failed", "ike.refused")
def _(w: Wire) -> None:
    p = Pair(w)
    for wait in (1, 2, 4):
        p.mm1()
        p.notify(False, 29, wait=wait)


# Loss, and what looks like it


def hardly_through(w: Wire) -> Pair:
    """Messages 1 and 3 are answered at the fifth try."""
    p = Pair(w)
    for wait in (1, 1, 1, 1, 0.02):
        p.mm1(wait=wait)
    p.mm2()
    p.key_exchange(True, wait=1)
    for wait in (1, 1, 1, 0.02):
        w.frame(w.shots[-1].data, wait)
    p.key_exchange(False)
    return p


@scene("five tries for each answer, and six for none", "failed", "path.lossy")
def _(w: Wire) -> None:
    p = hardly_through(w)
    body = p.random.randbytes(68)
    for _ in range(6):
        p.proof(True, wait=1, body=body)


@scene("one try lost, and six for none", "failed", "auth.unanswered")
def _(w: Wire) -> None:
    p = Pair(w)
    p.mm1(wait=1)
    p.mm1()
    p.mm2()
    p.key_exchange(True)
    p.key_exchange(False)
    body = p.random.randbytes(68)
    for _ in range(6):
        p.proof(True, wait=1, body=body)


@scene("five tries for each answer, and a refusal", "failed", "auth.psk-mismatch")
def _(w: Wire) -> None:
    p = hardly_through(w)
    refused(p)


@scene("the gateway does not hear message 3 of quick mode", "failed", "path.lossy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.quick_mode(answered=False)
    second, third = p.random.randbytes(196), p.random.randbytes(52)
    for wait in (1, 2, 4, 8, 8):
        p.ike(False, 32, natt=True, hidden=(8, second), mid=p.mid)
        p.ike(True, 32, natt=True, hidden=(8, third), mid=p.mid)
        p.esp(True, bytes(140), wait=wait)


@scene("the client does not hear message 2 of quick mode", "failed", "ipsec.unanswered")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.quick_mode(answered=False)
    second = p.random.randbytes(196)
    for wait in (1, 2, 4, 8, 8):
        p.ike(False, 32, natt=True, hidden=(8, second), mid=p.mid, wait=wait)
        p.ask_again(0.02)


# NATs


@scene("ports 500 and 4500 are translated each in its own way", "healthy")
def _(w: Wire) -> None:
    Pair(w, **CARRIER).session()  # type: ignore[arg-type]


@scene("message 3 comes from another port than message 1", "healthy")
def _(w: Wire) -> None:
    p = Pair(w, **CARRIER)  # type: ignore[arg-type]
    p.mm1()
    p.mm2()
    p.ports = (20013, 31999)
    for play, mine in ((p.key_exchange, True), (p.key_exchange, False), (p.proof, True),
                       (p.proof, False)):  # fmt: skip
        play(mine)
    p.quick_mode()
    p.inside()


def _from_two_addresses(w: Wire) -> Pair:
    p = Pair(w, **CARRIER)  # type: ignore[arg-type]
    p.main_mode(upto=4)
    fourth = w.shots[-1].data
    for wait in (1, 1):
        w.frame(fourth, wait)
    p.client = "203.0.113.9"
    return p


@scene("message 5 comes from another address, and is taken", "healthy")
def _(w: Wire) -> None:
    p = _from_two_addresses(w)
    p.proof(True)
    p.proof(False)
    p.quick_mode()
    p.users(60)


def never_taken(w: Wire) -> None:
    p = _from_two_addresses(w)
    body = p.random.randbytes(68)
    for wait in (1, 2, 4, 8):
        p.proof(True, wait=wait, body=body)


SCENES["message 5 comes from another address, and is never answered"] = (
    "failed", "auth.unanswered", never_taken)  # fmt: skip


def test_one_client_at_two_addresses_is_told(tmp_path: Path) -> None:
    report = played(never_taken, tmp_path)
    assert "another address" in report.verdict.headline
    main = report.findings[0]
    assert "203.0.113.8" in main.evidence[0].text
    assert main.causes[0].owner == "network"


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("answered", [True, False])
def test_its_beginning_may_be_before_the_capture(lost: int, answered: bool, tmp_path: Path) -> None:
    """The first address is no client whose message 5 is blocked."""
    taken = "message 5 comes from another address, and is taken"
    scene = SCENES[taken][2] if answered else never_taken

    def cut(w: Wire) -> None:
        scene(w)
        del w.shots[:lost]

    verdict = played(cut, tmp_path).verdict
    assert verdict.finding == (None if answered else "auth.unanswered"), verdict
    assert answered or "another address" in verdict.headline


@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_who_is_not_answered_beside_a_session_behind_the_same_nat_is_another_client(
    first: bool, tmp_path: Path
) -> None:
    """It asks on while the session goes on, from another port: no renewal, and no probe."""

    def scene(w: Wire) -> None:
        w.at = 2.0
        Pair(w, **CARRIER).session()  # type: ignore[arg-type]
        w.at = 1.0 if first else 4.0
        other = Pair(w, client="203.0.113.8", ports=(20333, 20334), seed=9)
        for wait in (1, 2, 4, 8):
            other.mm1(wait=wait)

    report = played(scene, tmp_path)
    verdicts = {(s.verdict.outcome, s.verdict.finding) for s in report.sessions}
    assert verdicts == {("healthy", None), ("failed", "path.silent")}
    assert "path.two-clients-one-nat" in {f.code for f in report.findings}


def test_a_client_that_begins_anew_from_another_port_is_the_same(tmp_path: Path) -> None:
    def scene(w: Wire) -> None:
        for port in (20011, 20012):
            p = Pair(w, client="203.0.113.8", ports=(port, port + 9000), seed=port)
            for wait in (1, 2, 4):
                p.mm1(wait=wait)
        Pair(w, **CARRIER).session()  # type: ignore[arg-type]

    assert played(scene, tmp_path).verdict.outcome == "healthy"


def test_what_is_recorded_on_both_sides_of_a_nat_is_no_client_at_two_addresses(
    tmp_path: Path,
) -> None:
    def scene(w: Wire) -> None:
        p = Pair(w)
        p.main_mode(upto=4)
        body = p.random.randbytes(68)
        for wait in (1, 2, 4, 8):
            p.proof(True, wait=wait, body=body)
        inside, outside = (ipaddress.ip_address(a).packed for a in (CLIENT, "203.0.113.8"))
        w.shots += [
            replace(s, time_ns=s.time_ns + 200_000,
                    data=s.data[:12] + s.data[12:20].replace(inside, outside) + s.data[20:])
            for s in w.shots
        ]  # fmt: skip

    report = played(scene, tmp_path)
    assert [s.verdict.finding for s in report.sessions] == ["auth.unanswered"] * 2
    assert "another address" not in report.verdict.headline


def test_an_offer_too_long_to_be_kept_whole_proves_no_wrong_choice(tmp_path: Path) -> None:
    def scene(w: Wire) -> None:
        p = Pair(w)
        many = [phase1(group=g, hash_=h, life=life) for g in (1, 2, 5, 14) for h in (1, 2, 4, 6)
                for life in (100, 200, 300)]  # fmt: skip
        p.mm1([*many, phase1(5, 0, 1, 2)])
        p.mm2(phase1(5, 0, 1, 2))
        goes_on(w)

    assert played(scene, tmp_path).verdict.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [
        pytest.param((60, 80, 100, 120, 140), ("inconclusive", None), id="beyond what failed"),
        pytest.param((), ("failed", "auth.psk-mismatch"), id="not as far"),
    ],
)
def test_what_failed_is_past_where_a_later_attempt_got_through(
    sizes: tuple[int, ...], verdict: tuple[str, str | None], tmp_path: Path
) -> None:
    """The key was put right; whether the login that follows succeeds is cut off."""

    def scene(w: Wire) -> None:
        p = Pair(w)
        p.main_mode(upto=4)
        refused(p)
        w.at += 20
        p.new_sa()
        if not sizes:
            p.main_mode(upto=4)
            return
        p.main_mode()
        p.quick_mode()
        for size in sizes:
            for mine in (True, False):
                p.esp(mine, bytes(size))

    found = played(scene, tmp_path).verdict
    assert (found.outcome, found.finding) == verdict, found.headline


def _another_mapping(w: Wire) -> Pair:
    p = Pair(w, **CARRIER)  # type: ignore[arg-type]
    p.session()
    w.at += 40
    return p


@scene("the NAT makes another mapping, and the gateway follows", "healthy")
def _(w: Wire) -> None:
    p = _another_mapping(w)
    p.ports = (20011, 32111)
    p.users(30)


@scene("the NAT makes another mapping, and the gateway goes on to the old one", "failed",
       "path.nat-rebound")  # fmt: skip
def _(w: Wire) -> None:
    p = _another_mapping(w)
    for _ in range(30):
        for mine, port in ((True, 32111), (False, 31999)):
            p.ports = (20011, port)
            p.esp(mine, p.random.randbytes(200), 0.25)


@scene("the same for three seconds only, then it follows", "healthy")
def _(w: Wire) -> None:
    p = _another_mapping(w)
    for _ in range(6):
        for mine, port in ((True, 32111), (False, 31999)):
            p.ports = (20011, port)
            p.esp(mine, p.random.randbytes(200), 0.25)
    p.ports = (20011, 32111)
    p.users(30)


# Recordings of a part


@scene("recorded from message 4 on", "failed", "auth.psk-mismatch")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode(upto=4)
    fourth = w.shots[-1].data
    del w.shots[:3]
    body = p.random.randbytes(68)
    for wait in (1, 2, 4, 8):
        p.proof(True, wait=wait, body=body)
        w.frame(fourth)


@scene("recorded from message 4 on, and all is well", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    del w.shots[:3]
    p.quick_mode()
    p.inside()


@scene("keepalives alone", "inconclusive")
def _(w: Wire) -> None:
    p = Pair(w)
    for _ in range(8):
        p.put(True, b"\xff", True, 20)


def closed_behind_the_choice(w: Wire) -> None:
    p = Pair(w)
    p.mm1()
    p.refuse(p.mm2(), reporter=p.client)
    goes_on(w)


SCENES["the client's computer does not take the choice"] = (
    "inconclusive", None, closed_behind_the_choice)  # fmt: skip


def test_what_icmp_says_of_the_choice_is_told(tmp_path: Path) -> None:
    headline = played(closed_behind_the_choice, tmp_path).verdict.headline
    assert "ICMP port unreachable" in headline


# Other kinds of phase 1


@scene("aggressive mode, signatures", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    am1(p, 3)
    am2(p, 3)
    am3(p)
    p.quick_mode()
    p.users(40)


@scene("main mode with XAUTH", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode([PSK_XAUTH], ("rfc3947", "xauth", "unity", "dpd"), chosen=PSK_XAUTH)
    for mine in (False, True, False, True):
        p.ike(mine, 6, natt=True, hidden=(8, p.random.randbytes(76)), mid=77)
    p.quick_mode()
    p.users(40)


@scene("the gateway tells its lifetime behind message 6", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.info(False, size=84)
    p.quick_mode()
    p.inside()


@scene("quick mode: the addresses are refused in the clear", "failed", "ipsec.identity-refused")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.quick_mode(answered=False)
    p.notify(False, INVALID_ID, natt=True)
    goes_on(w)


@scene("both sides renew phase 1 at once", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.session()
    ours, theirs = ((p.random.randbytes(8), p.random.randbytes(8)) for _ in range(2))

    def under(cookies: tuple[bytes, bytes]) -> Pair:
        p.ci, p.cr = cookies
        return p

    under(ours).mm1(natt=True)
    under(theirs).ike(False, 2, [(1, offer([phase1()]))], natt=True, begin=True)
    under(ours).mm2(natt=True)
    under(theirs).ike(True, 2, [(1, offer([phase1()]))], natt=True)
    for play in ("key_exchange", "proof"):
        how = {"natt": True} if play == "key_exchange" else {}
        for mine in (True, False):
            getattr(under(ours), play)(mine, **how)
            getattr(under(theirs), play)(not mine, **how)
    p.users(30)
    under(ours).quick_mode()
    p.users(30)


@scene("IPv6, ESP without UDP", "healthy")
def _(w: Wire) -> None:
    Pair(w, client="2001:db8::33", gateway="2001:db8:1::20", nat=False).session()


@scene("IPv6, ESP without UDP does not get through", "failed", "path.esp-blocked")
def _(w: Wire) -> None:
    p = Pair(w, client="2001:db8::33", gateway="2001:db8:1::20", nat=False)
    p.main_mode()
    p.quick_mode()
    for wait in (1, 2, 4, 8):
        p.esp(True, bytes(140), wait=wait)


@scene("IPv6, wrong key", "failed", "auth.psk-mismatch")
def _(w: Wire) -> None:
    p = Pair(w, client="2001:db8::33", gateway="2001:db8:1::20", nat=False)
    p.main_mode(upto=4)
    refused(p)


# IKEv2, and what Windows does before L2TP


@scene("IKEv2 is refused, L2TP works", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    sa_init(p, True, begin=True)
    v2_notify(p, NO_PROPOSAL_CHOSEN)
    w.at += 2
    p.new_sa()
    p.session()


@scene("IKEv2 is refused, and L2TP has the wrong key", "failed", "auth.psk-mismatch")
def _(w: Wire) -> None:
    p = Pair(w)
    sa_init(p, True, begin=True)
    v2_notify(p, NO_PROPOSAL_CHOSEN)
    w.at += 2
    p.new_sa()
    p.main_mode(upto=4)
    refused(p)


@scene("IKEv2: the login is refused; L2TP: no proposal", "failed", "ike.no-proposal-chosen")
def _(w: Wire) -> None:
    p = Pair(w)
    v2_begun(p, [(400, 44)])
    w.at += 5
    p.new_sa()
    for wait in (1, 2, 4):
        p.mm1()
        p.notify(False, NO_PROPOSAL_CHOSEN, wait=wait)


@scene("IKEv2 with a cookie first", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    sa_init(p, True, begin=True)
    v2_notify(p, COOKIE, bytes(20))
    v2_begun(p, [(260, 220)])
    p.users(40)


@scene("IKEv2 with another group first", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    sa_init(p, True, begin=True)
    v2_notify(p, INVALID_KE, b"\0\x13")
    v2_begun(p, [(260, 220)])
    p.users(40)


@scene("IKEv2: an answer to the first message, and no more", "inconclusive")
def _(w: Wire) -> None:
    v2_begun(Pair(w))
    goes_on(w)


@scene("the same, asked by a stranger beside a session", "healthy")
def _(w: Wire) -> None:
    Pair(w).session()
    v2_begun(Pair(w, client="203.0.113.66", seed=66))
    goes_on(w)


EAP = [(300, 1200), (60, 90), (600, 500), (60, 400)]


@scene("IKEv2, the capture ends in the middle of EAP", "inconclusive")
def _(w: Wire) -> None:
    v2_begun(Pair(w), [*EAP, (500, 60)])


@scene("IKEv2, EAP ends without success", "failed", "auth.refused")
def _(w: Wire) -> None:
    v2_begun(Pair(w), [*EAP, (500, 90), (60, 44)])
    goes_on(w)


@scene("IKEv2, the proof refused, where the capture ends with that", "failed", "auth.refused")
def _(w: Wire) -> None:
    v2_begun(Pair(w), [(400, 44)])


def v2_in_fragments(w: Wire, sizes: tuple[int, ...] = (500, 500, 40)) -> Pair:
    """IKE_AUTH is answered in fragments of these sizes."""
    p = Pair(w)
    v2_begun(p)
    v2(p, True, 35, 1, p.random.randbytes(300))
    for size in sizes:
        v2(p, False, 35, 1, p.random.randbytes(size), first=53)
    return p


@scene("IKEv2, EAP in fragments, and up", "healthy")
def _(w: Wire) -> None:
    p = v2_in_fragments(w)
    for number in (2, 3, 4):
        v2(p, True, 35, number, p.random.randbytes(60))
        v2(p, False, 35, number, p.random.randbytes(220))
    p.users(40)


@scene("IKEv2, the first answer in fragments, of which the last is small", "healthy")
def _(w: Wire) -> None:
    v2_in_fragments(w)
    goes_on(w)


@scene("IKEv2, recorded from the last fragment of the answer on", "healthy")
def _(w: Wire) -> None:
    p = v2_in_fragments(w)
    del w.shots[:-1]
    p.put(True, b"\xff", True, 20)
    v2(p, True, 37, 2, p.random.randbytes(52), wait=6)
    goes_on(w)


@scene("IKEv2, of the answer only the last fragment was recorded", "healthy")
def _(w: Wire) -> None:
    v2_in_fragments(w, (40,))
    goes_on(w)


@scene("IKEv2, what IKE_AUTH is answered to was not recorded", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    v2_begun(p, [(260, 220)])
    del w.shots[2]
    goes_on(w)


@scene("message 5 was not recorded, and the answer to it was", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    del w.shots[4]
    p.quick_mode()
    p.inside()


@pytest.mark.parametrize("name", SCENES)
def test_scene(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)
