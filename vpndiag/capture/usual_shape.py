"""What the usual packet of a capture full of control packets is, and what is between two ends."""

from __future__ import annotations

from typing import NamedTuple

from vpndiag.capture import ip
from vpndiag.capture.packets import End
from vpndiag.capture.share import Share

HEADERS = 42
"""Bytes of the Ethernet, IPv4 and UDP headers."""
USUAL, ALL_BUT_TOS = 0x08004500, 0xFFFFFF00
"""IPv4 without options in Ethernet."""
WHOLE, ALL_BUT_TTL = ip.UDP, 0x3FFF00FF
"""No fragment, of UDP."""
LEAST_UDP = 16
"""Bytes of UDP that leave room for two words."""
CONTROL = 0x80000000
"""The T bit of L2TP's header (RFC 2661 section 3.1)."""
DATA = 2
"""Flags and version of a data message without any field that may be left out."""

LEAVE, SKIP, IKE, NATT, L2TP, OTHERS_L2TP = range(6)
"""What is between two ends: nothing that is known here; nothing that is wanted; packets of one
kind; L2TP that is not in the share, of which users' data is wanted all the same."""
_MOST = 65_536

Row = tuple[int, int, int, int]
"""Frame number, nanoseconds, bytes of ESP, sequence number."""


class Ends(NamedTuple):
    """Two ends in one direction, and what goes between them. ``flows``: packets not yet counted, by
    SPI."""

    way: int
    src: End
    dst: End
    flows: dict[int, list[Row]]


class Met:
    """All ends that were seen, by their packed addresses and ports."""

    def __init__(self, share: Share | None) -> None:
        self.share = share
        self.known: dict[bytes, Ends] = {}

    def ends(self, packed: bytes) -> Ends:
        """What is between these."""
        return self.known.get(packed) or self.meet(packed)

    def meet(self, packed: bytes) -> Ends:
        """Two ends seen for the first time."""
        one, two = packed[:4], packed[4:8]
        sport, dport = int.from_bytes(packed[8:10], "big"), int.from_bytes(packed[10:], "big")
        ports = sport, dport
        way = LEAVE
        if 4500 in ports:
            way = NATT
        elif 500 in ports:
            way = IKE
        elif 1701 in ports:
            way = L2TP
        if way != LEAVE and self.share is not None and not self.share.has_packed(one, two):
            way = OTHERS_L2TP if way == L2TP else SKIP
        if len(self.known) >= _MOST:
            self.known.clear()
        found = self.known[packed] = Ends(
            way, (ip.address(one), sport), (ip.address(two), dport), {}
        )
        return found
