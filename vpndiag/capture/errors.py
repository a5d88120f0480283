"""What can go wrong with a capture file, as data.

:class:`CaptureError` ends the reading: the file cannot be used. A note (:class:`Truncated`,
:class:`Malformed`, :class:`Unsupported`) does not: what was read before it stands.
"""

from __future__ import annotations

from vpndiag.records import record


class CaptureError(Exception):
    """A file that cannot be read as a capture.

    ``what`` is wrong, ``where`` (path, or path and byte), ``advice`` what the person can do.
    ``str()`` is one line without control characters."""

    def __init__(self, what: str, where: str, advice: str = "") -> None:
        super().__init__(what, where, advice)
        self.what = what
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        if self.advice:
            text += f"; {self.advice}"
        return "".join(c if c.isprintable() else "�" for c in text)


class ForeignFormat(CaptureError):
    """A file of another format, which Wireshark may be able to read."""


@record(frozen=True, slots=True)
class Truncated:
    """The file ends inside a record: ``frame`` is the last whole one, ``byte`` where the cut record
    starts (in the decompressed stream)."""

    frame: int
    byte: int

    def __str__(self) -> str:
        return f"the file is cut off after frame {self.frame} (byte {self.byte})"


@record(frozen=True, slots=True)
class Malformed:
    """Reading stopped (or one block was skipped) after ``frame``: the record at ``byte`` makes no
    sense."""

    frame: int
    byte: int
    what: str

    def __str__(self) -> str:
        return f"damaged after frame {self.frame} (byte {self.byte}): {self.what}"


@record(frozen=True, slots=True)
class Unsupported:
    """Frames of a link type that is not read here; the first is ``frame``."""

    frame: int
    linktype: int

    def __str__(self) -> str:
        return (
            f"link type {self.linktype} (first in frame {self.frame}) is not read: "
            "export the packets with Wireshark to Ethernet or raw IP"
        )


Note = Truncated | Malformed | Unsupported
