"""Capture files of the older kind (pcap), made by hand: any byte order, magic and length."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Literal

MICRO, NANO, KUZNETZOV = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
"""Magic numbers: microseconds, nanoseconds, and microseconds with 8 more bytes a record."""
ETHERNET, RAW = 1, 101
"""Link types."""

Order = Literal["<", ">"]


def header(link: int = RAW, *, order: Order = "<", magic: int = MICRO, snap: int = 65_535) -> bytes:
    """The beginning of a file."""
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)


def record(
    data: bytes,
    seconds: int = 0,
    fraction: int = 0,
    *,
    order: Order = "<",
    magic: int = MICRO,
    length: int | None = None,
) -> bytes:
    """One packet. ``length``: on the wire, where more than was recorded."""
    size = len(data) if length is None else length
    head = struct.pack(order + "IIII", seconds, fraction, len(data), size)
    return head + (bytes(8) if magic == KUZNETZOV else b"") + data


def capture(packets: Iterable[tuple[float, bytes]], link: int = RAW) -> bytes:
    """A whole file of packets with their times, POSIX seconds."""
    out = [header(link)]
    for moment, data in packets:
        out.append(record(data, *divmod(round(moment * 1e6), 1_000_000)))
    return b"".join(out)
