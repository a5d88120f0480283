"""LAC and LNS joined in memory: what happens, and what the events say of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.l2tp.l2tp_network import Network, network, random_source
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp.avps import Avp, make
from vpndiag.protocols.l2tp.config import Accept, CallRequest, Ignore, L2tpConfig, Refuse
from vpndiag.protocols.l2tp.constants import AvpType, MessageType
from vpndiag.protocols.l2tp.events import (
    Dropped,
    DropReason,
    MessageReceived,
    MessageSent,
    PppFrame,
    SecretMismatch,
    SecretWanted,
    SessionClosed,
    SessionEstablished,
    Side,
    TimedOut,
    TunnelClosed,
    TunnelEstablished,
    UnknownMandatory,
)
from vpndiag.protocols.l2tp.message import (
    ControlMessage,
    DataMessage,
    decode,
    encode_control,
    encode_data,
)
from vpndiag.protocols.l2tp.reliable import RetransmitConfig
from vpndiag.protocols.l2tp.states import TunnelState
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel
from vpndiag.protocols.l2tp.values import ProtocolVersion, ResultCode


def up(net: Network, limit: float = 60.0) -> int:
    """Tunnel and session up; returns the LAC's session ID."""
    net.lac.start(net.now)
    net.run(limit, lambda: bool(net.of("lac", TunnelEstablished)))
    session = net.lac.open_session(net.now)
    net.run(
        net.now + limit,
        lambda: bool(net.of("lac", SessionEstablished) and net.of("lns", SessionEstablished)),
    )
    return session


def test_tunnel_and_session_come_up_and_carry_ppp_both_ways() -> None:
    config = L2tpConfig(host_name=b"gw", vendor_name=b"acme", firmware=7, receive_window=5)
    net = network(lns=config)
    session = up(net)
    (established,) = net.of("lac", TunnelEstablished)
    assert established.peer.host_name == b"gw"
    assert established.peer.vendor_name == b"acme"
    assert (established.peer.firmware, established.peer.receive_window) == (7, 5)
    assert established.authenticated is None
    assert (net.lac.peer_id, net.lns.peer_id) == (net.lns.local_id, net.lac.local_id)
    (ours,) = net.of("lac", SessionEstablished)
    (theirs,) = net.of("lns", SessionEstablished)
    assert (ours.session_id, ours.peer_session_id) == (session, theirs.session_id)
    net.lac.send_ppp(session, b"\xff\x03\xc0\x21up", net.now)
    net.lns.send_ppp(theirs.session_id, b"\xc0\x21down", net.now)
    net.run(net.now + 1)
    assert net.of("lns", PppFrame) == [PppFrame(theirs.session_id, b"\xff\x03\xc0\x21up")]
    assert net.of("lac", PppFrame) == [PppFrame(session, b"\xc0\x21down")]


def test_the_messages_are_those_of_the_rfc_in_order() -> None:
    net = network()
    up(net)
    net.run(net.now + 1)
    names = [
        (side, decode(data).name)  # type: ignore[union-attr]
        for _, side, data in net.wire
    ]
    assert names == [
        ("lac", "SCCRQ"),
        ("lns", "SCCRP"),
        ("lac", "SCCCN"),
        ("lac", "ICRQ"),
        ("lns", "ZLB"),
        ("lns", "ICRP"),
        ("lac", "ICCN"),
        ("lns", "ZLB"),
    ]


@pytest.mark.parametrize("seed", range(25))
def test_loss_reordering_and_duplication_are_survived(seed: int) -> None:
    tries = RetransmitConfig(first=0.5, cap=4, tries=12)
    config = L2tpConfig(retransmit=tries, secret=b"s", challenge=True)
    net = network(config, config, seed=seed, loss=0.25, jitter=0.4, duplication=0.2)
    up(net, 120.0)
    for side in ("lac", "lns"):
        assert len(net.of(side, TunnelEstablished)) == 1
        assert net.of(side, TunnelEstablished)[0].authenticated is True
        assert len(net.of(side, SessionEstablished)) == 1
    net.lac.close(net.now)
    net.run(net.now + 120)
    assert net.lac.state is TunnelState.CLOSED
    assert [event.by for event in net.of("lac", TunnelClosed)] == [Side.US]
    assert [event.by for event in net.of("lns", TunnelClosed)] in ([Side.PEER], [])


