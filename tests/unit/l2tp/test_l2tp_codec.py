"""L2TP messages and AVPs: both directions, malformed input, hiding, tunnel authentication."""

from __future__ import annotations

import contextlib
import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.l2tp.auth import challenge_response, response_matches
from vpndiag.protocols.l2tp.avps import SPECS, Avp, encode_avp, make
from vpndiag.protocols.l2tp.config import L2tpConfig
from vpndiag.protocols.l2tp.constants import AvpType, MessageType, message_name
from vpndiag.protocols.l2tp.hidden import hide, hide_some, reveal, reveal_all
from vpndiag.protocols.l2tp.message import (
    ControlMessage,
    DataMessage,
    OtherVersion,
    decode,
    encode_control,
    encode_data,
    peek_tunnel_id,
)
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel
from vpndiag.protocols.l2tp.values import (
    Accm,
    AvpValue,
    CallErrors,
    Format,
    ProtocolVersion,
    ProxyAuthenId,
    Q931Cause,
    ResultCode,
)

SCCRQ = bytes.fromhex(
    "c802003f000000000000000080080000000000018008000000020100800a00000003000000"
    "03800a00000007686f7374800800000009010200070000004d78"
)
"""Message Type, Protocol Version, Framing Capabilities, Host Name, Assigned Tunnel ID, and an
attribute 0x4d that is not mandatory."""

SAMPLES: dict[Format, AvpValue] = {
    Format.U16: 0x1234,
    Format.U32: 0x12345678,
    Format.BYTES: b"bytes",
    Format.TEXT: b"text",
    Format.EMPTY: b"",
    Format.TIE_BREAKER: b"8 bytes!",
    Format.RESPONSE: b"sixteen bytes...",
    Format.RESULT: ResultCode(2, 6, b"why"),
    Format.VERSION: ProtocolVersion(1, 0),
    Format.CAUSE: Q931Cause(0x1234, 5, b"advice"),
    Format.CALL_ERRORS: CallErrors(1, 2, 3, 4, 5, 6),
    Format.ACCM: Accm(1, 2),
    Format.PROXY_ID: ProxyAuthenId(9),
}


def control(*avps: Avp, **fields: int) -> ControlMessage:
    numbers = {"tunnel_id": 1, "session_id": 2, "ns": 3, "nr": 4} | fields
    return ControlMessage(**numbers, avps=avps)  # type: ignore[arg-type]


def test_sccrq_by_hand() -> None:
    message = decode(SCCRQ)
    assert isinstance(message, ControlMessage)
    assert (message.name, message.tunnel_id, message.ns, message.nr) == ("SCCRQ", 0, 0, 0)
    assert message.value(AvpType.PROTOCOL_VERSION) == ProtocolVersion(1, 0)
    assert message.data(AvpType.HOST_NAME) == b"host"
    assert message.number(AvpType.ASSIGNED_TUNNEL_ID) == 0x0102
    unknown = message.avps[-1]
    assert (unknown.type, unknown.spec, unknown.mandatory) == (0x4D, None, False)
    assert unknown.decoded() == b"x"
    assert encode_control(message) == SCCRQ


def test_the_table_has_every_attribute_of_the_rfc() -> None:
    assert set(SPECS) == set(range(40)) - {20}
    never_hidden = {0, 1, 2, 5, 7, 10, 12, 36, 39}
    assert {kind for kind, spec in SPECS.items() if not spec.may_hide} == never_hidden
    optional = {5, 6, 8, 25, 26, 27, 28, 29, 30, 31, 32, 33, 37, 38}
    assert {kind for kind, spec in SPECS.items() if not spec.mandatory} == optional


