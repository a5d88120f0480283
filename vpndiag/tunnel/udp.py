"""A UDP flow from one local port to one gateway, with the ICMP errors that the platform gives.

Linux: one unconnected socket with IP_RECVERR; an ordinary user gets every ICMP error with its
sender and the port of the packet it quotes (ip(7)).
Windows: one unconnected socket; a port unreachable comes as WSAECONNRESET from the next receive,
without sender or port.
macOS and others: an unconnected socket gets no ICMP errors, so each gateway port gets a socket of
its own, connected, beside an unconnected one on the same local port that takes what comes from
elsewhere (SO_REUSEPORT; a datagram goes to the socket whose addresses and ports fit best).
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import Literal, Self

from vpndiag.tunnel.flow import (
    CannotOpen,
    Clock,
    Datagram,
    Flow,
    FlowEvent,
    IcmpReport,
    SendFailed,
    SockAddr,
    address_towards,
    enable_error_queue,
    gateway_sockaddr,
)
from vpndiag.tunnel.icmp import errno_name

__all__ = [
    "CannotOpen",
    "Datagram",
    "FlowEvent",
    "IcmpReport",
    "SendFailed",
    "UdpFlow",
]

Mode = Literal["error-queue", "connected", "plain"]


def platform_mode() -> Mode:
    if sys.platform.startswith("linux"):
        return "error-queue"
    return "plain" if sys.platform == "win32" else "connected"


class UdpFlow(Flow):
    """One local UDP port towards one gateway address; see :meth:`open`.

    Events come from :meth:`receive`, or go to ``on_event`` where that is set.
    """

    local_address: tuple[str, int]
    """The address that the kernel uses towards the gateway (never 0.0.0.0), and the local port."""

    _base: socket.socket
    _mode: Mode
    _bind_to: SockAddr

    @classmethod
    async def open(
        cls,
        gateway: str,
        *,
        local_port: int = 0,
        prefer_port: int | None = None,
        clock: Clock = time.monotonic,
        queue_limit: int = 2048,
        mode: Mode | None = None,
        use_thread: bool = False,
    ) -> Self:
        """Bind towards ``gateway``, an IPv4 or IPv6 literal; nothing is sent.

        ``prefer_port`` is tried first; where it is in use or not permitted, ``local_port`` is taken
        (0: any). ``mode`` and ``use_thread`` override what fits the platform, for tests.
        Raises CannotOpen.
        """
        family, _ = gateway_sockaddr(gateway, 500)
        local = address_towards(gateway)
        flow = cls(gateway, family, clock=clock, queue_limit=queue_limit, use_thread=use_thread)
        flow._mode = mode or platform_mode()
        flow._ports = set()
        flow._connected = {}
        host = local
        if flow._mode == "connected" and sys.platform == "darwin":
            # An ordinary user may bind ports below 1024 there, but only on the wildcard address.
            host = "::" if flow._ipv6 else "0.0.0.0"
        wanted = [local_port] if prefer_port is None else [prefer_port, local_port]
        for port in wanted:
            try:
                flow._base = flow._bound(gateway_sockaddr(host, port)[1], exclusive=True)
                break
            except OSError as error:
                if port is wanted[-1]:
                    name = errno_name(error.errno)
                    raise CannotOpen(name, error.strerror or str(error)) from error
        bound_port = int(flow._base.getsockname()[1])
        flow._bind_to = gateway_sockaddr(host, bound_port)[1]
        flow.local_address = (local, bound_port)
        if flow._mode == "connected":
            # Bound once alone to be sure that the port is ours, now again so that it can be shared.
            flow._base.close()
            try:
                flow._base = flow._bound(flow._bind_to, exclusive=False)
            except OSError as error:
                raise CannotOpen(errno_name(error.errno), error.strerror or "") from error
        if flow._mode == "error-queue":
            flow._error_queue = enable_error_queue(flow._base)
        refused = flow._mode == "connected" or sys.platform == "win32"
        flow.icmp_seen = "full" if flow._error_queue else "refused-only" if refused else "none"
        flow._watch(flow._base, 0)
        # Linux would set DF: a large IKE message then dies at a narrow link that sends no ICMP.
        flow.set_dont_fragment(False)
        return flow

    def send(self, data: bytes, port: int) -> None:
        """Send to the gateway's ``port``. What goes wrong becomes an event; nothing is raised but
        ValueError for a port outside 1-65535."""
        if not 0 < port < 65536:
            raise ValueError(f"port {port}")
        if self._closed:
            self._emit(SendFailed("EBADF", "the flow is closed", port, self._clock()))
            return
        self._ports.add(port)
        to: SockAddr | None = gateway_sockaddr(self.gateway, port)[1]
        sock = self._base
        if self._mode == "connected":
            try:
                sock = self._socket_for(port)
                to = None
            except OSError as error:
                name, detail = errno_name(error.errno), error.strerror or str(error)
                self._emit(SendFailed(name, detail, port, self._clock()))
                return
        self._transmit(sock, data, to, port)

    def set_dont_fragment(self, on: bool) -> bool:
        """Set or clear DF on what follows (IPv6: forbid or allow fragmenting here).

        On Linux ``on`` also ignores the path MTU that the kernel remembers, so that the path itself
        is measured. False where the platform does not let us.
        """
        if sys.platform.startswith("linux"):
            # IP_MTU_DISCOVER / IPV6_MTU_DISCOVER: 0 never sets DF, 1 as usual, 3 DF and probe
            option = (41, 23, 3 if on else 1) if self._ipv6 else (0, 10, 3 if on else 0)
        elif sys.platform == "win32":
            option = (41, 14, int(on)) if self._ipv6 else (0, 14, int(on))
        elif sys.platform == "darwin":
            option = (41, 62, int(on)) if self._ipv6 else (0, 28, int(on))
        else:
            return False
        try:
            for sock in self._watched:
                sock.setsockopt(*option)
        except OSError:
            return False
        self._df_option = option
        return True

    def set_time_to_live(self, hops: int) -> None:
        """Time to live (IPv6: hop limit) of what follows. Raises OSError where it cannot be set."""
        option = (41, socket.IPV6_UNICAST_HOPS) if self._ipv6 else (0, socket.IP_TTL)
        for sock in self._watched:
            sock.setsockopt(*option, hops)

    _df_option: tuple[int, int, int] | None = None
    _ports: set[int]
    _connected: dict[int, socket.socket]

    def _expected(self, address: str, port: int) -> bool:
        return port in self._ports and super()._expected(address, port)

    def _bound(self, address: SockAddr, *, exclusive: bool) -> socket.socket:
        family = socket.AF_INET6 if self._ipv6 else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if sys.platform == "win32":
                # Without it Windows lets us steal a port that another program has bound.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            elif not exclusive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self._ipv6:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
        return sock

    def _socket_for(self, port: int) -> socket.socket:
        known = self._connected.get(port)
        if known is not None:
            return known
        sock = self._bound(self._bind_to, exclusive=False)
        try:
            sock.connect(gateway_sockaddr(self.gateway, port)[1])
            if self._df_option is not None:
                sock.setsockopt(*self._df_option)
        except OSError:
            sock.close()
            raise
        self._connected[port] = sock
        self._watch(sock, port)
        return sock
