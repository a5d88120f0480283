"""The live ladder without its import time: Rich is loaded only after the first packet has left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpndiag.render.ladder import LiveLadder
    from vpndiag.report.model import Layer

AFTER = 0.15
"""Seconds after which the ladder is shown although nothing has happened yet: a slow look-up."""


class DeferredLadder:
    """As :class:`vpndiag.render.ladder.LiveLadder`, made by ``make`` when there is something to
    show."""

    def __init__(self, make: Callable[[], LiveLadder]) -> None:
        self._make = make
        self._ladder: LiveLadder | None = None
        self._running = ""
        self._closed = False

    def layer_started(self, layer_id: str) -> None:
        """A layer is being tried."""
        if self._ladder is not None:
            self._ladder.layer_started(layer_id)
            return
        self._running = layer_id
        with contextlib.suppress(RuntimeError):  # no loop: shown with the first layer that is done
            asyncio.get_running_loop().call_later(AFTER, self._open_quietly)

    def layer_done(self, layer: Layer) -> None:
        """A layer is judged."""
        self._open().layer_done(layer)

    def note(self, text: str) -> None:
        """A remark."""
        self._open().note(text)

    def progress(self, text: str) -> None:
        """The connection is kept for a while."""
        self._open().progress(text)

    def close(self) -> None:
        """End the display; the lines stay. May be called twice."""
        self._closed = True
        if self._ladder is not None:
            self._ladder.close()

    def _open(self) -> LiveLadder:
        if self._ladder is None:
            self._ladder = self._make()
            self._ladder.__enter__()
            if self._running:
                self._ladder.layer_started(self._running)
        return self._ladder

    def _open_quietly(self) -> None:
        """From the event loop; what cannot be written shows again at the next layer."""
        if self._ladder is None and not self._closed:
            with contextlib.suppress(OSError, ValueError):
                self._open()


__all__ = ["DeferredLadder"]
