"""Which part of a capture one of several processes looks at."""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

from vpndiag.records import record

_WHOLE = 1 << 32


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

    def has(self, one: str, two: str) -> bool:
        """Whether what these hosts say to each other is in this share."""
        return self.start <= _checksum(one, two) < self.stop


@lru_cache(maxsize=65_536)
def _checksum(one: str, two: str) -> int:
    """The same in every process, and either way round."""
    first, second = (one, two) if one <= two else (two, one)
    return crc32(f"{first} {second}".encode())