@pytest.mark.parametrize("slow_start", [False, True])
def test_many_sessions_through_a_small_window(slow_start: bool) -> None:
    retransmit = RetransmitConfig(first=0.5, tries=12, slow_start=slow_start)
    config = L2tpConfig(receive_window=1, retransmit=retransmit)
    net = network(config, config, seed=3, loss=0.1)
    up(net)
    for _ in range(20):
        net.lac.open_session(net.now)
    net.run(net.now + 300, lambda: len(net.of("lns", SessionEstablished)) == 21)
    assert len(net.of("lns", SessionEstablished)) == 21


def test_same_seed_same_bytes() -> None:
    def run(seed: int) -> list[tuple[float, str, bytes]]:
        config = L2tpConfig(secret=b"s", challenge=True, hide=frozenset({AvpType.CHALLENGE}))
        net = network(config, config, seed=seed, loss=0.2, jitter=0.3)
        net.lac.start(0.0)
        net.run(100)
        return net.wire

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_no_answer_times_out_after_the_configured_back_off() -> None:
    retransmit = RetransmitConfig(first=1, cap=4, tries=4)
    net = network(L2tpConfig(retransmit=retransmit), blocked=lambda side, data: side == "lac")
    net.lac.start(0.0)
    net.run(100)
    assert [time for time, _, _ in net.wire] == [0, 1, 3, 7]
    assert net.of("lac", TimedOut) == [TimedOut("SCCRP", 4)]
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.US, None)]
    assert [event.retransmission for event in net.of("lac", MessageSent)] == [0, 1, 2, 3]
    assert net.lac.get_timer() is None


def test_lost_sccrp_shows_as_sccrq_repeats_on_the_lns_and_as_missing_scccn() -> None:
    net = network(blocked=lambda side, data: side == "lns")
    net.lac.start(0.0)
    net.run(100)
    repeats = [event.repeat for event in net.of("lns", MessageReceived)]
    assert repeats == [False, True, True, True, True, True]
    assert TimedOut("SCCCN", 6) in net.of("lns", TimedOut)


def test_acknowledged_but_never_answered() -> None:
    def policy(request: Any) -> Any:
        return Ignore(acknowledge=True)

    net = network(lns=L2tpConfig(policy=policy))
    net.lac.start(0.0)
    net.run(100)
    assert net.of("lac", TimedOut) == [TimedOut("SCCRP", 1, acknowledged=True)]
    assert len(net.of("lac", TunnelClosed)) == 1


def test_policy_silence_on_the_tunnel() -> None:
    net = network(lns=L2tpConfig(policy=lambda request: Ignore()))
    net.lac.start(0.0)
    net.run(100)
    assert not [side for _, side, _ in net.wire if side == "lns"]
    assert net.of("lac", TimedOut) == [TimedOut("SCCRP", 6)]
    heard = net.of("lns", MessageReceived)
    assert {event.message.name for event in heard} == {"SCCRQ"}
    reasons = [event.reason for event in net.of("lns", Dropped)]
    assert reasons == [DropReason.IGNORED] * len(heard) and len(heard) == 6


@pytest.mark.parametrize(("ns", "answered"), [(0, True), (1, False)])
def test_a_tunnel_begins_with_the_first_message_of_its_peer(ns: int, answered: bool) -> None:
    """An SCCRQ that is not number 0 (RFC 2661 section 5.8) is of some older tunnel."""
    net = network()
    net.lac.start(0.0)
    (request,) = net.lac.datagrams_to_send(0.0)
    first = decode(request)
    assert isinstance(first, ControlMessage)
    late = ControlMessage(first.tunnel_id, first.session_id, ns, first.nr, first.avps)
    net.lns.receive(encode_control(late), 0.0)
    net.flush()
    assert bool([side for _, side, _ in net.wire if side == "lns"]) is answered
    dropped = [event.reason for event in net.of("lns", Dropped)]
    assert dropped == ([] if answered else [DropReason.NOT_EXPECTED])


