"""The only place where a run meets sockets and the clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from vpndiag.records import record
from vpndiag.tunnel.flow import (
    Datagram,
    FlowEvent,
    IcmpReport,
    SendFailed,
    address_towards,
    same_host,
)
from vpndiag.tunnel.options import Flow, Packet, TunnelOptions
from vpndiag.tunnel.raw_esp import RawEsp
from vpndiag.tunnel.udp import UdpFlow


class Run(Protocol):
    """What the driver drives: :class:`vpndiag.probes.run.LadderRun`."""

    finished: bool

    def start(self, now: float) -> None: ...

    def receive(self, flow: Flow, data: bytes, source: tuple[str, int], now: float) -> None: ...

    def icmp(
        self,
        what: str,
        icmp_type: int,
        icmp_code: int,
        reporter: str | None,
        port: int,
        now: float,
        mtu: int | None = None,
    ) -> None: ...

    def send_failed(self, error: str, detail: str, port: int, now: float) -> None: ...

    def packets_to_send(self, now: float) -> list[Packet]: ...

    def get_timer(self) -> float | None: ...

    def handle_timer(self, now: float) -> None: ...

    def interrupt(self, now: float) -> None: ...

    def abandon(self, now: float) -> list[Packet]: ...


@record(slots=True)
class Sockets:
    """The open flows of a run. Use :func:`open_sockets`, and :meth:`close` in the end."""

    flows: dict[Flow, UdpFlow | RawEsp]
    ports: dict[Flow, int]

    def close(self) -> None:
        for flow in set(self.flows.values()):
            flow.close()


async def open_sockets(
    options: TunnelOptions, *, source_port_500: bool = True
) -> tuple[Sockets, TunnelOptions]:
    """Open the sockets towards ``options.gateway``; source ports 500 and 4500 are taken where they
    are free and allowed. Returns the options completed with what we have now.

    :raises CannotOpen: no socket towards this address can be opened at all.
    """
    flows: dict[Flow, UdpFlow | RawEsp] = {}
    ports = options.gateway_ports
    # Towards this very computer our own ports 500 and 4500 would be the gateway's.
    itself = same_host(address_towards(options.gateway), options.gateway)
    standard = (
        ports[Flow.IKE] == 500 and ports[Flow.NATT] == 4500 and source_port_500 and not itself
    )
    flows[Flow.IKE] = ike = await UdpFlow.open(
        options.gateway, prefer_port=500 if standard else None
    )
    try:
        if ike.local_address[1] == 500:
            natt = await UdpFlow.open(options.gateway, prefer_port=4500)
        else:
            natt = await UdpFlow.open(options.gateway)
        flows[Flow.NATT] = natt
        flows[Flow.L2TP] = await UdpFlow.open(options.gateway)
        if standard and not options.plain_l2tp:
            raw, _reason = await RawEsp.open(options.gateway)
            if raw is not None:
                flows[Flow.ESP] = raw
    except BaseException:
        for flow in flows.values():
            flow.close()
        raise
    return Sockets(flows, ports), replace(
        options,
        local=ike.local_address[0],
        port_ike=ike.local_address[1],
        port_natt=natt.local_address[1],
        plain_esp_possible=Flow.ESP in flows and ike.local_address[1] == 500,
    )


async def drive(
    run: Run,
    sockets: Sockets,
    *,
    clock: Callable[[], float] = time.monotonic,
    on_change: Callable[[], None] | None = None,
    interrupted: asyncio.Event | None = None,
) -> None:
    """Run to the end. ``on_change`` is called whenever something happened; setting ``interrupted``
    ends the run politely. Returns when the run has said goodbye."""
    inbox: asyncio.Queue[tuple[Flow, FlowEvent]] = asyncio.Queue(maxsize=4096)

    def deliver(flow: Flow) -> Callable[[FlowEvent], None]:
        def put(event: FlowEvent) -> None:
            with contextlib.suppress(asyncio.QueueFull):  # a flood: what cannot be kept is lost
                inbox.put_nowait((flow, event))

        return put

    for flow, sock in sockets.flows.items():
        sock.on_event = deliver(flow)
    run.start(clock())
    stop: asyncio.Task[bool] | None = (
        asyncio.ensure_future(_wait(interrupted)) if interrupted is not None else None
    )
    try:
        while not run.finished:
            _send(run, sockets, clock())
            if on_change is not None:
                on_change()
            if run.finished:
                break
            timer = run.get_timer()
            wait = None if timer is None else max(0.0, timer - clock())
            event = await _next(inbox, wait, stop)
            now = clock()
            if stop is not None and stop.done():
                stop = None
                run.interrupt(now)
            if event is not None:
                _take(run, sockets, *event, now)
                for _ in range(inbox.qsize()):
                    _take(run, sockets, *inbox.get_nowait(), now)
            timer = run.get_timer()
            if timer is not None and timer <= now:
                run.handle_timer(now)
        _send(run, sockets, clock())
        if on_change is not None:
            on_change()
    except BaseException:
        # Whatever ended us here (a cancelled task, a fault of ours), the gateway is told.
        with contextlib.suppress(Exception):
            _transmit(run.abandon(clock()), sockets)
        raise
    finally:
        if stop is not None:
            stop.cancel()
        for sock in sockets.flows.values():
            sock.on_event = None


async def _wait(event: asyncio.Event) -> bool:
    return await event.wait()


async def _next(
    inbox: asyncio.Queue[tuple[Flow, FlowEvent]],
    wait: float | None,
    stop: asyncio.Task[bool] | None,
) -> tuple[Flow, FlowEvent] | None:
    """The next event; None when ``wait`` seconds passed or ``stop`` is done."""
    if not inbox.empty():
        return inbox.get_nowait()
    get = asyncio.ensure_future(inbox.get())
    waiting: set[asyncio.Future[object]] = {get}  # type: ignore[arg-type]
    if stop is not None:
        waiting.add(stop)  # type: ignore[arg-type]
    await asyncio.wait(waiting, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
    if get.done():
        return get.result()
    get.cancel()
    return None


def _send(run: Run, sockets: Sockets, now: float) -> None:
    _transmit(run.packets_to_send(now), sockets)


def _transmit(packets: list[Packet], sockets: Sockets) -> None:
    for packet in packets:
        sock = sockets.flows.get(packet.flow)
        if isinstance(sock, UdpFlow):
            sock.send(packet.data, packet.port or sockets.ports[packet.flow])
        elif sock is not None:
            sock.send(packet.data)


def _take(run: Run, sockets: Sockets, flow: Flow, event: FlowEvent, now: float) -> None:
    # Ports of gateways on other ports are told by their standard numbers.
    standard = {
        sockets.ports[f]: p for f, p in ((Flow.IKE, 500), (Flow.NATT, 4500), (Flow.L2TP, 1701))
    }
    match event:
        case Datagram():
            run.receive(flow, event.data, (event.address, event.port), now)
        case IcmpReport():
            port = standard.get(event.quoted_port or 0, event.quoted_port or 0)
            run.icmp(event.what, event.icmp_type, event.code, event.reporter, port, now, event.mtu)
        case SendFailed():
            run.send_failed(
                event.errno_name, event.detail, standard.get(event.port, event.port), now
            )


def random_bytes(count: int) -> bytes:
    """The operating system's randomness."""
    return os.urandom(count)
