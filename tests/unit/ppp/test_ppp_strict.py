"""What RFC 1661 and its relatives ask for where real peers seldom look: small and exact."""

from __future__ import annotations

import random
from ipaddress import IPv4Address

import pytest

from tests.unit.ppp.ppp_bench import ALICE, ALL_METHODS, PASSWORD, Puppet, pair, server_policy
from vpndiag.protocols.ppp import (
    ccp_options,
    chap,
    eap,
    ipcp_options,
    ipv6cp_options,
    lcp_options,
    mschapv2,
    protocols,
)
from vpndiag.protocols.ppp import events as ev
from vpndiag.protocols.ppp.auth import AuthMethod, AuthTimers
from vpndiag.protocols.ppp.auth_server import EapAuthenticator
from vpndiag.protocols.ppp.config import Assignment, ClientConfig, ServerConfig, Timers
from vpndiag.protocols.ppp.frame import decode_frame, encode_frame
from vpndiag.protocols.ppp.lcp_policy import LcpPolicy
from vpndiag.protocols.ppp.network_policies import CcpDemandPolicy, IpcpServerPolicy, Ipv6cpPolicy
from vpndiag.protocols.ppp.options import Option
from vpndiag.protocols.ppp.packet import (
    Code,
    CodeReject,
    Configure,
    ProtocolReject,
    Terminate,
)

CHAP_MD5 = lcp_options.AUTH_CHAP_MD5.option()


def lcp_policy(accept: tuple[AuthMethod, ...] = (AuthMethod.PAP,)) -> LcpPolicy:
    policy = LcpPolicy(lambda size: bytes(range(1, size + 1)), 1400, accept, ())
    policy.reset()
    return policy


def logged_in() -> Puppet:
    """A client whose peer wants no login, while IPCP is under way."""
    puppet = Puppet()
    puppet.lcp_up()
    puppet.sent()
    return puppet


def rejects(puppet: Puppet) -> list[int]:
    return [p.protocol for _, p in puppet.sent() if isinstance(p, ProtocolReject)]


# Packets that do not belong


def test_ipv6_packets_where_there_is_no_ipv6_are_protocol_rejected() -> None:
    puppet = logged_in()
    puppet.link.receive(encode_frame(protocols.IPV6, b"\x60" + bytes(39)), 0.0)
    assert rejects(puppet) == [protocols.IPV6]
    puppet.link.receive(encode_frame(protocols.IP, b"\x45" + bytes(19)), 0.0)
    assert rejects(puppet) == []
    assert len(puppet.of(ev.Dropped)) == 1, "IPv4 is spoken, and only not up yet"


def test_a_code_that_is_lcp_s_alone_is_code_rejected_in_ipcp() -> None:
    """RFC 1332 section 2: codes 1 to 7, and no others."""
    for code, answered in ((7, False), (8, True), (9, True)):
        puppet = logged_in()
        body = bytes((code, 77, 0, 8)) + b"\x01\x01\x00\x04"
        puppet.link.receive(encode_frame(protocols.IPCP, body), 0.0)
        found = [p for _, p in puppet.sent() if isinstance(p, CodeReject)]
        assert [p.rejected for p in found] == ([body] if answered else [])


def test_what_is_malformed_or_early_is_dropped_with_a_word() -> None:
    puppet = Puppet()
    longer_than_it_is, longer_option = b"\x01\x01\x00\xff", b"\x01\x01\x00\x08\x01\x09\0\0"
    for packet in (longer_than_it_is, longer_option):
        puppet.link.receive(encode_frame(protocols.LCP, packet), 0.0)
    puppet.lcp_up((CHAP_MD5,))
    puppet.give(Configure(1, 1), protocols.IPCP)
    reasons = [drop.reason for drop in puppet.of(ev.Dropped) if isinstance(drop, ev.Dropped)]
    assert len(reasons) == 3
    assert all(reason.startswith("LCP ") for reason in reasons[:2])
    assert reasons[2] == "IPCP packet before the login ended"


def test_a_login_protocol_that_was_not_agreed_on_is_protocol_rejected() -> None:
    puppet = Puppet()
    puppet.lcp_up((CHAP_MD5,))
    puppet.sent()
    puppet.link.receive(encode_frame(protocols.PAP, b"\x02\x01\x00\x05\x00"), 0.0)
    assert rejects(puppet) == [protocols.PAP]


def test_a_server_ends_a_link_whose_client_does_not_speak_its_login() -> None:
    server = ServerConfig(server_policy(), auth=(AuthMethod.CHAP_MD5,))
    joined = pair(ClientConfig(ALICE, auth=ALL_METHODS), server)
    link = joined.links["server"]
    for step in range(500):
        if link.phase is ev.Phase.AUTHENTICATE:
            break
        joined.run(step / 1000)
    reject = encode_frame(protocols.LCP, bytes((8, 9, 0, 10, 0xC2, 0x23)) + b"\x01\x01\x00\x04")
    link.receive(reject, joined.now)
    sent = [decode_frame(frame) for frame in link.frames_to_send(joined.now)]
    assert any(b"Authentication protocol rejected" in frame.payload for frame in sent)