def test_another_version_is_refused_with_the_one_that_is_spoken() -> None:
    """StopCCN 5, and version and revision in the error field (RFC 2661 section 4.4.2)."""
    net = network()
    version = make(AvpType.PROTOCOL_VERSION, ProtocolVersion(2, 0))
    net.lac.start(0.0)
    (request,) = net.lac.datagrams_to_send(0.0)
    first = decode(request)
    assert isinstance(first, ControlMessage)
    avps = tuple(version if avp.type == AvpType.PROTOCOL_VERSION else avp for avp in first.avps)
    net.lns.receive(encode_control(ControlMessage(0, 0, 0, 0, avps)), 0.0)
    net.flush()
    (closed,) = net.of("lns", TunnelClosed)
    assert (closed.result, closed.error) == (5, 0x0100)


def test_the_sessions_of_two_tunnels_begin_at_different_numbers() -> None:
    """What an old tunnel left on the way must not be taken for the new one's."""
    assert len({up(network(seed=seed)) for seed in range(5)}) == 5


def test_one_farewell_and_no_more_to_a_peer_that_answers_nothing() -> None:
    net = network(blocked=lambda side, data: side == "lns" and net.now > 1)
    up(net)
    net.now = 2.0
    net.lac.open_session(net.now)
    net.run(200)
    farewells = [event for event in net.of("lac", MessageSent) if event.message.name == "StopCCN"]
    assert len(farewells) == 1 and net.lac.state is TunnelState.CLOSED
    assert net.lac.get_timer() is None


def test_policy_silence_on_the_call_closes_only_the_call() -> None:
    def policy(request: Any) -> Any:
        return Ignore() if isinstance(request, CallRequest) else Accept()

    net = network(lns=L2tpConfig(policy=policy))
    net.lac.start(0.0)
    net.run(1)
    session = net.lac.open_session(1.0)
    net.run(50)
    assert net.of("lac", TimedOut) == [TimedOut("ICRP", 1, True, session)]
    assert net.of("lac", SessionClosed) == [SessionClosed(session, Side.US, 10)]
    assert net.lac.state is TunnelState.ESTABLISHED


def test_policy_refuses_the_tunnel() -> None:
    net = network(lns=L2tpConfig(policy=lambda request: Refuse(2, 6, b"no cc config")))
    net.lac.start(0.0)
    net.run(100)
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.PEER, 2, 6, b"no cc config")]
    assert net.lac.state is net.lns.state is TunnelState.CLOSED


def test_policy_refuses_the_call() -> None:
    def policy(request: Any) -> Any:
        return Refuse(4, 4, b"pool empty") if isinstance(request, CallRequest) else Accept()

    net = network(lns=L2tpConfig(policy=policy))
    net.lac.start(0.0)
    net.run(1)
    session = net.lac.open_session(1.0)
    net.run(3)
    assert net.of("lac", SessionClosed) == [SessionClosed(session, Side.PEER, 4, 4, b"pool empty")]


@pytest.mark.parametrize("closer", ["lac", "lns"])
def test_cdn_from_either_side(closer: str) -> None:
    net = network()
    session = up(net)
    ids = {"lac": session, "lns": net.of("lns", SessionEstablished)[0].session_id}
    engine = net.lac if closer == "lac" else net.lns
    other = "lns" if closer == "lac" else "lac"
    engine.close_session(ids[closer], 3, 0, b"bye", net.now)
    net.run(net.now + 2)
    assert net.of(closer, SessionClosed) == [SessionClosed(ids[closer], Side.US, 3, 0, b"bye")]
    assert net.of(other, SessionClosed) == [SessionClosed(ids[other], Side.PEER, 3, 0, b"bye")]
    with pytest.raises(LocalProtocolError):
        engine.send_ppp(ids[closer], b"x", net.now)


def test_stopccn_takes_the_sessions_along() -> None:
    net = network()
    session = up(net)
    net.lns.close(net.now, 6, 0, b"shutting down")
    net.run(net.now + 2)
    assert net.of("lac", SessionClosed) == [SessionClosed(session, Side.PEER, None)]
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.PEER, 6, 0, b"shutting down")]
    assert net.lns.get_timer() is None


