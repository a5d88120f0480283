"""The outer half of captures: phase 1, quick mode, and sessions that are quiet or move."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analyze.scene import MACOS, MACOS_VENDORS, Pair, Scenes, Wire, offer, phase1, played
from vpndiag.capture.write import ip_packet

SCENES = Scenes()
scene = SCENES.keep
PSK, RSA, XAUTH = 1, 3, 65001
INVALID_COOKIE, NO_PROPOSAL_CHOSEN, INVALID_KEY_INFORMATION = 4, 14, 17
INVALID_ID, AUTHENTICATION_FAILED = 18, 24


def am1(p: Pair, auth: int = XAUTH) -> None:
    payloads = [(1, offer([phase1(group=2, auth=auth)])), (4, bytes(128)), (10, bytes(20))]
    payloads += [(5, b"\x0b\0\0\0sales"), *p.vendors(("rfc3947", "unity", "xauth", "dpd"))]
    p.ike(True, 4, payloads, begin=True)


def am2(p: Pair, auth: int = XAUTH, wait: float = 0.02) -> None:
    payloads = [(1, offer([phase1(group=2, auth=auth)])), (4, bytes(128)), (10, bytes(20))]
    payloads += [(5, b"\x01\0\0\0\xc6\x33\x64\x14"), (8, bytes(20)), *p.vendors(("rfc3947",))]
    p.ike(False, 4, payloads, wait=wait)


def am3(p: Pair) -> None:
    p.ike(True, 4, natt=True, hidden=(8, p.random.randbytes(84)))


@scene("aggressive mode: the group name is not known", "failed", "auth.identity-refused")
def _(w: Wire) -> None:
    p = Pair(w)
    am1(p)
    p.notify(False, INVALID_ID, wait=5)
    am1(p)


@scene("aggressive mode: the gateway refuses a certificate", "failed", "auth.certificate-refused")
def _(w: Wire) -> None:
    p = Pair(w)
    am1(p, RSA)
    am2(p, RSA)
    am3(p)
    p.notify(False, AUTHENTICATION_FAILED, natt=True, wait=5)


@scene("aggressive mode: the client does not trust the gateway", "failed",
       "auth.certificate-untrusted")  # fmt: skip
def _(w: Wire) -> None:
    p = Pair(w)
    am1(p, RSA)
    for _ in range(4):
        am2(p, RSA, wait=5)


@scene("aggressive mode: INVALID-COOKIE much later is about an old SA", "inconclusive")
def _(w: Wire) -> None:
    p = Pair(w)
    am1(p)
    am2(p)
    am3(p)
    w.at += 300
    p.info(True)
    p.notify(False, INVALID_COOKIE, natt=True, wait=2)


@scene("an idle computer announces itself, and nobody answers", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.session()
    for _ in range(3):
        p.users(5)
        for _ in range(14):
            packet = ip_packet("10.9.0.5", "239.255.255.250", 17, p.random.randbytes(180))
            p.data(True, b"\0\x21" + packet, wait=4)


@scene("the same once only: the gateway is gone", "failed", "esp.one-way")
def _(w: Wire) -> None:
    p = Pair(w)
    p.session()
    for _ in range(14):
        packet = ip_packet("10.9.0.5", "10.20.0.1", 17, p.random.randbytes(180))
        p.data(True, b"\0\x21" + packet, wait=4)


@scene("message 6 does not get to the client, which asks twice more", "failed",
       "path.float-blocked")  # fmt: skip
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode(upto=4)
    asked, said = p.random.randbytes(68), p.random.randbytes(68)
    for wait in (1, 2, 4):
        p.proof(True, wait=0.1, body=asked)
        p.proof(False, wait=wait / 2, body=said)


def _falls_silent(w: Wire, client: str) -> Pair:
    """The gateway asks in vain whether the client is still there; the time is a second after its
    last packet then."""
    p = Pair(w, client=client)
    p.session()
    p.users(30)
    last = w.at
    for number in range(6):
        w.at = last + 10 + 10 * number
        p.info(False)
    w.at = last + 1
    return p


@scene("a laptop that changes its network, seen at the gateway", "healthy")
def _(w: Wire) -> None:
    _falls_silent(w, "203.0.113.9")
    p = Pair(w, client="198.18.77.5", seed=5)
    p.session()
    p.users(200)


@scene("a client that vanishes, and another that was there before", "failed", "path.dpd-timeout")
def _(w: Wire) -> None:
    p = Pair(w, client="198.18.77.5", seed=5)
    p.session()
    w.at += 20
    _falls_silent(w, "203.0.113.9")
    p.users(200)


@scene("a client that vanishes, and another kind of client that comes", "failed",
       "path.dpd-timeout")  # fmt: skip
def _(w: Wire) -> None:
    _falls_silent(w, "203.0.113.9")
    p = Pair(w, client="198.18.77.5", seed=5)
    p.main_mode(chosen=phase1(5, 0, group=2))
    p.quick_mode()
    p.inside()
    p.users(200)


@scene("ESP alone, from number 1 on, no more than a login takes", "inconclusive")
def _(w: Wire) -> None:
    p = Pair(w)
    p.tunnel()
    p.lcp()


@scene("ESP alone, as few packets of an SA that was in use before", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.sequence = {True: 5000, False: 7000}
    p.tunnel()
    p.lcp()


@scene("ESP alone, from number 1 on, and users' traffic", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.inside()
    p.users(100)


def _asks_in_vain(p: Pair) -> None:
    state = p.random.getstate()
    for wait in (1, 2, 4, 8):
        p.random.setstate(state)
        p.mm1(wait=wait)


@scene("the first address of the gateway's name is dead", "failed", "path.silent")
def _(w: Wire) -> None:
    _asks_in_vain(Pair(w))
    p = Pair(w, gateway="198.51.100.21", seed=9)
    p.session()
    p.users(100)


@scene("the gateway of a healthy client begins with a site in vain", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.session()
    _asks_in_vain(Pair(w, client=p.gateway, gateway="192.0.2.99", seed=4))
    p.users(10)


@scene("two sites alone: the other does not answer", "failed", "path.silent")
def _(w: Wire) -> None:
    _asks_in_vain(Pair(w, client="192.0.2.2", gateway="192.0.2.99", seed=4))


NO_LIFETIME = phase1()[:-12]


def _without_lifetime(w: Wire) -> Pair:
    p = Pair(w)
    p.main_mode(transforms=[NO_LIFETIME], chosen=NO_LIFETIME)
    return p


@scene("an offer without a lifetime, and the SA is deleted at once", "failed",
       "ike.expired-at-once")  # fmt: skip
def _(w: Wire) -> None:
    p = _without_lifetime(w)
    p.info(False)
    p.quick_mode(answered=False, wait=2)
    for wait in (4, 4):
        p.ask_again(wait)


@scene("an offer without a lifetime, and quick mode is refused", "failed", "ipsec.refused")
def _(w: Wire) -> None:
    p = _without_lifetime(w)
    p.quick_mode(answered=False)
    p.info(False, wait=5)


@scene("an offer without a lifetime, quick mode unanswered, dead peer detection alive", "failed",
       "ipsec.unanswered")  # fmt: skip
def _(w: Wire) -> None:
    p = _without_lifetime(w)
    p.quick_mode(answered=False, wait=2)
    for wait in (4, 4):
        p.ask_again(wait)
    p.info(False)
    p.info(True)
    w.at += 3
    p.ask_again(5)


@scene("a refusal that the gateway's choice overtakes is not about message 3", "inconclusive")
def _(w: Wire) -> None:
    p = Pair(w)
    p.mm1()
    p.notify(False, NO_PROPOSAL_CHOSEN)
    p.mm2()
    p.key_exchange(True)


@scene("message 3 is refused each time it is sent", "failed", "ike.refused")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode(upto=2)
    state = p.random.getstate()
    for wait in (1, 2, 4, 8):
        p.random.setstate(state)
        p.key_exchange(True)
        p.notify(False, INVALID_KEY_INFORMATION, wait=wait)


def _others(w: Wire) -> None:
    """A minute of other traffic."""
    other = Pair(w, client="10.0.0.9", gateway="10.0.0.1", seed=7)
    for _ in range(30):
        other.udp(True, 5353, 5353, bytes(40), 2)


@scene("one request in ESP, and the client leaves before an answer can come", "inconclusive")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.quick_mode()
    p.sccrq(wait=0.3)
    for mine in (True, True, False):
        p.info(mine)
    _others(w)


@scene("one request in ESP, and nothing more", "inconclusive")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.quick_mode()
    p.sccrq()
    _others(w)


@scene("INITIAL-CONTACT behind message 6, and the client lives on", "inconclusive")
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.info(True, wait=10, size=84)
    p.info(False)
    p.info(True, wait=10)


def _key_in_vain(p: Pair) -> None:
    p.main_mode(upto=4)
    asked = p.random.randbytes(68)
    for wait in (1, 2, 4, 8):
        p.proof(True, wait=wait, body=asked)


@scene("a client with a wrong key, and another make of client behind the same NAT later", "failed",
       "auth.unanswered")  # fmt: skip
def _(w: Wire) -> None:
    _key_in_vain(Pair(w, client="203.0.113.9", ports=(1500, 1501)))
    w.at += 30
    p = Pair(w, client="203.0.113.9", ports=(2500, 2501), seed=4)
    p.main_mode(MACOS, MACOS_VENDORS, chosen=MACOS[1])
    p.quick_mode()
    p.inside()
    p.users(60)


@scene("a client with a wrong key that is mended, from other ports of the NAT", "healthy")
def _(w: Wire) -> None:
    _key_in_vain(Pair(w, client="203.0.113.9", ports=(1500, 1501)))
    w.at += 30
    p = Pair(w, client="203.0.113.9", ports=(2500, 2501), seed=4)
    p.session()
    p.users(60)


@scene("message 4 again and again, and no NAT for which a client would change the port",
       "inconclusive")  # fmt: skip
def _(w: Wire) -> None:
    p = Pair(w, nat=False)
    p.main_mode(upto=3)
    state = p.random.getstate()
    for wait in (2, 4, 8):
        p.random.setstate(state)
        p.key_exchange(False, wait=wait)


@scene("dead peer detection behind a renewal that is not answered yet", "healthy")
def _(w: Wire) -> None:
    p = Pair(w)
    p.session()
    p.users(40, size=700)
    p.quick_mode(answered=False)
    p.info(False)
    p.info(True)
    p.users(3)


def _data_dies(w: Wire, rounds: int) -> None:
    """Dead peer detection is answered, and nothing in ESP any more."""
    p = Pair(w)
    p.session()
    p.users(40)
    for _ in range(rounds):
        for _ in range(3):
            p.data(True, b"\0\x21" + bytes(90), wait=2)
        p.info(True)
        p.info(False)


@scene("the gateway's IKE lives, and no ESP comes back for minutes", "failed", "esp.one-way")
def _(w: Wire) -> None:
    _data_dies(w, 30)


@scene("by then HELLO has been given up", "failed", "esp.one-way")
def _(w: Wire) -> None:
    _data_dies(w, 16)


@scene("the same for a minute: the client may be idle", "healthy")
def _(w: Wire) -> None:
    _data_dies(w, 10)


@scene("quick mode is refused behind a check whether the client is there", "failed",
       "ipsec.refused")  # fmt: skip
def _(w: Wire) -> None:
    p = Pair(w)
    p.main_mode()
    p.quick_mode(answered=False)
    p.info(False)
    p.info(True)
    p.info(False, wait=5, size=100)
    _others(w)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    SCENES.check(name, tmp_path)


def test_a_group_name_that_is_refused_is_named_and_no_fault_of_the_proposal(tmp_path: Path) -> None:
    _, _, play = SCENES["aggressive mode: the group name is not known"]
    report = played(play, tmp_path)
    assert report.verdict.layer == "auth"
    assert "sales" in " ".join(e.text for f in report.findings for e in f.evidence)


def test_a_session_whose_client_moved_says_where_it_may_be(tmp_path: Path) -> None:
    _, _, play = SCENES["a laptop that changes its network, seen at the gateway"]
    report = played(play, tmp_path)
    old = report.sessions[0]
    found = next(f for f in old.findings if f.code == "path.dpd-timeout")
    assert any("198.18.77.5" in e.text for e in found.evidence)
    assert found.owner == "user"


def test_a_gateway_that_is_dead_beside_one_that_serves_is_no_matter_of_the_network(
    tmp_path: Path,
) -> None:
    _, _, play = SCENES["the first address of the gateway's name is dead"]
    found = played(play, tmp_path).findings[0]
    assert found.owner == "gateway-admin"
    assert any("198.51.100.21" in e.text for e in found.evidence)
