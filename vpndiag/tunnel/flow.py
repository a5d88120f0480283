"""Sockets towards one gateway as a bounded stream of events, on any asyncio loop.

Reading. Where the loop has ``add_reader`` (every selector loop: Linux, macOS) that is used. The
Proactor loop, the default on Windows, has none. It is kept all the same, because the selector loop
there cannot run subprocesses, and its own datagram transport is avoided, because it stops reading
after the first ICMP error in some Python versions: a small thread waits in ``select`` and hands
"readable" to the loop. All reading and sending is done in the loop's thread, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from vpndiag.observe.icmp import icmp_what
from vpndiag.records import record
from vpndiag.tunnel.icmp import (
    errno_name,
    icmp_of_errno,
    parse_extended_error,
)
from vpndiag.tunnel.waiter import Waiter

SockAddr = tuple[Any, ...]
Clock = Callable[[], float]

MAX_DATAGRAM = 65535
_BURST = 64  # datagrams read in one go before the loop gets its turn
_MSG_ERRQUEUE = 0x2000
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_IPPROTO_IPV6 = 41


@record(frozen=True, slots=True)
class Datagram:
    """Something arrived. ``unexpected``: not from the gateway's address, or from a port of it
    that nothing was sent to."""

    data: bytes
    address: str
    port: int
    time: float
    unexpected: bool = False


@record(frozen=True, slots=True)
class IcmpReport:
    """An ICMP error about a packet of ours; ``what`` as in ``observations.IcmpError``.

    ``quoted_port`` is the gateway's port that the packet went to; where the platform does not
    tell (Windows), the port sent to last. 0 for ESP as protocol 50.
    """

    icmp_type: int
    code: int
    what: str
    reporter: str | None
    quoted_port: int
    mtu: int | None
    time: float


@record(frozen=True, slots=True)
class SendFailed:
    """The local machine did not send. ``detail`` is the system's text."""

    errno_name: str
    detail: str
    port: int
    time: float


FlowEvent = Datagram | IcmpReport | SendFailed


class CannotOpen(Exception):
    """No socket towards the gateway: no route, no such address family, wrong literal."""

    def __init__(self, errno_name: str, detail: str) -> None:
        super().__init__(errno_name, detail)
        self.errno_name = errno_name
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.detail} ({self.errno_name})"


def gateway_sockaddr(gateway: str, port: int) -> tuple[socket.AddressFamily, SockAddr]:
    """Family and socket address of an IP literal (scope id allowed). Raises CannotOpen."""
    try:
        infos = socket.getaddrinfo(
            gateway, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError) as error:
        raise CannotOpen("EINVAL", f"{gateway!r} is not an IP address") from error
    family, _type, _proto, _name, address = infos[0]
    return family, address


def address_towards(gateway: str) -> str:
    """The local address that the kernel would send from; nothing is sent. Raises CannotOpen."""
    family, address = gateway_sockaddr(gateway, 500)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            name = probe.getsockname()
    except OSError as error:
        raise CannotOpen(errno_name(error.errno), error.strerror or str(error)) from error
    # A link-local address is none without its link (RFC 4007 section 11).
    return f"{name[0]}%{name[3]}" if family == socket.AF_INET6 and name[3] else str(name[0])


def same_host(one: str, other: str) -> bool:
    """Whether two literals are one address; scope ids count only where both have one."""
    try:
        a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:
        return one == other
    if isinstance(a, ipaddress.IPv6Address) and isinstance(b, ipaddress.IPv6Address):
        scopes = {a.scope_id, b.scope_id} - {None}
        return int(a) == int(b) and len(scopes) < 2
    return a == b