def test_hello_keeps_an_idle_tunnel_and_finds_a_dead_peer() -> None:
    net = network(L2tpConfig(hello_interval=10), L2tpConfig(hello_interval=None))
    up(net)
    net.run(60)
    hellos = [m for m in net.of("lns", MessageReceived) if m.message.name == "HELLO"]
    assert len(hellos) == 5
    net.blocked = lambda side, data: True
    net.run(200)
    assert net.of("lac", TimedOut) == [TimedOut("acknowledgement of HELLO", 6)]
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.US, 1)]


@pytest.mark.parametrize(
    ("lac", "lns", "lac_proof", "lns_proof"),
    [
        ({"secret": b"s", "challenge": True}, {"secret": b"s"}, True, None),
        ({"secret": b"s"}, {"secret": b"s", "require_secret": True}, None, True),
        (
            {"secret": b"s", "require_secret": True},
            {"secret": b"s", "require_secret": True},
            True,
            True,
        ),
        # A gateway without a secret ignores our challenge, as SoftEther does.
        ({"secret": b"s", "challenge": True}, {}, None, None),
        ({}, {"secret": b"s", "challenge": True}, None, None),
    ],
)
def test_tunnel_authentication_outcomes(
    lac: dict[str, Any], lns: dict[str, Any], lac_proof: bool | None, lns_proof: bool | None
) -> None:
    net = network(L2tpConfig(**lac), L2tpConfig(**lns))
    up(net)
    assert net.of("lac", TunnelEstablished)[0].authenticated is lac_proof
    assert net.of("lns", TunnelEstablished)[0].authenticated is lns_proof


def test_wrong_secret_is_reported_and_stops_with_4() -> None:
    net = network(
        L2tpConfig(secret=b"one", challenge=True), L2tpConfig(secret=b"two", challenge=True)
    )
    net.lac.start(0.0)
    net.run(10)
    assert net.of("lac", SecretMismatch) == [SecretMismatch("SCCRP", answered=True)]
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.US, 4)]
    assert net.of("lns", TunnelClosed) == [TunnelClosed(Side.PEER, 4)]


def test_missing_secret_is_reported_and_the_lns_decides() -> None:
    net = network(lns=L2tpConfig(secret=b"s", require_secret=True))
    net.lac.start(0.0)
    net.run(10)
    assert net.of("lac", SecretWanted) == [SecretWanted("SCCRP")]
    assert net.of("lns", SecretMismatch) == [SecretMismatch("SCCCN", answered=False)]
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.PEER, 4)]


def test_missing_secret_can_stop_politely() -> None:
    net = network(L2tpConfig(stop_without_secret=True), L2tpConfig(secret=b"s", challenge=True))
    net.lac.start(0.0)
    net.run(10)
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.US, 4)]
    assert not net.of("lac", TunnelEstablished)


def test_hidden_avps_are_read_with_the_secret() -> None:
    kinds = frozenset({AvpType.ASSIGNED_TUNNEL_ID, AvpType.VENDOR_NAME, AvpType.CHALLENGE})
    lns = L2tpConfig(secret=b"s", challenge=True, hide=kinds, vendor_name=b"acme")
    net = network(L2tpConfig(secret=b"s", challenge=True), lns)
    up(net)
    (established,) = net.of("lac", TunnelEstablished)
    assert (established.peer.vendor_name, established.authenticated) == (b"acme", True)
    sccrp = next(d for _, side, d in net.wire if side == "lns")
    assert b"acme" not in sccrp
    assert net.of("lns", TunnelEstablished)[0].authenticated is True


def test_sequence_numbers_when_the_lac_requires_them() -> None:
    net = network(L2tpConfig(sequencing=True))
    session = up(net)
    peer = net.of("lns", SessionEstablished)[0]
    assert peer.sequencing
    for text in (b"a", b"b"):
        net.lac.send_ppp(session, text, net.now)
        net.lns.send_ppp(peer.session_id, text, net.now)
    net.run(net.now + 1)
    for side in ("lac", "lns"):
        assert [(f.data, f.ns, f.out_of_order) for f in net.of(side, PppFrame)] == [
            (b"a", 0, False),
            (b"b", 1, False),
        ]


def test_late_data_is_delivered_and_marked() -> None:
    net = network()
    session = up(net)
    for ns in (0, 2, 1):
        message = DataMessage(net.lac.local_id, session, b"x", ns=ns, nr=0)
        net.lac.receive(encode_data(message), net.now)
    net.flush()
    assert [f.out_of_order for f in net.of("lac", PppFrame)] == [False, False, True]


