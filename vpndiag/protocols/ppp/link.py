"""A whole PPP link in either role: phases (RFC 1661 section 3.2) over the protocol engines.

No I/O, no clock: ``now`` is in seconds on any monotonic scale, and all randomness comes from the
``random_bytes`` given. The caller moves frames (L2TP data messages), calls :meth:`handle_timer`
at :meth:`get_timer`, and reads events until :meth:`next_event` gives None.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from vpndiag.protocols.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ppp import describe, lcp_options, protocols
from vpndiag.protocols.ppp.auth import (
    AuthEngine,
    AuthMethod,
    AuthOutcome,
    AuthTimeout,
    Notice,
    RandomBytes,
    method_of,
)
from vpndiag.protocols.ppp.auth_factory import make_authenticator, make_peer
from vpndiag.protocols.ppp.automaton import State
from vpndiag.protocols.ppp.config import (
    AddressRefusal,
    Assignment,
    ClientConfig,
    FallSilent,
    HangUp,
    NoAddress,
    Point,
    ServerConfig,
)
from vpndiag.protocols.ppp.control import (
    ControlNotice,
    ControlProtocol,
    DroppedNotice,
    StuckNotice,
    TerminatedNotice,
    TimeoutNotice,
    Upcall,
)
from vpndiag.protocols.ppp.events import (
    AddressRefused,
    AuthDemanded,
    AuthResult,
    CcpDemanded,
    Dropped,
    EchoReply,
    Finished,
    IpPacket,
    LcpUp,
    LinkEvent,
    LoopbackDetected,
    NegotiationStuck,
    NoCommonAuth,
    PacketReceived,
    PacketSent,
    Phase,
    ProtocolRejected,
    Terminated,
    TimedOut,
)
from vpndiag.protocols.ppp.frame import decode_frame, encode_frame
from vpndiag.protocols.ppp.negotiation import (
    DEFAULT_MRU,
    CcpDemandPolicy,
    IpcpClientPolicy,
    IpcpServerPolicy,
    Ipv6cpPolicy,
    LcpPolicy,
)
from vpndiag.protocols.ppp.options import Options, find
from vpndiag.protocols.ppp.packet import (
    Code,
    Configure,
    MagicPacket,
    ProtocolReject,
    Terminate,
    decode_packet,
    encode_packet,
)
from vpndiag.protocols.ppp.results import ipcp_result, ipv6cp_result

_MEMORY = 16
_REJECTED_SIZE = 1400
_ACKS_UP = 6
"""Times that IPCP's last Ack is sent again while nothing comes through an open link."""
_AHEAD = 0xFF
"""Identifier of an IPCP request that is sent before the login is known to be over."""