@pytest.mark.parametrize("kind", list(AvpType))
def test_each_attribute_both_ways(kind: AvpType) -> None:
    value = SAMPLES[SPECS[kind].format]
    message = control(make(AvpType.MESSAGE_TYPE, MessageType.HELLO), make(kind, value))
    decoded = decode(encode_control(message))
    assert decoded == message
    assert isinstance(decoded, ControlMessage)
    assert decoded.avps[1].decoded() == value
    assert decoded.avps[1].mandatory == SPECS[kind].mandatory


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x00\x01", ResultCode(1)),
        (b"\x00\x02\x00\x06", ResultCode(2, 6)),
        (b"\x00\x02\x00\x00No cc config", ResultCode(2, 0, b"No cc config")),
        (b"\x00\x02\x00\x06\xff\x1b[2J", ResultCode(2, 6, b"\xff\x1b[2J")),
    ],
)
def test_result_codes_with_and_without_error_and_message(raw: bytes, expected: ResultCode) -> None:
    assert Avp(AvpType.RESULT_CODE, raw).decoded() == expected
    assert expected.encode() == raw


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (AvpType.ASSIGNED_TUNNEL_ID, b"\x01"),
        (AvpType.ASSIGNED_TUNNEL_ID, b"\x00\x01\x02"),
        (AvpType.CHALLENGE_RESPONSE, bytes(15)),
        (AvpType.RESULT_CODE, b""),
        (AvpType.RESULT_CODE, b"\x00\x02\x00"),
        (AvpType.SEQUENCING_REQUIRED, b"x"),
        (AvpType.ACCM, bytes(9)),
    ],
)
def test_values_of_the_wrong_length(kind: AvpType, raw: bytes) -> None:
    avp = Avp(kind, raw)
    with pytest.raises(DecodeError):
        avp.decoded()
    assert avp.typed is None
    assert control(avp).value(kind) is None


def test_vendor_attributes_stay_raw() -> None:
    avp = Avp(AvpType.ASSIGNED_TUNNEL_ID, b"abc", vendor=9, reserved=5, mandatory=False)
    decoded = decode(encode_control(control(avp)))
    assert isinstance(decoded, ControlMessage)
    assert decoded.avps == (avp,)
    assert avp.decoded() == b"abc"
    assert decoded.find(AvpType.ASSIGNED_TUNNEL_ID) is None


def test_zlb() -> None:
    data = encode_control(control())
    assert data == bytes.fromhex("c802000c0001000200030004")
    message = decode(data)
    assert isinstance(message, ControlMessage)
    assert message.is_zlb and message.name == "ZLB" and message.message_type is None


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (DataMessage(1, 2, b"ppp"), "4002000b00010002707070"),
        (DataMessage(1, 2, b"ppp", has_length=False), "000200010002707070"),
        (DataMessage(1, 2, b"p", ns=3, nr=4), "4802000d000100020003000470"),
        (DataMessage(1, 2, b"p", offset=2, has_length=False), "0202000100020002000070"),
        (DataMessage(1, 2, b"p", offset=0, priority=True), "4302000b00010002000070"),
        (DataMessage(1, 2, b""), "4002000800010002"),
    ],
)
def test_data_messages(message: DataMessage, wire: str) -> None:
    assert encode_data(message).hex() == wire
    assert decode(bytes.fromhex(wire)) == message


def test_bytes_after_the_length_are_kept_apart() -> None:
    message = decode(encode_data(DataMessage(1, 2, b"ppp")) + b"pad")
    assert isinstance(message, DataMessage)
    assert (message.payload, message.trailing) == (b"ppp", b"pad")


