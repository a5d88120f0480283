"""pcapng's less usual blocks and options, and files that blow up when decompressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from io import BytesIO

import pytest

from vpndiag.capture import stream
from vpndiag.capture.files import CaptureError, Frame, open_capture

RAW = 101
SECOND = 1_000_000_000


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, snaplen: int = 0, *options: tuple[int, bytes]) -> bytes:
    body = struct.pack(order + "HHI", RAW, 0, snaplen)
    for code, value in (*options, (0, b"")):
        padded = value + bytes(-len(value) % 4)
        body += struct.pack(order + "HH", code, len(value)) + padded
    return block(order, 1, body)


def enhanced(order: str, ticks: int, data: bytes) -> bytes:
    head = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(order, 6, head + data + bytes(-len(data) % 4))


def read(data: bytes) -> tuple[list[Frame], list[object]]:
    capture = open_capture(BytesIO(data))
    return list(capture), list(capture.notes)


orders = pytest.mark.parametrize("order", ["<", ">"])


@orders
def test_the_obsolete_packet_block(order: str) -> None:
    """Type 2, with a count of drops beside the interface (draft-ietf-opsawg-pcapng)."""
    ticks = 1_700_000_000_000_001
    head = struct.pack(order + "HHIIII", 1, 9, ticks >> 32, ticks & 0xFFFFFFFF, 5, 60)
    both = interface(order) + interface(order, 0, (9, b"\x06"))
    frames, notes = read(section(order) + both + block(order, 2, head + b"\x45four"))
    assert notes == []
    assert [(f.data, f.interface, f.length) for f in frames] == [(b"\x45four", 1, 60)]
    assert frames[0].time_ns == ticks * 1000


@orders
def test_the_simple_packet_block_is_cut_to_the_snap_length(order: str) -> None:
    whole = b"\x45" * 100
    blocks = block(order, 3, struct.pack(order + "I", 100) + whole[:40])
    frames, notes = read(section(order) + interface(order, 40) + blocks)
    assert notes == []
    assert [(f.data, f.length, f.time_ns) for f in frames] == [(whole[:40], 100, 0)]


@orders
def test_times_are_shifted_by_if_tsoffset(order: str) -> None:
    offset = (14, struct.pack(order + "q", 1_000_000))
    frames, _ = read(
        section(order) + interface(order, 0, (9, b"\x09"), offset) + enhanced(order, 7, b"\x45")
    )
    assert frames[0].time_ns == 1_000_000 * SECOND + 7


@orders
def test_times_in_powers_of_two(order: str) -> None:
    frames, _ = read(
        section(order) + interface(order, 0, (9, b"\x8a")) + enhanced(order, 3 * 1024, b"\x45")
    )
    assert frames[0].time_ns == 3 * SECOND


def test_a_simple_block_before_any_interface_ends_the_reading() -> None:
    frames, notes = read(section("<") + block("<", 3, struct.pack("<I", 4) + b"\x45abc"))
    assert frames == [] and len(notes) == 1


def test_sections_of_both_byte_orders_in_one_file() -> None:
    parts = (section(o) + interface(o) + enhanced(o, 5, b"\x45") for o in "<>")
    frames, notes = read(b"".join(parts))
    assert notes == [] and [(f.number, f.interface) for f in frames] == [(1, 0), (2, 1)]


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb_is_left_before_it_fills_the_memory(
    squeeze: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BOMB_FREE", 100_000)
    skipped = block("<", 0x0BAD, bytes(4_000_000))
    squeezed = squeeze(section("<") + interface("<") + skipped * 3)  # type: ignore[operator]
    assert len(squeezed) < 30_000
    try:
        frames, notes = read(squeezed)
    except CaptureError as error:  # told already at its first bytes
        frames, notes = [], [error]
    assert frames == [] and "grows on decompression" in str(notes[-1])


@pytest.mark.parametrize(("magic", "name"), [(b"\x04\x22\x4d\x18", "lz4"), (b"PK\x03\x04", "zip")])
def test_compressions_that_are_not_read_are_named(magic: bytes, name: str) -> None:
    with pytest.raises(CaptureError, match=name):
        open_capture(BytesIO(magic + bytes(60)))


def test_zstandard_where_there_is_a_library_for_it() -> None:
    zstandard = pytest.importorskip("zstandard")
    data = section("<") + interface("<") + enhanced("<", 1, b"\x45abc")
    frames, notes = read(zstandard.ZstdCompressor().compress(data))
    assert [f.data for f in frames] == [b"\x45abc"] and notes == []
