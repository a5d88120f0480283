"""Client and server joined in memory: every login method, bad lines, and every break."""

from __future__ import annotations

import random

import pytest

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
from vpndiag.protocols.ppp import events as ev
from vpndiag.protocols.ppp import lcp_options, protocols
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
