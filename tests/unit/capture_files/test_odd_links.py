"""Link types that only Scapy knows are read as well."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.helpers import pcap
from vpndiag.capture.files import open_capture
from vpndiag.capture.packets import Message
from vpndiag.capture.prefilter import prefilter
from vpndiag.capture.write import udp_packet

pytest.importorskip("scapy")

IEEE802_11, RADIOTAP = 105, 127
IKE = bytes(range(1, 9)) + bytes(8) + bytes((1, 0x10, 2, 0)) + bytes(4) + struct.pack("!I", 28)


def wlan(packet: bytes) -> bytes:
    """A data frame to an access point with LLC/SNAP."""
    return b"\x08\x01\x00\x00" + bytes(18) + b"\x00\x00" + b"\xaa\xaa\x03\0\0\0\x08\0" + packet


def write(path: Path, linktype: int, *frames: bytes) -> Path:
    path.write_bytes(pcap.capture(((1.0, frame) for frame in frames), linktype))
    return path


@pytest.mark.parametrize("linktype", [IEEE802_11, RADIOTAP])
def test_ike_over_wireless_is_found(tmp_path: Path, linktype: int) -> None:
    head = b"\0\0\x08\0\0\0\0\0" if linktype == RADIOTAP else b""
    frame = head + wlan(udp_packet("192.0.2.1", "192.0.2.2", 500, 500, IKE))
    with open_capture(write(tmp_path / "air.pcap", linktype, frame)) as capture:
        kept, _ = prefilter(capture)
    assert [(k.kind, k.data) for k in kept if isinstance(k, Message)] == [("ike", IKE)]


@pytest.mark.parametrize("linktype", [IEEE802_11, RADIOTAP, 187, 9999])
def test_nonsense_in_such_frames_is_passed_over(tmp_path: Path, linktype: int) -> None:
    with open_capture(write(tmp_path / "x.pcap", linktype, b"\xff" * 60, b"")) as capture:
        kept, read = prefilter(capture)
    assert kept == []
    assert read.frames == 2
