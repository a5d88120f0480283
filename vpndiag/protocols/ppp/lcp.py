"""LCP on one link, beyond its automaton: logins demanded and refused, Echo-Requests, loops, and the
Protocol-Rejects that only LCP can send."""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.protocols.ppp import lcp_options, protocols
from vpndiag.protocols.ppp.auth import AuthMethod, RandomBytes
from vpndiag.protocols.ppp.config import ClientConfig, ServerConfig
from vpndiag.protocols.ppp.control import ControlProtocol
from vpndiag.protocols.ppp.events import (
    AuthDemanded,
    EchoReply,
    LcpUp,
    LoopbackDetected,
    NoCommonAuth,
    TimedOut,
)
from vpndiag.protocols.ppp.lcp_options import AuthDemand
from vpndiag.protocols.ppp.lcp_policy import DEFAULT_MRU, LcpPolicy
from vpndiag.protocols.ppp.options import find
from vpndiag.protocols.ppp.packet import (
    Code,
    Configure,
    ControlPacket,
    MagicPacket,
    ProtocolReject,
    Terminate,
)
from vpndiag.protocols.ppp.repeats import Echoes
from vpndiag.protocols.ppp.wire import Wire

_REJECTED_SIZE = 1400


class Lcp:
    """``terminate`` ends the link: it is called with ``now`` and the reason to send to the peer."""

    def __init__(
        self,
        config: ClientConfig | ServerConfig,
        random_bytes: RandomBytes,
        wire: Wire,
        terminate: Callable[[float, bytes], None],
    ) -> None:
        accept: tuple[AuthMethod, ...] = ()
        demand: tuple[AuthMethod, ...] = ()
        if isinstance(config, ClientConfig):
            accept = config.auth if config.credentials is not None else ()
        else:
            demand = config.auth
        self._policy = LcpPolicy(random_bytes, config.mru, accept, demand)
        self.control = ControlProtocol(protocols.LCP, self._policy, config.timers.control)
        self._we_demand = isinstance(config, ServerConfig)
        self._wire = wire
        self._terminate = terminate
        self._echoes = Echoes(config.timers.echo_interval, config.timers.echo_failures)
        self._demands_told: set[AuthDemanded] = set()
        self._no_common_told = False
        self._was_up = False
        self._looped = False

    def begin(self, now: float) -> None:
        """The layer below is up."""
        self.control.open(now)
        self.control.up(now)

    @property
    def opened(self) -> bool:
        return self.control.opened

    def up(self, now: float) -> None:
        """Both sides have acknowledged."""
        self._was_up = True
        control = self.control
        control.reply_magic = self._policy.magic
        mru = find(control.peer_options, lcp_options.MRU)
        value = mru.number(2) if mru is not None else None
        self._wire.tell(LcpUp(control.our_options, control.peer_options, value or DEFAULT_MRU))
        self._echoes.begin(now)

    def reject(self, protocol: int, payload: bytes) -> None:
        """Answer a packet of a protocol that is not spoken here (RFC 1661 section 5.7)."""
        if not self.opened:
            self._wire.drop(f"{protocols.protocol_name(protocol)} packet before LCP is up")
            return
        identifier = self.control.next_identifier()
        packet = ProtocolReject(identifier, protocol, payload[:_REJECTED_SIZE])
        self._wire.send_packet(protocols.LCP, packet)

    def receive(self, packet: ControlPacket, now: float) -> None:
        """A packet of the peer, on a link that is not dead."""
        if isinstance(packet, MagicPacket):
            self._note_magic(packet, now)
        self.control.receive(packet, now)
        if isinstance(packet, Configure):
            self._tell_demands()
            if self._policy.loops > 1:
                self._loop(now)

    def receive_dead(self, packet: ControlPacket) -> None:
        """A packet of the peer before the link was begun, or after its end."""
        if packet.code == Code.TERMINATE_REQUEST:
            ack = Terminate(Code.TERMINATE_ACK, packet.identifier)
            self._wire.send_packet(protocols.LCP, ack)
        else:
            self._wire.drop("LCP packet on a dead link")

    # What is negotiated about the login

    def _tell_demands(self) -> None:
        """The peer's demands that are new, and our answers."""
        for known in self._policy.answers:
            event = AuthDemanded(known.demand, known.accepted, known.counter)
            if event not in self._demands_told:
                self._demands_told.add(event)
                self._wire.tell(event)

    def tell_no_common_auth(self) -> None:
        """No login method suits both."""
        answers = self._policy.refusals if self._we_demand else self._policy.answers
        if not self._no_common_told:
            self._no_common_told = True
            self._wire.tell(NoCommonAuth(tuple(answers), self._we_demand))

    @property
    def no_common_auth(self) -> bool:
        return self._policy.no_common_auth

    def tell_why_terminated(self) -> None:
        """The peer ends the link: over the login, where it never came up and we refused all."""
        answers = self._policy.answers
        if answers and not self._was_up and not any(known.accepted for known in answers):
            self.tell_no_common_auth()

    @property
    def login_demand(self) -> AuthDemand | None:
        """The login that was agreed on: the one that we demand as a server, or the peer does."""
        control = self.control
        options = control.our_options if self._we_demand else control.peer_options
        option = find(options, lcp_options.AUTH)
        return lcp_options.read_auth(option) if option is not None else None

    # Magic numbers: echoes and loops (RFC 1661 sections 5.8 and 6.4)

    @property
    def echo_at(self) -> float | None:
        """When :meth:`echo_due` is to be called."""
        return self._echoes.at

    def send_echo(self, now: float) -> None:
        identifier = self.control.next_identifier()
        self._echoes.asked(identifier, now)
        packet = MagicPacket(Code.ECHO_REQUEST, identifier, self._policy.magic)
        self._wire.send_packet(protocols.LCP, packet)

    def echo_due(self, now: float) -> None:
        """Send the next Echo-Request, or end the link for want of answers."""
        if not self.opened:
            self._echoes.stop()
        elif self._echoes.given_up:
            self._wire.tell(TimedOut("LCP Echo-Reply", self._echoes.unanswered))
            self._terminate(now, b"Peer not responding")
        else:
            self.send_echo(now)
            self._echoes.wait(now)

    def stop_echoes(self) -> None:
        self._echoes.stop()

    def _note_magic(self, packet: MagicPacket, now: float) -> None:
        """An Echo-Reply is told; an Echo-Request of our own that comes back is a loop."""
        if packet.code == Code.ECHO_REPLY:
            rtt = self._echoes.answered(packet.identifier, now)
            if rtt is not None:
                self._wire.tell(EchoReply(rtt))
        if packet.code == Code.ECHO_REQUEST and 0 < packet.magic == self._policy.magic:
            self._loop(now)

    def _loop(self, now: float) -> None:
        if not self._looped:
            self._looped = True
            self._wire.tell(LoopbackDetected())
            self._terminate(now, b"Loopback detected")
