"""Which part of a capture one of several processes looks at."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True, slots=True)
class Share:
    """Share ``number`` of ``count``: whole conversations, by the addresses of both hosts."""

    number: int
    count: int

    def has(self, one: str, two: str) -> bool:
        """Whether what these hosts say to each other is in this share."""
        first, second = (one, two) if one <= two else (two, one)
        return crc32(f"{first} {second}".encode()) % self.count == self.number
