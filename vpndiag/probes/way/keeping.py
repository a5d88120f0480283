"""After a run, on request: how long a silent mapping survives (see :mod:`.lifetime`)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

from vpndiag.observations import IkeEstablished
from vpndiag.observations.way import NatLifetime
from vpndiag.probes.aside import Beside
from vpndiag.probes.way.lifetime import LIMIT, LifetimeSearch, Line
from vpndiag.protocols.esp.udp import KEEPALIVE, NON_ESP_MARKER
from vpndiag.protocols.ike.events import QuickModeEstablished
from vpndiag.protocols.ike.initiator import IkeInitiator
from vpndiag.records import record
from vpndiag.tunnel.flow import CannotOpen, Datagram, FlowEvent
from vpndiag.tunnel.ike_pump import IkePump
from vpndiag.tunnel.ike_sas import initiator_config
from vpndiag.tunnel.options import Flow, TunnelOptions
from vpndiag.tunnel.recorder import Recorder
from vpndiag.tunnel.udp import UdpFlow

AFTER_THE_RUN = 1.5
"""Seconds for the goodbyes of the run's own session."""
SET_UP = 12.0
"""Seconds that phase 1 and the first half of quick mode may take."""
SAY_EVERY = 30.0


@record(frozen=True, slots=True)
class MeasureLifetime:
    """The aside: takes some minutes."""

    async def __call__(self, beside: Beside) -> None:
        await beside.until(lambda: beside.ended is not None)
        established = any(isinstance(o, IkeEstablished) for o in beside.observations)
        if beside.ended is None or beside.ended.why == "interrupted":
            return
        if not established:
            beside.add(NatLifetime(t=beside.t(), outcome="no-session"))
            return
        await asyncio.sleep(AFTER_THE_RUN)
        beside.note(
            f"NAT lifetime: two more sessions, one of them silent; up to {LIMIT / 60:.0f} minutes "
            "and more (Ctrl-C ends it)"
        )
        arms: dict[Line, _Arm] = {}
        search, over = LifetimeSearch(), False
        lines: tuple[Line, ...] = ("kept", "silent")
        try:
            for line in lines:
                arms[line] = await _Arm.open(beside.options)
                if not await arms[line].up():
                    beside.add(NatLifetime(t=beside.t(), outcome="no-session"))
                    return
                search.fell_silent(line, beside.clock())
                arms[line].listen(line, search, beside)
            await _listen(beside, search, arms["kept"])
            over = True
        except CannotOpen:
            return
        finally:
            if len(arms) == len(lines) and arms["silent"].listening:
                beside.add(search.result(beside.t(), beside.clock(), over=over))
            for arm in arms.values():
                arm.close()


async def _listen(beside: Beside, search: LifetimeSearch, kept: _Arm) -> None:
    said = beside.clock()
    while not search.over(beside.clock()):
        await asyncio.sleep(max(0.05, min(0.5, search.keepalive_at() - beside.clock())))
        now = beside.clock()
        if now >= search.keepalive_at():
            kept.send(KEEPALIVE, Flow.NATT)
            search.kept_alive(now)
        if now - said >= SAY_EVERY:
            said = now
            seen = search.result(0.0, now, over=False)
            gone = f", not {seen.gone:.0f} s" if seen.gone else ""
            beside.note(f"NAT lifetime: survives {seen.survived:.0f} s of silence so far{gone}")


class _Arm:
    """An IKE SA on a socket of its own, up to message 2 of quick mode, which stays unanswered."""

    def __init__(self, flow: UdpFlow, options: TunnelOptions) -> None:
        self._flow = flow
        self._options = replace(
            options, local=flow.local_address[0], port_ike=flow.local_address[1],
            port_natt=flow.local_address[1],
        )  # fmt: skip
        o = self._options
        config = replace(
            initiator_config(o), force_encapsulation=True, initial_contact=False, auto_quick=True
        )
        # A recorder of its own: the run's has ended, and these are not its messages.
        self._engine = IkeInitiator(config, os.urandom)
        self._pump = IkePump(self._engine, o, Recorder())
        self.listening = False

    @classmethod
    async def open(cls, options: TunnelOptions) -> _Arm:
        """:raises CannotOpen: no socket towards the gateway."""
        return cls(await UdpFlow.open(options.gateway), options)

    def send(self, data: bytes, flow: Flow) -> None:
        self._flow.send(data, self._options.gateway_ports[flow])

    async def up(self) -> bool:
        """Go as far as message 2 of quick mode; False: the gateway does not."""
        loop = asyncio.get_running_loop()
        engine, end = self._engine, loop.time() + SET_UP
        engine.start(loop.time())
        while (now := loop.time()) < end:
            self._pump.handle_timer(now)
            for packet in self._pump.pump(now):
                self.send(packet.data, packet.flow)
            timer = engine.get_timer()
            wait = 0.5 if timer is None else min(0.5, max(0.01, timer - now))
            event = await self._flow.receive(wait)
            if isinstance(event, Datagram) and not event.unexpected:
                self._receive(event)
                if any(isinstance(e, QuickModeEstablished) for e in self._pump.events):
                    return True
                self._pump.events.clear()
        return False

    def _receive(self, event: Datagram) -> None:
        flow = Flow.NATT if event.port == self._options.gateway_ports[Flow.NATT] else Flow.IKE
        data = event.data
        if flow is Flow.NATT:
            if not data.startswith(NON_ESP_MARKER):
                return
            data = data[len(NON_ESP_MARKER) :]
        if data[:8] == self._pump.cookie:
            source = (event.address, event.port)
            now = asyncio.get_running_loop().time()
            self._pump.receive(data, flow, source, 0, now)

    def listen(self, line: Line, search: LifetimeSearch, beside: Beside) -> None:
        """From here on nothing is answered."""
        self.listening = True

        def heard(event: FlowEvent) -> None:
            natt = self._options.gateway_ports[Flow.NATT]
            ours = isinstance(event, Datagram) and not event.unexpected and event.port == natt
            if ours and search.heard(line, beside.clock()):
                self.send(KEEPALIVE, Flow.NATT)

        self._flow.on_event = heard

    def close(self) -> None:
        """Say goodbye, and close."""
        now = asyncio.get_running_loop().time()
        self._flow.on_event = lambda _event: None
        if self.listening:
            self._pump.pump(now)  # what was held back is not sent
            self._pump.engine.delete(now)
            for packet in self._pump.pump(now):
                self.send(packet.data, packet.flow)
        self._flow.close()
