"""The gateway on real UDP sockets, on any asyncio loop and without privileges."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from vpndiag.gateway.config import PORTS, GatewayConfig
from vpndiag.gateway.core import Gateway

ELSEWHERE = 0
"""Key of the socket that answers from another port."""
_SPARE = 0.002
"""Timers fire late rather than early."""


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, server: GatewayServer, port: int) -> None:
        self._server = server
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._server._receive(self._port, data, (str(addr[0]), int(addr[1])))

    def error_received(self, exc: Exception) -> None:
        """ICMP from a client that is gone: nothing to do."""


class GatewayServer:
    """``async with GatewayServer(config) as server: server.ports``.

    ``ports`` maps the standard ports 500, 4500 and 1701 to the ones to bind, 0 for any free one;
    afterwards :attr:`ports` has what they became. Ports among ``config.faults.closed_ports`` are
    picked and closed again, so that the system answers with ICMP.

    :raises OSError: on entering, when a port cannot be bound.
    """

    def __init__(
        self,
        config: GatewayConfig,
        host: str = "127.0.0.1",
        ports: Mapping[int, int] | None = None,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self.ports: dict[int, int] = dict(ports or dict.fromkeys(PORTS, 0))
        self.gateway: Gateway
        self._config = config
        self._random = random_bytes
        self._clock = clock
        self._transports: dict[int, asyncio.DatagramTransport] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> GatewayServer:
        loop = asyncio.get_running_loop()
        faults = self._config.faults
        keys = [*self.ports, *((ELSEWHERE,) if faults.elsewhere else ())]
        try:
            for key in keys:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda key=key: _Endpoint(self, key),  # type: ignore[misc]
                    local_addr=(self.host, self.ports.get(key, 0)),
                )
                self._transports[key] = transport
                if key != ELSEWHERE:
                    self.ports[key] = transport.get_extra_info("sockname")[1]
        except BaseException:
            self._close()
            raise
        for key in faults.closed_ports & set(self._transports):
            self._transports.pop(key).close()
        config = replace(self._config, address=self.host, ports=dict(self.ports))
        self.gateway = Gateway(config, self._random)
        await asyncio.sleep(0)  # closed sockets are really closed in the loop's next turn
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()

    def _receive(self, port: int, data: bytes, source: tuple[str, int]) -> None:
        if self._transports:
            self.gateway.receive(port, data, source, self._clock())
            self._pump()

    def _due(self) -> None:
        self._timer = None
        if self._transports:
            self.gateway.handle_timer(self._clock())
            self._pump()

    def _pump(self) -> None:
        for out in self.gateway.packets_to_send(self._clock()):
            transport = self._transports.get(out.port)
            if transport is not None and not transport.is_closing():
                transport.sendto(out.data, out.destination)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.gateway.get_timer()
        if due is not None:
            wait = max(0.0, due - self._clock()) + _SPARE
            self._timer = asyncio.get_running_loop().call_later(wait, self._due)
