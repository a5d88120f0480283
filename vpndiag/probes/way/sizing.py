"""Beside a run: how large a packet gets to the gateway, and whether fragments do.

On request, and by itself where it explains a failure: a large message (one with a certificate, as a
rule) is not answered. It needs no ICMP from anybody, and no privileges.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import field

from vpndiag.observations import Ended, IkeEstablished
from vpndiag.probes.aside import Beside
from vpndiag.probes.way.sizes import SizedAsk, SizeSearch
from vpndiag.protocols.esp.udp import with_marker
from vpndiag.protocols.ike.padded import padded
from vpndiag.records import record
from vpndiag.tunnel.flow import CannotOpen, Datagram, FlowEvent, IcmpReport, SendFailed
from vpndiag.tunnel.options import Flow
from vpndiag.tunnel.udp import UdpFlow

SILENT_AFTER = 1.2
"""Seconds without an answer to a large message."""
LARGE = 1200
"""Bytes of an IKE message that may be too large for some path."""
LOOK_EVERY = 0.1
LIMIT = 12.0
"""Seconds that it may take in all."""
_MARKER = 4
_UDP = 8


@record(frozen=True, slots=True, kw_only=True)
class MeasureSizes:
    """The aside. ``requested``: also while all is well."""

    requested: bool = False

    async def __call__(self, beside: Beside) -> None:
        if beside.options.plain_l2tp or not await _wanted(beside, self.requested):
            return
        port = 500 if beside.answered(500) else 4500
        try:
            sizing = await _Sizing.open(beside, port)
        except CannotOpen:
            return
        try:
            async with asyncio.timeout(LIMIT):
                await sizing.run()
        except TimeoutError:
            pass
        finally:
            sizing.close()
            beside.add(sizing.search.result(beside.t(), port))


async def _wanted(beside: Beside, requested: bool) -> bool:
    """Wait until there is a reason to measure and a gateway that answers; False: there is none."""
    while True:
        if requested and beside.heard:
            return True
        if not requested and _large_silence(beside):
            return True
        established = any(isinstance(o, IkeEstablished) for o in beside.observations)
        if beside.ended is not None or (established and not requested):
            return False
        await beside.until(lambda: beside.ended is not None, LOOK_EVERY)


def _large_silence(beside: Beside) -> bool:
    """A message of main mode that may have been too large, or whose answer may be, is not
    answered."""
    if not beside.heard or (isinstance(beside.ended, Ended) and beside.ended.why == "interrupted"):
        return False
    sent = [m for p in (500, 4500) for m in beside.asked(p) if m.step in ("MM3", "MM5")]
    if not sent:
        return False
    last = max(sent, key=lambda m: (m.step, -m.t))
    first = min(m.t for m in sent if m.step == last.step)
    if any(m.t > first and m.initiator_cookie == last.initiator_cookie and not m.repeat
           for p in (500, 4500) for m in beside.answered(p)):  # fmt: skip
        return False
    large = last.size >= LARGE or (beside.options.with_certificate and last.step == "MM5")
    return large and beside.t() >= first + SILENT_AFTER


@record(slots=True)
class _Sizing:
    """The search on two sockets: one forbids fragments, the other allows them."""

    beside: Beside
    port: int
    to_port: int
    whole: UdpFlow
    loose: UdpFlow
    search: SizeSearch
    overhead: int
    """IP and UDP headers, and the non-ESP marker."""
    _messages: dict[int, bytes] = field(default_factory=dict)
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _sending: int = -1
    """What is being sent, until the system has taken or refused it."""
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def open(cls, beside: Beside, port: int) -> _Sizing:
        """:raises CannotOpen: no socket towards the gateway."""
        o = beside.options
        whole = await UdpFlow.open(o.gateway, clock=beside.clock)
        try:
            loose = await UdpFlow.open(o.gateway, clock=beside.clock)
        except CannotOpen:
            whole.close()
            raise
        can_forbid = whole.set_dont_fragment(True)
        flow = Flow.IKE if port == 500 else Flow.NATT
        header = 40 if ":" in o.gateway else 20
        made = cls(
            beside, port, o.gateway_ports[flow], whole, loose,
            SizeSearch(beside.clock(), can_forbid=can_forbid),
            header + _UDP + (_MARKER if port == 4500 else 0),
        )  # fmt: skip
        whole.on_event = made._event
        loose.on_event = made._event
        return made

    def close(self) -> None:
        self.whole.close()
        self.loose.close()

    async def run(self) -> None:
        """Until the search is done."""
        search, clock = self.search, self.beside.clock
        while not search.done:
            self._woken.clear()
            while (ask := search.to_send(clock())) is not None:
                self._send(ask)
            timer = search.get_timer()
            if timer is None:
                break
            try:
                async with asyncio.timeout(max(0.0, timer - clock())):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _send(self, ask: SizedAsk) -> None:
        message = self._messages.get(ask.number)
        if message is None:
            cookie = os.urandom(8)
            message = padded(
                ask.question, cookie, ask.size - self.overhead, whole=ask.whole, random=os.urandom
            )
            self._messages[ask.number] = message
            self._numbers[cookie] = ask.number
        flow = self.whole if ask.whole else self.loose
        data = with_marker(message) if self.port == 4500 else message
        self._sending = ask.number
        flow.send(data, self.to_port)
        if self._sending == ask.number:  # this machine did send it
            to = (self.beside.options.gateway, self.to_port)
            frame = self.beside.packet(flow.local_address, to, data, whole=ask.whole)
            self.search.sent_as(ask.number, frame)
        self._sending = -1

    def _event(self, event: FlowEvent) -> None:
        self._woken.set()
        if isinstance(event, Datagram):
            data = event.data[_MARKER:] if self.port == 4500 else event.data
            number = self._numbers.get(data[:8])
            if number is None or event.unexpected:
                return
            flow = self.whole if self.search.is_whole(number) else self.loose
            frame = self.beside.packet((event.address, event.port), flow.local_address, event.data)
            self.search.answered(number, self.beside.clock(), frame)
        elif isinstance(event, SendFailed):
            if event.errno_name == "EMSGSIZE" and self._sending >= 0:
                self.search.too_big(self._sending)
                self._sending = -1
        elif isinstance(event, IcmpReport) and event.what == "fragmentation-needed":
            self._told(event)

    def _told(self, event: IcmpReport) -> None:
        """An ICMP error names a port and no size."""
        to = (self.beside.options.gateway, self.to_port)
        self.beside.icmp(
            event.reporter, event.icmp_type, event.code, self.whole.local_address, to, event.mtu
        )
        self.search.told(event.mtu, event.reporter or "")
