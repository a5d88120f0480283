"""A capture read in pieces tells what it tells as a whole, or nothing."""

from __future__ import annotations

import random
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import pcap
from tests.unit.capture_files.test_fast_and_slow import CASES, as_pcap, as_pcapng, traffic
from vpndiag.capture import columns, pieces
from vpndiag.capture.errors import CaptureError
from vpndiag.capture.files import open_capture
from vpndiag.capture.flow_table import EspFlows
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.pieces import Scanned, join, scan_piece
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.seams import Piece, divide, head_of
from vpndiag.capture.write import udp_packet

FIRST, SECOND = "192.0.2.1", "198.51.100.2"


def _facts(flows: EspFlows) -> list[dict[str, Any]]:
    names = set(EspFlow.__slots__) - {"_before", "_most_sizes"}
    return [{name: getattr(flow, name) for name in names} for flow in flows]


def as_a_whole(path: Path) -> tuple[object, ...]:
    with open_capture(path) as capture:
        scan = Prefilter(capture)
        kept = list(scan)
        flows = _facts(scan.flows)
        return kept, flows, scan.tallies, scan.frames, scan.first_ns, scan.last_ns


def found(one: Scanned) -> tuple[object, ...]:
    return one.kept, _facts(one.flows), one.tallies, one.frames, one.first_ns, one.last_ns


def in_pieces(path: Path, seams: list[int]) -> Scanned | None:
    with path.open("rb") as file:
        head = head_of(file)
    assert head is not None
    places = [head.size, *seams, path.stat().st_size]
    return join([scan_piece(Piece(path, head.size, *ends)) for ends in pairwise(places)])


def records(path: Path) -> list[int]:
    """Where each packet's record begins."""
    with open_capture(path) as capture:
        window, places = capture.reader.window, []
        place = window.position
        for _ in capture:
            places.append(place)
            place = window.position
    return places


@pytest.mark.parametrize(("link", "form"), CASES)
@pytest.mark.parametrize("seed", range(6))
def test_divided_anywhere(link: str, form: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(f"{link} {form} {seed}")
    frames = traffic(rng, link, 400)
    make = as_pcap if form == "pcap" else as_pcapng
    path = tmp_path / "one.capture"
    path.write_bytes(make(rng, frames, 101 if link == "raw" else 1))
    expected, places = as_a_whole(path), records(path)
    for _ in range(12):
        joined = in_pieces(path, sorted(rng.sample(places[1:], rng.choice((1, 1, 2, 4)))))
        assert joined is None or found(joined) == expected


def esp(number: int, at: int, size: int = 40, spi: int = 7) -> bytes:
    return udp_packet(FIRST, SECOND, 4500, 4500, struct.pack("!II", spi, number) + bytes(size), at)


def written(path: Path, packets: list[bytes], pause: int = 1000) -> Path:
    timed = (
        (1_700_000_000 + number * pause / 1e6, packet) for number, packet in enumerate(packets)
    )
    path.write_bytes(pcap.capture(timed))
    return path


def test_every_seam_of_an_orderly_capture_holds(tmp_path: Path) -> None:
    """With gaps, silences, two flows, sizes of every kind, keepalives and IKE."""
    rng, packets, numbers = random.Random(1), [], Counter[int]()
    for n in range(300):
        spi = rng.choice((7, 9))
        numbers[spi] += rng.choice((1, 1, 1, 1, 4, 1500))
        packets.append(esp(numbers[spi], n, rng.randrange(8, 400, 4), spi))
        if n % 50 == 20:
            packets.append(udp_packet(FIRST, SECOND, 4500, 4500, b"\xff", n))
            packets.append(udp_packet(FIRST, SECOND, 53, 53, bytes(20), n))
    path = written(tmp_path / "one.pcap", packets, 150_000)
    expected = as_a_whole(path)
    for place in records(path)[1:]:
        joined = in_pieces(path, [place])
        assert joined is not None and found(joined) == expected


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param([1, 2, 3, 5, 4, 6, 7], id="late"),
        pytest.param([1, 2, 3, 4, 4, 5, 6], id="twice"),
        pytest.param([1, 2, 3, 4, 1, 2, 3], id="from the beginning again"),
    ],
)
def test_what_reaches_over_a_seam_is_not_joined(numbers: list[int], tmp_path: Path) -> None:
    path = written(tmp_path / "one.pcap", [esp(n, at) for at, n in enumerate(numbers)])
    assert in_pieces(path, [records(path)[4]]) is None


def test_a_fragment_on_each_side(tmp_path: Path) -> None:
    whole = esp(3, 77, 200)
    first = whole[:6] + b"\x20\x00" + whole[8:20] + whole[20:100]
    rest = whole[:6] + struct.pack("!H", 10) + whole[8:20] + whole[100:]
    parts = [piece[:2] + struct.pack("!H", len(piece)) + piece[4:] for piece in (first, rest)]
    packets = [esp(1, 1), esp(2, 2), *parts, esp(4, 4), esp(5, 5)]
    path = written(tmp_path / "one.pcap", packets)
    places = records(path)
    assert in_pieces(path, [places[3]]) is None
    joined = in_pieces(path, [places[4]])
    assert joined is not None and found(joined) == as_a_whole(path)


