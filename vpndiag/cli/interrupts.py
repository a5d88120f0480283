"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP; Windows: SIGBREAK, Ctrl-Break as well) while a run
is going on: end politely, and keep the report."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from types import FrameType, TracebackType

_HANG_UP = getattr(signal, "SIGHUP", None)
"""Windows has none."""
_BREAK = getattr(signal, "SIGBREAK", None)
"""Windows alone has that."""
_SIGNALS = [s for s in (signal.SIGINT, signal.SIGTERM, _HANG_UP, _BREAK) if s is not None]
PATIENCE = 3
"""With this many the user insists: KeyboardInterrupt, wherever we are. Before that a run ends by
itself within moments (it has been told to) and its report is written."""


class Interrupts:
    """A context manager, from before a run until its report is written. Without effect outside the
    main thread, where Python lets nobody handle signals."""

    def __init__(self) -> None:
        self.count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None
        self._before: dict[int, object] = {}

    def tell(self, event: asyncio.Event) -> None:
        """Set ``event``, of the running loop, when asked to stop (now, if that has happened)."""
        self._loop, self._event = asyncio.get_running_loop(), event
        if self.count:
            event.set()

    def forget(self) -> None:
        """The loop is about to end."""
        self._loop = self._event = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number == _HANG_UP and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # nohup: the run shall outlive its terminal
                with contextlib.suppress(ValueError, OSError):
                    self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type]

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count >= PATIENCE:
            raise KeyboardInterrupt
        if self._loop is not None and self._event is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._event.set)
