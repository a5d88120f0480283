"""The client's engines on top of each other: IKE, ESP, L2TP, PPP, and IP packets inside.

Sans-IO like the engines: datagrams, ICMP and the time come in, packets, events and the next
deadline go out. What each layer does is recorded as it happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from vpndiag.observations import LocalEnd, ServerProof
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.esp.udp import KEEPALIVE
from vpndiag.protocols.ike import config as ike_config
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
from vpndiag.protocols.l2tp.config import L2tpConfig, Role
from vpndiag.protocols.l2tp.reliable import RetransmitConfig
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp.auth import AuthMethod, AuthTimers, Credentials
from vpndiag.protocols.ppp.config import ClientConfig, Timers
from vpndiag.protocols.ppp.control import ControlTimers
from vpndiag.protocols.ppp.link import PppLink
from vpndiag.tunnel.esp_channel import EspChannel
from vpndiag.tunnel.ike_sas import IkeSas
from vpndiag.tunnel.options import Flow, Packet, TunnelOptions
from vpndiag.tunnel.recorder import Recorder

RandomBytes = Callable[[int], bytes]

L2TP_PORT = 1701
KEEPALIVE_SECONDS = 20.0
"""RFC 3948 section 4 leaves it open; 20 s is what most clients use."""
_RETIRE_PROVEN = 2.0
_RETIRE = 8.0
"""Seconds after which an old SA is deleted: the new one was seen to be used, or was not."""
_REPEAT_QM3 = 0.5
_FAREWELL_SECONDS = 0.4
"""How long a farewell waits for its answers before IKE says goodbye over it."""
L2TP_RETRANSMIT = RetransmitConfig(first=0.6, cap=0.8, tries=16)
REPLY, REPLY_LOSSY = 10.0, 6.0
"""Seconds to wait for SCCRP or ICRP once the request was acknowledged. xl2tpd repeats them after
1, 2, 4 and 8 s; on a lossy path another tunnel is asked for sooner than the last of them."""
MOST_TUNNELS = 4
HELLO_AFTER = 2.0
"""Seconds of silence in a session that is up, before the gateway is asked whether it is there."""


def ppp_timers(lossy: bool) -> Timers:
    """Repeats on a link inside a tunnel: quicker than RFC 1661's 3 s, and more where the path is
    known to lose packets: SoftEther answers an IPCP request once its own is acknowledged, and
    repeats that every 3.5 s only."""
    return Timers(
        control=ControlTimers(
            restart=0.7,
            max_configure=40 if lossy else 16,
            max_rounds=60 if lossy else 30,
            max_unasked=5 if lossy else 3,
            lossy=lossy,
        ),
        auth=AuthTimers(request=1.0, response=0.8, tries=26 if lossy else 16),
        ack_again=1.0 if lossy else None,
        acks_again=20,
    )


class Stage(Enum):
    """What the stack is busy with."""

    IKE = "ike"
    QUICK_MODE = "quick-mode"
    L2TP = "l2tp"
    PPP = "ppp"
    UP = "up"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class IpPacketIn:
    """An IP packet that came through the tunnel."""

    data: bytes


class Stack:
    """One tunnel to one gateway. ``plain_l2tp`` leaves IKE and ESP out."""

    def __init__(
        self,
        options: TunnelOptions,
        random_bytes: RandomBytes,
        recorder: Recorder,
        *,
        patience: Patience | None = None,
    ) -> None:
        self.options = options
        self.stage = Stage.IKE
        self.events: deque[object] = deque()
        """Engine events in order, for the run to decide on."""
        self.lossy = False
        """Earlier questions had to be repeated: PPP, which starts last, is given more patience."""
        self.heard_at = 0.0
        """When the last L2TP packet came."""
        self._random = random_bytes
        self._patience = patience
        self._recorder = recorder
        self._out: list[Packet] = []
        self.ikes: IkeSas | None = None
        self.esp = EspChannel(options, recorder, random_bytes, self._send)
        self.agreed: list[ChildSa] = []
        """Every SA pair that quick mode agreed on, for the key files."""
        self.l2tp: L2tpTunnel | None = None
        self.ppp: PppLink | None = None
        self._session: int | None = None
        self._tunnels = 0
        self._last_sent = 0.0
        self._farewell: float | None = None
        self._renewed: float | None = None
        """When the newest of several SA pairs was made; the older ones are still there."""
        self._repeat_qm3: float | None = None
        if not options.plain_l2tp:
            self.ikes = IkeSas(options, recorder, self._ike_config(patience), random_bytes)

    # --- configuration ----------------------------------------------------------------------

    @property
    def force_encapsulation(self) -> bool:
        """Claim a NAT unless this user may send protocol 50 itself."""
        return not self.options.plain_esp_possible

    def _ike_config(self, patience: Patience | None) -> ike_config.InitiatorConfig:
        o = self.options
        return ike_config.InitiatorConfig(
            transforms=o.offered_ike(),
            esp_transforms=o.offered_esp(),
            vendor_ids=o.vendor_ids,
            psk=o.psk,
            credentials=o.credentials,
            trust_anchors=o.trust_anchors,
            expected_name=o.expected_name,
            verify_time=o.verify_time,
            force_encapsulation=self.force_encapsulation,
            patience=patience or self._patience,
            local_port=L2TP_PORT,
            remote_port=L2TP_PORT,
            pfs_group=o.pfs_group,
            dialled=o.gateway,
            fragment_size=0,
        )

    def _l2tp_config(self) -> L2tpConfig:
        o = self.options
        return L2tpConfig(
            host_name=o.host_name.encode(),
            secret=o.l2tp_secret,
            challenge=o.l2tp_secret is not None,
            stop_without_secret=False,
            retransmit=L2TP_RETRANSMIT,
            reply_timeout=REPLY_LOSSY if self.lossy else REPLY,
        )

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
            self._pump_l2tp(now)
            if len(self._out) == before:
                break
        self._say_goodbye_to_ike(now)
        packets, self._out = self._out, []
        if packets:
            self._last_sent = now
        return packets

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called; None: never."""
        timers = [self._farewell, self._keepalive_at(), self._repeat_qm3, self._retire_at()]
        for engine in (self.ikes, self.l2tp, self.ppp):
            if engine is not None:
                timers.append(engine.get_timer())
        return min((t for t in timers if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for engine in (self.ikes, self.l2tp, self.ppp):
            if engine is not None and _due(engine.get_timer(), now):
                engine.handle_timer(now)
        if _due(self._repeat_qm3, now):
            self._insist(now)
        if _due(self._retire_at(), now):
            self._retire(now)
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
        if self.l2tp is not None:
            self.l2tp.close(now, 6, None, b"")  # the address it may hold is needed again
            self._send_l2tp(now)
        self.l2tp = self.ppp = self._session = None
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
        if self.l2tp is None:
            if not self.esp.udp and not self.options.plain_esp_possible:
                self.events.append(
                    LocalProtocolError("plain ESP was agreed and cannot be sent here")
                )
                return
            self._start_l2tp(now)
        elif self.stage is Stage.UP:
            self._renewed = now
            self._repeat_qm3 = now + _REPEAT_QM3 if child.initiated else None

    # --- renewing the keys ------------------------------------------------------------------

    def renew_ipsec(self, now: float) -> int:
        """A new quick mode under the IKE SA in use; its message id.

        :raises LocalProtocolError: there is no IKE SA.
        """
        if self.ikes is None:
            raise LocalProtocolError("no IPsec in this tunnel")
        return self.ikes.start_quick_mode(now)

    def renew_ike(self, now: float) -> None:
        """A new main mode beside the IKE SA in use, and a quick mode under it. It does not say
        INITIAL-CONTACT, which would end the session (RFC 2407 section 4.6.3.3)."""
        if self.ikes is None:
            raise LocalProtocolError("no IPsec in this tunnel")
        self.ikes.renew(now, replace(self._ike_config(None), initial_contact=False))

    def _insist(self, now: float) -> None:
        """Nothing has come on the new SA: the gateway may lack the message that completes it."""
        self._repeat_qm3 = None
        if self.ikes is None or self.esp.proven:
            return
        if self.ikes.current.engine.repeat_connection():
            self._repeat_qm3 = now + _REPEAT_QM3

    def _retire_at(self) -> float | None:
        if self._renewed is None:
            return None
        return self._renewed + (_RETIRE_PROVEN if self.esp.proven else _RETIRE)

    def _retire(self, now: float) -> None:
        """Delete what was replaced."""
        self._renewed = self._repeat_qm3 = None
        if self.ikes is not None and self.esp.child is not None:
            self.ikes.drop_old(self.esp.child, now)
            self.esp.keep(self.ikes.children)

    def start_quick_mode(
        self, now: float, *, pfs_group: int | None, transforms: tuple[EspTransform, ...]
    ) -> None:
        """Another quick mode, after the first was refused."""
        assert self.ikes is not None
        offer = replace(self._ike_config(None), pfs_group=pfs_group, esp_transforms=transforms)
        self.ikes.start_quick_mode(now, offer)

    def receive_esp(self, packet: bytes, flow: Flow, frame: int, now: float) -> None:
        """An ESP packet, from UDP 4500 or protocol 50. Packets of other SAs are counted only."""
        datagram = self.esp.receive(packet, flow, frame, now)
        if datagram is not None:
            source = (self.options.gateway, datagram.source_port)
            self._receive_l2tp(datagram.payload, "esp", source, frame, now)

    def _send(self, flow: Flow, data: bytes, now: float) -> int:
        o = self.options
        port = {Flow.NATT: o.port_natt, Flow.IKE: o.port_ike}.get(flow, 0)
        frame = self._recorder.packet(
            now, flow, "out", (o.local, port), (o.gateway, o.gateway_ports[flow]), data
        )
        self._out.append(Packet(flow, data))
        return frame

    # --- L2TP -------------------------------------------------------------------------------

    def _start_l2tp(self, now: float) -> None:
        self.stage = Stage.L2TP
        self._session = None
        self._tunnels += 1
        self.l2tp = L2tpTunnel(Role.LAC, self._l2tp_config(), self._random)
        self.l2tp.start(now)

    def receive_l2tp(
        self, datagram: bytes, source: tuple[str, int], frame: int, now: float
    ) -> None:
        """L2TP in the clear, of a plain tunnel."""
        self._receive_l2tp(datagram, "clear", source, frame, now)

    def _receive_l2tp(
        self, datagram: bytes, inside: str, source: tuple[str, int], frame: int, now: float
    ) -> None:
        if self.l2tp is None:
            return
        self.heard_at = now
        self.l2tp.receive(datagram, now)
        wrong = self._drain_l2tp(now)
        self._recorder.add(
            self._recorder.l2tp.observe(
                datagram,
                t=self._recorder.t(now),
                frames=(frame,),
                direction="in",
                inside="esp" if inside == "esp" else "clear",
                source=source,
                destination=(self.options.local, L2TP_PORT),
                response_valid=False if wrong else None,
            )
        )
        self._drain_ppp(now)

    def _drain_l2tp(self, now: float) -> bool:
        """Handle the tunnel's events; True when the peer's Challenge Response was wrong."""
        wrong = again = False
        assert self.l2tp is not None
        while (event := self.l2tp.next_event()) is not None:
            match event:
                case l2tp_events.TimedOut(acknowledged=True) if self._may_ask_again:
                    again = True
                    continue
                case l2tp_events.TunnelClosed() | l2tp_events.SessionClosed() if again:
                    continue
                case l2tp_events.TunnelEstablished():
                    if self.stage is Stage.L2TP:
                        self._session = self.l2tp.open_session(now)
                case l2tp_events.SessionEstablished():
                    if self.stage is Stage.L2TP and event.session_id == self._session:
                        self._start_ppp(now)
                case l2tp_events.PppFrame():
                    if self.ppp is not None and event.session_id == self._session:
                        self.ppp.receive(event.data, now)
                    continue
                case l2tp_events.SecretMismatch():
                    wrong = True
                case l2tp_events.MessageSent() if event.retransmission:
                    # SoftEther takes packets on an SA whose QM3 was lost, and ends all after 5 s.
                    if self.ikes is not None and (self.lossy or not self.esp.came):
                        self.ikes.current.engine.repeat_connection()
            self.events.append(event)
        if again:
            self._send_l2tp(now)  # the farewell
            self._start_l2tp(now)
        return wrong

    @property
    def _may_ask_again(self) -> bool:
        return self.lossy and self.stage is Stage.L2TP and self._tunnels < MOST_TUNNELS

    def _pump_l2tp(self, now: float) -> None:
        if self.l2tp is None:
            return
        self._drain_l2tp(now)
        self._send_l2tp(now)
        self._drain_l2tp(now)

    def _send_l2tp(self, now: float) -> None:
        assert self.l2tp is not None
        for datagram in self.l2tp.datagrams_to_send(now):
            if self.options.plain_l2tp:
                frame: int | None = self._send(Flow.L2TP, datagram, now)
            else:
                frame = self.esp.protect(datagram, now)
            if frame is None:
                continue
            self._recorder.add(
                self._recorder.l2tp.observe(
                    datagram,
                    t=self._recorder.t(now),
                    frames=(frame,),
                    direction="out",
                    inside="clear" if self.options.plain_l2tp else "esp",
                    source=(self.options.local, L2TP_PORT),
                    destination=(self.options.gateway, L2TP_PORT),
                )
            )

    # --- PPP --------------------------------------------------------------------------------

    def _start_ppp(self, now: float) -> None:
        o = self.options
        if o.user is None:
            return  # nothing was asked beyond the session
        self.stage = Stage.PPP
        credentials = Credentials(o.user, o.password or "")
        methods = tuple(AuthMethod(m) for m in o.auth_methods)
        config = ClientConfig(credentials=credentials, mru=o.mru, timers=ppp_timers(self.lossy))
        if methods:
            config = replace(config, auth=methods)
        self.ppp = PppLink("client", config, self._random)
        self.ppp.start(now)

    def _pump_ppp(self, now: float) -> None:
        if self.ppp is None or self.l2tp is None or self._session is None:
            return
        self._drain_ppp(now)
        for frame in self.ppp.frames_to_send(now):
            try:
                self.l2tp.send_ppp(self._session, frame, now)
            except LocalProtocolError:
                return  # the session is gone
        self._drain_ppp(now)

    def _drain_ppp(self, now: float) -> None:
        if self.ppp is None:
            return
        while (event := self.ppp.next_event()) is not None:
            match event:
                case ppp_events.IpcpUp():
                    if self.stage is Stage.PPP:
                        self.stage = Stage.UP
                    if self.l2tp is not None:
                        self.l2tp.watch(HELLO_AFTER)
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
        if self.l2tp is not None:
            self._pump_l2tp(now)
            if self._session is not None:
                self.l2tp.close_session(self._session, 3, None, b"", now)
            self.l2tp.close(now, 6, None, b"")
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
            encapsulation_forced=self.force_encapsulation and not o.plain_l2tp,
        )


def _due(timer: float | None, now: float) -> bool:
    return timer is not None and timer <= now