def test_the_lac_numbers_as_long_as_the_lns_does() -> None:
    net = network()
    session = up(net)

    def numbered() -> bool:
        net.lac.send_ppp(session, b"x", net.now)
        message = decode(net.lac.datagrams_to_send(net.now)[-1])
        assert isinstance(message, DataMessage) and message.has_length
        return message.ns is not None

    assert not numbered()
    net.lac.receive(encode_data(DataMessage(net.lac.local_id, session, b"x", ns=0, nr=0)), net.now)
    assert numbered()
    net.lac.receive(encode_data(DataMessage(net.lac.local_id, session, b"x")), net.now)
    assert not numbered()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", DropReason.MALFORMED),
        (b"\xc8\x02\x00\x0c", DropReason.MALFORMED),
        (b"\xc8\x03\x00\x0c" + bytes(8), DropReason.OTHER_VERSION),
        (encode_data(DataMessage(1, 1, b"x")), DropReason.UNKNOWN_TUNNEL),
        (encode_control(ControlMessage(1, 0, 9, 9)), DropReason.UNKNOWN_TUNNEL),
    ],
)
def test_what_is_not_ours_is_dropped_with_a_reason(data: bytes, reason: DropReason) -> None:
    net = network()
    up(net)
    assert net.lac.local_id != 1
    net.lac.receive(data, net.now)
    net.flush()
    (dropped,) = net.of("lac", Dropped)
    assert (dropped.reason, dropped.data) == (reason, data)
    assert net.lac.state is TunnelState.ESTABLISHED


def test_data_of_an_old_session_is_dropped() -> None:
    net = network()
    session = up(net)
    stale = encode_data(DataMessage(net.lac.local_id, (session + 7) & 0xFFFF, b"\xc0\x21\x05"))
    net.lac.receive(stale, net.now)
    net.flush()
    assert [event.reason for event in net.of("lac", Dropped)] == [DropReason.UNKNOWN_SESSION]


def _with_avp(net: Network, side: str, name: str, avp: Avp) -> None:
    """Let every message ``name`` of ``side`` arrive with one more AVP."""
    engine = net.lac if side == "lns" else net.lns
    original = engine.receive

    def receive(data: bytes, now: float) -> None:
        message = decode(data)
        if isinstance(message, ControlMessage) and message.name == name:
            avps = (*message.avps, avp)
            data = encode_control(
                ControlMessage(message.tunnel_id, message.session_id, message.ns, message.nr, avps)
            )
        original(data, now)

    engine.receive = receive  # type: ignore[method-assign]


_STRANGE = Avp(77, b"?", mandatory=True)


def test_unknown_mandatory_avp_makes_an_lns_stop_with_2_8() -> None:
    net = network()
    _with_avp(net, "lac", "SCCRQ", _STRANGE)
    net.lac.start(0.0)
    net.run(10)
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.PEER, 2, 8, b"AVP 77")]
    (report,) = net.of("lns", UnknownMandatory)
    assert (report.avps, report.tolerated) == ((_STRANGE,), False)


def test_unknown_mandatory_avp_in_a_call_ends_only_the_call() -> None:
    net = network()
    _with_avp(net, "lac", "ICRQ", _STRANGE)
    net.lac.start(0.0)
    net.run(1)
    session = net.lac.open_session(1.0)
    net.run(5)
    assert net.of("lac", SessionClosed) == [SessionClosed(session, Side.PEER, 2, 8, b"AVP 77")]
    assert net.lns.state is TunnelState.ESTABLISHED


def test_unknown_mandatory_avp_is_reported_and_tolerated_by_the_lac() -> None:
    net = network()
    _with_avp(net, "lns", "SCCRP", _STRANGE)
    up(net)
    assert [report.tolerated for report in net.of("lac", UnknownMandatory)] == [True]
    assert net.of("lac", SessionEstablished)


def test_unknown_optional_avp_is_no_event() -> None:
    net = network()
    _with_avp(net, "lac", "SCCRQ", Avp(77, b"?", mandatory=False, vendor=9))
    up(net)
    assert not net.of("lns", UnknownMandatory)


