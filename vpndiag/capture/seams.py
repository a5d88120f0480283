"""Where a large capture can be divided, as far as its bytes tell.

It is a guess: a payload can be made to look like records. Who uses it must see for himself that
the records before end there (:mod:`vpndiag.capture.pieces`).
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.pcap import HEADERS, byte_order
from vpndiag.capture.pcapng import EPB, IDB, ORDERS, PB, SHB, SPB, is_pcapng
from vpndiag.records import record

_LOOK = 1024 * 1024
"""Bytes in which the first record is sought, some of the longest."""
_CHAIN = 8
"""Records that must follow each other there."""
_MAX_HEAD = 1024 * 1024
_DAY = 86_400


@record(frozen=True, slots=True)
class Piece:
    """Bytes ``start`` to ``stop`` of a file, behind its first ``head``."""

    path: Path
    head: int
    start: int
    stop: int


def divide(path: Path, count: int) -> list[Piece]:
    """The file in ``count`` pieces of about one length; none: it cannot be divided.

    :raises OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = head_of(file)
        if head is None:
            return []
        places = [head.size, size]
        for number in range(1, count):
            found = seam(file, head, size * number // count)
            if found is None or not places[-2] < found < size:
                return []
            places.insert(-1, found)
    return [Piece(path, head.size, *ends) for ends in pairwise(places)]


@record(frozen=True, slots=True)
class Head:
    """The ``size`` bytes of a file before its first packet, and how to read what follows:
    ``header`` are the bytes of a pcap file's record header, 0 in pcapng; ``seconds`` of the first
    record's time."""

    size: int
    order: str
    header: int
    seconds: int = 0


def head_of(file: BinaryIO) -> Head | None:
    """None: no pcap or pcapng file, or one of an odd shape.

    :raises OSError: it cannot be read.
    """
    file.seek(0)
    data = file.read(_MAX_HEAD)
    if (pcap := byte_order(data)) is not None:
        header = HEADERS[struct.unpack_from(pcap + "I", data)[0]]
        if len(data) < 24 + header:
            return None
        return Head(24, pcap, header, struct.unpack_from(pcap + "I", data, 24)[0])
    if not is_pcapng(data):
        return None
    order, at = ORDERS[data[8:12]], 0
    word = struct.Struct(order + "II").unpack_from
    while at + 8 <= len(data):
        kind, size = word(data, at)
        if kind in (EPB, PB, SPB):
            return Head(at, order, 0)
        if size < 12 or size % 4 or (kind == SHB) != (at == 0):
            return None
        at += size
    return None


def seam(file: BinaryIO, head: Head, place: int) -> int | None:
    """Where the first record behind ``place`` begins; None: nothing there looks like one.

    :raises OSError: it cannot be read.
    """
    place += (head.size - place) % 4 if not head.header else 0
    file.seek(place)
    data = file.read(_LOOK)
    step = 1 if head.header else 4
    for at in range(0, min(len(data), MAX_FRAME + 64), step):
        if _chain(data, at, head):
            return place + at
    return None


def _chain(data: bytes, at: int, head: Head) -> bool:
    """Whether records follow each other from there."""
    for _ in range(_CHAIN):
        size = _record(data, at, head) if head.header else _block(data, at, head)
        if not size:
            return False
        at += size
    return True


def _record(data: bytes, at: int, head: Head) -> int:
    """Bytes of the pcap record that may be there, 0: none is."""
    if at + head.header > len(data):
        return 0
    seconds, _, captured, length = struct.unpack_from(head.order + "IIII", data, at)
    if not 0 < captured <= length <= MAX_FRAME or abs(seconds - head.seconds) > 366 * _DAY:
        return 0
    return int(head.header + captured)


def _block(data: bytes, at: int, head: Head) -> int:
    """Bytes of the pcapng block that may be there, 0: none is."""
    if at + 8 > len(data):
        return 0
    kind, size = struct.unpack_from(head.order + "II", data, at)
    if not 12 <= size <= MAX_FRAME or size % 4 or kind in (SHB, IDB) or at + size > len(data):
        return 0
    if struct.unpack_from(head.order + "I", data, at + size - 4)[0] != size:
        return 0
    return int(size)
