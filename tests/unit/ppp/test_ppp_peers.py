"""A client and a peer played by the test: what real gateways do, and what hostile ones might."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.ppp.ppp_bench import (
    ALICE,
    ALL_METHODS,
    CLIENT_IP,
    DNS,
    PASSWORD,
    SERVER_IP,
    Puppet,
    pair,
    server_policy,
)
from vpndiag.protocols.ppp import chap, lcp_options, protocols
from vpndiag.protocols.ppp import events as ev
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.protocols.ppp.config import (
    ClientConfig,
    ServerConfig,
)
from vpndiag.protocols.ppp.control_terms import ControlTimers
from vpndiag.protocols.ppp.frame import encode_frame
from vpndiag.protocols.ppp.options import Option
from vpndiag.protocols.ppp.packet import (
    Code,
    Configure,
    MagicPacket,
    ProtocolReject,
    Terminate,
)


def test_a_peer_that_repeats_its_demand_for_ever_ends_bounded() -> None:
    """l2tpns: CHAP-MD5 again and again, whatever is proposed instead."""
    puppet = Puppet(ClientConfig(ALICE, auth=(AuthMethod.MSCHAPV2,)))
    demand = (lcp_options.AUTH_CHAP_MD5.option(), Option(17, b"\x05\xdc"), Option(19, b"\x01ab"))
    answers = []
    for number in range(200):
        options = demand if number == 0 else demand[:1]
        puppet.give(Configure(1, number & 0xFF, options))
        answers += [packet for _, packet in puppet.sent()]
    codes = [packet.code for packet in answers if packet.code != Code.CONFIGURE_REQUEST]
    assert codes[0] == Code.CONFIGURE_REJECT
    assert codes.count(Code.CONFIGURE_NAK) == 6
    assert codes.count(Code.TERMINATE_REQUEST) == 1
    assert len(puppet.of(ev.NoCommonAuth)) == 1


def test_endless_naks_of_our_options_end_bounded() -> None:
    puppet = Puppet()
    requests = 0
    for number in range(500):
        for _, packet in puppet.sent():
            if isinstance(packet, Configure) and packet.code == Code.CONFIGURE_REQUEST:
                requests += 1
                hint = lcp_options.mru(1000 + number % 2)
                puppet.give(Configure(3, packet.identifier, (hint,)))
    assert requests == ControlTimers().max_rounds + 1
    assert len(puppet.of(ev.NegotiationStuck)) == 1


def test_a_looped_line() -> None:
    puppet = Puppet()
    for _ in range(20):
        for frame in puppet.link.frames_to_send(0.0):
            puppet.link.receive(frame, 0.0)
    assert len(puppet.of(ev.LoopbackDetected)) == 1


def test_magic_rejected_and_echo_before_open() -> None:
    """SoftEther does both."""
    puppet = Puppet()
    ((_, request),) = puppet.sent()
    assert isinstance(request, Configure)
    puppet.give(MagicPacket(Code.ECHO_REQUEST, 9, 0, b"before open"))
    puppet.give(Configure(4, request.identifier, request.options[1:]))
    ((_, second),) = puppet.sent()
    assert isinstance(second, Configure) and second.options == (lcp_options.mru(1400),)
    puppet.give(Configure(2, second.identifier, second.options))
    puppet.give(Configure(1, 1))
    assert len(puppet.of(ev.LcpUp)) == 1
    puppet.give(MagicPacket(Code.ECHO_REQUEST, 10, 0, b"open"))
    assert (protocols.LCP, MagicPacket(Code.ECHO_REPLY, 10, 0, b"open")) in puppet.sent()


def test_termination_during_the_login_is_told_with_its_phase() -> None:
    """SoftEther's answer to a wrong PAP password."""
    puppet = Puppet()
    puppet.lcp_up((lcp_options.AUTH_PAP.option(),))
    puppet.give(Terminate(5, 7))
    expected = ev.Terminated("peer", protocols.LCP, b"", ev.Phase.AUTHENTICATE)
    assert puppet.of(ev.Terminated) == [expected]
    assert not puppet.of(ev.AuthResult)


def test_ccp_is_protocol_rejected_and_told_once() -> None:
    puppet = Puppet()
    puppet.lcp_up()
    puppet.sent()
    request = Configure(1, 1, (Option(18, b"\x01\x00\x00\x40"),))
    for _ in range(2):
        puppet.give(request, protocols.CCP)
        ((protocol, packet),) = puppet.sent()
        assert protocol == protocols.LCP and isinstance(packet, ProtocolReject)
        assert packet.protocol == protocols.CCP
    assert puppet.of(ev.CcpDemanded) == [ev.CcpDemanded(request.options)]