def enable_error_queue(sock: socket.socket) -> bool:
    """Ask Linux for every ICMP error about this socket's packets; False where there is none."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(_IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(0, _IP_RECVERR, 1)
    except OSError:
        return False
    return True


class Flow:
    """Base of the flows: event queue, reading, errors. Subclasses open sockets and send."""

    icmp_seen: Literal["full", "refused-only", "none"]
    """What this platform lets an unprivileged socket see: every ICMP error with its sender, port
    unreachable and little else (sender unknown), or none."""

    def __init__(
        self,
        gateway: str,
        family: int,
        *,
        clock: Clock = time.monotonic,
        queue_limit: int = 2048,
        use_thread: bool = False,
    ) -> None:
        self.gateway = gateway
        self.dropped = 0
        """Events lost because nobody took them from a full queue."""
        self.on_event: Callable[[FlowEvent], None] | None = None
        """Called with each event, in the loop, instead of queueing it."""
        self._ipv6 = family == socket.AF_INET6
        self._clock = clock
        self._limit = queue_limit
        self._use_thread = use_thread
        self._loop = asyncio.get_running_loop()
        self._queue: deque[FlowEvent] = deque()
        self._ready = asyncio.Event()
        self._closed = False
        self._last_port = 0
        self._watched: dict[socket.socket, int] = {}
        self._error_queue = False
        self._threads: list[Waiter] = []

    # -- for the user ---------------------------------------------------------------------

    async def receive(self, timeout: float | None) -> FlowEvent | None:
        """The next event; None after ``timeout`` seconds or when the flow is closed and empty."""
        if not self._queue and not self._closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while not self._queue and not self._closed:
                        self._ready.clear()
                        await self._ready.wait()
        return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        """Close the sockets; queued events stay readable. May be called twice."""
        if self._closed:
            return
        self._closed = True
        for waiter in self._threads:
            waiter.stop()
        for sock in self._watched:
            if not self._threads:
                with contextlib.suppress(RuntimeError, ValueError):
                    self._loop.remove_reader(sock)
            sock.close()
        self._watched.clear()
        self._ready.set()

    # -- for subclasses -------------------------------------------------------------------

    def _watch(self, sock: socket.socket, port: int) -> None:
        """Read from ``sock``; ``port``: the gateway's port it is connected to, else 0."""
        sock.setblocking(False)
        self._watched[sock] = port
        if not self._use_thread:
            try:
                self._loop.add_reader(sock, self._readable, sock)
                return
            except NotImplementedError:
                self._use_thread = True
        self._threads.append(Waiter(self._loop, sock, self._readable))

    def _expected(self, address: str, port: int) -> bool:
        return same_host(address, self.gateway)

    def _deliver(self, address: str, port: int) -> bool:
        return True

    def _source_port(self, port: int) -> int:
        return port

    def _payload(self, data: bytes) -> bytes:
        return data

    def _quoted_port(self, port: int) -> int:
        return port

    def _emit(self, event: FlowEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)
        elif len(self._queue) >= self._limit:
            self.dropped += 1
        else:
            self._queue.append(event)
            self._ready.set()

    def _transmit(self, sock: socket.socket, data: bytes, to: SockAddr | None, port: int) -> None:
        """Send once; a pending error of an earlier packet neither eats this one nor is lost."""
        self._last_port = port
        for last in (False, True):
            try:
                if to is None:
                    sock.send(data)
                else:
                    sock.sendto(data, to)
                return
            except OSError as error:
                pending, mtu = self._drain_error_queue(sock, local=False)
                if not last and pending:
                    continue
                name = errno_name(error.errno)
                if not last and name in ("ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH"):
                    # Without an error queue the error of an earlier packet shows up here.
                    if name != "EHOSTUNREACH":
                        self._report_errno(error, port)
                    continue
                detail = error.strerror or str(error)
                if mtu is not None:
                    detail += f"; path MTU {mtu}"
                self._emit(SendFailed(name, detail, port, self._clock()))
                return

    def _readable(self, sock: socket.socket) -> None:
        if self._closed:
            return
        self._drain_error_queue(sock)
        for _ in range(_BURST):
            # on_event may have closed the flow
            if self._closed:
                return
            try:
                data, source = sock.recvfrom(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if not self._drain_error_queue(sock)[0]:
                    self._report_errno(error, self._watched.get(sock, 0))
                continue
            address, port = str(source[0]), self._source_port(int(source[1]))
            if not self._deliver(address, port):
                continue
            self._emit(
                Datagram(
                    self._payload(data),
                    address,
                    port,
                    self._clock(),
                    unexpected=not self._expected(address, port),
                )
            )

    def _report_errno(self, error: OSError, port: int) -> None:
        number = error.errno or 0
        quoted = self._quoted_port(port or self._last_port)
        known = icmp_of_errno(number, ipv6=self._ipv6)
        if known is None or self._error_queue:
            if not self._error_queue:
                detail = f"receiving: {error.strerror or error}"
                self._emit(SendFailed(errno_name(number), detail, quoted, self._clock()))
            return
        what = icmp_what(*known, ipv6=self._ipv6)
        self._emit(IcmpReport(*known, what, None, quoted, None, self._clock()))

    def _drain_error_queue(
        self, sock: socket.socket, *, local: bool = True
    ) -> tuple[int, int | None]:
        """Emit what the error queue holds; how many ICMP errors, and the MTU of a local EMSGSIZE.

        ``local=False`` keeps local errors back, for the sender that gets them as an exception too.
        """
        found, mtu = 0, None
        if not self._error_queue or sys.platform == "win32":
            return found, mtu
        for _ in range(_BURST):
            try:
                _data, control, _flags, target = sock.recvmsg(0, 512, _MSG_ERRQUEUE)
            except OSError:
                break
            port = self._quoted_port(int(target[1]) if target else 0)
            for level, kind, value in control:
                if (level, kind) not in ((0, _IP_RECVERR), (_IPPROTO_IPV6, _IPV6_RECVERR)):
                    continue
                record = parse_extended_error(value)
                if record is None:
                    continue
                path_mtu = record.info if errno_name(record.number) == "EMSGSIZE" else None
                if not record.local:
                    found += 1
                    what = icmp_what(record.icmp_type, record.code, ipv6=record.ipv6)
                    self._emit(
                        IcmpReport(
                            record.icmp_type,
                            record.code,
                            what,
                            record.reporter,
                            port,
                            path_mtu or None,
                            self._clock(),
                        )
                    )
                else:
                    mtu = path_mtu or mtu
                    if local:
                        detail = f"path MTU {path_mtu}" if path_mtu else ""
                        name = errno_name(record.number)
                        self._emit(SendFailed(name, detail, port, self._clock()))
        return found, mtu
