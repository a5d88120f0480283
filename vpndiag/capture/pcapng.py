"""pcapng files (draft-ietf-opsawg-pcapng): sections of both byte orders, several interfaces,
enhanced, simple and obsolete packet blocks. Every other block is skipped."""

from __future__ import annotations

import struct

from vpndiag.capture.errors import Malformed, Note, Truncated
from vpndiag.capture.frame import MAX_FRAME, Frame, Interface
from vpndiag.capture.window import Window

SHB, IDB, PB, SPB, EPB = 0x0A0D0D0A, 1, 2, 3, 6
_MAGIC = b"\x0a\x0d\x0d\x0a"
ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
"""Byte-order magics of a section header block, and the order as ``struct`` spells it."""
_BILLION = 1_000_000_000
#: Packet and interface blocks are parsed in one piece; others may be of any length and are skipped.
_MAX_BLOCK = MAX_FRAME + 65_536
_MAX_INTERFACES = 4096
_MAX_SECTION = 65_536
"""Bytes of a section header block whose comments are read."""
_MAX_COMMENTS = 16


def is_pcapng(head: bytes) -> bool:
    """Whether these first bytes of a file are a section header block."""
    return head[:4] == _MAGIC and head[8:12] in ORDERS


class PcapngReader:
    """Frames of a pcapng file, one :meth:`next` at a time.

    ``interfaces`` lists those of all sections in order of appearance; a frame's interface is an
    index into it. ``number`` counts the packet blocks read, as Wireshark does."""

    format = "pcapng"

    def __init__(self, window: Window) -> None:
        self.window = window
        self.number = 0
        self.notes: list[Note] = []
        self.interfaces: list[Interface] = []
        self.comments: list[str] = []
        """Of sections, the first few."""
        self.order = "<"
        #: Index of the first interface of this section.
        self.first = 0
        self._done = False
        self._set_order("<")

    def _set_order(self, order: str) -> None:
        self.order = order
        self._head = struct.Struct(order + "II").unpack_from
        self._epb = struct.Struct(order + "IIIII").unpack_from

    def _stop(self, note: Note | None = None) -> Frame | None:
        """End the reading; always None."""
        if note is not None:
            self.notes.append(note)
        self._done = True
        return None

    def next(self) -> Frame | None:
        """The next whole frame, None at the end (and then perhaps a note more)."""
        window = self.window
        while not self._done:
            if window.off + 8 > window.end and not window.need(8):
                cut = window.off != window.end
                return self._stop(Truncated(self.number, window.position) if cut else None)
            kind, size = self._head(window.buf, window.off)
            if kind == SHB:
                if not window.need(12):
                    return self._stop(Truncated(self.number, window.position))
                size = self._section()
                if not size:
                    return None
            if size < 12 or size % 4:
                return self._stop(self._bad(f"a block of {size} bytes"))
            if kind not in (EPB, SPB, PB, IDB):
                self._skip(size)
                continue
            if size > _MAX_BLOCK:
                return self._stop(self._bad(f"a block of {size} bytes"))
            if window.off + size > window.end and not window.need(size):
                return self._stop(Truncated(self.number, window.position))
            start = window.off
            if kind == IDB:
                self._interface(start, size)
                window.off = start + size
                continue
            if kind == EPB:
                frame = self._enhanced(start, size)
            elif kind == SPB:
                frame = self._simple(start, size)
            else:
                frame = self._obsolete(start, size)
            window.off = start + size
            if frame is not None:
                return frame
        return None

    def _bad(self, what: str) -> Malformed:
        return Malformed(self.number, self.window.position, what)

    def _skip(self, size: int) -> None:
        window = self.window
        start = window.position
        window.off += size
        while window.off > window.end:
            if not window.refill():
                self._stop(Truncated(self.number, start))
                return

    def _section(self) -> int:
        """Start a section at the window's offset; its block size, or 0 after stopping."""
        window = self.window
        order = ORDERS.get(bytes(window.view[window.off + 8 : window.off + 12]))
        if order is None:
            self._stop(self._bad("a section without byte-order magic"))
            return 0
        self._set_order(order)
        self.first = len(self.interfaces)
        size: int = self._head(window.buf, window.off)[1]
        if 32 <= size <= _MAX_SECTION and len(self.comments) < _MAX_COMMENTS and window.need(size):
            self._comments(window.off + 24, window.off + size - 4)
        return size

    def _comments(self, at: int, end: int) -> None:
        """The comments among a section's options."""
        buf = self.window.buf
        while at + 4 <= end and len(self.comments) < _MAX_COMMENTS:
            code, length = struct.unpack_from(self.order + "HH", buf, at)
            if code == 0 or at + 4 + length > end:
                return
            if code == 1:
                self.comments.append(
                    bytes(buf[at + 4 : at + 4 + length]).decode("utf-8", "replace")
                )
            at += 4 + length + (-length % 4)

    def _interface(self, start: int, size: int) -> None:
        if size < 20 or len(self.interfaces) >= _MAX_INTERFACES:
            self._stop(self._bad("an interface block that makes no sense"))
            return
        buf, order = self.window.buf, self.order
        linktype, _, snaplen = struct.unpack_from(order + "HHI", buf, start + 8)
        units, offset, name = 1_000_000, 0, ""
        at, end = start + 16, start + size - 4
        while at + 4 <= end:
            code, length = struct.unpack_from(order + "HH", buf, at)
            value = bytes(buf[at + 4 : min(at + 4 + length, end)])
            if code == 0:
                break
            if code == 2:
                name = value[:256].decode("utf-8", "replace")
            elif code == 9 and len(value) >= 1:
                units = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** (value[0] & 0x7F)
            elif code == 14 and len(value) >= 8:
                offset = struct.unpack(order + "q", value[:8])[0]
            at += 4 + length + (-length % 4)
        self.interfaces.append(
            Interface(len(self.interfaces), linktype, snaplen, name, units, offset)
        )

    def _enhanced(self, start: int, size: int) -> Frame | None:
        if size < 32:
            return self._stop(self._bad("a packet block that is too short"))
        index, high, low, captured, length = self._epb(self.window.buf, start + 8)
        return self._frame(index, high, low, captured, length, start + 28, start + size - 4)

    def _obsolete(self, start: int, size: int) -> Frame | None:
        if size < 32:
            return self._stop(self._bad("a packet block that is too short"))
        index, _, high, low, captured, length = struct.unpack_from(
            self.order + "HHIIII", self.window.buf, start + 8
        )
        return self._frame(index, high, low, captured, length, start + 28, start + size - 4)

    def _simple(self, start: int, size: int) -> Frame | None:
        """A simple packet block: the first interface, no time (told as 0)."""
        if size < 16:
            return self._stop(self._bad("a packet block that is too short"))
        (length,) = struct.unpack_from(self.order + "I", self.window.buf, start + 8)
        captured = min(length, size - 16)
        if self.first < len(self.interfaces) and self.interfaces[self.first].snaplen:
            captured = min(captured, self.interfaces[self.first].snaplen)
        return self._frame(0, 0, 0, captured, length, start + 12, start + size - 4)

    def _frame(
        self, index: int, high: int, low: int, captured: int, length: int, at: int, limit: int
    ) -> Frame | None:
        if captured > limit - at or captured > MAX_FRAME:
            return self._stop(self._bad(f"a frame of {captured} bytes"))
        index += self.first
        if index >= len(self.interfaces):
            return self._stop(self._bad("a packet of an interface that was not described"))
        interface = self.interfaces[index]
        self.number += 1
        ticks = high << 32 | low
        if interface.units == 1_000_000:
            time_ns = ticks * 1000
        else:
            time_ns = ticks * _BILLION // interface.units
        return Frame(
            self.number,
            time_ns + interface.offset * _BILLION,
            index,
            interface.linktype,
            bytes(self.window.view[at : at + captured]),
            max(length, captured),
        )