def softether(puppet: Puppet, demands: list[lcp_options.AuthDemand]) -> None:
    """The server's side of LCP: one demand after the other until one is acknowledged."""
    puppet.ack()
    for number, demand in enumerate(demands):
        request = Configure(1, number, (demand.option(),))
        puppet.give(request)
        if (protocols.LCP, Configure(2, number, request.options)) in puppet.sent():
            return
    puppet.give(Terminate(5, 99))


SOFTETHER = [lcp_options.AUTH_EAP, lcp_options.AUTH_MSCHAPV2, lcp_options.AUTH_PAP]


@pytest.mark.parametrize(
    ("accept", "agreed"),
    [
        (tuple(ALL_METHODS), "CHAP MS-CHAPv2"),
        ((AuthMethod.PAP, AuthMethod.EAP), "PAP"),
        ((AuthMethod.PAP,), "PAP"),
        ((AuthMethod.EAP,), "EAP"),
    ],
)
def test_softether_offers_eap_first(accept: tuple[AuthMethod, ...], agreed: str) -> None:
    puppet = Puppet(ClientConfig(ALICE, auth=accept))
    softether(puppet, SOFTETHER)
    demanded = puppet.of(ev.AuthDemanded)[-1]
    assert isinstance(demanded, ev.AuthDemanded)
    assert (demanded.accepted, demanded.demand.name) == (True, agreed)
    assert len(puppet.of(ev.LcpUp)) == 1 and not puppet.of(ev.NoCommonAuth)


def test_softether_runs_out_of_offers() -> None:
    puppet = Puppet(ClientConfig(ALICE, auth=(AuthMethod.CHAP_MD5,)))
    softether(puppet, SOFTETHER)
    (none,) = puppet.of(ev.NoCommonAuth)
    assert isinstance(none, ev.NoCommonAuth) and not none.ours
    assert list(none.offered) == SOFTETHER
    assert {answer.counter for answer in none.answers} == {lcp_options.AUTH_CHAP_MD5}
    assert len(puppet.of(ev.Terminated)) == 1


def test_eap_is_taken_from_a_peer_that_insists() -> None:
    puppet = Puppet()
    softether(puppet, [lcp_options.AUTH_EAP, lcp_options.AUTH_EAP])
    assert len(puppet.of(ev.LcpUp)) == 1


def chap_frame(packet: chap.ChapPacket) -> bytes:
    return encode_frame(protocols.CHAP, chap.encode_chap(packet))


def test_chap_is_answered_again_for_the_same_challenge_and_later_in_the_link() -> None:
    puppet = Puppet()
    puppet.lcp_up((lcp_options.AUTH_CHAP_MD5.option(),))
    puppet.link.frames_to_send(0.0)
    secret = PASSWORD.encode()
    for identifier, challenge in ((1, b"one"), (1, b"one"), (2, b"two")):
        puppet.link.receive(chap_frame(chap.ChapValue(1, identifier, challenge, b"lns")), 0.0)
        response = chap.ChapValue(
            2, identifier, chap.md5_response(identifier, secret, challenge), b"alice"
        )
        assert puppet.link.frames_to_send(0.0)[0] == chap_frame(response)
    puppet.link.receive(chap_frame(chap.ChapResult(3, 2, b"welcome")), 0.0)
    (result,) = puppet.of(ev.AuthResult)
    assert isinstance(result, ev.AuthResult) and result.ok
    assert puppet.link.phase is ev.Phase.NETWORK
    puppet.link.receive(chap_frame(chap.ChapValue(1, 3, b"three", b"lns")), 9.0)
    again = chap.ChapValue(2, 3, chap.md5_response(3, secret, b"three"), b"alice")
    assert puppet.link.frames_to_send(9.0) == [chap_frame(again)]


def test_dns_reject_and_nak_of_the_address_as_pppd_and_softether_do() -> None:
    puppet = Puppet()
    puppet.lcp_up()
    *_, (_, request) = puppet.sent()
    assert isinstance(request, Configure)
    ask = {option.type: option for option in request.options}
    puppet.give(Configure(4, request.identifier, (ask[131],)), protocols.IPCP)
    ((_, request),) = puppet.sent()
    given = (Option(3, CLIENT_IP.packed), Option(129, DNS[0].packed))
    puppet.give(Configure(3, request.identifier, given), protocols.IPCP)
    ((_, request),) = puppet.sent()
    assert isinstance(request, Configure) and request.options == given
    puppet.give(Configure(2, request.identifier, given), protocols.IPCP)
    puppet.give(Configure(1, 1, (Option(3, SERVER_IP.packed),)), protocols.IPCP)
    assert puppet.of(ev.IpcpUp) == [ev.IpcpUp(CLIENT_IP, SERVER_IP, DNS[:1])]


