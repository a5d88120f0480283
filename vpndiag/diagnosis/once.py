"""A property that is worked out once.

``functools.cached_property`` takes a lock for that (until Python 3.12), which costs more than most
of what is asked of a :class:`~vpndiag.diagnosis.view.View`. A view belongs to one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from functools import cached_property as once
else:

    class once:
        """Keeps the value in the instance, where it is found first from then on."""

        def __init__(self, work):
            self.work, self.name = work, work.__name__
            self.__doc__ = work.__doc__

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self.name] = self.work(instance)
            return value


__all__ = ["once"]
