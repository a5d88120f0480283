"""Frames that all look alike: where the headers are, and the bytes that make them so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from vpndiag.capture.link import network
from vpndiag.records import record


@record(frozen=True, slots=True)
class Layout:
    """Frames whose IP header, without options, starts ``at`` bytes into the frame."""

    linktype: int
    at: int
    version: int
    udp: bool

    @property
    def ip_header(self) -> int:
        return 20 if self.version == 4 else 40

    @property
    def headers(self) -> int:
        """Bytes that the IP header's length counts and that are not ESP."""
        return (20 if self.version == 4 else 0) + (8 if self.udp else 0)

    @property
    def esp(self) -> int:
        """Where in the frame the SPI is."""
        return self.at + self.ip_header + (8 if self.udp else 0)


@lru_cache(maxsize=64)
def _link_bytes(
    layout: Layout, head: bytes, expected: tuple[int, int] | None
) -> tuple[tuple[int, bytes], ...]:
    """The bytes of the link header that decide where the IP packet is, and their values here.
    ``expected`` is where it is; ``head`` ends with the packet's first byte."""
    found: list[tuple[int, bytes]] = []
    trial = bytearray(head)
    for at in range(layout.at):
        mine = trial[at]
        for value in range(256):
            trial[at] = value
            if network(layout.linktype, bytes(trial)) != expected:
                found.append((at, bytes((mine,))))
                break
        trial[at] = mine
    return tuple(found)


def frame_bytes(layout: Layout, data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset in the frame, allowed values) of all that makes it a plain ESP packet."""
    yield from _link_bytes(layout, data[: layout.at + 1], network(layout.linktype, data))
    at, protocol = layout.at, bytes((17 if layout.udp else 50,))
    if layout.version == 4:
        yield at, b"\x45"
        # No fragment; the reserved and the do-not-fragment bit do not matter.
        yield at + 6, b"\x00\x40\x80\xc0"
        yield at + 7, b"\x00"
        yield at + 9, protocol
    else:
        yield at, bytes(range(0x60, 0x70))
        yield at + 6, protocol