def test_the_peers_pfc_and_callback_are_rejected_and_its_mru_is_kept() -> None:
    puppet = Puppet()
    puppet.ack()
    odd = (Option(7), Option(8), Option(13, b"\x06"))
    puppet.give(Configure(1, 1, (lcp_options.mru(1462), *odd)))
    ((_, answer),) = puppet.sent()
    assert answer == Configure(4, 1, odd)
    puppet.give(Configure(1, 2, (lcp_options.mru(1462),)))
    (up,) = puppet.of(ev.LcpUp)
    assert isinstance(up, ev.LcpUp) and up.mru == 1462


def test_a_repeated_request_in_opened_is_answered_without_starting_over() -> None:
    puppet = Puppet()
    puppet.lcp_up()
    puppet.sent()
    puppet.give(Configure(1, 1))
    assert puppet.sent() == [(protocols.LCP, Configure(2, 1))]
    received = [e for e in puppet.events if isinstance(e, ev.PacketReceived)]
    assert received[-1].repeat and len(puppet.of(ev.LcpUp)) == 1


def test_configure_requests_are_repeated_until_the_counter_ends() -> None:
    puppet = Puppet()
    sendings = []
    while (due := puppet.link.get_timer()) is not None:
        sendings += [(puppet.now, packet.code) for _, packet in puppet.sent()]
        puppet.now = due
        puppet.link.handle_timer(due)
    assert sendings == [(float(second), Code.CONFIGURE_REQUEST) for second in range(10)]
    assert puppet.of(ev.TimedOut) == [ev.TimedOut("LCP Configure-Ack", 10)]


def frames() -> st.SearchStrategy[bytes]:
    known = st.sampled_from(
        [0xC021, 0x8021, 0x8057, 0x80FD, 0xC023, 0xC223, 0xC227, 0x0021, 0x0057, 0xC029, 0x4021]
    )
    option = st.builds(
        lambda kind, data: Option(kind, data).encode(), st.integers(0, 20), st.binary(max_size=5)
    )
    body = st.one_of(st.binary(max_size=60), st.lists(option, max_size=4).map(b"".join))
    framed = st.builds(
        lambda protocol, code, identifier, data: encode_frame(
            protocol, bytes((code, identifier)) + (len(data) + 4).to_bytes(2, "big") + data
        ),
        known,
        st.integers(0, 16),
        st.integers(0, 4),
        body,
    )
    return st.one_of(framed, framed, framed, st.binary(max_size=40))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["client", "server"]),
    st.sampled_from(ALL_METHODS),
    st.integers(0, 30),
    st.lists(frames(), max_size=40),
)
def test_any_frames_give_bounded_output_and_no_exception(
    role: str, method: AuthMethod, steps: int, hostile: list[bytes]
) -> None:
    """A link somewhere in its life is handed nonsense."""
    joined = pair(server=ServerConfig(server_policy(), auth=(method,)))
    joined.run(10, limit=20_000) if steps > 20 else joined.run(steps * 0.02)
    link = joined.links[role]
    link.frames_to_send(joined.now)
    for frame in hostile:
        link.receive(frame, joined.now)
        assert len(link.frames_to_send(joined.now)) <= 8
        seen = 0
        while (event := link.next_event()) is not None:
            seen += 1
            if isinstance(event, ev.PacketReceived):
                assert event.text.isprintable()
        assert seen <= 30
    for _ in range(200):
        due = link.get_timer()
        if due is None:
            break
        link.handle_timer(due)
    else:
        raise AssertionError("timers without end")


def test_a_challenge_that_overtakes_the_ack_may_be_malformed() -> None:
    """It is kept unread until LCP is up, and then dropped like any other."""
    puppet = Puppet(ClientConfig(ALICE, auth=(AuthMethod.CHAP_MD5,)))
    puppet.give(Configure(1, 1, (lcp_options.AUTH_CHAP_MD5.option(),)))
    puppet.link.receive(encode_frame(protocols.CHAP, b"\x01\x01\x00\x05\xff"), puppet.now)
    puppet.ack()
    assert puppet.of(ev.LcpUp)
    assert any("CHAP" in event.reason for event in puppet.of(ev.Dropped))  # type: ignore[attr-defined]
