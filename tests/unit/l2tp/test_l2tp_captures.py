"""Real captures: our decoding and Wireshark's agree, field by field."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.l2tp.constants import AvpType
from vpndiag.protocols.l2tp.message import ControlMessage, DataMessage, decode

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no captures beside the repository"
)
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark")

FIELDS = (
    "udp.payload",
    "l2tp.type",
    "l2tp.tunnel",
    "l2tp.session",
    "l2tp.Ns",
    "l2tp.Nr",
    "l2tp.avp.type",
    "l2tp.avp.message_type",
    "l2tp.avp.assigned_tunnel_id",
    "l2tp.avp.assigned_session_id",
    "l2tp.avp.length",
    "l2tp.avp.mandatory",
)


def dissect(path: Path) -> list[dict[str, list[str]]]:
    command = ["tshark", "-r", str(path), "-Y", "l2tp && !icmp.type==3", "-T", "json"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def numbers(layer: dict[str, list[str]], field: str) -> list[int]:
    return [int(text, 0) for text in layer.get(field, [])]


def compare(layer: dict[str, list[str]]) -> str:
    message = decode(bytes.fromhex(layer["udp.payload"][0].replace(":", "")))
    assert isinstance(message, ControlMessage | DataMessage)
    assert numbers(layer, "l2tp.tunnel")[0] == message.tunnel_id
    assert numbers(layer, "l2tp.session")[0] == message.session_id
    if isinstance(message, DataMessage):
        assert layer["l2tp.type"][0] in ("0", "0x0", "0x0000")
        return "data"
    assert numbers(layer, "l2tp.Ns") == [message.ns]
    assert numbers(layer, "l2tp.Nr") == [message.nr]
    assert numbers(layer, "l2tp.avp.type") == [avp.type for avp in message.avps]
    assert numbers(layer, "l2tp.avp.length") == [len(avp.value) + 6 for avp in message.avps]
    values: list[tuple[str, Any]] = [
        ("l2tp.avp.message_type", message.message_type),
        ("l2tp.avp.assigned_tunnel_id", message.value(AvpType.ASSIGNED_TUNNEL_ID)),
        ("l2tp.avp.assigned_session_id", message.value(AvpType.ASSIGNED_SESSION_ID)),
    ]
    for field, value in values:
        assert numbers(layer, field) == ([] if value is None else [value])
    for avp in message.avps:
        assert avp.spec is None or avp.hidden or avp.decoded() is not None
    return message.name


@needs_captures
@needs_tshark
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jnetpcap-test-l2tp.pcap", {"data"}),
        (
            "jimmy-l2tp-lac-lns-permanent-dial.pcap",
            {"SCCRQ", "SCCRP", "SCCCN", "ICRQ", "ICRP", "ICCN", "ZLB", "data"},
        ),
        ("jimmy-l2tp-real-inode-client.pcapng", {"data"}),
    ],
)
def test_wireshark_agrees(name: str, expected: set[str]) -> None:
    seen = {compare(layer) for layer in dissect(CAPTURES / name)}
    assert seen >= expected


@needs_captures
def test_the_overflow_samples_of_tcpdump_are_decode_errors() -> None:
    from scapy.utils import RawPcapReader

    for data, _ in RawPcapReader(str(CAPTURES / "tcpdump-l2tp-avp-overflow.pcap")):
        for start in range(min(len(data), 80)):
            try:
                decode(data[start:])
            except DecodeError:
                continue
