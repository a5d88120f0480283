"""Questions asked beside the tunnel itself: is UDP 4500 open, does another proposal, IKEv2 or
aggressive mode get an answer, does L2TP answer in the clear?

Each is one message, repeated as it is (one cookie: strongSwan stops listening to an address with
five half-open SAs), and never taken further than its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from vpndiag.observations import L2tpMessage
from vpndiag.protocols.esp.udp import with_marker
from vpndiag.protocols.ike import foreign
from vpndiag.protocols.ike.config import InitiatorConfig
from vpndiag.protocols.ike.events import (
    MessageReceived,
    NotifyReceived,
    PeerIsIkev2,
    ProposalChosen,
    TimedOut,
)
from vpndiag.protocols.ike.initiator import IkeInitiator
from vpndiag.protocols.ike.transforms import IkeTransform
from vpndiag.protocols.l2tp.config import L2tpConfig, Role
from vpndiag.protocols.l2tp.events import TunnelEstablished
from vpndiag.protocols.l2tp.reliable import RetransmitConfig
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel
from vpndiag.records import record
from vpndiag.tunnel.ike_pump import IkePump
from vpndiag.tunnel.options import Flow, Packet, TunnelOptions
from vpndiag.tunnel.recorder import Recorder

RandomBytes = Callable[[int], bytes]
Waits = Callable[[int], float | None]
"""``waits(n)``: seconds that try number n is given; None: no such try, give up."""


def fixed(*seconds: float) -> Waits:
    """One try for each wait."""
    return lambda n: seconds[n - 1] if n <= len(seconds) else None


BRIEF = fixed(0.8, 0.9, 1.0)
"""For questions that only add colour to a silence or a refusal."""


class SideProbe(Protocol):
    """One question. ``done`` once it is answered or given up; ``answered`` tells which."""

    name: str
    done: bool
    answered: bool

    @property
    def cookie(self) -> bytes: ...

    def start(self, now: float) -> None: ...

    def receive(
        self, message: bytes, flow: Flow, source: tuple[str, int], frame: int, now: float
    ) -> None: ...

    def pump(self, now: float) -> list[Packet]: ...

    def get_timer(self) -> float | None: ...

    def handle_timer(self, now: float) -> None: ...


class MainModeProbe:
    """Message 1 of main mode, to port 500 or (``natt``) straight to 4500."""

    def __init__(
        self,
        name: str,
        options: TunnelOptions,
        recorder: Recorder,
        random_bytes: RandomBytes,
        *,
        natt: bool = False,
        transforms: tuple[IkeTransform, ...] = (),
        vendor_ids: tuple[bytes, ...] | None = None,
        waits: Waits = BRIEF,
    ) -> None:
        self.name = name
        self.done = False
        self.answered = False
        self.chosen = False
        """The gateway took the offer."""
        if vendor_ids is not None:
            options = replace(options, vendor_ids=vendor_ids)
        config = InitiatorConfig(
            transforms=transforms or options.offered_ike(),
            esp_transforms=options.offered_esp(),
            vendor_ids=options.vendor_ids,
            psk=b"\0",  # never used: the probe ends with message 2
            patience=lambda _what, tries: waits(tries),
        )
        self._engine = IkeInitiator(config, random_bytes)
        self._pump = IkePump(self._engine, options, recorder, only_natt=natt)

    @property
    def cookie(self) -> bytes:
        return self._pump.cookie

    def start(self, now: float) -> None:
        self._engine.start(now)

    def receive(
        self, message: bytes, flow: Flow, source: tuple[str, int], frame: int, now: float
    ) -> None:
        if not self.done:
            self._pump.receive(message, flow, source, frame, now)
            self._look()

    def _look(self) -> None:
        for event in self._pump.events:
            if isinstance(event, ProposalChosen):
                self.chosen = True
            if isinstance(event, ProposalChosen | PeerIsIkev2) or (
                isinstance(event, NotifyReceived) and event.notification is not None
                and event.notification.is_error
            ):  # fmt: skip
                self.done = self.answered = True
            elif isinstance(event, MessageReceived):
                self.answered = True
            elif isinstance(event, TimedOut):
                self.done = True
        self._pump.events.clear()

    def pump(self, now: float) -> list[Packet]:
        if self.done:
            return []  # message 3 is never sent
        packets = self._pump.pump(now)
        self._look()
        return packets

    def get_timer(self) -> float | None:
        return None if self.done else self._pump.engine.get_timer()

    def handle_timer(self, now: float) -> None:
        if not self.done:
            self._pump.handle_timer(now)


@record(slots=True)
class RawProbe:
    """A fixed IKE message that our engines do not speak themselves: IKEv2, aggressive mode."""

    name: str
    message: bytes
    options: TunnelOptions
    recorder: Recorder
    waits: Waits = BRIEF
    natt: bool = False
    done: bool = False
    answered: bool = False
    _tries: int = 0
    _due: float | None = None

    @property
    def cookie(self) -> bytes:
        return self.message[:8]

    def start(self, now: float) -> None:
        self._due = now

    def receive(
        self, message: bytes, flow: Flow, source: tuple[str, int], frame: int, now: float
    ) -> None:
        self.done = self.answered = True
        o = self.options
        port = o.port_natt if flow is Flow.NATT else o.port_ike
        self.recorder.add(
            self.recorder.ike.observe(
                message,
                t=self.recorder.t(now),
                frames=(frame,),
                direction="in",
                source=source,
                destination=(o.local, port),
                marker=flow is Flow.NATT,
            )
        )

    def pump(self, now: float) -> list[Packet]:
        if self.done or self._due is None or now < self._due:
            return []
        self._tries += 1
        wait = self.waits(self._tries)
        if wait is None:
            self.done = True
            return []
        self._due = now + wait
        flow = Flow.NATT if self.natt else Flow.IKE
        data = with_marker(self.message) if self.natt else self.message
        o = self.options
        source = (o.local, o.port_natt if self.natt else o.port_ike)
        gateway = (o.gateway, o.gateway_ports[flow])
        frame = self.recorder.packet(now, flow, "out", source, gateway, data)
        self.recorder.add(
            self.recorder.ike.observe(
                self.message,
                t=self.recorder.t(now),
                frames=(frame,),
                direction="out",
                source=source,
                destination=gateway,
                marker=self.natt,
            )
        )
        return [Packet(flow, data)]

    def get_timer(self) -> float | None:
        return None if self.done else self._due

    def handle_timer(self, now: float) -> None:
        """:meth:`pump` sends what is due."""


def ikev2_probe(
    options: TunnelOptions,
    recorder: Recorder,
    random_bytes: RandomBytes,
    waits: Waits = BRIEF,
    *,
    natt: bool = False,
) -> RawProbe:
    """IKE_SA_INIT of IKEv2, to port 500 or (``natt``) 4500."""
    name = "ikev2-natt" if natt else "ikev2"
    message = foreign.ikev2_sa_init(random_bytes)
    return RawProbe(name, message, options, recorder, waits, natt)


def aggressive_probe(
    options: TunnelOptions, recorder: Recorder, random_bytes: RandomBytes, waits: Waits = BRIEF
) -> RawProbe:
    """Message 1 of aggressive mode."""
    message = foreign.aggressive_mode_1(
        options.offered_ike(), options.vendor_ids, options.local, random_bytes
    )
    return RawProbe("aggressive", message, options, recorder, waits)


class ClearL2tpProbe:
    """SCCRQ in the clear, which a gateway should not answer; if it does, it gets a StopCCN."""

    def __init__(
        self, options: TunnelOptions, recorder: Recorder, random_bytes: RandomBytes
    ) -> None:
        self.done = False
        self.answered = False
        self._options = options
        self._recorder = recorder
        config = L2tpConfig(
            host_name=options.host_name.encode(),
            retransmit=RetransmitConfig(first=1.0, cap=1.0, tries=8),
        )
        self._tunnel = L2tpTunnel(Role.LAC, config, random_bytes)

    def start(self, now: float) -> None:
        self._tunnel.start(now)

    def receive(self, datagram: bytes, source: tuple[str, int], frame: int, now: float) -> None:
        seen = self._recorder.clear_l2tp.observe(
            datagram,
            t=self._recorder.t(now),
            frames=(frame,),
            direction="in",
            inside="clear",
            source=source,
            destination=(self._options.local, 0),
        )
        self._recorder.add(seen if isinstance(seen, L2tpMessage) else None)
        self._tunnel.receive(datagram, now)
        while (event := self._tunnel.next_event()) is not None:
            if isinstance(event, TunnelEstablished):
                self.answered = True
                self._tunnel.close(now, 1)

    def pump(self, now: float) -> list[Packet]:
        packets: list[Packet] = []
        o = self._options
        gateway = (o.gateway, o.gateway_ports[Flow.L2TP])
        for datagram in self._tunnel.datagrams_to_send(now):
            frame = self._recorder.packet(now, Flow.L2TP, "out", (o.local, 0), gateway, datagram)
            seen = self._recorder.clear_l2tp.observe(
                datagram,
                t=self._recorder.t(now),
                frames=(frame,),
                direction="out",
                inside="clear",
                source=(o.local, 0),
                destination=gateway,
            )
            self._recorder.add(seen if isinstance(seen, L2tpMessage) else None)
            packets.append(Packet(Flow.L2TP, datagram))
        while self._tunnel.next_event() is not None:
            pass
        return packets

    def get_timer(self) -> float | None:
        return self._tunnel.get_timer()

    def handle_timer(self, now: float) -> None:
        self._tunnel.handle_timer(now)
