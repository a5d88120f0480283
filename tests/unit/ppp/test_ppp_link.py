"""Client and server joined in memory: every login method, bad lines, and every break."""

from __future__ import annotations

import random

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
    Line,
    Pair,
    pair,
    server_policy,
)
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ppp import chap, lcp_options, protocols
from vpndiag.protocols.ppp import events as ev
from vpndiag.protocols.ppp.auth import AuthMethod, AuthTimers, Credentials
from vpndiag.protocols.ppp.auth_server import CheckPassword, Refuse, StaySilent
from vpndiag.protocols.ppp.config import (
    AddressRefusal,
    Assignment,
    ClientConfig,
    FallSilent,
    HangUp,
    NoAddress,
    Point,
    ServerConfig,
    Timers,
)
from vpndiag.protocols.ppp.control_terms import ControlTimers
from vpndiag.protocols.ppp.frame import decode_frame, encode_frame
from vpndiag.protocols.ppp.link import PppLink
from vpndiag.protocols.ppp.options import Option, Options
from vpndiag.protocols.ppp.packet import (
    Code,
    Configure,
    ControlPacket,
    MagicPacket,
    ProtocolReject,
    Terminate,
    decode_packet,
    encode_packet,
)


def refused_by(server: ServerConfig, client: ClientConfig | None = None) -> Pair:
    joined = pair(client, server)
    joined.run(120)
    assert not joined.of("client", ev.IpcpUp)
    assert joined.links["client"].phase is ev.Phase.DEAD
    return joined


@pytest.mark.parametrize("method", ALL_METHODS)
def test_every_method_leads_to_an_address(method: AuthMethod) -> None:
    joined = pair(server=ServerConfig(server_policy(), auth=(method,)))
    joined.run(5)
    (up,) = joined.of("client", ev.IpcpUp)
    assert up == ev.IpcpUp(CLIENT_IP, SERVER_IP, DNS)
    (result,) = joined.of("client", ev.AuthResult)
    proves = method in (AuthMethod.MSCHAPV2, AuthMethod.EAP)
    assert (result.ok, result.method) == (True, method)
    assert result.server_proof == ("verified" if proves else None)
    (seen,) = joined.of("server", ev.AuthResult)
    assert seen.ok and seen.user == b"alice"
    assert joined.now < 1


@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("seed", range(12))
def test_a_bad_line_only_takes_longer(method: AuthMethod, seed: int) -> None:
    line = Line(random.Random(seed), loss=0.15, duplicate=0.15, jitter=0.4)
    joined = pair(server=ServerConfig(server_policy(), auth=(method,)), line=line, seed=seed)
    joined.run(90)
    client, server = joined.links["client"], joined.links["server"]
    assert client.is_open() and server.is_open(), joined.events["client"][-5:]
    assert joined.of("client", ev.IpcpUp)[-1].address == CLIENT_IP


@pytest.mark.parametrize("method", ALL_METHODS)
def test_wrong_password(method: AuthMethod) -> None:
    client = ClientConfig(Credentials("alice", "not-it"), auth=(method,))
    joined = refused_by(ServerConfig(server_policy(), auth=(method,)), client)
    (result,) = joined.of("client", ev.AuthResult)
    assert not result.ok and result.server_proof is None
    if method in (AuthMethod.MSCHAPV2, AuthMethod.EAP):
        assert (result.code, result.retry) == (691, False)


@pytest.mark.parametrize("code", [646, 647, 648, 649, 691, 709])
@pytest.mark.parametrize("method", [AuthMethod.MSCHAPV2, AuthMethod.EAP])
def test_every_failure_code_arrives(code: int, method: AuthMethod) -> None:
    refusal = Refuse(code, retry=code == 691, message=b"because")
    joined = refused_by(ServerConfig(server_policy(refusal), auth=(method,)))
    (result,) = joined.of("client", ev.AuthResult)
    assert (result.code, result.retry) == (code, code == 691)
    assert result.message.endswith(b"M=because")


@pytest.mark.parametrize("method", [AuthMethod.MSCHAPV2, AuthMethod.EAP])
def test_a_server_that_does_not_know_the_password(method: AuthMethod) -> None:
    account = CheckPassword(PASSWORD, false_proof=True)
    joined = refused_by(ServerConfig(server_policy(account), auth=(method,)))
    (result,) = joined.of("client", ev.AuthResult)
    assert (result.ok, result.server_proof) == (False, "wrong")


