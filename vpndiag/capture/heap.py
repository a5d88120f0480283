"""Many objects at once: what Python's search for reference cycles costs then."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def growing() -> Iterator[None]:
    """For a stretch of work that makes many objects and keeps them, and no reference cycles, as
    loading modules is: the collector would look through all of them again and again and find
    nothing (a quarter of the time). What is let go is freed at once all the same."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            # Else the first thing it did would be to look through all that was made.
            gc.freeze()
            gc.enable()
