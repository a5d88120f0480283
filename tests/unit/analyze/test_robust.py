"""Damaged captures give a report or a clean error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.captures import captures, once, rounds
from tests.unit.analyze.own_captures import recorded
from vpndiag.capture.errors import CaptureError
from vpndiag.capture.keys import KeyFileError, read_keys
from vpndiag.cli.analysis import analyze

SHARED = Path(__file__).parents[4] / "shared" / "captures"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the captures are not part of the project")
def test_real_captures_truncated_and_flipped(tmp_path: Path) -> None:
    outcomes = {o for _, _, o in rounds(captures(SHARED), 220, 7, tmp_path / "damaged")}
    assert "healthy" in outcomes and "error" in outcomes


def test_an_own_capture_truncated_and_flipped(tmp_path: Path) -> None:
    place = tmp_path / "own.pcapng"
    recorded(place)
    outcomes = {o for _, _, o in rounds([place], 150, 3, tmp_path / "damaged")}
    assert outcomes <= {"healthy", "failed", "inconclusive", "not_applicable", "error"}


def test_cut_at_every_hundredth_byte(tmp_path: Path) -> None:
    place = tmp_path / "own.pcapng"
    _, keys = recorded(place)
    data = place.read_bytes()
    for size in range(0, len(data), 100):
        once(data[:size], keys, tmp_path / "cut")


def test_no_capture_is_one_line(tmp_path: Path) -> None:
    place = tmp_path / "x"
    for data in (b"", b"hello, this is text\n", bytes(100)):
        place.write_bytes(data)
        with pytest.raises(CaptureError) as caught:
            analyze([place])
        assert "\n" not in str(caught.value)
    with pytest.raises(CaptureError):
        analyze([tmp_path / "missing.pcap"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing here",
        '"IPv4","*","*","0xc8ec679a","TWOFISH-CBC","0x00","HMAC-SHA-1-96 [RFC2404]","0x00"',
        '"IPv4","*","*","*","AES-CBC [RFC3602]","0x00","NULL",""',
        '"IPv4"',
        "60fe2d234da4c63c,zz",
        "src 1.2.3.4 dst 5.6.7.8\n\tproto esp spi 0xc8ec679a\n\tenc cbc(aes) 0x00 (8 bits)",
    ],
)
def test_a_file_without_keys_is_one_line(text: str, tmp_path: Path) -> None:
    place = tmp_path / "keys"
    place.write_text(text)
    with pytest.raises(KeyFileError) as caught:
        read_keys(place)
    assert "\n" not in str(caught.value)


def test_ip_xfrm_output_is_read(tmp_path: Path) -> None:
    place = tmp_path / "xfrm"
    place.write_text(
        "src 10.79.0.10 dst 10.78.0.1\n"
        "\tproto esp spi 0xc8ec679a(3370936218) reqid 1(0x00000001) mode transport\n"
        "\tauth-trunc hmac(sha1) 0x" + "ab" * 20 + " (160 bits) 96\n"
        "\tenc cbc(aes) 0x" + "cd" * 32 + " (256 bits)\n"
        "src 10.78.0.1 dst 10.79.0.10\n"
        "\tproto esp spi 0x01020304 reqid 1 mode transport\n"
        "\taead rfc4106(gcm(aes)) 0x" + "ef" * 20 + " (160 bits) 128\n"
    )
    keys = read_keys(place)
    names = {spi: found[0].suite.name for spi, found in keys.esp.items()}
    assert names == {0xC8EC679A: "AES-CBC-256/HMAC-SHA1-96", 0x01020304: "AES-GCM-16-128"}
