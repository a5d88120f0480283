"""Opening a capture file: what it is, how it is compressed, and its frames."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from vpndiag.capture import columns
from vpndiag.capture.errors import (
    CaptureError,
    ForeignFormat,
    Malformed,
    Note,
    Truncated,
    Unsupported,
)
from vpndiag.capture.frame import Frame, Interface
from vpndiag.capture.pcap import PcapReader, is_pcap
from vpndiag.capture.pcapng import PcapngReader, is_pcapng
from vpndiag.capture.stream import (
    CompressedSource,
    PlainSource,
    compression_of,
)
from vpndiag.capture.window import CHUNK, Progress, Window

__all__ = [
    "CaptureError",
    "CaptureFile",
    "Frame",
    "Interface",
    "Malformed",
    "Note",
    "Truncated",
    "Unsupported",
    "open_capture",
]

_HEAD = 16
#: Other capture files that Wireshark reads: first bytes -> what it is.
_FOREIGN = (
    (b"snoop\x00\x00\x00", "a Solaris snoop capture"),
    (b"RTSS", "a Microsoft Network Monitor 1 capture"),
    (b"GMBU", "a Microsoft Network Monitor 2 capture"),
    (b"TRSNIFF data    ", "a Network General Sniffer capture"),
    (b"\x7fver\0", "an EtherPeek capture"),
    (b"XCP\0", "a NetXRay capture"),
    (b"\x52\x43\x53\x44", "a capture of an unusual format"),
    (b"ObserverPktBuffe", "a Network Instruments Observer capture"),
    (b"5View", "a 5View capture"),
    (b"\x00\x00\x00\x58", "perhaps a Windows ETL trace"),
)


class CaptureFile:
    """An open capture. Iterate it once for :class:`Frame` objects; afterwards ``notes`` is
    complete.

    ``reader`` is the format's reader (shared with the bulk pass); ``compression`` a name or None;
    ``bytes_total`` the file's size, 0 when unknown (a pipe); ``chunk`` how much is read at a time;
    ``skew`` as in :class:`Window`.
    """

    def __init__(
        self,
        file: BinaryIO,
        where: str,
        *,
        bytes_total: int = 0,
        progress: Progress | None = None,
        close: bool = True,
        chunk: int | None = None,
        skew: int = 0,
    ) -> None:
        self.where = where
        self.most: int | None = None
        """Frames after which it is enough, for who reads them one by one."""
        self.bytes_total = bytes_total
        self._file = file
        self._close = close
        self._compressed: CompressedSource | None = None
        head = _read_head(file, where)
        self.compression = compression_of(head)
        source: PlainSource | CompressedSource
        if self.compression is not None:
            source = self._compressed = CompressedSource(file, head, self.compression, where)
        else:
            source = PlainSource(file, head)
        large = chunk is None and columns.wanted(bytes_total)
        size = chunk or (columns.CHUNK if large else CHUNK)
        window = Window(source, bytes_total, progress, size, ahead=large, skew=skew)
        try:
            window.need(_HEAD)
        except OSError as error:
            raise _os_error(error, where) from None
        self.reader = self._pick(
            window, bytes(window.view[window.off : min(window.end, window.off + _HEAD)])
        )

    def _pick(self, window: Window, head: bytes) -> PcapReader | PcapngReader:
        if is_pcap(head):
            reader: PcapReader | PcapngReader = PcapReader(window)
        elif is_pcapng(head):
            reader = PcapngReader(window)
        else:
            raise self._not_a_capture(head)
        return reader

    def _not_a_capture(self, head: bytes) -> CaptureError:
        where = self.where
        if self._compressed is not None and self._compressed.damage:
            return CaptureError(self._compressed.damage, where, "get the file again")
        if not head:
            return CaptureError(
                "the file is empty", where, "nothing was captured, or not yet saved"
            )
        for magic, name in _FOREIGN:
            if head.startswith(magic):
                return ForeignFormat(
                    f"{name}, not pcap or pcapng",
                    where,
                    "install tshark, or convert it: editcap -F pcapng IN OUT",
                )
        text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
        what = "a text file, not a capture" if text else "not a pcap or pcapng capture"
        advice = (
            "save the packets themselves (tcpdump -w FILE)"
            if text
            else "if Wireshark opens it, save it as pcapng there"
        )
        return (CaptureError if text else ForeignFormat)(what, where, advice)

    @property
    def format(self) -> str:
        """``pcap`` or ``pcapng``."""
        return self.reader.format

    @property
    def interfaces(self) -> list[Interface]:
        """Those met so far."""
        return self.reader.interfaces

    @property
    def comments(self) -> list[str]:
        """Comments on the file as a whole (pcapng), met so far."""
        return self.reader.comments if isinstance(self.reader, PcapngReader) else []

    @property
    def notes(self) -> list[Note]:
        """What was wrong with the file so far."""
        notes = list(self.reader.notes)
        if self._compressed is not None and self._compressed.damage:
            window = self.reader.window
            notes.append(Malformed(self.reader.number, window.position, self._compressed.damage))
        return notes

    def __iter__(self) -> Iterator[Frame]:
        """:raises CaptureError: when the operating system fails to read the file on."""
        step, most = self.reader.next, self.most
        try:
            while (frame := step()) is not None:
                yield frame
                if most is not None and self.reader.number >= most:
                    return
        except OSError as error:
            raise _os_error(error, self.where) from None

    def close(self) -> None:
        self.reader.window.close()
        if self._close:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _read_head(file: BinaryIO, where: str) -> bytes:
    head = b""
    try:
        while len(head) < _HEAD:
            more = file.read(_HEAD - len(head))
            if not more:
                break
            head += more
    except OSError as error:
        raise _os_error(error, where) from None
    return head


def _os_error(error: OSError, where: str) -> CaptureError:
    if isinstance(error, FileNotFoundError):
        return CaptureError("no such file", where, "check the path")
    if isinstance(error, PermissionError):
        return CaptureError("no permission to read it", where, "copy it or change its owner")
    return CaptureError(error.strerror or type(error).__name__, where, "check the disk or the path")


def open_capture(
    source: str | Path | BinaryIO, *, progress: Progress | None = None, chunk: int | None = None
) -> CaptureFile:
    """Open a capture file, ``-`` for standard input, or a binary file object.

    ``progress(bytes_done, bytes_total)`` is called now and then while reading, in bytes of the file
    as it is on disk. ``chunk``: bytes to read at a time, if not as suits who reads all of it.

    :raises CaptureError: when it is not a capture or cannot be opened.
    """
    if not isinstance(source, str | Path):
        name = str(getattr(source, "name", "input"))
        return CaptureFile(source, name, progress=progress, close=False, chunk=chunk)
    if str(source) == "-":
        return CaptureFile(
            sys.stdin.buffer, "standard input", progress=progress, close=False, chunk=chunk
        )
    where = str(source)
    try:
        path = Path(source)
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise CaptureError("a directory, not a capture", where, "name the files in it")
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise _os_error(error, where) from None
    except ValueError:
        raise CaptureError("no such file", where, "check the path") from None
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    try:
        return CaptureFile(file, where, bytes_total=size, progress=progress, chunk=chunk)
    except BaseException:
        file.close()
        raise