class PppLink:
    """One link. ``role`` says which kind of ``config`` it wants."""

    def __init__(
        self,
        role: Literal["client", "server"],
        config: ClientConfig | ServerConfig,
        random_bytes: RandomBytes,
    ) -> None:
        """:raises LocalProtocolError: ``role`` and ``config`` do not belong together."""
        if (role == "client") != isinstance(config, ClientConfig):
            raise LocalProtocolError(f"a {role} needs the configuration of one")
        self.role = role
        self.phase = Phase.DEAD
        self._config = config
        self._random = random_bytes
        self._timers = config.timers
        accept: tuple[AuthMethod, ...] = ()
        demand: tuple[AuthMethod, ...] = ()
        if isinstance(config, ClientConfig):
            accept = config.auth if config.credentials is not None else ()
        else:
            demand = config.auth
        self._policy = LcpPolicy(random_bytes, config.mru, accept, demand, config.use_magic)
        self._lcp = ControlProtocol(protocols.LCP, self._policy, config.timers.control)
        self._ncps: dict[int, ControlProtocol] = {}
        self._peer_auth: tuple[AuthMethod, AuthEngine] | None = None
        self._our_auth: tuple[AuthMethod, AuthEngine] | None = None
        self._auth_pending: set[str] = set()
        self._user = b""
        self._silent = False
        self._ended = False
        self._was_up = False
        self._looped = False
        self._no_common_told = False
        self._demands_told: set[AuthDemanded] = set()
        self._ccp_told: set[Options] = set()
        self._assignment: Assignment | NoAddress | None = None
        self._hang_up_at: tuple[float, bytes] | None = None
        self._echo_at: float | None = None
        self._ack_at: float | None = None
        """When our Configure-Ack is sent again, as long as the peer does not go on."""
        self._acks_left = 0
        self._early: tuple[int, bytes] | None = None
        """A Challenge that came before the Ack that opens LCP here: the network may reorder or lose
        packets, and SoftEther says its Challenge five times and no more."""
        self._echoes: dict[int, float] = {}
        self._frames: list[bytes] = []
        self._events: deque[LinkEvent] = deque()
        self._sent: deque[tuple[int, bytes]] = deque(maxlen=_MEMORY)
        self._received: deque[tuple[int, bytes]] = deque(maxlen=_MEMORY)

    # The calls of the driver

    def start(self, now: float) -> None:
        """The layer below is up: begin with LCP."""
        if self.phase is not Phase.DEAD or self._ended:
            raise LocalProtocolError("the link was started before")
        self.phase = Phase.ESTABLISH
        if self._reached(Point.START, now):
            return
        self._lcp.open(now)
        self._lcp.up(now)
        self._pump(now)

    def receive(self, frame: bytes, now: float) -> None:
        """A frame from the peer. Never raises: what is wrong with it becomes an event."""
        if self._silent:
            return
        try:
            decoded = decode_frame(frame)
        except DecodeError as error:
            self._drop(f"PPP frame: {error}")
            return
        protocol, payload = decoded.protocol, decoded.payload
        if protocol in (protocols.IP, protocols.IPV6):
            self._receive_ip(protocol, payload, now)
            return
        self._note_received(protocol, payload, frame)
        try:
            self._dispatch(protocol, payload, now)
        except RemoteProtocolError as error:
            self._drop(f"{protocols.protocol_name(protocol)} packet: {error}")
        self._pump(now)

    def frames_to_send(self, now: float) -> list[bytes]:
        """The frames queued since the last call, in order."""
        frames, self._frames = self._frames, []
        return frames

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called; None: not before something comes."""
        if self._silent:
            return None
        times = [self._lcp.get_timer(), self._echo_at, self._ack_at]
        times += [ncp.get_timer() for ncp in self._ncps.values()]
        times += [engine.get_timer() for _, engine in self._engines()]
        if self._hang_up_at is not None:
            times.append(self._hang_up_at[0])
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``; harmless when nothing is."""
        if self._silent:
            return
        for control in (self._lcp, *self._ncps.values()):
            if (due := control.get_timer()) is not None and due <= now:
                control.handle_timer(now)
        for _, engine in self._engines():
            if (due := engine.get_timer()) is not None and due <= now:
                engine.handle_timer(now)
                if engine.overdue:
                    self._ask_ahead()
        if self._echo_at is not None and self._echo_at <= now:
            self._echo_due(now)
        if self._ack_at is not None and self._ack_at <= now:
            self._ack_again(now)
        if self._hang_up_at is not None and self._hang_up_at[0] <= now:
            self.terminate(now, self._hang_up_at[1])
        self._pump(now)

    def next_event(self) -> LinkEvent | None:
        return self._events.popleft() if self._events else None

    def send_ip(self, packet: bytes, version: Literal[4, 6] = 4) -> None:
        """Queue an IP packet. Its size is not held against the peer's MRU: to find out what passes
        is the caller's business.

        :raises LocalProtocolError: that protocol is not up.
        """
        control = protocols.IPCP if version == 4 else protocols.IPV6CP
        if not self.is_open(version):
            raise LocalProtocolError(f"{protocols.protocol_name(control)} is not up")
        self._frames.append(encode_frame(protocols.IP if version == 4 else protocols.IPV6, packet))

    def is_open(self, version: Literal[4, 6] = 4) -> bool:
        """Whether packets of that IP version may flow."""
        ncp = self._ncps.get(protocols.IPCP if version == 4 else protocols.IPV6CP)
        return ncp is not None and ncp.opened and self.phase is Phase.NETWORK

    def send_echo(self, now: float) -> bool:
        """Send an LCP Echo-Request; False when LCP is not up."""
        if not self._lcp.opened or self._silent:
            return False
        identifier = self._lcp.next_identifier()
        self._echoes[identifier] = now
        while len(self._echoes) > _MEMORY:
            del self._echoes[next(iter(self._echoes))]
        packet = MagicPacket(Code.ECHO_REQUEST, identifier, self._policy.magic)
        self._send(protocols.LCP, encode_packet(packet))
        return True

    def terminate(self, now: float, reason: bytes = b"") -> None:
        """Close the link with an LCP Terminate-Request; :class:`Finished` follows when the peer
        has answered or has not. Without effect on a link that is ending already."""
        if self._ended or self.phase is Phase.DEAD or self._silent:
            return
        self._end(Terminated("us", protocols.LCP, reason, self.phase))
        self._lcp.close(now, reason)
        self._pump(now)

    def lower_down(self, now: float) -> None:
        """The layer below is gone: stop at once, without a word to the peer."""
        self._lcp.down(now)
        self._pump(now)
        self._end(None)
        self._finish()

    # Receiving

    def _receive_ip(self, protocol: int, payload: bytes, now: float) -> None:
        version: Literal[4, 6] = 4 if protocol == protocols.IP else 6
        if self.is_open(version):
            self._ack_at = None
            self._events.append(IpPacket(version, payload))
        elif version == 6 and self.phase is Phase.NETWORK and protocols.IPV6CP not in self._ncps:
            self._reject(protocol, payload)
        else:
            self._drop(f"IPv{version} packet before it was agreed on")

    def _note_received(self, protocol: int, payload: bytes, frame: bytes) -> None:
        try:
            packet = describe.decode_any(protocol, payload)
        except DecodeError:
            packet = None
        key = (protocol, payload)
        repeat = key in self._received
        self._received.append(key)
        secret = describe.carries_password(protocol, payload)
        self._events.append(PacketReceived(protocol, packet, frame, repeat, secret))

    def _dispatch(self, protocol: int, payload: bytes, now: float) -> None:
        if protocol == protocols.LCP:
            self._receive_lcp(payload, now)
        elif protocol in (protocols.PAP, protocols.CHAP, protocols.EAP):
            self._receive_auth(protocol, payload, now)
        elif self.phase is Phase.AUTHENTICATE and protocol in (protocols.IPCP, protocols.IPV6CP):
            for _, engine in self._engines():
                engine.network_phase_seen(now)
            self._pump(now)
            if self._in_network():
                self._receive_network(protocol, payload, now)
            else:
                self._drop(f"{protocols.protocol_name(protocol)} packet before the login ended")
        elif self.phase is Phase.NETWORK:
            self._receive_network(protocol, payload, now)
        elif self.phase is Phase.AUTHENTICATE and protocol not in protocols.NAMES:
            self._reject(protocol, payload)
        else:
            name = protocols.protocol_name(protocol)
            self._drop(f"{name} packet in the {self.phase.value} phase")

    def _in_network(self) -> bool:
        return self.phase is Phase.NETWORK

    def _receive_lcp(self, payload: bytes, now: float) -> None:
        packet = decode_packet(protocols.LCP, payload)
        if self.phase is Phase.DEAD or self._lcp.state <= 1:
            if packet.code == Code.TERMINATE_REQUEST:
                ack = Terminate(Code.TERMINATE_ACK, packet.identifier)
                self._send(protocols.LCP, encode_packet(ack))
            else:
                self._drop("LCP packet on a dead link")
            return
        if packet.code == Code.CONFIGURE_REQUEST and self._reached(Point.LCP_REQUEST, now):
            return
        if isinstance(packet, ProtocolReject) and self._lcp.opened:
            self._protocol_rejected(packet.protocol, now)
        elif isinstance(packet, MagicPacket):
            if packet.code == Code.ECHO_REPLY and packet.identifier in self._echoes:
                self._events.append(EchoReply(now - self._echoes[packet.identifier]))
                self._echoes.clear()
            if packet.code == Code.ECHO_REQUEST and 0 < packet.magic == self._policy.magic:
                self._loop(now)
        self._lcp.receive(packet, now)
        if isinstance(packet, Configure):
            self._after_configure(now)

    def _after_configure(self, now: float) -> None:
        for known in self._policy.answers:
            event = AuthDemanded(known.demand, known.accepted, known.counter)
            if event not in self._demands_told:
                self._demands_told.add(event)
                self._events.append(event)
        if self._policy.loops > 1:
            self._loop(now)
        if self._policy.no_common_auth:
            self._pump(now)
            self._tell_no_common_auth()
            self.terminate(now, b"No authentication protocol in common")

    def _tell_no_common_auth(self) -> None:
        ours = self.role == "server"
        answers = self._policy.refusals if ours else self._policy.answers
        if not self._no_common_told:
            self._no_common_told = True
            self._events.append(NoCommonAuth(tuple(answers), ours))

    def _loop(self, now: float) -> None:
        if not self._looped:
            self._looped = True
            self._events.append(LoopbackDetected())
            self.terminate(now, b"Loopback detected")

    def _receive_auth(self, protocol: int, payload: bytes, now: float) -> None:
        if self.role == "client" and self._lcp.state is State.ACK_SENT:
            self._early = (protocol, payload)
            return
        if self.phase not in (Phase.AUTHENTICATE, Phase.NETWORK):
            name = protocols.protocol_name(protocol)
            self._drop(f"{name} packet in the {self.phase.value} phase")
            return
        # CHAP and EAP go both ways when both sides demand a login: Challenges and Requests (odd)
        # are for the peer, Responses for the authenticator.
        self._ack_at = None
        engines = [pair for pair in self._engines() if pair[1].protocol == protocol]
        if not engines:
            self._reject(protocol, payload)
        elif len(engines) == 1 or payload[:1] != b"\x02":
            engines[0][1].receive(payload, now)
        else:
            engines[1][1].receive(payload, now)

    def _receive_network(self, protocol: int, payload: bytes, now: float) -> None:
        ncp = self._ncps.get(protocol)
        if protocol == protocols.CCP and ncp is None:
            self._note_ccp(payload)
        if protocol == protocols.IPCP and self._address_refused(payload, now):
            return
        if ncp is not None:
            ncp.receive(decode_packet(protocol, payload), now)
        elif protocol == protocols.IPCP:
            self._drop("IPCP packet before encryption was agreed on")
        else:
            self._reject(protocol, payload)

    def _note_ccp(self, payload: bytes) -> None:
        packet = decode_packet(protocols.CCP, payload)
        if not isinstance(packet, Configure) or packet.code != Code.CONFIGURE_REQUEST:
            return
        if packet.options not in self._ccp_told and len(self._ccp_told) < _MEMORY:
            self._ccp_told.add(packet.options)
            self._events.append(CcpDemanded(packet.options))

    def _address_refused(self, payload: bytes, now: float) -> bool:
        """As a server that is told to have no address; True when the packet was dealt with."""
        if self.role == "client" or payload[:1] != b"\x01":
            return False
        if self._reached(Point.IPCP_REQUEST, now):
            return True
        given = self._assignment
        if not isinstance(given, NoAddress) or given.how is AddressRefusal.REJECT_OPTION:
            return False
        if given.how is AddressRefusal.PROTOCOL_REJECT:
            self._reject(protocols.IPCP, payload)
        elif given.how is AddressRefusal.TERMINATE:
            self.terminate(now, given.message)
        return True

    def _reject(self, protocol: int, payload: bytes) -> None:
        if not self._lcp.opened:
            self._drop(f"{protocols.protocol_name(protocol)} packet before LCP is up")
            return
        identifier = self._lcp.next_identifier()
        packet = ProtocolReject(identifier, protocol, payload[:_REJECTED_SIZE])
        self._send(protocols.LCP, encode_packet(packet))

    def _protocol_rejected(self, protocol: int, now: float) -> None:
        self._events.append(ProtocolRejected(protocol))
        if self.phase is Phase.AUTHENTICATE and protocol == protocols.IPCP:
            return  # asked ahead, and in vain
        if protocol == protocols.LCP:
            self._lcp.protocol_rejected(now)
            return
        ncp = self._ncps.get(protocol)
        if ncp is not None:
            if protocol == protocols.IPCP and self.role == "client" and not ncp.opened:
                self._events.append(AddressRefused("protocol-rejected"))
            ncp.protocol_rejected(now)
        elif (
            self.role == "server"
            and self.phase is Phase.AUTHENTICATE
            and any(engine.protocol == protocol for _, engine in self._engines())
        ):
            # An authenticator that rejects its own protocol (SoftEther, after an EAP Nak) is about
            # to ask for another one: a client waits for that.
            self.terminate(now, b"Authentication protocol rejected")

    # Moving output and notices on

    def _pump(self, now: float) -> None:
        """Let everything that happened take effect, until nothing more does."""
        busy = True
        while busy:
            busy = False
            for control in (self._lcp, *self._ncps.values()):
                for packet in control.take_output():
                    self._send(control.protocol, encode_packet(packet))
                for notice in control.take_notices():
                    busy = True
                    self._control_notice(control, notice, now)
            for method, engine in self._engines():
                for payload in engine.take_output():
                    self._send(engine.protocol, payload)
                for told in engine.take_notices():
                    busy = True
                    self._auth_notice(method, engine, told, now)

    def _engines(self) -> list[tuple[AuthMethod, AuthEngine]]:
        return [pair for pair in (self._peer_auth, self._our_auth) if pair is not None]

    def _send(self, protocol: int, payload: bytes) -> None:
        if self._silent:
            return
        frame = encode_frame(protocol, payload)
        self._frames.append(frame)
        key = (protocol, payload)
        repeat = key in self._sent
        self._sent.append(key)
        packet = describe.decode_any(protocol, payload)
        secret = describe.carries_password(protocol, payload)
        self._events.append(PacketSent(protocol, packet, frame, repeat, secret))

    def _drop(self, reason: str) -> None:
        self._events.append(Dropped(reason))

    def _control_notice(self, control: ControlProtocol, notice: ControlNotice, now: float) -> None:
        match notice:
            case TimeoutNotice():
                self._events.append(TimedOut(notice.waiting_for, notice.tries))
            case StuckNotice():
                self._events.append(NegotiationStuck(control.protocol, notice.options))
                self.terminate(now, b"Negotiation does not converge")
            case DroppedNotice():
                self._drop(notice.reason)
            case TerminatedNotice():
                self._peer_terminates(control, notice.message)
            case Upcall() if control is self._lcp:
                self._lcp_upcall(notice, now)
            case Upcall():
                self._ncp_upcall(control, notice, now)

    def _peer_terminates(self, control: ControlProtocol, message: bytes) -> None:
        event = Terminated("peer", control.protocol, message, self.phase)
        if control is not self._lcp:
            self._events.append(event)
        elif not self._ended:
            refused = any(not known.accepted for known in self._policy.answers)
            accepted = any(known.accepted for known in self._policy.answers)
            if not self._was_up and refused and not accepted:
                self._tell_no_common_auth()
            self._end(event)
            if self._lcp.state in (6, 7, 8):
                # The table would go on asking a peer that has just said goodbye.
                self._lcp.down(0.0)
                self._finish()

    def _watch_ack(self, now: float, left: int) -> None:
        wait = self._timers.ack_again
        self._acks_left = left
        self._ack_at = now + wait if wait is not None and left > 0 else None

    def _ack_again(self, now: float) -> None:
        """The server does not begin with the login, or nothing comes through the open link: our
        Configure-Ack may be lost. SoftEther and pppd ask for it every 3 to 9 s only; one that has
        it takes this for a duplicate."""
        control = self._ncps.get(protocols.IPCP) if self.phase is Phase.NETWORK else self._lcp
        self._watch_ack(now, self._acks_left - 1)
        if control is not None and control.opened and control.answer is not None:
            self._send(control.protocol, encode_packet(control.answer))

    def _ask_ahead(self) -> None:
        """Ask for an address although no Success came. It may be lost: a server that has let us in
        answers this, and any other drops it silently (RFC 1661 section 3.5)."""
        config = self._config
        if isinstance(config, ClientConfig):
            policy = IpcpClientPolicy(config.address, config.want_dns, config.want_nbns)
            ask = Configure(Code.CONFIGURE_REQUEST, _AHEAD, policy.request())
            self._send(protocols.IPCP, encode_packet(ask))

    def _end(self, event: Terminated | None) -> None:
        if self._ended:
            return
        self._ended = True
        if event is not None:
            self._events.append(event)
        self.phase = Phase.TERMINATE
        self._leave_network()

    def _leave_network(self) -> None:
        self._ncps = {}
        self._peer_auth = self._our_auth = None
        self._hang_up_at = self._echo_at = self._ack_at = None
        self._auth_pending.clear()

    def _finish(self) -> None:
        if self.phase is not Phase.DEAD:
            self.phase = Phase.DEAD
            self._leave_network()
            self._ended = True
            self._events.append(Finished())

    def _lcp_upcall(self, notice: Upcall, now: float) -> None:
        if notice is Upcall.FINISHED:
            self._finish()
        elif self._ended:
            return
        elif notice is Upcall.DOWN:
            self.phase = Phase.ESTABLISH
            self._leave_network()
        else:
            self._lcp_up(now)

    def _lcp_up(self, now: float) -> None:
        self._was_up = True
        lcp = self._lcp
        lcp.reply_magic = self._policy.magic
        mru = find(lcp.peer_options, lcp_options.MRU)
        value = mru.number(2) if mru is not None else None
        self._events.append(LcpUp(lcp.our_options, lcp.peer_options, value or DEFAULT_MRU))
        self._echoes.clear()
        interval = self._timers.echo_interval
        self._echo_at = None if interval is None else now + interval
        self.phase = Phase.AUTHENTICATE
        if self._reached(Point.LCP_UP, now):
            return
        self._begin_auth(now)
        if not self._auth_pending:
            self._begin_network(now)

    def _begin_auth(self, now: float) -> None:
        theirs = find(self._lcp.peer_options, lcp_options.AUTH)
        demand = lcp_options.read_auth(theirs) if theirs is not None else None
        method = method_of(demand) if demand is not None else None
        config = self._config
        if isinstance(config, ClientConfig) and method is not None:
            self._peer_auth = (method, make_peer(config, method, self._random))
            if method is not AuthMethod.PAP:
                self._watch_ack(now, self._timers.acks_again)
            self._auth_pending.add("peer")
        ours = find(self._lcp.our_options, lcp_options.AUTH)
        demand = lcp_options.read_auth(ours) if ours is not None else None
        method = method_of(demand) if demand is not None else None
        if isinstance(config, ServerConfig) and method is not None:
            self._our_auth = (method, make_authenticator(config, method, self._random))
            self._auth_pending.add("ours")
        for _, engine in self._engines():
            engine.start(now)
        early, self._early = self._early, None
        if early is not None and any(e.protocol == early[0] for _, e in self._engines()):
            try:
                self._receive_auth(*early, now)
            except RemoteProtocolError as error:
                self._drop(f"{protocols.protocol_name(early[0])} packet: {error}")

    def _auth_notice(
        self, method: AuthMethod, engine: AuthEngine, notice: Notice, now: float
    ) -> None:
        if isinstance(notice, AuthTimeout):
            self._events.append(TimedOut(notice.waiting_for, notice.tries))
            self.terminate(now, b"Authentication timed out")
        elif isinstance(notice, AuthOutcome):
            self._auth_outcome(method, engine, notice, now)
        else:
            self._drop(notice.reason)

    def _auth_outcome(
        self, method: AuthMethod, engine: AuthEngine, outcome: AuthOutcome, now: float
    ) -> None:
        ours = self._our_auth is not None and self._our_auth[1] is engine
        self._events.append(
            AuthResult(
                method,
                outcome.ok,
                outcome.message,
                outcome.code,
                outcome.retry,
                outcome.server_proof,
                outcome.user,
                outcome.inner,
                ours,
            )
        )
        if not outcome.ok:
            grace = self._timers.retry_grace if outcome.retry else self._timers.refusal_grace
            if ours and grace > 0:
                self._hang_up_at = (now + grace, b"Authentication failed")
            else:
                self.terminate(now, b"Authentication failed")
            return
        self._auth_pending.discard("ours" if ours else "peer")
        self._user = outcome.user
        if self._auth_pending or self.phase is not Phase.AUTHENTICATE:
            return
        if not self._reached(Point.LOGIN_OK, now):
            self._begin_network(now)

    # Network phase

    def _begin_network(self, now: float) -> None:
        self.phase = Phase.NETWORK
        config = self._config
        if isinstance(config, ServerConfig) and config.require_mppe:
            self._open_ncp(protocols.CCP, CcpDemandPolicy(), now)
            return
        if isinstance(config, ClientConfig):
            self._open_ncp(
                protocols.IPCP,
                IpcpClientPolicy(config.address, config.want_dns, config.want_nbns),
                now,
            )
        else:
            given = config.policy.assign(self._user)
            self._assignment = given
            if isinstance(given, Assignment) or given.how is AddressRefusal.REJECT_OPTION:
                self._open_ncp(protocols.IPCP, IpcpServerPolicy(given), now)
        if config.want_ipv6:
            self._open_ncp(protocols.IPV6CP, Ipv6cpPolicy(self._random), now)

    def _open_ncp(
        self,
        protocol: int,
        policy: CcpDemandPolicy | IpcpClientPolicy | IpcpServerPolicy | Ipv6cpPolicy,
        now: float,
    ) -> None:
        ncp = ControlProtocol(protocol, policy, self._timers.control)
        self._ncps[protocol] = ncp
        ncp.open(now)
        ncp.up(now)

    def _ncp_upcall(self, ncp: ControlProtocol, notice: Upcall, now: float) -> None:
        if self._ncps.get(ncp.protocol) is not ncp:
            return
        if ncp.protocol == protocols.CCP:
            self.terminate(now, b"MPPE required but peer negotiation failed")
        elif notice is Upcall.UP:
            if ncp.protocol == protocols.IPCP:
                self._ipcp_up(ncp, now)
            else:
                self._events.append(ipv6cp_result(ncp.our_options, ncp.peer_options))
        elif notice is Upcall.FINISHED and not any(n.opened for n in self._ncps.values()):
            others = [n for n in self._ncps.values() if n is not ncp and n.state >= 6]
            if not others:
                self.terminate(now, b"No network protocols running")

    def _ipcp_up(self, ncp: ControlProtocol, now: float) -> None:
        result = ipcp_result(self.role == "client", ncp.our_options, ncp.peer_options)
        self._events.append(result)
        if isinstance(result, AddressRefused):
            self.terminate(now, b"No IP address was assigned")
            return
        if self.role == "client":
            self._watch_ack(now, _ACKS_UP)
        self._reached(Point.IPCP_UP, now)

    # Odds and ends

    def _reached(self, point: Point, now: float) -> bool:
        """Ask a server's policy; True when it does not go on."""
        if not isinstance(self._config, ServerConfig):
            return False
        conduct = self._config.policy.at(point)
        if isinstance(conduct, FallSilent):
            self._pump_output()
            self._silent = True
            return True
        if isinstance(conduct, HangUp):
            if conduct.after > 0:
                self._hang_up_at = (now + conduct.after, conduct.message)
            else:
                self.terminate(now, conduct.message)
            return True
        return False

    def _pump_output(self) -> None:
        for control in (self._lcp, *self._ncps.values()):
            for packet in control.take_output():
                self._send(control.protocol, encode_packet(packet))
        for _, engine in self._engines():
            for payload in engine.take_output():
                self._send(engine.protocol, payload)

    def _echo_due(self, now: float) -> None:
        interval = self._timers.echo_interval
        if interval is None or not self._lcp.opened:
            self._echo_at = None
            return
        if len(self._echoes) >= self._timers.echo_failures:
            self._events.append(TimedOut("LCP Echo-Reply", len(self._echoes)))
            self.terminate(now, b"Peer not responding")
            return
        self.send_echo(now)
        self._echo_at = now + interval