def test_a_seam_that_is_none(tmp_path: Path) -> None:
    """In the middle of a record, and where a payload looks like a record."""
    inside = pcap.record(bytes(60), 1_700_000_000)
    packets = [esp(n, n) + inside * 12 for n in range(1, 30)]
    path = written(tmp_path / "one.pcap", packets)
    place = records(path)[14]
    assert in_pieces(path, [place + 9]) is None
    assert in_pieces(path, [place + 16 + len(esp(15, 15))]) is None


def test_what_a_later_part_would_have_to_know(tmp_path: Path) -> None:
    """IKE between odd ports says that there is ESP between them."""
    ike = bytes(4) + bytes(range(1, 17)) + bytes((5, 0x10, 5, 1)) + bytes(4)
    ike += struct.pack("!I", 92) + bytes(64)
    packets = [udp_packet(FIRST, SECOND, 10_001, 10_002, ike, 1), *(esp(n, n) for n in range(2, 9))]
    path = written(tmp_path / "one.pcap", packets)
    assert in_pieces(path, [records(path)[4]]) is None


def test_an_interface_that_is_told_of_in_the_middle(tmp_path: Path) -> None:
    rng = random.Random(3)
    path = tmp_path / "one.pcapng"
    path.write_bytes(as_pcapng(rng, [esp(n, n) for n in range(1, 2000)], 101))
    places = records(path)
    assert in_pieces(path, [places[1600]]) is None, "a new section begins with packet 1501"


def test_a_section_with_another_clock(tmp_path: Path) -> None:
    """The same in all else: only the interface says that its time stamps count milliseconds."""

    def block(kind: int, body: bytes) -> bytes:
        size = struct.pack("<I", 12 + len(body))
        return struct.pack("<I", kind) + size + body + size

    out: list[bytes] = []
    for unit in (6, 3):
        out.append(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        out.append(block(1, struct.pack("<HHIHHBxxxI", 101, 0, 0, 9, 1, unit, 0)))
        for n in range(1, 9):
            packet = esp(n + 20 * (unit == 3), n)
            head = struct.pack("<IIIII", 0, 0, n * 1000, len(packet), len(packet))
            out.append(block(6, head + packet + bytes(-len(packet) % 4)))
    path = tmp_path / "one.pcapng"
    path.write_bytes(b"".join(out))
    assert in_pieces(path, [records(path)[12]]) is None


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
@pytest.mark.parametrize("seed", range(8))
def test_guesses_are_records(form: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    frames = [esp(n, n, rng.randrange(0, 1200, 4)) for n in range(1, 1400)]
    path = tmp_path / "one.capture"
    path.write_bytes((as_pcap if form == "pcap" else as_pcapng)(rng, frames, 101))
    parts = divide(path, 3)
    assert len(parts) == 3 and parts[-1].stop == path.stat().st_size
    places = set(records(path)) if form == "pcap" else None
    for one, two in pairwise(parts):
        assert one.stop == two.start
        assert places is None or two.start in places


def test_files_that_cannot_be_divided(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"\n\r\r\n", b"a text file, and no capture at all", bytes(5000)):
        path.write_bytes(data)
        assert divide(path, 2) == []
    path.write_bytes(pcap.header() + bytes(9000))
    assert divide(path, 2) == [], "nothing looks like a record"


@pytest.mark.parametrize("large", [0, columns.LARGE], ids=["numpy", "plain"])
def test_too_many_sizes_for_a_table_of_their_own(
    large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first 64 sizes are counted apart, whichever piece they were met in."""
    monkeypatch.setattr(columns, "LARGE", large)
    rng = random.Random(5)
    packets = [esp(n, n, rng.randrange(8, 1200, 4)) for n in range(1, 900)]
    path = written(tmp_path / "one.pcap", packets)
    expected, places = as_a_whole(path), records(path)
    for place in (places[10], places[100], places[600]):
        joined = in_pieces(path, [place])
        assert joined is not None and found(joined) == expected


def test_a_piece_with_too_many_control_packets_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "one.pcap", [udp_packet(FIRST, SECOND, 53, 53, bytes(20), n)
                                           for n in range(30)])  # fmt: skip
    monkeypatch.setattr(pieces, "MOST_KEPT", 30)
    assert scan_piece(Piece(path, 24, 24, path.stat().st_size)).frames == 30
    monkeypatch.setattr(pieces, "MOST_KEPT", 29)
    with pytest.raises(CaptureError):
        scan_piece(Piece(path, 24, 24, path.stat().st_size))


def test_of_damaged_files_nothing_is_joined(tmp_path: Path) -> None:
    path = written(tmp_path / "one.pcap", [esp(n, n) for n in range(1, 40)])
    places = records(path)
    path.write_bytes(path.read_bytes()[:-9])
    assert in_pieces(path, [places[20]]) is None


def test_a_piece_alone_is_what_its_bytes_are(tmp_path: Path) -> None:
    path = written(tmp_path / "one.pcap", [esp(n, n) for n in range(1, 40)])
    places = records(path)
    one = scan_piece(Piece(path, 24, places[10], places[20]))
    assert (one.frames, [f.packets for f in one.flows]) == (10, [10])
    assert not one.notes
