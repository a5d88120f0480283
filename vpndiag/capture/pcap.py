"""libpcap files: every byte order, microseconds and nanoseconds, and Kuznetzov's variant.

Format: draft-ietf-opsawg-pcap; the variant with eight more bytes a record header is the one that
Alexey Kuznetzov's patched tcpdump wrote, as libpcap's sf-pcap.c and Wireshark's libpcap.c read it.
"""

from __future__ import annotations

import struct

from vpndiag.capture.errors import Malformed, Note, Truncated
from vpndiag.capture.frame import MAX_FRAME, Frame, Interface
from vpndiag.capture.window import Window

_MICRO, _NANO, _KUZNETZOV = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
HEADERS = {_MICRO: 16, _NANO: 16, _KUZNETZOV: 24}
"""Magic numbers, and bytes of a record header in such a file."""
_BILLION = 1_000_000_000


def is_pcap(head: bytes) -> bool:
    """Whether these first bytes of a file are a pcap magic number."""
    return byte_order(head) is not None


def byte_order(head: bytes) -> str | None:
    """As ``struct`` spells it, of a file that begins so; None: it is no pcap file."""
    for order in ("<", ">"):
        if len(head) >= 4 and struct.unpack_from(order + "I", head)[0] in HEADERS:
            return order
    return None


class PcapReader:
    """Frames of a pcap file, one :meth:`next` at a time.

    ``number`` counts the frames read; ``interfaces`` has one entry; ``notes`` grows while reading.
    """

    format = "pcap"

    def __init__(self, window: Window) -> None:
        self.window = window
        self.number = 0
        self.notes: list[Note] = []
        self.interfaces: list[Interface] = []
        self.order = "<"
        self.header = 16
        self.scale = 1000
        self.linktype = -1
        self._done = False
        if not window.need(24):
            self.notes.append(Truncated(0, window.position))
            self._done = True
            return
        self.order = byte_order(bytes(window.view[window.off : window.off + 4])) or "<"
        magic, _, _, _, _, snaplen, network = struct.unpack_from(
            self.order + "IHHiIII", window.buf, window.off
        )
        window.off += 24
        self.header = HEADERS[magic]
        if magic == _NANO:
            self.scale = 1
        # The upper bits tell about a frame check sequence.
        self.linktype = network & 0x03FFFFFF
        self.interfaces.append(Interface(0, self.linktype, snaplen, "", _BILLION // self.scale, 0))
        self._unpack = struct.Struct(self.order + "IIII").unpack_from

    def next(self) -> Frame | None:
        """The next whole frame, None at the end (and then perhaps a note more)."""
        window = self.window
        if self._done:
            return None
        if window.off + self.header > window.end and not window.need(self.header):
            if window.end > window.off or window.off > window.end:
                self.notes.append(Truncated(self.number, window.position))
            self._done = True
            return None
        seconds, fraction, captured, length = self._unpack(window.buf, window.off)
        if captured > MAX_FRAME:
            self.notes.append(
                Malformed(self.number, window.position, f"a frame of {captured} bytes")
            )
            self._done = True
            return None
        if not (captured or length or seconds or fraction):
            # Room that was made for the file and never written to, by gigabytes at times.
            self.notes.append(Malformed(self.number, window.position, "zeros and no frame"))
            self._done = True
            return None
        size = self.header + captured
        if window.off + size > window.end and not window.need(size):
            self.notes.append(Truncated(self.number, window.position))
            self._done = True
            return None
        start = window.off + self.header
        window.off = end = start + captured
        self.number += 1
        return Frame(
            self.number,
            seconds * _BILLION + fraction * self.scale,
            0,
            self.linktype,
            bytes(window.view[start:end]),
            length if length > captured else captured,
        )
