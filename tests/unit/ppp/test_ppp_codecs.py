"""Frames, options and packets: both directions, and nothing but our own errors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp import (
    ccp_options,
    chap,
    describe,
    eap,
    ipcp_options,
    ipv6cp_options,
    lcp_options,
    pap,
    protocols,
)
from vpndiag.protocols.ppp.frame import Frame, decode_frame, encode_frame
from vpndiag.protocols.ppp.options import Option, decode_options, encode_options
from vpndiag.protocols.ppp.packet import (
    Code,
    CodeReject,
    Configure,
    ControlPacket,
    MagicPacket,
    OtherPacket,
    ProtocolReject,
    Terminate,
    TimeRemaining,
    decode_packet,
    encode_packet,
    packet_text,
)

H = bytes.fromhex


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        ("ff03c02101", Frame(protocols.LCP, b"\x01")),
        ("c02101", Frame(protocols.LCP, b"\x01", False)),
        ("ff032145", Frame(protocols.IP, b"\x45")),
        ("2145", Frame(protocols.IP, b"\x45", False)),
        ("ff03002145", Frame(protocols.IP, b"\x45")),
        ("57", Frame(protocols.IPV6, b"", False)),
    ],
)
def test_frames_in_every_form(data: str, frame: Frame) -> None:
    assert decode_frame(H(data)) == frame


@pytest.mark.parametrize("data", ["", "ff03", "c0", "ff03c0", "c022"])
def test_bad_frames(data: str) -> None:
    with pytest.raises(DecodeError):
        decode_frame(H(data))


@given(st.integers(0, 127), st.integers(0, 127), st.binary(max_size=50))
def test_frame_round_trip(high: int, low: int, payload: bytes) -> None:
    number = high << 9 | low << 1 | 1
    assert decode_frame(encode_frame(number, payload)) == Frame(number, payload)


PACKETS: list[tuple[int, str, ControlPacket, str]] = [
    (
        protocols.LCP,
        "0101000e 01040578 0506deadbeef",
        Configure(1, 1, (lcp_options.mru(1400), lcp_options.magic(0xDEADBEEF))),
        "LCP Configure-Request id 1: MRU 1400, Magic 0xdeadbeef",
    ),
    (
        protocols.LCP,
        "03020009 0305c22381",
        Configure(3, 2, (lcp_options.AUTH_MSCHAPV2.option(),)),
        "LCP Configure-Nak id 2: Auth CHAP MS-CHAPv2",
    ),
    (
        protocols.LCP,
        "05030009 6279650a21",
        Terminate(5, 3, b"bye\n!"),
        r"LCP Terminate-Request id 3: 'bye\n!'",
    ),
    (protocols.LCP, "06030004", Terminate(6, 3), "LCP Terminate-Ack id 3"),
    (
        protocols.LCP,
        "08040008 80fd0101",
        ProtocolReject(4, 0x80FD, b"\1\1"),
        "LCP Protocol-Reject id 4: CCP",
    ),
    (
        protocols.IPCP,
        "07050006 0e01",
        CodeReject(5, b"\x0e\x01"),
        "IPCP Code-Reject id 5: Reset-Request",
    ),
    (
        protocols.LCP,
        "09060008 00000000",
        MagicPacket(9, 6, 0),
        "LCP Echo-Request id 6: Magic 0x00000000",
    ),
    (
        protocols.LCP,
        "0c07000c 00000001 4d535241",
        MagicPacket(12, 7, 1, b"MSRA"),
        "LCP Identification id 7: Magic 0x00000001 'MSRA'",
    ),
    (
        protocols.LCP,
        "0d08000c 00000001 0000003c",
        TimeRemaining(8, 1, 60),
        "LCP Time-Remaining id 8: 60 s",
    ),
    (protocols.CCP, "0e090004", OtherPacket(14, 9), "CCP Reset-Request id 9"),
    (
        protocols.IPCP,
        "0101000a 03060a000002",
        Configure(1, 1, (Option(3, H("0a000002")),)),
        "IPCP Configure-Request id 1: IP-Address 10.0.0.2",
    ),
]


@pytest.mark.parametrize(("protocol", "data", "packet", "text"), PACKETS)
def test_packets_both_ways(protocol: int, data: str, packet: ControlPacket, text: str) -> None:
    raw = H(data)
    assert decode_packet(protocol, raw) == packet
    assert decode_packet(protocol, raw + b"padding") == packet
    assert encode_packet(packet) == raw
    assert packet_text(protocol, packet) == text


@pytest.mark.parametrize("data", ["", "01", "0101", "010100", "01010003", "01010005"])
def test_bad_headers(data: str) -> None:
    with pytest.raises(DecodeError):
        decode_packet(protocols.LCP, H(data))


@pytest.mark.parametrize("options", ["00", "0100", "0101", "010405", "0104057805"])
def test_bad_option_lists_keep_their_bytes(options: str) -> None:
    body = H(options)
    packet = decode_packet(protocols.LCP, bytes((1, 1, 0, 4 + len(body))) + body)
    assert isinstance(packet, OtherPacket)
    assert packet.malformed and packet.data == body


OPTION_TEXTS = [
    (lcp_options.text, "01040578", "MRU 1400"),
    (lcp_options.text, "010305", "MRU 05"),
    (lcp_options.text, "0206000a0000", "ACCM 0x000a0000"),
    (lcp_options.text, "0304c023", "Auth PAP"),
    (lcp_options.text, "0305c22305", "Auth CHAP MD5"),
    (lcp_options.text, "0305c22380", "Auth CHAP MS-CHAPv1"),
    (lcp_options.text, "0304c227", "Auth EAP"),
    (lcp_options.text, "0304c223", "Auth c223"),
    (lcp_options.text, "0408c02500000bb8", "Quality LQR every 30 s"),
    (lcp_options.text, "0702", "PFC"),
    (lcp_options.text, "0802", "ACFC"),
    (lcp_options.text, "0d0306", "Callback CBCP"),
    (lcp_options.text, "110405dc", "MRRU 1500"),
    (lcp_options.text, "1202", "Short-Sequence"),
    (lcp_options.text, "130901aabbccddeeff", "Endpoint local aabbccddeeff"),
    (lcp_options.text, "c80301", "Option-200 01"),
    (ipcp_options.text, "0206002d0f01", "IP-Compression VJ 0f01"),
    (ipcp_options.text, "010a0a0000010a000002", "IP-Addresses 10.0.0.1 10.0.0.2"),
    (ipcp_options.text, "810608080808", "Primary-DNS 8.8.8.8"),
    (ipcp_options.text, "830600000000", "Secondary-DNS 0.0.0.0"),
    (ipcp_options.text, "82060a000001", "Primary-NBNS 10.0.0.1"),
    (ipcp_options.text, "84060a000001", "Secondary-NBNS 10.0.0.1"),
    (ipv6cp_options.text, "010a02005efffe005301", "Interface-Identifier 0200:5eff:fe00:5301"),
    (ccp_options.text, "120601000040", "MPPE 128-bit stateless"),
    (ccp_options.text, "1206010000e1", "MPPE 128-bit 56-bit 40-bit stateless MPPC"),
    (ccp_options.text, "120600000000", "MPPE none"),
    (ccp_options.text, "1a047800", "Deflate 7800"),
    (ccp_options.text, "18047800", "Deflate (draft) 7800"),
    (ccp_options.text, "15032f", "BSD-Compress 2f"),
    (ccp_options.text, "0102", "Predictor-1"),
]


@pytest.mark.parametrize(("text", "data", "expected"), OPTION_TEXTS)
def test_option_texts_and_bytes(text: object, data: str, expected: str) -> None:
    options = decode_options(H(data))
    assert callable(text) and text(options[0]) == expected
    assert encode_options(options) == H(data)


def test_every_auth_demand_survives_its_option() -> None:
    for demand in (
        lcp_options.AUTH_PAP,
        lcp_options.AUTH_CHAP_MD5,
        lcp_options.AUTH_MSCHAPV1,
        lcp_options.AUTH_MSCHAPV2,
        lcp_options.AUTH_EAP,
        lcp_options.AuthDemand(0xC027, None, b"\x01"),
    ):
        assert lcp_options.read_auth(demand.option()) == demand


def test_pap_both_ways_and_the_password_is_in_no_text() -> None:
    raw = H("0101000e") + b"\x05alice\x03pw!"
    packet = pap.decode_pap(raw)
    assert packet == pap.PapRequest(1, b"alice", b"pw!")
    assert pap.encode_pap(packet) == raw
    shown = describe.decode_any(protocols.PAP, raw)
    assert shown == pap.PapRequest(1, b"alice", b"")
    assert "pw!" not in repr(packet) + pap.pap_text(packet) + repr(shown)


@pytest.mark.parametrize(
    ("data", "message"),
    [("02010004", b""), ("0201000500", b""), ("02010007024f4b", b"OK"), ("02010006094f", b"O")],
)
def test_pap_replies_however_short(data: str, message: bytes) -> None:
    assert pap.decode_pap(H(data)) == pap.PapReply(pap.ACK, 1, message)


@pytest.mark.parametrize(
    "packet",
    [
        chap.ChapValue(chap.CHALLENGE, 1, bytes(16), b"lns"),
        chap.ChapValue(chap.RESPONSE, 1, bytes(49), b"alice"),
        chap.ChapResult(chap.SUCCESS, 1, b"S=..."),
        chap.ChapResult(chap.FAILURE, 1),
    ],
)
def test_chap_both_ways(packet: chap.ChapPacket) -> None:
    assert chap.decode_chap(chap.encode_chap(packet)) == packet


@pytest.mark.parametrize(
    "packet",
    [
        eap.EapPacket(eap.REQUEST, 1, eap.IDENTITY, b"hello"),
        eap.EapPacket(eap.RESPONSE, 1, eap.NAK, b"\x1a\x04"),
        eap.EapPacket(eap.SUCCESS, 1),
        eap.EapPacket(eap.FAILURE, 1),
    ],
)
def test_eap_both_ways(packet: eap.EapPacket) -> None:
    assert eap.decode_eap(eap.encode_eap(packet)) == packet


@pytest.mark.parametrize(
    "message",
    [
        eap.Mschapv2Message(eap.OP_CHALLENGE, 3, bytes(16), b"lns"),
        eap.Mschapv2Message(eap.OP_RESPONSE, 3, bytes(49), b"alice"),
        eap.Mschapv2Message(eap.OP_FAILURE, 3, message=b"E=691 R=0"),
    ],
)
def test_eap_mschapv2_both_ways(message: eap.Mschapv2Message) -> None:
    raw = eap.encode_mschapv2(message)
    assert int.from_bytes(raw[2:4], "big") == len(raw)
    assert eap.decode_mschapv2(raw) == message


KNOWN = sorted(describe.CONTROL_PROTOCOLS | {protocols.PAP, protocols.CHAP, protocols.EAP, 0x4021})


@given(st.sampled_from(KNOWN), st.binary(max_size=80), st.booleans())
def test_decoders_raise_only_decode_error(protocol: int, data: bytes, framed: bool) -> None:
    if framed:
        data = bytes((data[0] % 16 if data else 1, 1)) + (len(data) + 4).to_bytes(2, "big") + data
    with contextlib.suppress(DecodeError):
        packet = describe.decode_any(protocol, data)
        if packet is not None:
            assert describe.text(protocol, packet).isprintable()
    with contextlib.suppress(DecodeError):
        eap.decode_mschapv2(data)
    with contextlib.suppress(DecodeError):
        decode_frame(data)


options = st.lists(st.builds(Option, st.integers(0, 255), st.binary(max_size=20)), max_size=8).map(
    tuple
)


@given(options)
def test_option_lists_round_trip(wanted: tuple[Option, ...]) -> None:
    assert decode_options(encode_options(wanted)) == wanted
    for reader in (lcp_options, ipcp_options, ipv6cp_options, ccp_options):
        for option in wanted:
            assert reader.text(option).isprintable()


def test_a_flood_of_options_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode_options(b"\x07\x02" * 300)


def test_code_labels() -> None:
    assert Code.CONFIGURE_REQUEST.label == "Configure-Request"
