"""A whole run, sans-IO: the tunnel, the questions beside it, and when to stop.

The driver (or the simulated network) passes in datagrams, ICMP errors and the time, and takes out
packets and the next deadline. Observations collect in :attr:`LadderRun.recorder`; judging them is
not done here, except for the decision that nothing more can be learnt (:mod:`~.decisions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Literal

from vpndiag.observations import Ended, IcmpError, NameAnswer, Scope, SendError
from vpndiag.probes.decisions import Decisions
from vpndiag.probes.inside.plan import InsidePlan
from vpndiag.probes.inside.through import Through
from vpndiag.probes.outside import ClearL2tpProbe
from vpndiag.probes.patience import Patience
from vpndiag.probes.questions import Questions
from vpndiag.probes.soak import Soaking, SoakPlan
from vpndiag.protocols.esp.udp import Kind, demultiplex
from vpndiag.protocols.ike.events import ChildSa
from vpndiag.records import record
from vpndiag.tunnel.options import GATEWAY_PORTS, Flow, Packet, TunnelOptions
from vpndiag.tunnel.recorder import Recorder
from vpndiag.tunnel.stack import Stack, Stage

RandomBytes = Callable[[int], bytes]

CLOSING_SECONDS = 1.2
"""How long saying goodbye may take."""
HARMLESS = InsidePlan()
"""What is tested inside when nothing was named."""


@record(frozen=True, slots=True)
class RunKeys:
    """``ike``: initiator cookie and cipher key of each IKE SA; ``children``: the ESP SA pairs."""

    ike: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    children: tuple[ChildSa, ...]
    client: str
    gateway: str


class LadderRun:
    """One run against one gateway address.

    ``names`` are the look-ups that led to the address; ``inside`` is what to test through the
    tunnel, None: nothing; ``soak`` how long to stay then. ``finished`` is set once the run has
    ended and said goodbye.
    """

    def __init__(
        self,
        options: TunnelOptions,
        random_bytes: RandomBytes,
        *,
        names: Sequence[NameAnswer] = (),
        inside: InsidePlan | None = HARMLESS,
        soak: SoakPlan | None = None,
        start: float = 0.0,
    ) -> None:
        self.options = options
        real = options.gateway_ports
        self.recorder = Recorder(start, {real[f]: n for f, n in GATEWAY_PORTS.items() if n})
        self.patience = Patience()
        self.ended: Ended | None = None
        self.finished = False
        self.stack: Stack | None = None
        if options.can_authenticate or options.plain_l2tp:
            patience = self.patience
            self.stack = Stack(
                options,
                random_bytes,
                self.recorder,
                patience=patience,
                lossy=lambda: patience.lossy,
            )
            patience.round_trip = self.stack.round_trip
        self._random = random_bytes
        self._names = list(names)
        self._questions = Questions(options, self.recorder, random_bytes, self.patience, start)
        self._through = Through(inside, self.stack, self.recorder, random_bytes, self.patience)
        self.soaking = Soaking(soak, self.stack) if soak is not None and self.stack else None
        self._decisions = self._new_decisions(start)
        self._clear: ClearL2tpProbe | None = None
        self._close_by: float | None = None

    def _new_decisions(self, began: float) -> Decisions:
        return Decisions(
            self.options,
            self.stack,
            self._questions,
            self.patience,
            self._through,
            began,
            self.soaking,
        )

    # --- the driver's side --------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin: the first packets are then ready to send."""
        o = self.options
        self._questions.began = now
        self._decisions = self._new_decisions(now)
        add = self.recorder.add
        t = self.recorder.t(now)
        add(
            Scope(
                t=t,
                credentials=o.can_authenticate or o.plain_l2tp,
                user=o.user is not None,
                plain_l2tp=o.plain_l2tp,
                certificate=o.with_certificate,
            )
        )
        for name in self._names:
            add(name)
        stack = self.stack or Stack(o, self._random, self.recorder)
        add(stack.local_end(t))
        if self.stack is not None:
            self.stack.start(now)
        else:
            self._questions.ask_primary(now)
        if not o.plain_l2tp:
            self._clear = ClearL2tpProbe(o, self.recorder, self._random)
            self._clear.start(now)

    def receive(self, flow: Flow, data: bytes, source: tuple[str, int], now: float) -> None:
        """A datagram that came in on ``flow`` (protocol 50: an ESP packet)."""
        o = self.options
        local = (o.local, {Flow.IKE: o.port_ike, Flow.NATT: o.port_natt}.get(flow, 0))
        frame = self.recorder.packet(now, flow, "in", source, local, data)
        expected = {o.gateway_ports[Flow.IKE], o.gateway_ports[Flow.NATT]}
        from_gateway = source[0] == o.gateway
        if flow is Flow.L2TP:
            self._receive_l2tp(data, source, frame, now, from_gateway)
        elif flow is Flow.ESP:
            if self.stack is not None and from_gateway:
                self.stack.receive_esp(data, flow, frame, now)
        elif flow is Flow.NATT:
            found = demultiplex(data)
            if found.kind is Kind.IKE:
                self._receive_ike(
                    found.body, flow, source, frame, now, from_gateway and source[1] in expected
                )
            elif found.kind is Kind.ESP and self.stack is not None and from_gateway:
                self.stack.receive_esp(found.body, flow, frame, now)
        else:
            self._receive_ike(
                data, flow, source, frame, now, from_gateway and source[1] in expected
            )
        self._decide(now)

    def _receive_ike(
        self,
        message: bytes,
        flow: Flow,
        source: tuple[str, int],
        frame: int,
        now: float,
        expected: bool,
    ) -> None:
        mine = self.stack is not None and self.stack.knows(message)
        if not mine and not self._questions.knows(message[:8]):
            return  # nobody who saw our packets sent this
        if not expected:
            self.recorder.add(
                self.recorder.ike.observe(
                    message,
                    t=self.recorder.t(now),
                    frames=(frame,),
                    direction="in",
                    source=source,
                    destination=(self.options.local, 0),
                    marker=flow is Flow.NATT,
                    other_source=f"{source[0]}:{source[1]}",
                )
            )
            return
        if mine and self.stack is not None:
            self.stack.receive_ike(message, flow, source, frame, now)
        self._questions.receive(message, flow, source, frame, now)

    def _receive_l2tp(
        self, data: bytes, source: tuple[str, int], frame: int, now: float, from_gateway: bool
    ) -> None:
        if not from_gateway:
            return
        if self.options.plain_l2tp:
            if self.stack is not None:
                self.stack.receive_l2tp(data, source, frame, now)
        elif self._clear is not None:
            self._clear.receive(data, source, frame, now)

    def icmp(
        self,
        what: str,
        icmp_type: int,
        icmp_code: int,
        reporter: str | None,
        port: int,
        now: float,
        mtu: int | None = None,
    ) -> None:
        """An ICMP error for a packet that we sent to the gateway's ``port``."""
        self.recorder.add(
            IcmpError(
                t=self.recorder.t(now),
                frames=self.recorder.icmp(now, reporter, icmp_type, icmp_code, port, mtu),
                what=what,
                icmp_type=icmp_type,
                icmp_code=icmp_code,
                reporter=reporter,
                from_gateway=None if reporter is None else reporter == self.options.gateway,
                port=port,
                mtu=mtu,
            )
        )
        self._decisions.first_contact.errors_on_500 += port == 500
        self._decide(now)

    def send_failed(self, error: str, detail: str, port: int, now: float) -> None:
        """The local machine refused to send to ``port``."""
        self.recorder.add(SendError(t=self.recorder.t(now), port=port, error=error, detail=detail))
        self._decisions.first_contact.errors_on_500 += port == 500
        self._decide(now)

    def packets_to_send(self, now: float) -> list[Packet]:
        """What is to be sent now, in order."""
        packets: list[Packet] = []
        for _ in range(8):
            more: list[Packet] = []
            ended = self.ended
            self._through.pump(now)
            if self.soaking is not None:
                self.soaking.pump(now)
            if self.stack is not None:
                more += self.stack.packets_to_send(now)
            if ended is None:
                more += self._questions.pump(now)
            if self._clear is not None:
                more += self._clear.pump(now)
            packets += more
            self._decide(now, all_sent=True)
            waiting = self._through.waiting or (self.soaking is not None and self.soaking.waiting)
            idle = not more and not (waiting and ended is None)
            if idle and self.ended is ended:  # ending brings farewells, which leave now
                break
        return packets

    def get_timer(self) -> float | None:
        """When to call :meth:`handle_timer`; None once finished."""
        if self.finished:
            return None
        timers: list[float | None] = [self._close_by]
        if self.stack is not None:
            timers.append(self.stack.get_timer())
        if self.ended is None:
            timers += [self._questions.get_timer(), self._decisions.get_timer()]
            timers.append(self._through.get_timer())
            if self.soaking is not None:
                timers.append(self.soaking.get_timer())
        if self._clear is not None:
            timers.append(self._clear.get_timer())
        return min((t for t in timers if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        if self.stack is not None:
            self.stack.handle_timer(now)
        if self.ended is None:
            self._questions.handle_timer(now)
            self._through.handle_timer(now)
            if self.soaking is not None:
                self.soaking.handle_timer(now)
        if self._clear is not None:
            timer = self._clear.get_timer()
            if timer is not None and timer <= now:
                self._clear.handle_timer(now)
        self._decide(now)

    def interrupt(self, now: float) -> None:
        """The user wants to stop: end, and say goodbye."""
        self._end("interrupted", now)

    def end(self, now: float) -> None:
        """End here; for a driver that cannot go on."""
        self._end("stopped", now)

    def abandon(self, now: float) -> list[Packet]:
        """End at once: the farewells, for whom none of their answers is waited for."""
        self._end("interrupted", now)
        return self.packets_to_send(now) + self.packets_to_send(now + CLOSING_SECONDS)

    def keys(self) -> RunKeys:
        """The keys of this run, for whoever decrypts its capture."""
        ikes = self.stack.ikes if self.stack is not None else None
        return RunKeys(
            ike=tuple(ikes.keys.items()) if ikes is not None else (),
            children=tuple(self.stack.agreed) if self.stack is not None else (),
            client=self.options.local,
            gateway=self.options.gateway,
        )

    # --- the end ------------------------------------------------------------------------------

    def _decide(self, now: float, *, all_sent: bool = False) -> None:
        if self.ended is not None:
            self._finish_closing(now)
            return
        self._decisions.decide(now, all_sent=all_sent)
        if self._decisions.over:
            self._end(self._decisions.over, now)

    def _end(self, why: Literal["done", "stopped", "interrupted"], now: float) -> None:
        if self.ended is not None:
            return
        self._through.finish(now)
        if self.soaking is not None:
            self.soaking.finish(now)
        self.ended = Ended(t=self.recorder.t(now), why=why)
        self.recorder.add(self.ended)
        self.recorder.closed = True
        self._close_by = now + CLOSING_SECONDS
        if self.stack is not None:
            self.stack.close(now)
        self._finish_closing(now)

    def _finish_closing(self, now: float) -> None:
        closed = self.stack is None or self.stack.stage is Stage.CLOSED
        if closed or (self._close_by is not None and now >= self._close_by):
            self.finished = True


__all__ = ["LadderRun", "RunKeys"]
