"""Which part of a capture one of several processes looks at."""

from __future__ import annotations

from functools import lru_cache
from socket import AF_INET, inet_pton
from typing import Any
from zlib import crc32

from vpndiag.records import record

_WHOLE = 1 << 32
_SPREAD = 2_654_435_761
"""2**32 divided by the golden ratio: neighbouring numbers times this are far apart."""


@record(frozen=True, slots=True)
class Share:
    """Whole conversations, by a checksum of the addresses of both hosts: those from ``start`` on
    and before ``stop``."""

    start: int
    stop: int

    @classmethod
    def of(cls, begin: float, end: float) -> Share:
        """What is between two points of a capture of length 1, however it is divided."""
        return cls(round(begin * _WHOLE), round(end * _WHOLE))

    @property
    def part(self) -> float:
        """How much of all it is."""
        return (self.stop - self.start) / _WHOLE

    def have(self, pairs: Any) -> Any:
        """:meth:`has` of many at once: a numpy array of 64-bit numbers, two IPv4 addresses each."""
        checksums = ((pairs >> 32) ^ (pairs & (_WHOLE - 1))) * _SPREAD & (_WHOLE - 1)
        return (self.start <= checksums) & (checksums < self.stop)

    def has(self, one: str, two: str) -> bool:
        """Whether what these hosts say to each other is in this share."""
        return self.start <= _checksum(one, two) < self.stop

    def has_packed(self, one: bytes, two: bytes) -> bool:
        """:meth:`has` of two IPv4 addresses as they are in a packet."""
        return self.start <= _of_ipv4(one, two) < self.stop


@lru_cache(maxsize=65_536)
def _checksum(one: str, two: str) -> int:
    """The same in every process, and either way round."""
    try:
        pair = inet_pton(AF_INET, one), inet_pton(AF_INET, two)
    except OSError:  # IPv6
        first, second = (one, two) if one <= two else (two, one)
        return crc32(f"{first} {second}".encode())
    return _of_ipv4(*pair)


def _of_ipv4(one: bytes, two: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(two)) * _SPREAD & (_WHOLE - 1)