@pytest.mark.parametrize(
    ("wire", "version", "name"),
    [
        ("c8030014000000000000000080080000000000010", 3, "L2TPv3"),
        ("0001", 1, "L2F"),
        ("c8000000", 0, "version 0"),
    ],
)
def test_other_versions_are_named_and_not_read(wire: str, version: int, name: str) -> None:
    data = bytes.fromhex(wire[: len(wire) // 2 * 2])
    assert decode(data) == OtherVersion(version, name, data)
    assert peek_tunnel_id(data) is None


@pytest.mark.parametrize(
    "wire",
    [
        "",
        "c8",
        "c802",
        "c802000c",
        "c802000b000100020003000400",  # length cuts the header
        "c802000d0001000200030004",  # length beyond the datagram
        "c8020003",
        "8802000100020003000400",  # control without length
        "c0020008000100020000",  # control without sequence numbers
        "c802000e00010002000300048008",  # AVP cut short
        "c802001200010002000300048005000000000000",  # AVP shorter than its header
        "c80200120001000200030004800900000000",  # AVP beyond the message
        "02020001000200ff00",  # offset beyond the datagram
    ],
)
def test_malformed_messages(wire: str) -> None:
    with pytest.raises(DecodeError):
        decode(bytes.fromhex(wire))


def test_too_many_avps() -> None:
    avp = Avp(99, b"", mandatory=False)
    assert decode(encode_control(control(*[avp] * 512)))
    with pytest.raises(DecodeError):
        decode(encode_control(control(*[avp] * 513)))


def test_what_does_not_fit_is_a_local_error() -> None:
    with pytest.raises(LocalProtocolError):
        encode_avp(Avp(7, bytes(1018)))
    assert len(encode_avp(Avp(7, bytes(1017)))) == 1023
    with pytest.raises(LocalProtocolError):
        make(AvpType.ASSIGNED_TUNNEL_ID, 70000)
    with pytest.raises(LocalProtocolError):
        encode_data(DataMessage(1, 70000, b""))
    with pytest.raises(LocalProtocolError):
        encode_data(DataMessage(1, 1, bytes(65535)))


def test_peek_tunnel_id() -> None:
    assert peek_tunnel_id(SCCRQ) == 0
    assert peek_tunnel_id(encode_data(DataMessage(7, 2, b"", has_length=False))) == 7
    assert peek_tunnel_id(encode_data(DataMessage(7, 2, b""))) == 7
    assert peek_tunnel_id(b"\x40\x02\x00\x08\x00") is None


def test_names() -> None:
    assert message_name(None) == "ZLB"
    assert message_name(14) == "CDN"
    assert message_name(99) == "type 99"


# Hiding


def test_hidden_value_is_the_md5_stream_of_4_3() -> None:
    """The RFC's formula written out for a value of two blocks."""
    avp = make(AvpType.CALLED_NUMBER, b"0123456789abcdefXYZ")
    result = hide(avp, b"secret", b"random vector", b"pad")
    plain = b"\x00\x13" + b"0123456789abcdefXYZ" + b"pad"
    b1 = hashlib.md5(b"\x00\x15" + b"secret" + b"random vector").digest()
    c1 = bytes(x ^ y for x, y in zip(plain[:16], b1, strict=True))
    b2 = hashlib.md5(b"secret" + c1).digest()
    c2 = bytes(x ^ y for x, y in zip(plain[16:], b2, strict=False))
    assert result.value == c1 + c2 and result.hidden


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=20), st.binary(min_size=1, max_size=40))
def test_what_is_hidden_is_revealed(value: bytes, padding: bytes, secret: bytes) -> None:
    avp = make(AvpType.VENDOR_NAME, value)
    shown = reveal(hide(avp, secret, b"vector", padding), secret, b"vector")
    assert (shown.value, shown.hidden, shown.was_hidden) == (value, False, True)


def test_each_hidden_avp_uses_the_last_random_vector_before_it() -> None:
    name = make(AvpType.VENDOR_NAME, b"acme")
    avps = (
        make(AvpType.MESSAGE_TYPE, MessageType.SCCRP),
        hide(name, b"s", b"none yet"),
        make(AvpType.RANDOM_VECTOR, b"one"),
        hide(name, b"s", b"one"),
        make(AvpType.RANDOM_VECTOR, b"two"),
        hide(name, b"s", b"two"),
    )
    shown = reveal_all(avps, b"s")
    assert [avp.value for avp in shown if avp.was_hidden] == [b"acme", b"acme"]
    assert shown[1].hidden
    assert all(avp.hidden for avp in reveal_all(avps, None) if avp.type == AvpType.VENDOR_NAME)


