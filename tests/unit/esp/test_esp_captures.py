"""Real captures whose keys are known: every ESP packet verifies and carries L2TP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vpndiag.protocols.esp import (
    Cipher,
    EspSa,
    EspSuite,
    Integrity,
    Kind,
    demultiplex,
    parse_udp,
    read_header,
)

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
LAB = CAPTURES / "linux-lab"
needs_captures = pytest.mark.skipif(not LAB.is_dir(), reason="no captures beside the repository")


def esp_packets(path: Path) -> list[bytes]:
    from scapy.layers.inet import IP, UDP
    from scapy.utils import rdpcap

    found = []
    for packet in rdpcap(str(path)):
        if IP not in packet:
            continue
        ip = packet[IP]
        if ip.proto == 50:
            found.append(bytes(ip.payload)[: ip.len - ip.ihl * 4])
        elif UDP in ip and 4500 in (ip[UDP].sport, ip[UDP].dport):
            result = demultiplex(bytes(ip[UDP].payload)[: ip[UDP].len - 8])
            if result.kind is Kind.ESP:
                found.append(result.body)
    return found


@needs_captures
@pytest.mark.parametrize("name", ["ok-nat", "ok-routed-esp", "ls-ok-nat", "blocked-1701"])
@pytest.mark.parametrize("side", ["client-side", "server-side"])
def test_linux_lab_packets_open_with_the_logged_keys(name: str, side: str) -> None:
    keys = json.loads((LAB / name / "keys.json").read_text())["esp"]
    sas = {}
    for spi, entry in keys.items():
        assert (entry["enc"], entry["auth"]) == ("cbc(aes)", "hmac(sha1)")
        enc, auth = bytes.fromhex(entry["enc_key"]), bytes.fromhex(entry["auth_key"])
        suite = EspSuite(Cipher.AES_CBC, len(enc) * 8, Integrity.HMAC_SHA1_96)
        sas[int(spi, 16)] = EspSa(int(spi, 16), suite, enc, auth)
    packets = esp_packets(LAB / name / f"{side}.pcap")
    assert packets
    for packet in packets:
        opened = sas[read_header(packet).spi].open(packet)
        assert opened.check.fresh and opened.padding_ok and opened.next_header == 17
        datagram = parse_udp(opened.payload)
        assert 1701 in (datagram.source_port, datagram.destination_port)
        assert not datagram.trailing


@needs_captures
@pytest.mark.parametrize(
    ("name", "spi", "cipher", "key"),
    [
        (
            "tcpdump-08-sunrise-sunset-esp2.pcap",
            0x12345678,
            Cipher.TRIPLE_DES,
            "43434545464649494a4a4c4c4f4f51515252545457575840",
        ),
        (
            "tcpdump-08-sunrise-sunset-aes.pcap",
            0xD1234567,
            Cipher.AES_CBC,
            "aaaabbbbccccdddd4043434545464649494a4a4c4c4f4f515152525454575758",
        ),
    ],
)
def test_tcpdump_packets_decrypt_without_their_integrity_key(
    name: str, spi: int, cipher: Cipher, key: str
) -> None:
    """tcpdump's own test keys have no HMAC key: cut the 96-bit ICV off and decrypt the rest."""
    secret = bytes.fromhex(key)
    sa = EspSa(spi, EspSuite(cipher, len(secret) * 8, Integrity.NONE), secret, capture=True)
    packets = [p for p in esp_packets(CAPTURES / name) if read_header(p).spi == spi]
    assert packets
    for packet in packets:
        opened = sa.open(packet[:-12])
        # Tunnel mode: an IPv4 packet whose total length is the payload.
        assert opened.next_header == 4 and opened.payload[0] == 0x45
        assert int.from_bytes(opened.payload[2:4], "big") == len(opened.payload)
