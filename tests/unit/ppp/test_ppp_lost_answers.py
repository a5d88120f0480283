"""What lost packets must not be taken for."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

import pytest

from tests.unit.ppp.ppp_bench import ALICE, ALL_METHODS, pair, server_policy
from vpndiag.protocols.ppp import ipcp_options, protocols
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.protocols.ppp.auth_server import StaySilent
from vpndiag.protocols.ppp.config import Assignment, ClientConfig, ServerConfig, Timers
from vpndiag.protocols.ppp.control import ControlProtocol
from vpndiag.protocols.ppp.control_terms import ControlTimers, TimeoutNotice
from vpndiag.protocols.ppp.events import AuthResult, PacketSent, Phase, TimedOut
from vpndiag.protocols.ppp.frame import decode_frame, encode_frame
from vpndiag.protocols.ppp.network_policies import IpcpServerPolicy
from vpndiag.protocols.ppp.packet import Code, Configure

ADDRESS = ipcp_options.address(ipcp_options.IP_ADDRESS, IPv4Address("10.0.0.2"))
NO_ADDRESS = ipcp_options.address(ipcp_options.IP_ADDRESS, IPv4Address("0.0.0.0"))


def test_a_request_repeated_since_our_nak_was_lost_is_not_another_failure_to_agree() -> None:
    """Max-Failure (RFC 1661 section 4.6) counts disagreements, not lost packets: the server goes
    on with Naks, and does not turn to rejecting the address it was about to give."""
    options = (NO_ADDRESS,)
    policy = IpcpServerPolicy(Assignment(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")))
    server = ControlProtocol(protocols.IPCP, policy, ControlTimers(max_failure=5))
    server.open(0.0)
    server.up(0.0)
    server.take_output()
    request = Configure(Code.CONFIGURE_REQUEST, 2, options)
    for n in range(12):
        server.receive(request, float(n))
        answers = [p for p in server.take_output() if isinstance(p, Configure)]
        assert answers[-1].code == Code.CONFIGURE_NAK


def test_a_nak_is_sent_again_while_the_next_request_does_not_come() -> None:
    """SoftEther repeats a Configure-Request every 3 s only. The repeat carries the old identifier,
    which a peer that has the Nak no longer waits for."""
    policy = IpcpServerPolicy(Assignment(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")))
    for again in (True, False):
        control = ControlProtocol(protocols.IPCP, policy, ControlTimers(lossy=again))
        control.open(0.0)
        control.up(0.0)
        control.receive(Configure(Code.CONFIGURE_REQUEST, 7, (NO_ADDRESS,)), 0.0)
        control.take_output()
        control.handle_timer(1.0)
        naks = [p for p in control.take_output() if p.code == Code.CONFIGURE_NAK]
        assert [p.identifier for p in naks] == ([7] if again else [])


def test_a_peer_that_acknowledges_and_never_asks_is_given_up() -> None:
    """Each Ack refills the restart counter of RFC 1661's table."""
    policy = IpcpServerPolicy(Assignment(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")))
    control = ControlProtocol(protocols.IPCP, policy, ControlTimers(max_configure=10))
    control.open(0.0)
    control.up(0.0)
    notices: list[object] = []
    for now in range(60):
        for packet in control.take_output():
            if isinstance(packet, Configure) and packet.code == Code.CONFIGURE_REQUEST:
                ack = Configure(Code.CONFIGURE_ACK, packet.identifier, packet.options)
                control.receive(ack, float(now))
        timer = control.get_timer()
        if timer is not None and timer <= now + 0.5:
            control.handle_timer(now + 0.5)
        notices += control.take_notices()
    given_up = [n.waiting_for for n in notices if isinstance(n, TimeoutNotice)]
    assert given_up == ["IPCP Configure-Request"]


def acknowledged(timers: ControlTimers) -> ControlProtocol:
    """IPCP whose request was acknowledged at second 0."""
    policy = IpcpServerPolicy(Assignment(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")))
    control = ControlProtocol(protocols.IPCP, policy, timers)
    control.open(0.0)
    control.up(0.0)
    (request,) = control.take_output()
    assert isinstance(request, Configure)
    control.receive(Configure(Code.CONFIGURE_ACK, request.identifier, request.options), 0.0)
    return control


def test_after_an_ack_the_peers_own_request_is_waited_for() -> None:
    """pppd and SoftEther repeat theirs every 3 s; one more of ours would start them over."""
    control = acknowledged(ControlTimers(restart=0.7))
    assert control.get_timer() == 3.5
    control.receive(Configure(Code.CONFIGURE_REQUEST, 1, (ADDRESS,)), 3.1)
    assert control.opened


@pytest.mark.parametrize("lossy", [True, False])
def test_on_a_lossy_path_an_open_protocol_does_not_start_over_for_the_same_wish(
    lossy: bool,
) -> None:
    """A late repeat of ours took pppd back to Ack-Sent: it wants its new request acknowledged, and
    another request of ours would take it back once more."""
    control = acknowledged(ControlTimers(lossy=lossy))
    control.receive(Configure(Code.CONFIGURE_REQUEST, 1, (ADDRESS,)), 0.1)
    control.take_output()
    for identifier in (2, 3):
        control.receive(Configure(Code.CONFIGURE_REQUEST, identifier, (ADDRESS,)), 0.2)
        said = [(p.code, p.identifier) for p in control.take_output()]
        assert control.opened is lossy
        assert (said == [(Code.CONFIGURE_ACK, identifier)]) is lossy
        if not lossy:
            break
    control.receive(Configure(Code.CONFIGURE_REQUEST, 4, (NO_ADDRESS,)), 0.3)
    assert not control.opened, "another wish is another matter"


@pytest.mark.parametrize("method", [AuthMethod.CHAP_MD5, AuthMethod.MSCHAPV2])
def test_a_success_that_is_never_said_again_does_not_keep_the_client_out(
    method: AuthMethod,
) -> None:
    """SoftEther and l2tpns ignore Responses once they have accepted one, against RFC 1994 section
    4.2, and SoftEther waits for the client's IPCP request."""
    bench = pair(server=ServerConfig(server_policy(), auth=(method,)))
    server = bench.links["server"]
    hear = server.receive

    def deaf(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        if not (server.phase is Phase.NETWORK and decoded.protocol == protocols.CHAP):
            hear(frame, now)

    client = bench.links["client"]
    listen = client.receive

    def unlucky(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        if decoded.protocol != protocols.CHAP or decoded.payload[:1] != b"\x03":
            listen(frame, now)

    server.receive, client.receive = deaf, unlucky  # type: ignore[method-assign]
    bench.run(60.0)
    (login,) = bench.of("client", AuthResult)
    assert login.ok
    assert login.server_proof is None
    assert client.is_open()


def test_a_login_that_is_not_answered_at_all_stays_unanswered() -> None:
    """Asking ahead for an address opens nothing: a server that still waits drops it."""
    policy = server_policy(StaySilent())
    bench = pair(server=ServerConfig(policy, auth=(AuthMethod.CHAP_MD5,)))
    bench.run(120.0)
    assert not bench.of("client", AuthResult)
    (gave_up,) = [e for e in bench.of("client", TimedOut) if e.waiting_for == "CHAP Success"]
    assert gave_up.tries > 4
    asked = [e for e in bench.of("client", PacketSent) if e.protocol == protocols.IPCP]
    assert asked


def test_a_configure_ack_is_sent_again_while_the_login_does_not_begin() -> None:
    """SoftEther repeats a Configure-Request every 3 to 9 s only; at 40% loss each way that is too
    seldom. This server asks once."""
    patient = ClientConfig(ALICE, auth=ALL_METHODS, timers=Timers(ack_again=1.2))
    bench = pair(patient, ServerConfig(server_policy(), auth=(AuthMethod.CHAP_MD5,)))
    server, client = bench.links["server"], bench.links["client"]
    hear, lost, asked = server.receive, [0], [0]

    def unlucky(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        acknowledges = decoded.protocol == protocols.LCP and decoded.payload[:1] == b"\x02"
        if acknowledges and lost[0] < 2:
            lost[0] += 1
        else:
            hear(frame, now)

    listen = client.receive

    def once(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        asks = decoded.protocol == protocols.LCP and decoded.payload[:1] == b"\x01"
        asked[0] += asks
        if not asks or asked[0] == 1:
            listen(frame, now)

    server.receive, client.receive = unlucky, once  # type: ignore[method-assign]
    bench.run(20.0)
    assert lost[0] == 2
    assert client.is_open()


def test_an_ipcp_ack_is_sent_again_while_nothing_comes_through_the_link() -> None:
    """The server is not open before it has our Ack, and drops IP packets until then."""
    patient = ClientConfig(ALICE, auth=ALL_METHODS, timers=Timers(ack_again=0.6))
    bench = pair(patient, ServerConfig(server_policy(), auth=(AuthMethod.CHAP_MD5,)))
    server, client = bench.links["server"], bench.links["client"]
    hear, acks = server.receive, [0]

    def unlucky(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        ack = decoded.protocol == protocols.IPCP and decoded.payload[:1] == b"\x02"
        acks[0] += ack
        if not ack or acks[0] > 1:
            hear(frame, now)

    server.receive = unlucky  # type: ignore[method-assign]
    bench.run(2.0)
    assert client.is_open() and server.is_open()
    bench.run(60.0)
    assert acks[0] <= 8, "the two that answer, six more, and not for ever"
    client.receive(encode_frame(protocols.IP, b"\x45" + bytes(19)), bench.now)
    count = acks[0]
    bench.run(90.0)
    assert acks[0] == count


@pytest.mark.parametrize("lost", [0, 1])
def test_one_lost_request_is_reason_to_doubt_the_ipcp_ack(lost: int) -> None:
    """Where nothing was lost it is sent once: a server true to the table starts over for another
    one."""
    client = ClientConfig(ALICE, auth=ALL_METHODS, timers=Timers(ack_again_once_lost=0.6))
    bench = pair(client, ServerConfig(server_policy(), auth=(AuthMethod.CHAP_MD5,)))
    server, listener = bench.links["server"], bench.links["client"]
    hear, listen = server.receive, listener.receive
    sent: Counter[int] = Counter()

    def unlucky(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        code = decoded.payload[0] if decoded.protocol == protocols.IPCP else 0
        sent[code] += 1
        if sent[code] > {1: lost, 2: 1}.get(code, 0):
            hear(frame, now)

    def once(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        asks = decoded.protocol == protocols.IPCP and decoded.payload[0] == 1
        sent[-1] += asks
        if not asks or sent[-1] == 1:
            listen(frame, now)

    server.receive, listener.receive = unlucky, once  # type: ignore[method-assign]
    bench.run(8.0)
    assert listener.is_open()
    assert server.is_open() is bool(lost)


def test_a_challenge_that_overtakes_the_ack_is_answered_once_the_link_is_up() -> None:
    """At 40% loss the Ack comes seconds later, and SoftEther says its Challenge five times."""
    bench = pair(server=ServerConfig(server_policy(), auth=(AuthMethod.MSCHAPV2,)))
    client = bench.links["client"]
    listen, acks, challenges = client.receive, [0], [0]

    def unlucky(frame: bytes, now: float) -> None:
        decoded = decode_frame(frame)
        ack = decoded.protocol == protocols.LCP and decoded.payload[:1] == b"\x02"
        challenge = decoded.protocol == protocols.CHAP and decoded.payload[:1] == b"\x01"
        acks[0] += ack
        challenges[0] += challenge
        if not (ack and acks[0] == 1) and not (challenge and challenges[0] > 1):
            listen(frame, now)

    client.receive = unlucky  # type: ignore[method-assign]
    bench.run(4.0)
    assert acks[0] == 2 and client.is_open()


@pytest.mark.parametrize("lossy", [True, False])
def test_a_peer_that_asks_on_and_on_gets_our_request_as_well(lossy: bool) -> None:
    """l2tpns forgets that it has acknowledged it, and waits for it."""
    control = acknowledged(ControlTimers(lossy=lossy))
    for n in range(3):
        control.receive(Configure(Code.CONFIGURE_REQUEST, 1, (ADDRESS,)), 0.1 + n)
        assert control.opened
        assert [p.code for p in control.take_output()] == [Code.CONFIGURE_ACK]
    control.receive(Configure(Code.CONFIGURE_REQUEST, 1, (ADDRESS,)), 5.0)
    assert Code.CONFIGURE_REQUEST in [p.code for p in control.take_output()]