# The automaton's counters and identifiers


def test_a_terminate_request_has_an_identifier_of_its_own() -> None:
    """RFC 1661 section 5.5, also behind requests that were repeated under the same one."""
    puppet = Puppet()
    for _ in range(3):
        puppet.now = puppet.link.get_timer() or 0.0
        puppet.link.handle_timer(puppet.now)
    requests = {packet.identifier for _, packet in puppet.sent()}
    assert len(requests) == 1
    puppet.link.terminate(puppet.now)
    ((_, packet),) = puppet.sent()
    assert isinstance(packet, Terminate) and packet.identifier not in requests


def test_no_echo_is_sent_before_lcp_is_up() -> None:
    puppet = Puppet()
    puppet.sent()
    assert puppet.link.send_echo(0.0) is False
    assert puppet.sent() == []
    assert logged_in().link.send_echo(0.0) is True


def test_the_ack_is_not_repeated_once_the_login_has_begun() -> None:
    puppet = Puppet(ClientConfig(ALICE, auth=ALL_METHODS, timers=Timers(ack_again=1.0)))
    puppet.lcp_up((CHAP_MD5,))
    puppet.sent()
    challenge = chap.encode_chap(chap.ChapValue(1, 1, b"challenge", b"lns"))
    puppet.link.receive(encode_frame(protocols.CHAP, challenge), 0.5)
    puppet.sent()
    puppet.now = 1.5
    puppet.link.handle_timer(1.5)
    assert puppet.sent() == []


def test_one_magic_number_like_ours_is_chance_and_two_are_a_loop() -> None:
    """RFC 1661 section 6.4: a Nak with another number first."""
    puppet = Puppet()
    ((_, request),) = puppet.sent()
    assert isinstance(request, Configure)
    ours = next(option for option in request.options if option.type == lcp_options.MAGIC)
    puppet.give(Configure(1, 1, (ours,)))
    ((_, answer),) = puppet.sent()
    assert isinstance(answer, Configure) and answer.code == Code.CONFIGURE_NAK
    assert answer.options[0].data != ours.data and puppet.of(ev.LoopbackDetected) == []
    puppet.give(Configure(1, 2, (ours,)))
    sent = [packet for _, packet in puppet.sent()]
    assert len(puppet.of(ev.LoopbackDetected)) == 1
    assert any(isinstance(p, Terminate) and p.message == b"Loopback detected" for p in sent)


# Options


def test_a_new_negotiation_knows_nothing_of_the_last_one() -> None:
    policy = lcp_policy()
    policy.judge((CHAP_MD5,), False)
    policy.reset()
    assert policy.answers == []


def test_the_character_map_has_four_bytes() -> None:
    whole, cut = Option(lcp_options.ACCM, bytes(4)), Option(lcp_options.ACCM, bytes(3))
    assert lcp_policy().judge((whole,), False) == (Code.CONFIGURE_ACK, (whole,))
    assert lcp_policy().judge((cut,), False) == (Code.CONFIGURE_REJECT, (cut,))


def test_an_interface_identifier_is_taken_from_a_nak() -> None:
    policy = Ipv6cpPolicy(lambda size: bytes(range(size)))
    policy.reset()
    mine = policy.identifier
    given = ipv6cp_options.interface_id(b"\x02\0\0\0\0\0\0\x07")
    policy.naked((given,))
    assert policy.request() == (given,)
    policy.naked((ipv6cp_options.interface_id(bytes(8)),))
    assert policy.request() == (ipv6cp_options.interface_id(mine),), "zero is none"


def test_only_an_interface_identifier_is_agreed_to_in_ipv6cp() -> None:
    policy = Ipv6cpPolicy(random.Random(3).randbytes)
    policy.reset()
    good = ipv6cp_options.interface_id(b"\x02\0\0\0\0\0\0\x07")
    assert policy.judge((good,), False) == (Code.CONFIGURE_ACK, (good,))
    for odd in (Option(2, b"\x00\x4f"), Option(2, bytes(7) + b"\1"), Option(1, b"\2\1")):
        assert policy.judge((good, odd), False) == (Code.CONFIGURE_REJECT, (odd,))
    code, (other,) = policy.judge((ipv6cp_options.interface_id(policy.identifier),), False)
    assert code == Code.CONFIGURE_NAK and other.data != policy.identifier