def test_hiding_conceals_the_length_and_refuses_what_the_rfc_forbids() -> None:
    source = random.Random(1).randbytes
    kinds = {AvpType.VENDOR_NAME}
    sizes = set()
    for name in (b"", b"x", b"fourteen bytes"):
        avps = (make(AvpType.MESSAGE_TYPE, 2), make(AvpType.VENDOR_NAME, name))
        hidden = hide_some(avps, kinds, b"s", source)
        assert [avp.type for avp in hidden] == [0, 36, 8]
        sizes.add(len(hidden[2].value))
        assert reveal_all(hidden, b"s")[2].value == name
    assert sizes == {16}
    with pytest.raises(LocalProtocolError):
        hide(make(AvpType.HOST_NAME, b"h"), b"s", b"v")


def test_a_still_hidden_avp_has_no_typed_value() -> None:
    avp = hide(make(AvpType.ASSIGNED_TUNNEL_ID, 7), b"s", b"v")
    assert control(avp).value(AvpType.ASSIGNED_TUNNEL_ID) is None


# Tunnel authentication


def test_challenge_response_is_md5_of_type_secret_challenge() -> None:
    expected = hashlib.md5(b"\x02" + b"secret" + b"challenge").digest()
    assert challenge_response(MessageType.SCCRP, b"secret", b"challenge") == expected
    assert response_matches(MessageType.SCCRP, b"secret", b"challenge", expected)
    assert not response_matches(MessageType.SCCCN, b"secret", b"challenge", expected)
    assert not response_matches(MessageType.SCCRP, b"secret", b"challenge", b"short")


# Hostile input


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(data)
    peek_tunnel_id(data)


_avps = st.builds(
    Avp,
    st.integers(0, 45),
    st.binary(max_size=40),
    mandatory=st.booleans(),
    hidden=st.booleans(),
    vendor=st.sampled_from([0, 0, 0, 9]),
    reserved=st.integers(0, 15),
)


@settings(deadline=None)
@given(st.lists(_avps, max_size=8), st.binary(max_size=8))
def test_any_avps_survive_a_round_trip(avps: list[Avp], trailing: bytes) -> None:
    decoded = decode(encode_control(control(*avps)) + trailing)
    assert isinstance(decoded, ControlMessage)
    assert (decoded.avps, decoded.trailing) == (tuple(avps), trailing)
    for avp in reveal_all(decoded.avps, b"secret"):
        assert avp.name and (avp.typed is None or avp.decoded() == avp.typed)


@settings(deadline=None)
@given(
    st.sampled_from(["lac", "lns", "lns-up"]),
    st.lists(
        st.tuples(
            st.integers(0, 17),
            st.lists(_avps, max_size=5),
            st.sampled_from([0, 1, 7]),
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        max_size=8,
    ),
)
def test_no_sequence_of_messages_breaks_an_engine(
    start: str, script: list[tuple[int, list[Avp], int, int, int]]
) -> None:
    source = random.Random(1).randbytes
    engine = L2tpTunnel(start[:3], L2tpConfig(secret=b"s", challenge=True), source)
    now = 0.0
    if start == "lac":
        engine.start(now)
    elif start == "lns-up":
        engine.receive(SCCRQ, now)
    for kind, avps, session, ns, nr in script:
        first = make(AvpType.MESSAGE_TYPE, kind)
        for tunnel in (0, engine.local_id):
            message = ControlMessage(tunnel, session, ns, nr, (first, *avps))
            engine.receive(encode_control(message), now)
            engine.receive(encode_data(DataMessage(tunnel, session, b"x", ns=ns, nr=nr)), now)
        now += 1.0
        engine.handle_timer(now)
        for data in engine.datagrams_to_send(now):
            decode(data)
        while engine.next_event() is not None:
            pass
    engine.close(now)
    engine.datagrams_to_send(now)
