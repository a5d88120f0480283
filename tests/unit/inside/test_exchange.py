"""First exchanges: what is sent, by an independent reading, and answers of real servers."""

from __future__ import annotations

import struct

import pytest

from vpndiag.probes.inside.exchange import Rdp, Smb

SAMBA = bytes.fromhex(
    "000000fefe534d424000000000000000000001000100000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000004100030011030100766d0000000000000000000000000000"
    "070000000000800000008000000080004e8c61cd1c7ddd01000000000000000080004a00d0000000604806062b06"
    "01050502a03e303ca00e300c060a2b06010401823702020aa32a3028a0261b246e6f745f646566696e65645f696e"
    "5f5246433431373840706c656173655f69676e6f726500000000000001002600000000000100200001008dd65d46"
    "db6fddc798d6bcb283d0042c86557896898da73624ce87504839c1fc"
)
"""Samba 4.17 with "server signing = mandatory", to our NEGOTIATE."""
SAMBA_ONLY_3_1_1 = bytes.fromhex(
    "00000049fe534d4240000000bb0000c0000001000100000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000000000000000090000000000000000"
)
"""The same with "server min protocol = SMB3_11", to a NEGOTIATE up to 3.0.2."""
XRDP = bytes.fromhex("030000130ed000001234000201080000000000")
"""xrdp 0.9.21 with "security_layer = rdp", to our request."""


def test_a_real_smb_server_is_understood() -> None:
    smb = Smb(bytes)
    assert smb.feed(SAMBA) == "answered"
    assert smb.detail == "SMB dialect 3.1.1, signing required"


def test_a_refused_negotiation_is_no_dialect() -> None:
    smb = Smb(bytes)
    assert smb.feed(SAMBA_ONLY_3_1_1) == "answered"
    assert smb.detail == "SMB status 0xc00000bb (not supported)"


def test_an_answer_in_parts_is_waited_for() -> None:
    assert {Smb(bytes).feed(SAMBA[:n]) for n in range(len(SAMBA))} == {"more"}
    assert {Rdp().feed(XRDP[:n]) for n in range(len(XRDP))} == {"more"}


def test_smb_negotiate_offers_every_dialect_with_the_contexts_that_3_1_1_needs() -> None:
    """MS-SMB2 2.2.3: offsets count from the SMB2 header; contexts begin at multiples of eight."""
    sent = Smb(lambda n: b"\x5a" * n).outgoing()
    assert struct.unpack(">I", sent[:4])[0] == len(sent) - 4
    message = sent[4:]
    assert message[:6] == b"\xfeSMB\x40\0"
    size, count, mode, _, _, guid, offset, contexts, _ = struct.unpack(
        "<HHHHI16sIHH", message[64:100]
    )
    assert (size, mode, guid, contexts) == (36, 1, b"\x5a" * 16, 2)
    dialects = struct.unpack(f"<{count}H", message[100 : 100 + 2 * count])
    assert dialects == (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
    kinds = []
    for _ in range(contexts):
        assert offset % 8 == 0
        kind, length = struct.unpack("<HH", message[offset : offset + 4])
        kinds.append((kind, message[offset + 8 : offset + 8 + length]))
        offset += (8 + length + 7) // 8 * 8
    assert kinds[0] == (1, struct.pack("<HHH", 1, 32, 1) + b"\x5a" * 32)
    assert kinds[1] == (2, struct.pack("<5H", 4, 2, 1, 4, 3))


@pytest.mark.parametrize(
    ("negotiation", "told"),
    [
        ("0201080001000000", "TLS"),
        ("0201080002000000", "CredSSP"),
        ("0300080005000000", "refused: CredSSP required"),
        ("0300080063000000", "refused: code 99"),
    ],
)
def test_rdp_negotiation_is_told(negotiation: str, told: str) -> None:
    rdp = Rdp()
    assert rdp.feed(XRDP[:11] + bytes.fromhex(negotiation)) == "answered"
    assert rdp.detail == told


def test_a_real_rdp_server_is_understood() -> None:
    rdp = Rdp()
    assert rdp.feed(XRDP) == "answered"
    assert rdp.detail == "RDP security"
    old = bytes.fromhex("0300000b06d00000123400")
    assert Rdp().feed(old) == "answered", "a server from before the negotiation"
