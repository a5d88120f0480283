"""Records: small values, of which there are many kinds, and hundreds of thousands of some.

They are dataclasses, but for what would be slow:

- A frozen dataclass sets each field by a call of ``object.__setattr__``, which makes it five times
  as slow to make as another one (1 us or 5 us for twenty fields). The type checker sees a frozen
  dataclass here and refuses to change one; what runs is a dataclass without the guard.
- A dataclass writes and compiles four methods when its class is made, a millisecond each time: with
  hundreds of classes half of the time in which a command starts. Here ``repr``, ``==`` and ``hash``
  are the same code for all, and ``__init__`` is compiled for the first value of a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass, fields, make_dataclass
    from operator import attrgetter

    def record(*, frozen=False, slots=False, kw_only=False):
        """As ``dataclass``: shown and compared by value, hashed by value where it is frozen."""
        made = dataclass(slots=slots, kw_only=kw_only, init=False, repr=False, eq=False)
        return lambda cls: _with_methods(made(cls), frozen)

    def _with_methods(cls, frozen):
        found = fields(cls)
        compared = _values([f.name for f in found if f.compare])
        shown = [f.name for f in found if f.repr]

        def __init__(self, *args, **kwargs):
            cls.__init__ = _compiled_init(cls)
            cls.__init__(self, *args, **kwargs)

        def __repr__(self):
            values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
            return f"{type(self).__qualname__}({values})"

        def __eq__(self, other):
            if type(other) is not type(self):
                return NotImplemented
            return compared(self) == compared(other)

        def __hash__(self):
            return hash(compared(self))

        for method in (__init__, __repr__, __eq__):
            if method.__name__ not in cls.__dict__:
                setattr(cls, method.__name__, method)
        if cls.__dict__.get("__hash__") is None:  # as every class with its own __eq__ has it
            cls.__hash__ = __hash__ if frozen else None
        return cls

    def _values(names):
        """What reads these fields, as a tuple."""
        if len(names) > 1:
            return attrgetter(*names)
        return lambda one: tuple([getattr(one, name) for name in names])

    def _compiled_init(cls):
        """The ``__init__`` that ``dataclass`` writes for these fields."""
        after = {"__post_init__": None} if hasattr(cls, "__post_init__") else {}
        like = make_dataclass(
            cls.__name__,
            [(f.name, f.type, f) for f in fields(cls)],
            namespace=after,
            repr=False,
            eq=False,
        )
        return like.__init__


__all__ = ["record"]
