"""LAC and LNS joined in memory: what happens, and what the events say of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.l2tp.l2tp_network import network, up
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp.config import Accept, CallRequest, Ignore, L2tpConfig, Refuse
from vpndiag.protocols.l2tp.constants import AvpType
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
)
from vpndiag.protocols.l2tp.message import (
    DataMessage,
    decode,
    encode_data,
)
from vpndiag.protocols.l2tp.reliable import RetransmitConfig
from vpndiag.protocols.l2tp.states import TunnelState


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


def test_many_sessions_through_a_small_window() -> None:
    config = L2tpConfig(receive_window=1, retransmit=RetransmitConfig(first=0.5, tries=12))
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