def test_a_client_that_asks_for_no_address_is_told_of_one_once() -> None:
    """RFC 1332 section 3.3 allows to append it; one that wants none after that has none."""
    address = IPv4Address("10.0.0.2")
    policy = IpcpServerPolicy(Assignment(address, IPv4Address("10.0.0.1")))
    policy.reset()
    option = ipcp_options.address(ipcp_options.IP_ADDRESS, address)
    assert policy.judge((), False) == (Code.CONFIGURE_NAK, (option,))
    assert policy.judge((), False) == (Code.CONFIGURE_ACK, ())


def test_eap_that_fails_before_any_method_is_a_failed_login_of_this_user() -> None:
    puppet = Puppet(ClientConfig(ALICE, auth=(AuthMethod.EAP,)))
    puppet.lcp_up((lcp_options.AUTH_EAP.option(),))
    puppet.sent()
    failure = eap.encode_eap(eap.EapPacket(eap.FAILURE, 1))
    puppet.link.receive(encode_frame(protocols.EAP, failure), 0.0)
    (result,) = puppet.of(ev.AuthResult)
    assert isinstance(result, ev.AuthResult)
    assert (result.ok, result.user) == (False, ALICE.name)
    assert PASSWORD.encode() not in repr(result).encode()


def test_a_demand_for_mppe_that_is_rejected_is_not_made_again() -> None:
    policy = CcpDemandPolicy()
    policy.reset()
    demand = policy.request()
    assert demand == (ccp_options.mppe(policy.bits),)
    policy.rejected(demand)
    assert policy.refused and policy.request() == ()


# EAP


def eap_frame(code: int, identifier: int, kind: int | None = None, data: bytes = b"") -> bytes:
    return encode_frame(protocols.EAP, eap.encode_eap(eap.EapPacket(code, identifier, kind, data)))


@pytest.mark.parametrize("right", [True, False])
def test_md5_inside_eap(right: bool) -> None:
    account = PASSWORD if right else "another password"
    server = ServerConfig(server_policy(account), auth=(AuthMethod.EAP,), eap_methods=(4,))
    joined = pair(ClientConfig(ALICE, auth=(AuthMethod.EAP,)), server)
    joined.run(20)
    for side in ("client", "server"):
        (result,) = joined.of(side, ev.AuthResult)
        assert (result.ok, result.inner, result.user) == (right, eap.MD5_CHALLENGE, ALICE.name)


def test_an_eap_success_that_nothing_was_proven_for_is_no_success() -> None:
    """RFC 3748 section 4.2: a peer discards one that comes before the method has ended."""
    puppet = Puppet(ClientConfig(ALICE, auth=(AuthMethod.EAP,)))
    puppet.lcp_up((lcp_options.AUTH_EAP.option(),))
    puppet.sent()
    puppet.link.receive(eap_frame(eap.REQUEST, 1, eap.IDENTITY), 0.0)
    puppet.link.receive(eap_frame(eap.SUCCESS, 1), 0.0)
    assert puppet.of(ev.AuthResult) == []
    puppet.link.receive(eap_frame(eap.REQUEST, 2, eap.MD5_CHALLENGE, b"\x04four"), 0.0)
    puppet.link.receive(eap_frame(eap.SUCCESS, 2), 0.0)
    (result,) = puppet.of(ev.AuthResult)
    assert isinstance(result, ev.AuthResult) and result.ok


@pytest.mark.parametrize(("answer", "code"), [(3, eap.SUCCESS), (4, eap.FAILURE)])
def test_a_peer_that_does_not_believe_the_server_s_proof_is_not_let_in(
    answer: int, code: int
) -> None:
    """EAP-MS-CHAPv2: the peer answers a Success Request with a Failure Response if the proof in
    it is wrong, and the server then ends with a Failure."""
    server = EapAuthenticator(server_policy(), AuthTimers(), random.Random(7).randbytes, b"lns")
    server.start(0.0)
    outbox: list[eap.EapPacket] = []

    def give(kind: int, data: bytes) -> eap.EapPacket:
        outbox.extend(eap.decode_eap(packet) for packet in server.take_output())
        reply = eap.EapPacket(eap.RESPONSE, outbox[-1].identifier, kind, data)
        server.receive(eap.encode_eap(reply), 0.0)
        outbox.extend(eap.decode_eap(packet) for packet in server.take_output())
        return outbox[-1]

    challenge = eap.decode_mschapv2(give(eap.IDENTITY, b"alice").data)
    mine = bytes(range(16))
    proof = mschapv2.generate_nt_response(challenge.value, mine, b"alice", PASSWORD)
    value = mschapv2.Response(mine, proof).encode()
    response = eap.Mschapv2Message(eap.OP_RESPONSE, challenge.identifier, value, b"alice")
    request = eap.decode_mschapv2(give(eap.MSCHAPV2, eap.encode_mschapv2(response)).data)
    assert request.op == eap.OP_SUCCESS
    assert give(eap.MSCHAPV2, bytes((answer,))).code == code
