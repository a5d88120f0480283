"""Records: small immutable values that are made by the hundred thousand.

A frozen dataclass sets each field by a call of ``object.__setattr__``, which makes it five times as
slow to make as another one (1 us or 5 us for twenty fields). The type checker sees a frozen
dataclass here and refuses to change one; what runs is a dataclass without the guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen=True, slots=True, kw_only=False):
        """As ``dataclass``: compared and hashed by value."""
        return dataclass(slots=slots, kw_only=kw_only, unsafe_hash=frozen)


__all__ = ["record"]
