"""Sequence number check: a sliding window (RFC 4303, 3.4.3) that tells what it saw."""

from __future__ import annotations

from enum import Enum

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.records import record


class Order(Enum):
    """Where a sequence number lies among those seen before."""

    NEXT = "next"
    """The one expected."""
    GAP = "gap"
    """Ahead: the numbers between have not arrived (yet)."""
    LATE = "late"
    """In the window and not seen before: reordered on the way."""
    DUPLICATE = "duplicate"
    OLD = "old"
    """Left of the window: a replay, or reordered by more than the window."""
    ZERO = "zero"
    """Number 0, which no sender uses with replay protection."""


@record(frozen=True, slots=True)
class SequenceCheck:
    """``missing``: numbers skipped just before this one (``Order.GAP`` only)."""

    order: Order
    missing: int = 0

    @property
    def fresh(self) -> bool:
        """Whether a receiver with replay protection takes the packet."""
        return self.order in (Order.NEXT, Order.GAP, Order.LATE)


class ReplayWindow:
    """``size`` is in packets (at least 32). :meth:`check` asks, :meth:`accept` asks and records."""

    __slots__ = ("_seen", "highest", "size")

    def __init__(self, size: int = 64) -> None:
        if size < 32:
            raise LocalProtocolError("a replay window has at least 32 packets")
        self.size = size
        self.highest = 0
        """The highest number accepted, 0 before the first."""
        self._seen = 0

    def check(self, sequence: int, *, first_is_start: bool = False) -> SequenceCheck:
        """Classify ``sequence``.

        ``first_is_start``: take the first number seen as the start (a capture that begins in the
        middle) instead of counting the ones before it as missing.
        """
        if sequence == 0:
            return SequenceCheck(Order.ZERO)
        if self.highest == 0 and first_is_start:
            return SequenceCheck(Order.NEXT)
        if sequence > self.highest:
            missing = sequence - self.highest - 1
            return SequenceCheck(Order.GAP if missing else Order.NEXT, missing)
        behind = self.highest - sequence
        if behind >= self.size:
            return SequenceCheck(Order.OLD)
        if self._seen >> behind & 1:
            return SequenceCheck(Order.DUPLICATE)
        return SequenceCheck(Order.LATE)

    def accept(self, sequence: int, *, first_is_start: bool = False) -> SequenceCheck:
        """:meth:`check`, and record the number when it is fresh. Call only after the ICV check."""
        result = self.check(sequence, first_is_start=first_is_start)
        if not result.fresh:
            return result
        if sequence > self.highest:
            shift = min(sequence - self.highest, self.size)
            self._seen = (self._seen << shift | 1) & ((1 << self.size) - 1)
            self.highest = sequence
        else:
            self._seen |= 1 << (self.highest - sequence)
        return result