def test_outgoing_calls_are_refused() -> None:
    net = network()
    up(net)
    avps = (make(AvpType.MESSAGE_TYPE, MessageType.OCRQ), make(AvpType.ASSIGNED_SESSION_ID, 99))
    net.lns.send_control(0, avps)
    net.run(net.now + 1)
    cdn = [m.message for m in net.of("lns", MessageReceived) if m.message.name == "CDN"]
    assert [(m.session_id, m.result.result) for m in cdn] == [(99, 5)]


def test_a_second_handshake_in_an_established_tunnel_is_a_state_machine_error() -> None:
    net = network()
    up(net)
    net.lns.send_control(0, (make(AvpType.MESSAGE_TYPE, MessageType.SCCRP),))
    net.run(net.now + 1)
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.US, 7)]


def test_closing_before_the_peer_is_known_sends_one_stopccn() -> None:
    net = network(blocked=lambda side, data: True)
    net.lac.start(0.0)
    net.flush()
    net.lac.close(0.5)
    net.run(60)
    names = [decode(data).name for _, _, data in net.wire]  # type: ignore[union-attr]
    assert names == ["SCCRQ", "StopCCN"]
    assert net.lac.state is TunnelState.CLOSED


def test_misuse_is_a_local_error() -> None:
    lns = L2tpTunnel("lns", L2tpConfig(), random_source(1))
    with pytest.raises(LocalProtocolError):
        lns.start(0.0)
    lac = L2tpTunnel("lac", L2tpConfig(), random_source(1))
    with pytest.raises(LocalProtocolError):
        lac.open_session(0.0)
    with pytest.raises(LocalProtocolError):
        L2tpConfig(require_secret=True)


def test_a_session_closed_just_before_its_tunnel_still_gets_its_cdn() -> None:
    net = network()
    session = up(net)
    net.run(net.now + 1)
    net.lac.close_session(session, 3, 0, b"bye", net.now)
    net.lac.close(net.now)
    net.run(net.now + 2)
    assert [event.result for event in net.of("lns", SessionClosed)] == [3]
    assert [event.result for event in net.of("lns", TunnelClosed)] == [1]


def test_stopccn_does_not_wait_for_a_window_that_stays_full() -> None:
    net = network(lns=L2tpConfig(receive_window=1))
    up(net)
    net.run(net.now + 1)
    start = len(net.wire)
    net.blocked = lambda side, data: True
    for _ in range(3):
        net.lac.open_session(net.now)
    net.flush()
    net.lac.close(net.now)
    net.flush()
    names = [decode(data).name for _, _, data in net.wire[start:]]  # type: ignore[union-attr]
    assert names == ["ICRQ", "StopCCN"]


def test_the_tries_before_the_acknowledgement_are_counted() -> None:
    net = network(
        lns=L2tpConfig(policy=lambda request: Ignore(acknowledge=True)),
    )
    net.blocked = lambda side, data: net.now < 2
    net.lac.start(0.0)
    net.run(100)
    assert net.of("lac", TimedOut) == [TimedOut("SCCRP", 3, acknowledged=True)]


def test_stopccn_of_a_peer_that_knows_no_tunnel_id_yet_is_taken() -> None:
    net = network(blocked=lambda side, data: True)
    net.lac.start(0.0)
    net.flush()
    avps = (
        make(AvpType.MESSAGE_TYPE, MessageType.StopCCN),
        make(AvpType.ASSIGNED_TUNNEL_ID, 5),
        make(AvpType.RESULT_CODE, ResultCode(2, 6, b"no")),
    )
    net.lac.receive(encode_control(ControlMessage(0, 0, 0, 1, avps)), 0.1)
    net.flush()
    assert net.of("lac", TunnelClosed) == [TunnelClosed(Side.PEER, 2, 6, b"no")]


def test_an_engine_that_is_closed_still_acknowledges() -> None:
    net = network()
    up(net)
    net.lns.close(net.now)
    (stop,) = net.lns.datagrams_to_send(net.now)
    for _ in range(2):
        net.lac.receive(stop, net.now)
        (answer,) = net.lac.datagrams_to_send(net.now)
        message = decode(answer)
        assert isinstance(message, ControlMessage) and message.is_zlb
