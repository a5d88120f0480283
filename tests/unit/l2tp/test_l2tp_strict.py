"""A tunnel whose peer is not as it should be, and what is said and sent then (RFC 2661)."""

from __future__ import annotations

import pytest

from tests.unit.l2tp.l2tp_network import Network, network, random_source, up
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp.avps import Avp, make
from vpndiag.protocols.l2tp.config import Ignore, L2tpConfig
from vpndiag.protocols.l2tp.constants import AvpType, MessageType
from vpndiag.protocols.l2tp.events import (
    Dropped,
    DropReason,
    MessageReceived,
    MessageSent,
    SessionClosed,
    SessionEstablished,
    Side,
    TimedOut,
    TunnelClosed,
    UnknownMandatory,
)
from vpndiag.protocols.l2tp.message import (
    ControlMessage,
    DataMessage,
    decode,
    encode_control,
    encode_data,
)
from vpndiag.protocols.l2tp.states import TunnelState
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel
from vpndiag.protocols.l2tp.values import ProtocolVersion, ResultCode


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
