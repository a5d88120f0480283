"""A trace on sockets: one for each time to live, so that an ICMP error that quotes no more than the
UDP header still tells which packet it is about (RFC 792 asks for no more than that)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from vpndiag.probes.way.trace import TRACEROUTE_PORT, Trace, What
from vpndiag.tunnel.flow import CannotOpen, Datagram, FlowEvent, IcmpReport, same_host
from vpndiag.tunnel.recorder import Address
from vpndiag.tunnel.udp import UdpFlow

Clock = Callable[[], float]

ORDINARY = b"vpndiag: where does this way end?"
"""What is sent to high ports: nothing that looks like IKE."""


class CannotTrace(Exception):
    """This platform tells an ordinary user no ICMP errors, or no socket could be opened."""


class Numbers(Protocol):
    """Where packets get their frame numbers: :class:`vpndiag.probes.aside.Beside`."""

    def packet(self, source: Address, destination: Address, data: bytes, ttl: int = 64) -> int: ...

    def icmp(
        self,
        reporter: str | None,
        icmp_type: int,
        code: int,
        source: Address,
        destination: Address,
        mtu: int | None = None,
    ) -> tuple[int, ...]: ...


class Tracer:
    """Sends what ``trace`` wants, and tells it what comes back."""

    def __init__(
        self,
        gateway: str,
        payloads: dict[What, tuple[int, bytes]],
        *,
        clock: Clock = time.monotonic,
        numbers: Numbers | None = None,
    ) -> None:
        """``payloads``: UDP port of the gateway and payload for each kind."""
        self._gateway = gateway
        self._numbers = numbers
        self._clock = clock
        self._payloads = {what: data for what, (_port, data) in payloads.items()}
        self._kinds = {port: what for what, (port, _data) in payloads.items() if what != "udp"}
        ports = {what: port for what, (port, _data) in payloads.items()}
        self.trace = Trace(ports, clock())
        self._flows: dict[int, UdpFlow] = {}
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Until the trace is done; what was found so far is in :attr:`trace` also when cancelled.

        :raises CannotTrace: nothing can be found out here.
        """
        try:
            while not self.trace.done:
                self._woken.clear()
                while (packet := self.trace.to_send(self._clock())) is not None:
                    flow = await self._flow(packet.ttl)
                    data = self._payloads[packet.what]
                    if self._numbers is not None:
                        to = (self._gateway, packet.port)
                        self._numbers.packet(flow.local_address, to, data, packet.ttl)
                    flow.send(data, packet.port)
                timer = self.trace.get_timer()
                if timer is None:
                    break
                try:
                    async with asyncio.timeout(max(0.0, timer - self._clock())):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            for flow in self._flows.values():
                flow.close()

    async def _flow(self, ttl: int) -> UdpFlow:
        known = self._flows.get(ttl)
        if known is not None:
            return known
        try:
            flow = await UdpFlow.open(self._gateway, clock=self._clock)
        except CannotOpen as error:
            raise CannotTrace(str(error)) from error
        self._flows[ttl] = flow
        if flow.icmp_seen != "full":
            raise CannotTrace("this system tells an ordinary user nothing of routers on the way")
        try:
            flow.set_time_to_live(ttl)
        except OSError as error:
            raise CannotTrace(error.strerror or str(error)) from error
        flow.on_event = partial(self._event, ttl)
        return flow

    def _event(self, ttl: int, event: FlowEvent) -> None:
        self._woken.set()
        numbers, local = self._numbers, self._flows[ttl].local_address
        if isinstance(event, Datagram):
            what = self._what(event.port)
            if what is None or event.unexpected:
                return
            frames: tuple[int, ...] = ()
            if numbers is not None:
                frames = (numbers.packet((event.address, event.port), local, event.data),)
            self.trace.answered(what, ttl, "answer", event.address, True, frames)
        elif isinstance(event, IcmpReport):
            what = self._what(event.quoted_port)
            by = event.reporter or ""
            if what is None:
                return
            frames = ()
            if numbers is not None:
                to = (self._gateway, event.quoted_port)
                frames = numbers.icmp(
                    event.reporter, event.icmp_type, event.code, local, to, event.mtu
                )
            if event.what == "ttl-exceeded":
                self.trace.exceeded(what, ttl, by, event.time, frames)
            else:
                gateway = same_host(by, self._gateway)
                self.trace.answered(what, ttl, event.what, by, gateway, frames)

    def _what(self, port: int) -> What | None:
        kind = self._kinds.get(port)
        if kind is None and TRACEROUTE_PORT <= port < TRACEROUTE_PORT + 64:
            return "udp"
        return kind
