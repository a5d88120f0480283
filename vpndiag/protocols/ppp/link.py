"""A whole PPP link in either role: phases (RFC 1661 section 3.2) over the protocol engines.

No I/O, no clock: ``now`` is in seconds on any monotonic scale, and all randomness comes from the
``random_bytes`` given. The caller moves frames (L2TP data messages), calls :meth:`handle_timer`
at :meth:`get_timer`, and reads events until :meth:`next_event` gives None.
"""

from __future__ import annotations

from typing import Literal

from vpndiag.protocols.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ppp import protocols
from vpndiag.protocols.ppp.auth import AuthOutcome, AuthTimeout, Notice, RandomBytes
from vpndiag.protocols.ppp.automaton import State
from vpndiag.protocols.ppp.conduct import Course
from vpndiag.protocols.ppp.config import ClientConfig, Point, ServerConfig
from vpndiag.protocols.ppp.control import ControlProtocol
from vpndiag.protocols.ppp.control_terms import (
    ControlNotice,
    DroppedNotice,
    StuckNotice,
    TerminatedNotice,
    TimeoutNotice,
    Upcall,
)
from vpndiag.protocols.ppp.events import (
    Finished,
    IpPacket,
    LinkEvent,
    NegotiationStuck,
    Phase,
    ProtocolRejected,
    Terminated,
    TimedOut,
)
from vpndiag.protocols.ppp.frame import decode_frame
from vpndiag.protocols.ppp.lcp import Lcp
from vpndiag.protocols.ppp.login import Login
from vpndiag.protocols.ppp.network import NetworkPhase
from vpndiag.protocols.ppp.packet import Code, Configure, ProtocolReject, decode_packet
from vpndiag.protocols.ppp.repeats import ACKS_UP, AckAgain
from vpndiag.protocols.ppp.wire import Wire


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
        self._timers = config.timers
        self._wire = Wire()
        self._lcp = Lcp(config, random_bytes, self._wire, self.terminate)
        self._login = Login(config, random_bytes, self._wire)
        self._network = NetworkPhase(config, random_bytes, self._wire, self.terminate)
        self._ack = AckAgain()
        self._course = Course(config, self.terminate, self._fall_silent)
        self._ended = False

    # The calls of the driver

    def start(self, now: float) -> None:
        """The layer below is up: begin with LCP."""
        if self.phase is not Phase.DEAD or self._ended:
            raise LocalProtocolError("the link was started before")
        self.phase = Phase.ESTABLISH
        if self._course.ends_at(Point.START, now):
            return
        self._lcp.begin(now)
        self._pump(now)

    def receive(self, frame: bytes, now: float) -> None:
        """A frame from the peer. Never raises: what is wrong with it becomes an event."""
        if self._wire.silent:
            return
        try:
            decoded = decode_frame(frame)
        except DecodeError as error:
            self._wire.drop(f"PPP frame: {error}")
            return
        protocol, payload = decoded.protocol, decoded.payload
        if protocol in (protocols.IP, protocols.IPV6):
            self._receive_ip(protocol, payload)
            return
        self._wire.received(protocol, payload, frame)
        try:
            self._dispatch(protocol, payload, now)
        except RemoteProtocolError as error:
            self._wire.drop(f"{protocols.protocol_name(protocol)} packet: {error}")
        self._pump(now)

    def frames_to_send(self, now: float) -> list[bytes]:
        """The frames queued since the last call, in order."""
        return self._wire.take_frames()

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called; None: not before something comes."""
        if self._wire.silent:
            return None
        times = [control.get_timer() for control in self._controls]
        times += [self._lcp.echo_at, self._ack.at]
        times += [self._login.get_timer(), self._course.get_timer()]
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``; harmless when nothing is."""
        if self._wire.silent:
            return
        for control in self._controls:
            if _due(control.get_timer(), now):
                control.handle_timer(now)
        if self._login.handle_timer(now):
            self._network.ask_ahead()
        if _due(self._lcp.echo_at, now):
            self._lcp.echo_due(now)
        if _due(self._ack.at, now):
            self._ack_again(now)
        self._course.handle_timer(now)
        self._pump(now)

    def next_event(self) -> LinkEvent | None:
        return self._wire.next_event()

    def send_ip(self, packet: bytes, version: Literal[4, 6] = 4) -> None:
        """Queue an IP packet. Its size is not held against the peer's MRU: to find out what passes
        is the caller's business.

        :raises LocalProtocolError: that protocol is not up.
        """
        self._network.send_ip(packet, version)

    def is_open(self, version: Literal[4, 6] = 4) -> bool:
        """Whether packets of that IP version may flow."""
        return self._network.is_open(version)

    def send_echo(self, now: float) -> bool:
        """Send an LCP Echo-Request; False when LCP is not up."""
        if not self._lcp.opened or self._wire.silent:
            return False
        self._lcp.send_echo(now)
        return True

    def terminate(self, now: float, reason: bytes = b"") -> None:
        """Close the link with an LCP Terminate-Request; :class:`Finished` follows when the peer
        has answered or has not. Without effect on a link that is ending already."""
        if self._ended or self.phase is Phase.DEAD or self._wire.silent:
            return
        self._end(Terminated("us", protocols.LCP, reason, self.phase))
        self._lcp.control.close(now, reason)
        self._pump(now)

    def lower_down(self, now: float) -> None:
        """The layer below is gone: stop at once, without a word to the peer."""
        self._lcp.control.down(now)
        self._pump(now)
        self._end(None)
        self._finish()

    # Receiving

    def _receive_ip(self, protocol: int, payload: bytes) -> None:
        version: Literal[4, 6] = 4 if protocol == protocols.IP else 6
        if self.is_open(version):
            self._ack.stop()
            self._wire.tell(IpPacket(version, payload))
        elif version == 6 and self._in_network and self._network.get(protocols.IPV6CP) is None:
            self._lcp.reject(protocol, payload)
        else:
            self._wire.drop(f"IPv{version} packet before it was agreed on")

    def _dispatch(self, protocol: int, payload: bytes, now: float) -> None:
        name = protocols.protocol_name(protocol)
        if protocol == protocols.LCP:
            self._receive_lcp(payload, now)
        elif protocol in (protocols.PAP, protocols.CHAP, protocols.EAP):
            self._receive_auth(protocol, payload, now)
        elif self.phase is Phase.AUTHENTICATE and protocol in (protocols.IPCP, protocols.IPV6CP):
            self._login.network_phase_seen(now)
            self._pump(now)
            if self._in_network:
                self._receive_network(protocol, payload, now)
            else:
                self._wire.drop(f"{name} packet before the login ended")
        elif self.phase is Phase.NETWORK:
            self._receive_network(protocol, payload, now)
        elif self.phase is Phase.AUTHENTICATE and protocol not in protocols.NAMES:
            self._lcp.reject(protocol, payload)
        else:
            self._wire.drop(f"{name} packet in the {self.phase.value} phase")

    @property
    def _in_network(self) -> bool:
        return self.phase is Phase.NETWORK

    def _receive_lcp(self, payload: bytes, now: float) -> None:
        packet = decode_packet(protocols.LCP, payload)
        if self.phase is Phase.DEAD or self._lcp.control.state in (State.INITIAL, State.STARTING):
            self._lcp.receive_dead(packet)
            return
        if packet.code == Code.CONFIGURE_REQUEST and self._course.ends_at(Point.LCP_REQUEST, now):
            return
        if isinstance(packet, ProtocolReject) and self._lcp.opened:
            self._protocol_rejected(packet.protocol, now)
        self._lcp.receive(packet, now)
        if isinstance(packet, Configure) and self._lcp.no_common_auth:
            self._pump(now)
            self._lcp.tell_no_common_auth()
            self.terminate(now, b"No authentication protocol in common")

    def _receive_auth(self, protocol: int, payload: bytes, now: float) -> None:
        if self.role == "client" and self._lcp.control.state is State.ACK_SENT:
            self._login.keep(protocol, payload)
            return
        if self.phase not in (Phase.AUTHENTICATE, Phase.NETWORK):
            name = protocols.protocol_name(protocol)
            self._wire.drop(f"{name} packet in the {self.phase.value} phase")
            return
        self._ack.stop()
        if not self._login.receive(protocol, payload, now):
            self._lcp.reject(protocol, payload)

    def _receive_network(self, protocol: int, payload: bytes, now: float) -> None:
        asks = protocol == protocols.IPCP and payload[:1] == b"\x01"
        if asks and self._course.ends_at(Point.IPCP_REQUEST, now):
            return
        if not self._network.receive(protocol, payload, now):
            self._lcp.reject(protocol, payload)

    def _protocol_rejected(self, protocol: int, now: float) -> None:
        self._wire.tell(ProtocolRejected(protocol))
        logging_in = self.phase is Phase.AUTHENTICATE
        if logging_in and protocol == protocols.IPCP:
            return  # asked ahead, and in vain
        if protocol == protocols.LCP:
            self._lcp.control.protocol_rejected(now)
        elif self._network.rejected(protocol, now) or self.role == "client":
            return
        elif logging_in and self._login.speaks(protocol):
            # An authenticator that rejects its own protocol (SoftEther, after an EAP Nak) is about
            # to ask for another one: a client waits for that.
            self.terminate(now, b"Authentication protocol rejected")

    # Moving output and notices on

    @property
    def _controls(self) -> tuple[ControlProtocol, ...]:
        return (self._lcp.control, *self._network.controls)

    def _pump(self, now: float) -> None:
        """Let everything that happened take effect, until nothing more does."""
        busy = True
        while busy:
            busy = False
            for control in self._controls:
                self._wire.send_packets(control.protocol, control.take_output())
                for notice in control.take_notices():
                    busy = True
                    self._control_notice(control, notice, now)
            self._login.send_output()
            for told in self._login.take_notices():
                busy = True
                self._auth_notice(told, now)

    def _control_notice(self, control: ControlProtocol, notice: ControlNotice, now: float) -> None:
        match notice:
            case TimeoutNotice():
                self._wire.tell(TimedOut(notice.waiting_for, notice.tries))
            case StuckNotice():
                self._wire.tell(NegotiationStuck(control.protocol, notice.options))
                self.terminate(now, b"Negotiation does not converge")
            case DroppedNotice():
                self._wire.drop(notice.reason)
            case TerminatedNotice():
                self._peer_terminates(control, notice.message)
            case Upcall() if control is self._lcp.control:
                self._lcp_upcall(notice, now)
            case Upcall():
                if self._network.upcall(control, notice, now):
                    self._ip_may_flow(now)

    def _auth_notice(self, notice: Notice, now: float) -> None:
        if isinstance(notice, AuthTimeout):
            self._wire.tell(TimedOut(notice.waiting_for, notice.tries))
            self.terminate(now, b"Authentication timed out")
        elif isinstance(notice, AuthOutcome):
            self._login.ended(notice)
            if notice.ok:
                self._logged_in(now)
            else:
                self._login_failed(notice, now)
        else:
            self._wire.drop(notice.reason)

    # From phase to phase

    def _lcp_upcall(self, notice: Upcall, now: float) -> None:
        if notice is Upcall.FINISHED:
            self._finish()
        elif notice is Upcall.UP and not self._ended:
            self._lcp_up(now)
        elif not self._ended:
            self.phase = Phase.ESTABLISH
            self._leave()

    def _lcp_up(self, now: float) -> None:
        self._lcp.up(now)
        self.phase = Phase.AUTHENTICATE
        if self._course.ends_at(Point.LCP_UP, now):
            return
        self._login.begin(self._lcp.login_demand, now)
        if self._login.waits_for_server:
            self._ack.watch(now, self._timers.ack_again, self._timers.acks_again)
        if self._login.take_kept(now):
            self._ack.stop()
        if not self._login.pending:
            self._begin_network(now)

    def _logged_in(self, now: float) -> None:
        if self.phase is Phase.AUTHENTICATE and not self._course.ends_at(Point.LOGIN_OK, now):
            self._begin_network(now)

    def _login_failed(self, outcome: AuthOutcome, now: float) -> None:
        grace = 0.0
        if self.role == "server":
            grace = self._timers.retry_grace if outcome.retry else self._timers.refusal_grace
        self._course.hang_up(now, grace, b"Authentication failed")

    def _begin_network(self, now: float) -> None:
        self.phase = Phase.NETWORK
        self._network.begin(self._login.user, now)

    def _ip_may_flow(self, now: float) -> None:
        if self.role == "client":
            wait = self._timers.ack_again
            if wait is None and self._wire.repeated:
                wait = self._timers.ack_again_once_lost
            self._ack.watch(now, wait, ACKS_UP)
        self._course.ends_at(Point.IPCP_UP, now)

    def _peer_terminates(self, control: ControlProtocol, message: bytes) -> None:
        event = Terminated("peer", control.protocol, message, self.phase)
        if control is not self._lcp.control:
            self._wire.tell(event)
        elif not self._ended:
            self._lcp.tell_why_terminated()
            self._end(event)
            if self._lcp.control.state in (State.REQ_SENT, State.ACK_RCVD, State.ACK_SENT):
                # The table would go on asking a peer that has just said goodbye.
                self._lcp.control.down(0.0)
                self._finish()

    def _end(self, event: Terminated | None) -> None:
        if self._ended:
            return
        self._ended = True
        if event is not None:
            self._wire.tell(event)
        self.phase = Phase.TERMINATE
        self._leave()

    def _leave(self) -> None:
        """What stands on LCP is gone."""
        self._login.leave()
        self._network.leave()
        self._lcp.stop_echoes()
        self._ack.stop()
        self._course.cancel()

    def _finish(self) -> None:
        if self.phase is not Phase.DEAD:
            self.phase = Phase.DEAD
            self._leave()
            self._ended = True
            self._wire.tell(Finished())

    # Odds and ends

    def _fall_silent(self) -> None:
        for control in self._controls:
            self._wire.send_packets(control.protocol, control.take_output())
        self._login.send_output()
        self._wire.silent = True

    def _ack_again(self, now: float) -> None:
        """Repeat the Configure-Ack that the server seems to lack."""
        control = self._network.get(protocols.IPCP) if self._in_network else self._lcp.control
        self._ack.again(now)
        if control is not None and control.opened and control.answer is not None:
            self._wire.send_packet(control.protocol, control.answer)


def _due(timer: float | None, now: float) -> bool:
    return timer is not None and timer <= now
