"""Our reading of captured PPP packets against tshark's, field by field."""

from __future__ import annotations

import json
import shutil
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from vpndiag.protocols.ppp import chap, describe, eap, ipcp_options, lcp_options, pap, protocols
from vpndiag.protocols.ppp.frame import decode_frame, encode_frame
from vpndiag.protocols.ppp.packet import (
    CodeReject,
    Configure,
    MagicPacket,
    OtherPacket,
    ProtocolReject,
    Terminate,
    TimeRemaining,
    encode_packet,
)

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
FILES = [
    "packetlife-PPP.cap",
    "packetlife-PPP_EAP.cap",
    "packetlife-PPP_TCP_compression.cap",
    "packetlife-PPP_negotiation.cap",
    "jimmy-ppp-chap-three.pcap",
    "jimmy-ppp-lcp-nak-chap-vs-pap.pcapng",
    "jimmy-ppp-ncp-fail-ip-conflict.pcapng",
    "jimmy-ppp-osicp.pcapng",
    "jimmy-ppp-pap-wrong-password.pcap",
    "jimmy-ppp-pap.pcap",
    "jimmy-ppp-peer-no-credentials.pcap",
    "jimmy-l2tp-lac-lns-permanent-dial.pcap",
    "wswiki-ppp_lcp_ipcp.pcap",
    "jnetpcap-test-l2tp.pcap",
]
LAYERS = ("lcp", "ipcp", "ipv6cp", "ccp", "pap", "chap", "eap", "osinlcp", "cdpcp")
ControlClasses = (
    Configure | Terminate | CodeReject | ProtocolReject | MagicPacket | TimeRemaining | OtherPacket
)

Pairs = list[tuple[str, Any]]


def flatten(pairs: Pairs) -> Pairs:
    """All (field, text) pairs below, in order; tshark repeats keys, so no dict will do."""
    found: Pairs = []
    for key, value in pairs:
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            found += flatten(value)
        else:
            found.append((key, value))
    return found


def dissect(path: Path) -> list[tuple[bytes, str, Pairs]]:
    """Every control packet that tshark sees: the PPP frame, the layer's name and its fields."""
    command = ["tshark", "-n", "-r", str(path), "-Y", "ppp", "-T", "json", "-x"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    packets = json.loads(done.stdout, object_pairs_hook=lambda pairs: pairs)
    found = []
    for packet in packets:
        layers = dict(dict(dict(packet)["_source"])["layers"])
        name = next((name for name in LAYERS if name in layers), None)
        if name is None or "ppp_raw" not in layers or "_ws.malformed" in layers:
            continue
        whole = bytes.fromhex(layers["frame_raw"][0])
        start = layers["ppp_raw"][1]
        found.append((whole[start:], name, flatten(layers[name])))
    return found


def values(fields: Pairs, *names: str) -> list[str]:
    return [text for key, text in fields if key in names]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("name", FILES)
def test_tshark_reads_the_same(name: str) -> None:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip("the capture is not here")
    packets = dissect(path)
    assert packets
    for frame, layer, fields in packets:
        decoded = decode_frame(frame)
        packet = describe.decode_any(decoded.protocol, decoded.payload)
        assert packet is not None, layer
        assert describe.text(decoded.protocol, packet).isprintable()
        prefix = layer if layer in ("chap", "eap", "pap") else "ppp"
        code = values(fields, f"{prefix}.code")[0]
        identifier = values(fields, f"{prefix}.identifier", "eap.id")[0]
        assert (packet.code, packet.identifier) == (int(code), int(identifier))
        if isinstance(packet, ControlClasses):
            check_control(packet, decoded.protocol, decoded.payload, fields)
        elif isinstance(packet, pap.PapRequest):
            assert packet.peer_id.decode() == values(fields, "pap.peer_id")[0]
        elif isinstance(packet, chap.ChapValue):
            assert [packet.name.decode()] == (values(fields, "chap.name") or [""])
            assert packet.value.hex(":") == values(fields, "chap.value")[0]
        elif isinstance(packet, eap.EapPacket) and packet.type is not None:
            assert packet.type == int(values(fields, "eap.type")[0])


def check_control(packet: ControlClasses, protocol: int, payload: bytes, fields: Pairs) -> None:
    length = int(values(fields, "ppp.length")[0])
    assert encode_packet(packet) == payload[:length]
    assert not (isinstance(packet, OtherPacket) and packet.malformed)
    if isinstance(packet, MagicPacket):
        assert packet.magic == int(values(fields, "ppp.magic_number", "lcp.magic_number")[0], 16)
    if not isinstance(packet, Configure):
        return
    kinds = [text for key, text in fields if key.endswith(".opt.type")]
    assert [option.type for option in packet.options] == [int(kind, 0) for kind in kinds]
    for option in packet.options:
        if protocol == protocols.LCP and option.type == lcp_options.MRU:
            assert str(option.number(2)) in values(fields, "lcp.opt.mru")
        if protocol == protocols.LCP and option.type == lcp_options.MAGIC:
            assert option.number(4) in [
                int(text, 16) for text in values(fields, "lcp.opt.magic_number")
            ]
        if protocol == protocols.LCP and option.type == lcp_options.AUTH:
            demand = lcp_options.read_auth(option)
            assert demand is not None
            assert demand.protocol == int(values(fields, "lcp.opt.auth_protocol")[0], 16)
            if demand.algorithm is not None:
                assert demand.algorithm == int(values(fields, "lcp.opt.algorithm")[0], 0)
        if protocol == protocols.IPCP and option.type == ipcp_options.IP_ADDRESS:
            shown = values(fields, "ipcp.opt.ip_address")
            assert str(ipcp_options.read_address(option)) in shown
        if protocol == protocols.IPCP and option.type == ipcp_options.PRIMARY_DNS:
            assert str(IPv4Address(option.data)) in values(fields, "ipcp.opt.pri_dns_address")


def test_a_frame_that_ciscos_sent_is_read_without_any_capture() -> None:
    """Frame 1 of packetlife's PPP_negotiation."""
    frame = bytes.fromhex("ff03c0210101000f0305c223050506012ce96d")
    decoded = decode_frame(frame)
    packet = describe.decode_any(decoded.protocol, decoded.payload)
    assert isinstance(packet, Configure)
    text = describe.text(decoded.protocol, packet)
    assert text == "LCP Configure-Request id 1: Auth CHAP MD5, Magic 0x012ce96d"
    assert encode_frame(decoded.protocol, encode_packet(packet)) == frame
