"""The client's engines on top of each other: IKE, ESP, L2TP, PPP, and IP packets inside.

Sans-IO like the engines: datagrams, ICMP and the time come in, packets, events and the next
deadline go out. What each layer does is recorded as it happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from vpndiag.observations import LocalEnd, ServerProof
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.esp.udp import KEEPALIVE
from vpndiag.protocols.ike.events import (
    ChildSa,
    DeleteReceived,
    IkeEvent,
    PhaseOneEstablished,
    QuickModeEstablished,
    Trust,
)
from vpndiag.protocols.ike.retransmit import Patience
from vpndiag.protocols.ike.transforms import EspTransform
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp.link import PppLink
from vpndiag.records import record
from vpndiag.tunnel.esp_channel import EspChannel
from vpndiag.tunnel.ike_sas import IkeSas
from vpndiag.tunnel.l2tp_channel import L2tpChannel
from vpndiag.tunnel.options import Flow, Packet, TunnelOptions
from vpndiag.tunnel.ppp_settings import ppp_settings
from vpndiag.tunnel.recorder import Recorder
from vpndiag.tunnel.renewal import Renewal
from vpndiag.tunnel.round_trip import RoundTrip

RandomBytes = Callable[[int], bytes]

KEEPALIVE_SECONDS = 20.0
"""RFC 3948 section 4 leaves it open; 20 s is what most clients use."""
_FAREWELL_SECONDS = 0.4
"""How long a farewell waits for its answers before IKE says goodbye over it."""


class Stage(Enum):
    """What the stack is busy with."""

    IKE = "ike"
    QUICK_MODE = "quick-mode"
    L2TP = "l2tp"
    PPP = "ppp"
    UP = "up"
    CLOSING = "closing"
    CLOSED = "closed"


@record(frozen=True, slots=True)
class IpPacketIn:
    """An IP packet that came through the tunnel."""

    data: bytes


class Stack:
    """One tunnel to one gateway. ``plain_l2tp`` leaves IKE and ESP out. ``lossy`` tells whether
    earlier questions had to be repeated: then L2TP is asked for again, and PPP, which starts last,
    is given more patience."""

    def __init__(
        self,
        options: TunnelOptions,
        random_bytes: RandomBytes,
        recorder: Recorder,
        *,
        patience: Patience | None = None,
        lossy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.options = options
        self.stage = Stage.IKE
        self.events: deque[object] = deque()
        """Engine events in order, for the run to decide on."""
        self._random = random_bytes
        self._recorder = recorder
        self._lossy = lossy
        self._out: list[Packet] = []
        self.esp = EspChannel(options, recorder, random_bytes, self._send)
        self.agreed: list[ChildSa] = []
        """Every SA pair that quick mode agreed on, for the key files."""
        self.l2tp = L2tpChannel(options, recorder, random_bytes, self._send_l2tp, lossy)
        self.ppp: PppLink | None = None
        self.round_trip = RoundTrip()
        self._last_sent = 0.0
        self._l2tp_repeats = 0
        self._farewell: float | None = None
        self.ikes: IkeSas | None = None
        self._renewal: Renewal | None = None
        if not options.plain_l2tp:
            self.ikes = IkeSas(options, recorder, random_bytes, patience)
            self._renewal = Renewal(self.ikes, self.esp)

    # --- start and the pump -----------------------------------------------------------------

    def start(self, now: float) -> None:
        """Send the first message."""
        if self.ikes is not None:
            self.ikes.start(now)
        else:
            self._start_l2tp(now)

    def packets_to_send(self, now: float) -> list[Packet]:
        """Everything that the engines want to send now, numbered and recorded."""
        for _ in range(64):  # engines wake each other; bounded against a fault of ours
            before = len(self._out)
            if self.ikes is not None:
                self._out += self.ikes.pump(now)
                self._take_ike(now)
            self._pump_ppp(now)
            self._l2tp_events(self.l2tp.pump(now), now)
            if len(self._out) == before:
                break
        self._say_goodbye_to_ike(now)
        packets, self._out = self._out, []
        if packets:
            self._last_sent = now
        return packets

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called; None: never."""
        timers = [self._farewell, self._keepalive_at()]
        for engine in (self.ikes, self.l2tp, self.ppp, self._renewal):
            if engine is not None:
                timers.append(engine.get_timer())
        return min((t for t in timers if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for engine in (self.ikes, self.l2tp, self.ppp, self._renewal):
            if engine is not None and _due(engine.get_timer(), now):
                if engine is self.l2tp and self._l2tp_repeats % 2:
                    self._repeat_connection()
                engine.handle_timer(now)
        if _due(self._keepalive_at(), now):
            self._send(Flow.NATT, KEEPALIVE, now)
            self._last_sent = now

    def _keepalive_at(self) -> float | None:
        """When a NAT on the way needs a packet again (RFC 3948 section 4)."""
        carrying = self.stage in (Stage.L2TP, Stage.PPP, Stage.UP)
        return self._last_sent + KEEPALIVE_SECONDS if self.esp.udp and carrying else None

    def begin_anew(self, now: float) -> bool:
        """Another main mode in place of one that came to nothing; False: it is too late."""
        if self.ikes is None or self.stage in (Stage.UP, Stage.CLOSING, Stage.CLOSED):
            return False
        self.stage = Stage.IKE
        self.l2tp.forget(now)
        self.ppp = None
        ours = [event for event in self.events if isinstance(event, IkeEvent)]
        self.events.clear()
        self.events += ours
        self.ikes.begin_anew(now)
        return True

    # --- IKE and ESP ------------------------------------------------------------------------

    def receive_ike(
        self, message: bytes, flow: Flow, source: tuple[str, int], frame: int, now: float
    ) -> None:
        """An IKE message with our cookie, without marker."""
        if self.ikes is not None and self.ikes.receive(message, flow, source, frame, now):
            self._take_ike(now)

    def knows(self, message: bytes) -> bool:
        """Whether an IKE message carries a cookie of ours, or the gateway may begin with it."""
        return self.ikes is not None and self.ikes.knows(message)

    def _take_ike(self, now: float) -> None:
        assert self.ikes is not None
        while self.ikes.events:
            self._ike_event(self.ikes.events.popleft(), now)

    def _ike_event(self, event: object, now: float) -> None:
        assert self.ikes is not None
        self.round_trip.note(event, now)
        self.events.append(event)
        if isinstance(event, PhaseOneEstablished):
            if self.stage is Stage.IKE:
                self.stage = Stage.QUICK_MODE
                self.ikes.start_quick_mode(now)
            elif self.stage is Stage.UP and self.ikes.current.began:
                self.ikes.start_quick_mode(now)
        elif isinstance(event, QuickModeEstablished):
            if self.stage in (Stage.QUICK_MODE, Stage.L2TP, Stage.PPP, Stage.UP):
                self._sa_is_up(event.child, now)
        elif isinstance(event, DeleteReceived) and event.trust is Trust.AUTHENTICATED:
            self.esp.keep(self.ikes.children)

    def _sa_is_up(self, child: ChildSa, now: float) -> None:
        self.agreed.append(child)
        try:
            self.esp.add(child)
        except LocalProtocolError as error:
            self.events.append(error)
            return
        if not self.l2tp.begun:
            if not self.esp.udp and not self.options.plain_esp_possible:
                self.events.append(
                    LocalProtocolError("plain ESP was agreed and cannot be sent here")
                )
                return
            self._start_l2tp(now)
        elif self.stage is Stage.UP and self._renewal is not None:
            self._renewal.renewed(child, now)

    # --- further quick modes and main modes -------------------------------------------------

    def renew_ipsec(self, now: float) -> int:
        """A new quick mode under the IKE SA in use; its message id.

        :raises LocalProtocolError: there is no IKE SA.
        """
        if self.ikes is None:
            raise LocalProtocolError("no IPsec in this tunnel")
        return self.ikes.start_quick_mode(now)

    def renew_ike(self, now: float) -> None:
        """A new main mode beside the IKE SA in use, and a quick mode under it.

        :raises LocalProtocolError: there is no IKE SA.
        """
        if self.ikes is None:
            raise LocalProtocolError("no IPsec in this tunnel")
        self.ikes.renew(now)

    def start_quick_mode(
        self, now: float, *, pfs_group: int | None, transforms: tuple[EspTransform, ...]
    ) -> None:
        """Another quick mode, after the first was refused."""
        assert self.ikes is not None
        self.ikes.offer(now, pfs_group=pfs_group, transforms=transforms)

    # --- packets ----------------------------------------------------------------------------

    def receive_esp(self, packet: bytes, flow: Flow, frame: int, now: float) -> None:
        """An ESP packet, from UDP 4500 or protocol 50. Packets of other SAs are counted only."""
        datagram = self.esp.receive(packet, flow, frame, now)
        if datagram is not None:
            source = (self.options.gateway, datagram.source_port)
            self.receive_l2tp(datagram.payload, source, frame, now)

    def _send(self, flow: Flow, data: bytes, now: float, other_port: int = 0) -> int:
        o = self.options
        port = {Flow.NATT: o.port_natt, Flow.IKE: o.port_ike}.get(flow, 0)
        to = (o.gateway, other_port or o.gateway_ports[flow])
        frame = self._recorder.packet(now, flow, "out", (o.local, port), to, data)
        self._out.append(Packet(flow, data, other_port))
        return frame

    # --- L2TP -------------------------------------------------------------------------------

    def _start_l2tp(self, now: float) -> None:
        self.stage = Stage.L2TP
        self.l2tp.start(now)

    def receive_l2tp(
        self, datagram: bytes, source: tuple[str, int], frame: int, now: float
    ) -> None:
        """An L2TP datagram: in the clear of a plain tunnel, or out of ESP."""
        self._l2tp_events(self.l2tp.receive(datagram, source, frame, now), now)
        self._drain_ppp(now)

    def _l2tp_events(self, events: list[l2tp_events.Event], now: float) -> None:
        for event in events:
            self.round_trip.note(event, now)
            match event:
                case l2tp_events.PppFrame():
                    if self.ppp is not None:
                        self.ppp.receive(event.data, now)
                    continue
                case l2tp_events.SessionEstablished():
                    if self.stage is Stage.L2TP and event.session_id == self.l2tp.session:
                        self._start_ppp(now)
                case l2tp_events.MessageSent() if event.retransmission:
                    self._l2tp_repeats += 1
                    if self._l2tp_repeats % 2:
                        self._repeat_connection()
            self.events.append(event)

    def _repeat_connection(self) -> None:
        """QM3 once more beside what is repeated of L2TP: SoftEther takes packets on an SA whose QM3
        was lost, and ends all after 5 s. Behind it one time and before it the next: where a limit
        lets one packet through at a time, each gets its turn."""
        if self.ikes is not None and (self._lossy() or not self.esp.came):
            self.ikes.current.engine.repeat_connection()

    def _send_l2tp(self, datagram: bytes, now: float) -> int | None:
        if self.options.plain_l2tp:
            return self._send(Flow.L2TP, datagram, now, self.l2tp.other_port)
        return self.esp.protect(datagram, now)

    # --- PPP --------------------------------------------------------------------------------

    def _start_ppp(self, now: float) -> None:
        settings = ppp_settings(self.options, self._lossy(), self.round_trip.seconds)
        if settings is None:
            return  # nothing was asked beyond the session
        self.stage = Stage.PPP
        self.ppp = PppLink("client", settings, self._random)
        self.ppp.start(now)

    def _pump_ppp(self, now: float) -> None:
        if self.ppp is None:
            return
        self._drain_ppp(now)
        for frame in self.ppp.frames_to_send(now):
            if not self.l2tp.send_ppp(frame, now):
                return
        self._drain_ppp(now)

    def _drain_ppp(self, now: float) -> None:
        if self.ppp is None:
            return
        while (event := self.ppp.next_event()) is not None:
            match event:
                case ppp_events.IpcpUp():
                    if self.stage is Stage.PPP:
                        self.stage = Stage.UP
                    self.l2tp.watch()
                case ppp_events.AuthResult():
                    if event.server_proof is not None:
                        self._recorder.add(
                            ServerProof(t=self._recorder.t(now), outcome=event.server_proof)  # type: ignore[arg-type]
                        )
                case ppp_events.IpPacket():
                    self.events.append(IpPacketIn(event.data))
                    continue
            self.events.append(event)

    def send_ip(self, packet: bytes, now: float) -> None:
        """An IP packet into the tunnel; ignored unless the address layer is up."""
        if self.ppp is not None and self.stage is Stage.UP:
            self.ppp.send_ip(packet, 6 if packet[:1] >= b"\x60" else 4)

    # --- the end ----------------------------------------------------------------------------

    def close(self, now: float) -> None:
        """Take down what stands: LCP Terminate, CDN, StopCCN, then (a moment later, so that they
        are not cut off) the IPsec and IKE Deletes."""
        if self.stage in (Stage.CLOSING, Stage.CLOSED):
            return
        self.stage = Stage.CLOSING
        self._farewell = now
        if self.ppp is not None:
            self.ppp.terminate(now, b"")
            self._pump_ppp(now)
        if self.l2tp.begun:
            self._l2tp_events(self.l2tp.close(now), now)
            self._farewell = now + _FAREWELL_SECONDS

    def _say_goodbye_to_ike(self, now: float) -> None:
        if self.stage is not Stage.CLOSING or self._farewell is None:
            return
        if now < self._farewell:
            return
        self._farewell = None
        self.stage = Stage.CLOSED
        if self.ikes is not None:
            self.ikes.delete(now)
            self._out += self.ikes.pump(now)

    def local_end(self, t: float) -> LocalEnd:
        """The observation of our own addresses and ports."""
        o = self.options
        return LocalEnd(
            t=t,
            local_address=o.local,
            gateway_address=o.gateway,
            gateway_name=o.gateway_name,
            source_port=o.port_ike,
            source_port_natt=o.port_natt,
            plain_esp_possible=o.plain_esp_possible,
            encapsulation_forced=o.force_encapsulation and not o.plain_l2tp,
        )


def _due(timer: float | None, now: float) -> bool:
    return timer is not None and timer <= now
