"""Wireshark, given our key, reads every message of a run as we meant it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.helpers import pcap
from vpndiag.protocols.ike.events import MessageSent
from vpndiag.protocols.ike.natt import ip_address

from .wire import CLIENT, SERVER, Link, initiator_config, link, of


def write_capture(joined: Link, path: Path) -> None:
    """A pcap file of raw IPv4 packets (link type 101), UDP checksums left out."""
    out = pcap.header()
    for packet in joined.sent:
        ends = (CLIENT, SERVER) if packet.to_server else (SERVER, CLIENT)
        source, destination = (ip_address(end).packed for end in ends)
        port = 4500 if packet.natt else 500
        body = bytes(4) + packet.data if packet.natt else packet.data
        udp = struct.pack("!HHHH", port, port, 8 + len(body), 0) + body
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
        out += pcap.record(ip + source + destination + udp)
    path.write_bytes(out)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("pfs_group", [None, 2])
def test_wireshark_decrypts_and_agrees(tmp_path: Path, pfs_group: int | None) -> None:
    joined = link(initiator_config(pfs_group=pfs_group), nat=True).run()
    joined.client.send_dpd(joined.now)  # type: ignore[attr-defined]
    joined.run()
    capture = tmp_path / "run.pcap"
    write_capture(joined, capture)
    keys = joined.client.keys_for_wireshark
    assert keys is not None
    table = f"uat:ikev1_decryption_table:{keys[0].hex()},{keys[1].hex()}"
    fields = ("-T", "fields", "-e", "isakmp.typepayload", "-e", "_ws.malformed")
    output = subprocess.run(
        ["tshark", "-n", "-r", str(capture), "-o", table, *fields],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    theirs = []
    for line in output.splitlines():
        types, malformed = line.split("\t")
        assert not malformed
        # Wireshark counts proposals (2) and transforms (3) as payloads
        theirs.append([int(t) for t in types.split(",") if int(t) not in (2, 3)])
    by_data = {
        event.data: [payload.payload_type for payload in event.payloads]
        for event in (
            *of(joined.client_events, MessageSent),
            *of(joined.server_events, MessageSent),
        )
    }
    assert theirs == [by_data[packet.data] for packet in joined.sent]
