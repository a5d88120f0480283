"""Bounded reading of network byte order fields.

Every codec pulls through :class:`Reader`, so that a short, overlong or hostile message ends in one
:class:`~vpndiag.protocols.errors.DecodeError` and never in an IndexError or struct.error.
"""

from __future__ import annotations

from vpndiag.protocols.errors import DecodeError


class Reader:
    """A cursor over ``data``. All numbers are unsigned, in network byte order."""

    __slots__ = ("_data", "_end", "_pos", "base")

    def __init__(self, data: bytes, base: int = 0) -> None:
        self._data = data
        self._pos = 0
        self._end = len(data)
        self.base = base
        """Offset of ``data`` in the whole message, for error positions."""

    def __len__(self) -> int:
        """Bytes not read yet."""
        return self._end - self._pos

    @property
    def offset(self) -> int:
        """Position in the whole message."""
        return self.base + self._pos

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` bytes.

        :raises DecodeError: fewer are left, or ``count`` is negative.
        """
        start = self._pos
        end = start + count
        if count < 0 or end > self._end:
            raise DecodeError(f"{what}: {count} bytes wanted, {len(self)} left", self.offset)
        self._pos = end
        return self._data[start:end]

    def peek(self, count: int) -> bytes:
        """Up to ``count`` bytes without moving."""
        return self._data[self._pos : min(self._pos + count, self._end)]

    def u8(self, what: str) -> int:
        start = self._pos
        if start >= self._end:
            self.take(1, what)
        self._pos = start + 1
        return self._data[start]

    def u16(self, what: str) -> int:
        start = self._pos
        if start + 2 > self._end:
            self.take(2, what)
        self._pos = start + 2
        data = self._data
        return data[start] << 8 | data[start + 1]

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "big")

    def rest(self) -> bytes:
        """All that is left."""
        start = self._pos
        self._pos = self._end
        return self._data[start:]

    def sub(self, count: int, what: str) -> Reader:
        """A reader over the next ``count`` bytes, with positions in the same message."""
        start = self.base + self._pos
        return Reader(self.take(count, what), start)


def u16(value: int) -> bytes:
    """Two bytes, network byte order."""
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    """Four bytes, network byte order."""
    return value.to_bytes(4, "big")