@pytest.mark.parametrize(
    ("method", "waiting"),
    [
        (AuthMethod.MSCHAPV2, "CHAP Success"),
        (AuthMethod.CHAP_MD5, "CHAP Success"),
        (AuthMethod.PAP, "PAP Authenticate-Ack"),
        (AuthMethod.EAP, "EAP Success"),
    ],
)
def test_a_silent_login(method: AuthMethod, waiting: str) -> None:
    patient = Timers(auth=AuthTimers(request=30, tries=10))
    server = ServerConfig(server_policy(StaySilent()), auth=(method,), timers=patient)
    (timeout,) = refused_by(server).of("client", ev.TimedOut)
    assert timeout.waiting_for == waiting


@pytest.mark.parametrize(
    "accept", [(AuthMethod.PAP,), (AuthMethod.CHAP_MD5,), (AuthMethod.EAP, AuthMethod.PAP)]
)
def test_the_client_steers_the_method(accept: tuple[AuthMethod, ...]) -> None:
    joined = pair(
        ClientConfig(ALICE, auth=accept), ServerConfig(server_policy(), auth=tuple(ALL_METHODS))
    )
    joined.run(5)
    assert joined.of("client", ev.AuthResult)[0].method in accept
    assert joined.links["client"].is_open()


def test_no_method_in_common_names_what_was_offered() -> None:
    client = ClientConfig(ALICE, auth=(AuthMethod.PAP,))
    server = ServerConfig(server_policy(), auth=(AuthMethod.EAP, AuthMethod.MSCHAPV2))
    joined = refused_by(server, client)
    (none,) = joined.of("client", ev.NoCommonAuth)
    assert [demand.name for demand in none.offered] == ["EAP", "CHAP MS-CHAPv2"]
    assert all(answer.counter == lcp_options.AUTH_PAP for answer in none.answers)
    (theirs,) = joined.of("server", ev.NoCommonAuth)
    assert theirs.ours
    (ended,) = joined.of("client", ev.Terminated)
    assert (ended.by, ended.phase) == ("peer", ev.Phase.ESTABLISH)


def test_no_dns() -> None:
    given_ = Assignment(CLIENT_IP, SERVER_IP)
    joined = pair(server=ServerConfig(server_policy(assignment=given_)))
    joined.run(5)
    assert joined.of("client", ev.IpcpUp)[0].dns == ()


@pytest.mark.parametrize("how", list(AddressRefusal))
def test_no_address(how: AddressRefusal) -> None:
    policy = server_policy(assignment=NoAddress(how, b"pool is empty"))
    joined = refused_by(ServerConfig(policy))
    if how is AddressRefusal.REJECT_OPTION:
        assert joined.of("client", ev.AddressRefused) == [ev.AddressRefused("rejected")]
    elif how is AddressRefusal.PROTOCOL_REJECT:
        assert joined.of("client", ev.ProtocolRejected) == [ev.ProtocolRejected(protocols.IPCP)]
        assert joined.of("client", ev.AddressRefused) == [ev.AddressRefused("protocol-rejected")]
    elif how is AddressRefusal.TERMINATE:
        (ended,) = joined.of("client", ev.Terminated)
        assert (ended.by, ended.message) == ("peer", b"pool is empty")
    else:
        assert joined.of("client", ev.TimedOut) == [ev.TimedOut("IPCP Configure-Ack", 10)]


def test_mppe_demanded() -> None:
    joined = refused_by(ServerConfig(server_policy(), require_mppe=True))
    assert len(joined.of("client", ev.CcpDemanded)) == 1
    (ended,) = joined.of("client", ev.Terminated)
    assert ended.by == "peer" and b"MPPE" in ended.message


@pytest.mark.parametrize("point", [p for p in Point if p is not Point.START])
def test_hang_up_anywhere(point: Point) -> None:
    policy = server_policy(conduct={point: HangUp(b"go away")})
    joined = pair(server=ServerConfig(policy))
    joined.run(60)
    (ended,) = joined.of("client", ev.Terminated)
    assert (ended.by, ended.message) == ("peer", b"go away")
    assert joined.of("client", ev.Finished)


@pytest.mark.parametrize(
    ("point", "waiting"),
    [
        (Point.START, "LCP Configure-Ack"),
        (Point.LCP_REQUEST, "LCP Configure-Ack"),
        (Point.LCP_UP, "CHAP Challenge"),
        (Point.LOGIN_OK, "IPCP Configure-Ack"),
        (Point.IPCP_REQUEST, "IPCP Configure-Ack"),
    ],
)
def test_silence_anywhere(point: Point, waiting: str) -> None:
    policy = server_policy(conduct={point: FallSilent()})
    joined = pair(server=ServerConfig(policy))
    joined.run(120)
    assert [t.waiting_for for t in joined.of("client", ev.TimedOut)][:1] == [waiting]
    assert joined.links["client"].phase is ev.Phase.DEAD


