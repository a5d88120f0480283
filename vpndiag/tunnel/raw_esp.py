"""ESP as IP protocol 50, where privileges allow (root on Linux and macOS)."""

from __future__ import annotations

import socket
import sys
import time
from typing import Self

from vpndiag.tunnel.flow import (
    CannotOpen,
    Clock,
    Flow,
    SendFailed,
    address_towards,
    enable_error_queue,
    gateway_sockaddr,
)
from vpndiag.tunnel.icmp import errno_name

_ESP = 50


class RawEsp(Flow):
    """ESP packets (SPI first, no IP header) to and from one gateway; ports are 0.

    Other hosts' ESP is not delivered: it is no business of ours.
    """

    local_address: tuple[str, int]
    _sock: socket.socket

    @classmethod
    async def open(
        cls, gateway: str, *, clock: Clock = time.monotonic, queue_limit: int = 2048
    ) -> tuple[Self | None, str]:
        """The flow, or None with the reason why plain ESP cannot be used here."""
        if sys.platform == "win32":
            return None, "Windows gives no raw socket for ESP"
        try:
            family, _ = gateway_sockaddr(gateway, 0)
            local = address_towards(gateway)
            sock = socket.socket(family, socket.SOCK_RAW, _ESP)
        except CannotOpen as error:
            return None, str(error)
        except PermissionError:
            return None, "a raw socket needs administrator rights"
        except OSError as error:
            return None, f"no raw socket: {errno_name(error.errno)}"
        flow = cls(gateway, family, clock=clock, queue_limit=queue_limit)
        try:
            sock.bind(gateway_sockaddr(local, 0)[1])
        except OSError as error:
            sock.close()
            return None, f"no raw socket on {local}: {errno_name(error.errno)}"
        flow.local_address = (local, 0)
        flow._sock = sock
        flow._error_queue = enable_error_queue(sock)
        flow.icmp_seen = "full" if flow._error_queue else "none"
        flow._watch(sock, 0)
        return flow, ""

    def send(self, data: bytes) -> None:
        """Send one ESP packet; what goes wrong becomes an event."""
        if self._closed:
            self._emit(SendFailed("EBADF", "the flow is closed", 0, self._clock()))
            return
        self._transmit(self._sock, data, gateway_sockaddr(self.gateway, 0)[1], 0)

    def _quoted_port(self, port: int) -> int:
        return 0

    def _source_port(self, port: int) -> int:
        return 0

    def _deliver(self, address: str, port: int) -> bool:
        return self._expected(address, port)

    def _payload(self, data: bytes) -> bytes:
        # IPv4 raw sockets deliver the IP header, IPv6 ones do not.
        if self._ipv6 or len(data) < 20:
            return data
        return data[(data[0] & 0x0F) * 4 :]
