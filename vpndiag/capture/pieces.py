"""A large capture read in pieces, by several processes at a time, and put together again.

A piece is a capture of its own: what the file begins with, up to the first packet, and a part of
the packets. Where the next part begins is guessed; the reading of the part before shows whether it
was right, because it must end there with a whole record. Where anything reaches over such a seam
(a late packet, a fragment, what was said of interfaces or ports) the pieces are worth nothing, and
the file is read in one go. So what is found is always what that finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from io import RawIOBase
from typing import Any

from vpndiag.capture.errors import CaptureError, Note
from vpndiag.capture.files import CaptureFile
from vpndiag.capture.flow_table import EspFlows
from vpndiag.capture.packets import EspPacket, Incomplete, Kept, Message
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.seams import Piece
from vpndiag.capture.tally import Tally
from vpndiag.capture.window import Progress
from vpndiag.records import record

MOST_KEPT = 10_000
"""Packets of a piece that are kept. All of them are held in memory, so this is for captures of
data."""


class _Part(RawIOBase):
    """The bytes of a piece as a file."""

    def __init__(self, piece: Piece) -> None:
        self._file = piece.path.open("rb", buffering=0)
        self._left = [(0, piece.head), (piece.start, piece.stop)]

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while self._left:
            at, stop = self._left[0]
            if at < stop:
                self._file.seek(at)
                got = self._file.readinto(memoryview(target)[: stop - at]) or 0
                self._left[0] = at + got, stop
                return got
            self._left.pop(0)
        return 0

    def close(self) -> None:
        self._file.close()
        super().close()


@record(slots=True)
class Scanned:
    """What a :class:`Prefilter` has found, as plain data: iterate it for the kept packets."""

    kept: list[Kept]
    flows: EspFlows
    tallies: dict[str, Tally]
    frames: int
    first_ns: int | None
    last_ns: int | None
    interfaces: tuple[int, int]
    odd_ports: bool
    notes: list[Note] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self.kept)


def scan_piece(piece: Piece, progress: Progress | None = None) -> Scanned:
    """Read one. ``progress`` as of :func:`~vpndiag.capture.files.open_capture`.

    :raises CaptureError: it cannot be read, or more than MOST_KEPT packets would have to be kept.
    """
    try:
        file = _Part(piece)
    except OSError as error:
        raise CaptureError(str(error.strerror), str(piece.path)) from None
    size = piece.head + piece.stop - piece.start
    with CaptureFile(
        file,  # type: ignore[arg-type]
        str(piece.path),
        bytes_total=size,
        progress=progress,
        skew=piece.start - piece.head,
    ) as capture:
        scan = Prefilter(capture, every_size=piece.start > piece.head)
        kept: list[Kept] = []
        for packet in scan:
            if len(kept) >= MOST_KEPT:
                raise CaptureError("too many control packets for a piece", str(piece.path))
            kept.append(packet)
        return Scanned(
            kept,
            scan.flows,
            scan.tallies,
            scan.frames,
            scan.first_ns,
            scan.last_ns,
            (len(capture.interfaces), getattr(capture.reader, "first", 0)),
            scan.odd_ports,
            scan.notes,
            capture.comments,
        )


def join(pieces: Sequence[Scanned]) -> Scanned | None:
    """The pieces of a file as one; None: they cannot be told to be what reading it as a whole
    finds. The first of them is changed."""
    whole, *rest = pieces
    if any(p.notes or p.odd_ports or p.flows.dropped or p.interfaces != whole.interfaces
           or p.comments != whole.comments for p in pieces):  # fmt: skip
        return None
    if any(type(k) is Incomplete and k.why == "end" for p in pieces[:-1] for k in p.kept):
        return None
    for later in rest:
        if not whole.flows.append(later.flows, whole.frames):
            return None
        whole.kept += [_moved(packet, whole.frames) for packet in later.kept]
        for name, tally in later.tallies.items():
            if name in whole.tallies:
                whole.tallies[name].append(tally, whole.frames)
            else:
                whole.tallies[name] = tally.moved(whole.frames)
        if later.first_ns is not None and later.last_ns is not None:
            whole.first_ns = later.first_ns if whole.first_ns is None else whole.first_ns
            whole.last_ns = max(whole.last_ns or 0, later.last_ns)
        whole.frames += later.frames
    return whole


def _moved(packet: Kept, frames: int) -> Kept:
    if isinstance(packet, Message | Incomplete):
        return replace(packet, frames=tuple(f + frames for f in packet.frames))
    assert not isinstance(packet, EspPacket), "not kept in pieces"
    return replace(packet, frame=packet.frame + frames)