def test_ip_flows_both_ways_and_ends_with_terminate() -> None:
    joined = pair(
        ClientConfig(ALICE, want_ipv6=True), ServerConfig(server_policy(), want_ipv6=True)
    )
    joined.run(3)
    client, server = joined.links["client"], joined.links["server"]
    client.send_ip(b"E-ping")
    server.send_ip(b"`-pong", 6)
    joined.run(4)
    assert joined.of("server", ev.IpPacket) == [ev.IpPacket(4, b"E-ping")]
    assert joined.of("client", ev.IpPacket) == [ev.IpPacket(6, b"`-pong")]
    client.send_echo(joined.now)
    joined.run(5)
    (echo,) = joined.of("client", ev.EchoReply)
    assert echo.rtt == pytest.approx(0.04)
    client.terminate(joined.now, b"bye")
    joined.run(10)
    assert joined.of("server", ev.Terminated)[0].message == b"bye"
    assert joined.of("client", ev.Terminated)[0].by == "us"
    assert len(joined.of("client", ev.Finished)) == len(joined.of("server", ev.Finished)) == 1
    with pytest.raises(LocalProtocolError):
        client.send_ip(b"E")


def test_ipv6_is_protocol_rejected_when_not_wanted() -> None:
    joined = pair(ClientConfig(ALICE, want_ipv6=True))
    joined.run(5)
    assert joined.of("client", ev.ProtocolRejected) == [ev.ProtocolRejected(protocols.IPV6CP)]
    assert joined.links["client"].is_open() and not joined.links["client"].is_open(6)


def test_unanswered_echoes_end_the_link() -> None:
    timers = Timers(echo_interval=5, echo_failures=3)
    joined = pair(ClientConfig(ALICE, timers=timers))
    joined.run(3)
    joined.line.loss = 1.0
    joined.run(60)
    assert joined.of("client", ev.TimedOut) == [ev.TimedOut("LCP Echo-Reply", 3)]


@pytest.mark.parametrize("method", ALL_METHODS)
def test_no_event_shows_the_password(method: AuthMethod) -> None:
    joined = pair(server=ServerConfig(server_policy(), auth=(method,)))
    joined.run(5)
    for name in joined.events:
        for event in joined.events[name]:
            shown = repr(event)
            if isinstance(event, ev.PacketSent | ev.PacketReceived):
                shown += event.text
                secret = PASSWORD.encode() in event.raw
                assert event.secret == secret
            assert PASSWORD not in shown and "s3cret" not in shown
    assert "s3cret" not in repr(ALICE) + repr(ClientConfig(ALICE)) + repr(CheckPassword(PASSWORD))


def test_same_inputs_same_bytes() -> None:
    def once() -> list[tuple[float, str, bytes]]:
        joined = pair(line=Line(random.Random(3), loss=0.2, duplicate=0.2, jitter=0.3), seed=3)
        joined.run(60)
        return joined.wire

    assert once() == once()


# A peer played by the test: what real gateways do


class Puppet:
    """A client under test, and the frames that it sends."""

    def __init__(self, config: ClientConfig | None = None) -> None:
        self.link = PppLink("client", config or ClientConfig(ALICE), random.Random(5).randbytes)
        self.now = 0.0
        self.events: list[ev.LinkEvent] = []
        self.link.start(0.0)

    def sent(self) -> list[tuple[int, ControlPacket]]:
        while (event := self.link.next_event()) is not None:
            self.events.append(event)
        frames = [decode_frame(frame) for frame in self.link.frames_to_send(self.now)]
        return [
            (f.protocol, decode_packet(f.protocol, f.payload))
            for f in frames
            if f.protocol not in (protocols.PAP, protocols.CHAP, protocols.EAP)
        ]

    def give(self, packet: ControlPacket, protocol: int = protocols.LCP) -> None:
        self.link.receive(encode_frame(protocol, encode_packet(packet)), self.now)

    def ack(self) -> None:
        """Acknowledge the outstanding requests."""
        for protocol, packet in self.sent():
            if isinstance(packet, Configure) and packet.code == Code.CONFIGURE_REQUEST:
                self.give(Configure(2, packet.identifier, packet.options), protocol)

    def lcp_up(self, options: Options = ()) -> None:
        self.ack()
        self.give(Configure(1, 1, options))

    def of(self, kind: type) -> list[ev.LinkEvent]:
        self.sent()
        return [event for event in self.events if isinstance(event, kind)]


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
