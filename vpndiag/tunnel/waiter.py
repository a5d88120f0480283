"""Waiting for a socket where the event loop has no ``add_reader``: Windows' Proactor loop."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Callable


class Waiter:
    """A thread that waits until a socket is readable and lets the loop read it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        readable: Callable[[socket.socket], None],
    ) -> None:
        self._loop, self._sock, self._readable = loop, sock, readable
        self._done = threading.Event()
        self._stopping = False
        self._wake, self._wake_far = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="vpndiag-udp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._done.set()
        with contextlib.suppress(OSError):
            self._wake_far.send(b"x")
        self._thread.join(1.0)
        self._wake.close()
        self._wake_far.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                ready, _, _ = select.select([self._sock, self._wake], [], [])
            except (OSError, ValueError):
                return
            if self._stopping or self._wake in ready:
                return
            self._done.clear()
            try:
                self._loop.call_soon_threadsafe(self._read)
            except RuntimeError:  # the loop is gone
                return
            if not self._stopping:
                self._done.wait()

    def _read(self) -> None:
        try:
            self._readable(self._sock)
        finally:
            self._done.set()
