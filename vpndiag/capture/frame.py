"""One captured frame and the interface it came from."""

from __future__ import annotations

from typing import NamedTuple

from vpndiag.records import record

#: libpcap's MAXIMUM_SNAPLEN; a longer frame is damage.
MAX_FRAME = 262_144


@record(frozen=True, slots=True)
class Interface:
    """``linktype`` as in tcpdump.org's registry; ``units`` a second of its time stamps; ``offset``
    seconds to add to them."""

    index: int
    linktype: int
    snaplen: int
    name: str
    units: int
    offset: int


class Frame(NamedTuple):
    """``number`` is 1-based over the file (as Wireshark counts); ``time_ns`` nanoseconds since
    1970; ``interface`` an index into the reader's list; ``data`` what was captured of ``length``
    bytes."""

    number: int
    time_ns: int
    interface: int
    linktype: int
    data: bytes
    length: int

    @property
    def time(self) -> float:
        """Seconds since 1970."""
        return self.time_ns / 1e9
