"""Capture files are read whole, or as far as they go, and never end in another exception."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import shutil
import struct
import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from tests.helpers import pcap
from vpndiag.capture.errors import Malformed
from vpndiag.capture.files import CaptureError, Frame, Truncated, open_capture
from vpndiag.capture.packets import Incomplete, Message
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.wireshark import dissect
from vpndiag.capture.write import CaptureWriter, udp_packet

SHARED = Path(__file__).parents[4] / "shared" / "captures"
REAL = sorted(p for p in SHARED.rglob("*cap*") if p.suffix in (".pcap", ".pcapng", ".cap"))


def written(
    frames: list[bytes], order: pcap.Order = "<", magic: int = pcap.MICRO, link: int = pcap.RAW
) -> bytes:
    out = pcap.header(link, order=order, magic=magic)
    for number, data in enumerate(frames):
        out += pcap.record(data, 1000 + number, 7, order=order, magic=magic)
    return out


def esp(sequence: int, size: int = 100, spi: int = 0xC0FFEE01) -> bytes:
    payload = struct.pack("!II", spi, sequence) + bytes(size - 8)
    return udp_packet("192.0.2.1", "198.51.100.2", 4500, 4500, payload)


def read(data: bytes) -> tuple[list[Frame], list[object]]:
    capture = open_capture(BytesIO(data))
    return list(capture), list(capture.notes)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "fraction"), [(pcap.MICRO, 7000), (pcap.NANO, 7), (pcap.KUZNETZOV, 7000)]
)
def test_every_pcap_variant(order: pcap.Order, magic: int, fraction: int) -> None:
    frames, notes = read(written([b"\x45abc", b"\x45"], order, magic))
    assert [f.data for f in frames] == [b"\x45abc", b"\x45"]
    assert [f.time_ns for f in frames] == [1000 * 10**9 + fraction, 1001 * 10**9 + fraction]
    assert notes == []


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files(squeeze: object) -> None:
    data = written([esp(n) for n in range(50)])
    assert read(squeeze(data))[0] == read(data)[0]  # type: ignore[operator]


def test_a_cut_file_gives_whole_frames_and_a_note() -> None:
    data = written([b"\x45" * 40] * 3)
    frames, notes = read(data[:-5])
    assert len(frames) == 2
    assert notes == [Truncated(2, 24 + 2 * 56)]


@pytest.mark.parametrize("fast", [True, False])
def test_a_file_that_goes_on_with_zeros_ends_where_they_begin(fast: bool) -> None:
    """As a recorder leaves it that made room for the file and was switched off."""
    data = written([esp(n) for n in range(3000)])
    scan = Prefilter(open_capture(BytesIO(data + bytes(1_000_003))), fast=fast)
    assert list(scan) == []
    assert scan.frames == 3000
    assert [f.packets for f in scan.flows] == [3000]
    assert scan.notes == [Malformed(3000, len(data), "zeros and no frame")]


@pytest.mark.parametrize("data", [b"", b"hello, this is text\n", b"\0" * 64, b"\x1f\x8b"])
def test_no_capture_is_one_clear_line(data: bytes) -> None:
    with pytest.raises(CaptureError) as error:
        open_capture(BytesIO(data))
    assert "\n" not in str(error.value)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CaptureError):
            open_capture(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_fast_way_counts_what_the_slow_way_counts(order: str) -> None:
    rng = random.Random(1)
    numbers = [n for n in range(1, 4000) if rng.random() > 0.01]
    numbers[100], numbers[105] = numbers[105], numbers[100]
    numbers.insert(500, numbers[480])
    data = written([esp(n, rng.choice((60, 100, 1300))) for n in numbers], order)
    fast, slow = (
        Prefilter(open_capture(BytesIO(data))),
        Prefilter(open_capture(BytesIO(data)), fast=False),
    )
    assert list(fast) == list(slow) == []
    (one,), (two,) = fast.flows, slow.flows
    for name in one.__slots__:
        assert getattr(one, name) == getattr(two, name), name
    assert one.packets == len(numbers)
    assert one.duplicates == 1
    assert fast.last_ns == slow.last_ns


def test_a_lost_fragment_is_reported() -> None:
    whole = udp_packet("192.0.2.1", "198.51.100.2", 500, 500, bytes(3000))
    head, body = bytearray(whole[:20]), whole[20:]
    parts = []
    for start in (0, 1480, 2960):
        piece = body[start : start + 1480]
        word = start // 8 | (0x2000 if start + 1480 < len(body) else 0)
        struct.pack_into("!HHH", head, 2, 20 + len(piece), 7, word)
        parts.append(bytes(head) + piece)
    (kept,) = Prefilter(open_capture(BytesIO(written(parts))))
    assert isinstance(kept, Message)
    assert (kept.data, kept.frames) == (bytes(3000), (1, 2, 3))
    (lost,) = Prefilter(open_capture(BytesIO(written([parts[0], parts[2]]))))
    assert isinstance(lost, Incomplete)
    assert (lost.missing, lost.dport, lost.frames) == (((1480, 2960),), 500, (1, 2))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    with CaptureWriter(path, name="test") as writer:
        writer.write(1.5, "192.0.2.1", "192.0.2.2", 500, 500, b"four", "a comment")
        writer.write(2.5, "2001:db8::1", "2001:db8::2", 500, 4500, bytes(8))
    one, two = Prefilter(open_capture(path))
    assert isinstance(one, Message) and isinstance(two, Message)
    assert (one.src, one.data, one.time) == (("192.0.2.1", 500), b"four", 1.5)
    assert (two.dst, two.kind) == (("2001:db8::2", 4500), "ike-natt")
    if shutil.which("tshark"):
        assert "a comment" in dissect(path, [1])


def test_damaged_files_end_in_frames_or_a_clean_error() -> None:
    rng = random.Random(2)
    seeds = [p.read_bytes()[:60_000] for p in REAL[::9]] or [written([esp(n) for n in range(99)])]
    for _ in range(300):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        del data[rng.randrange(len(data)) :]
        try:
            list(Prefilter(open_capture(BytesIO(bytes(data)))))
        except CaptureError:
            continue


@pytest.mark.skipif(not REAL, reason="the shared captures are not here")
@pytest.mark.skipif(not shutil.which("capinfos"), reason="capinfos is not installed")
def test_real_captures_have_as_many_frames_as_wireshark_counts() -> None:
    command = ["capinfos", "-Tmrc", *map(str, REAL)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    counts = {
        Path(r.rpartition(",")[0].strip('"')): int(r.rpartition(",")[2]) for r in lines.split()
    }
    assert len(counts) == len(REAL)
    for path, count in counts.items():
        with open_capture(path) as capture:
            assert (path, sum(1 for _ in capture)) == (path, count)
