"""One control protocol (LCP, IPCP, IPV6CP, CCP): the automaton with its timers, counters and
packets. What options mean is left to an :class:`OptionPolicy`."""

from __future__ import annotations

from vpndiag.protocols.ppp import protocols
from vpndiag.protocols.ppp.automaton import TIMED_STATES, Action, Event, State, step
from vpndiag.protocols.ppp.control_terms import (
    ControlNotice,
    ControlTimers,
    DroppedNotice,
    OptionPolicy,
    StuckNotice,
    TerminatedNotice,
    TimeoutNotice,
    Upcall,
)
from vpndiag.protocols.ppp.options import Options
from vpndiag.protocols.ppp.packet import (
    Code,
    CodeReject,
    Configure,
    ControlPacket,
    MagicPacket,
    OtherPacket,
    Terminate,
    encode_packet,
)

_NEGOTIATING = frozenset((State.REQ_SENT, State.ACK_RCVD, State.ACK_SENT))
_KNOWN_CODES = {
    protocols.LCP: range(1, 14),
    protocols.CCP: (1, 2, 3, 4, 5, 6, 7, 14, 15),
}
_MOST_STAYS = 2
SLOWEST_RESTART = 3.0
"""Seconds: the default of RFC 1661 section 4.6."""
_REJECTED_SIZE = 1400
"""How much of a refused packet is sent back, so that a reject fits any usual MRU."""


class ControlProtocol:
    """One automaton at work.

    After every call, :meth:`take_output` has the packets to send and :meth:`take_notices` what
    the link should know.
    """

    def __init__(self, protocol: int, policy: OptionPolicy, timers: ControlTimers) -> None:
        self.protocol = protocol
        self.name = protocols.protocol_name(protocol)
        self.policy = policy
        self.timers = timers
        self.state = State.INITIAL
        self.our_options: Options = ()
        self.peer_options: Options = ()
        self.reply_magic = 0
        """Magic number for Echo-Replies."""
        self.rounds = 0
        self._identifier = 0
        self._restarts_left = 0
        self._tries = 0
        self._deadline: float | None = None
        self._restart = timers.restart
        self._started_over = 0
        """Times that the peer has begun anew with what was open."""
        self._outstanding: Options | None = None
        self._outstanding_id = 0
        self._naks = 0
        self._unasked = 0
        """Waits for the peer's Configure-Request after its Ack, since the last one came."""
        self._await_until = 0.0
        self._stayed = 0
        self._answer: Configure | None = None
        self._request_seen: Configure | None = None
        self._reason = b""
        self._received: ControlPacket | None = None
        self._repeating = False
        self._outbox: list[ControlPacket] = []
        self._notices: list[ControlNotice] = []

    # Administration

    def up(self, now: float) -> None:
        self._forget()
        self._run(Event.UP, now)

    def down(self, now: float) -> None:
        self._run(Event.DOWN, now)

    def open(self, now: float) -> None:
        self._run(Event.OPEN, now)

    def close(self, now: float, reason: bytes = b"") -> None:
        self._reason = reason
        self._run(Event.CLOSE, now)

    def protocol_rejected(self, now: float) -> None:
        """The peer does not speak this protocol (LCP Protocol-Reject)."""
        self._run(Event.REJECT_FATAL, now)

    @property
    def opened(self) -> bool:
        return self.state is State.OPENED

    def get_timer(self) -> float | None:
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """The restart timer has run out."""
        if self.state is State.ACK_RCVD:
            if now < self._await_until:
                self._answer_again()
                self._deadline = self._next_look(now)
                return
            self._unasked += 1
        if self._restarts_left > 0 and self._unasked <= self.timers.max_unasked:
            # First the answer: a peer that has had it may start over, and then gets our request.
            self._answer_again()
            self._repeating = True
            self._run(Event.TIMEOUT_RETRY, now)
            self._repeating = False
            return
        if self.state in _NEGOTIATING:
            waiting = "Request" if self.state is State.ACK_RCVD else "Ack"
            self._notices.append(TimeoutNotice(f"{self.name} Configure-{waiting}", self._tries))
        self._run(Event.TIMEOUT_GIVE_UP, now)

    def _answer_again(self) -> None:
        if self.timers.lossy and self._answer is not None and self.state in _NEGOTIATING:
            self._outbox.append(self._answer)

    def _next_look(self, now: float) -> float:
        """In Ack-Rcvd: when to answer or to ask again."""
        again = self.timers.lossy and self._answer is not None
        return min(self._await_until, now + self._restart) if again else self._await_until

    def take_output(self) -> list[ControlPacket]:
        output, self._outbox = self._outbox, []
        return output

    def take_notices(self) -> list[ControlNotice]:
        notices, self._notices = self._notices, []
        return notices

    @property
    def answer(self) -> Configure | None:
        """Our answer to the peer's latest Configure-Request."""
        return self._answer

    def next_identifier(self) -> int:
        self._identifier = (self._identifier + 1) & 0xFF
        return self._identifier

    # Packets of the peer

    def receive(self, packet: ControlPacket, now: float) -> None:
        """A decoded packet. In Initial and Starting everything is discarded."""
        if self.state in (State.INITIAL, State.STARTING):
            self._drop(f"{self.name} packet before the protocol is up")
            return
        self._received = packet
        if isinstance(packet, OtherPacket) and packet.malformed is not None:
            self._drop(f"{self.name} {packet.malformed}")
        elif isinstance(packet, Configure):
            if packet.code == Code.CONFIGURE_REQUEST:
                self._request(packet, now)
            else:
                self._reply(packet, now)
        elif packet.code == Code.TERMINATE_REQUEST:
            if isinstance(packet, Terminate):
                self._notices.append(TerminatedNotice(packet.message))
            self._run(Event.TERMINATE_REQUEST, now)
        elif packet.code == Code.TERMINATE_ACK:
            self._run(Event.TERMINATE_ACK, now)
        elif packet.code not in _KNOWN_CODES.get(self.protocol, range(1, 8)):
            self._run(Event.UNKNOWN_CODE, now)
        elif isinstance(packet, CodeReject):
            fatal = packet.rejected[:1] and 1 <= packet.rejected[0] <= Code.CODE_REJECT
            self._run(Event.REJECT_FATAL if fatal else Event.REJECT_HARMLESS, now)
        elif packet.code == Code.ECHO_REQUEST:
            self._run(Event.ECHO_OR_DISCARD, now)

    def _request(self, packet: Configure, now: float) -> None:
        if self.opened and self._stay_open(packet):
            return
        # The same request again means that our answer was lost: it says nothing new about the
        # peer's wishes, gets the same answer and does not count as another failure to agree.
        repeated = packet == self._request_seen and self._answer is not None
        self._unasked = 0
        if self._count_round(packet.options, now):
            return
        if repeated and self._answer is not None:
            code, options = self._answer.code, self._answer.options
        else:
            code, options = self.policy.judge(packet.options, self._naks >= self.timers.max_failure)
        self._request_seen = packet
        self._answer = Configure(code, packet.identifier, options)
        if code == Code.CONFIGURE_ACK:
            self.peer_options = packet.options
            self._naks = 0
        elif code == Code.CONFIGURE_NAK and not repeated:
            self._naks += 1
        good = code == Code.CONFIGURE_ACK
        self._run(Event.GOOD_REQUEST if good else Event.BAD_REQUEST, now)

    def _stay_open(self, packet: Configure) -> bool:
        """Acknowledge and no more, where starting over as the table has it would take the link
        down for a packet that changes nothing: our Ack was lost, or the network duplicated the
        request; or, on a lossy path, the peer started over and wants what it wanted before. One
        that asks on needs our request as well: l2tpns forgets between two of its own that it has
        acknowledged it."""
        seen = self._request_seen
        if seen is None or self._answer is None or self._stayed >= _MOST_STAYS:
            return False
        if packet != seen and not (self.timers.lossy and packet.options == seen.options):
            return False
        self._stayed += 1
        self._request_seen = packet
        self._answer = Configure(Code.CONFIGURE_ACK, packet.identifier, packet.options)
        self._outbox.append(self._answer)
        return True

    def _reply(self, packet: Configure, now: float) -> None:
        if self.state in (State.CLOSED, State.STOPPED):
            self._run(Event.ACK, now)
            return
        if self._outstanding is None or packet.identifier != self._outstanding_id:
            self._drop(f"{self.name} answer to id {packet.identifier}, which is not outstanding")
            return
        sent = self._outstanding
        if packet.code == Code.CONFIGURE_ACK:
            if packet.options != sent:
                self._drop(f"{self.name} Configure-Ack does not repeat our options")
                return
            self._outstanding = None
            self.our_options = sent
            self._run(Event.ACK, now)
            return
        rejects = packet.code == Code.CONFIGURE_REJECT
        if rejects and (not packet.options or any(o not in sent for o in packet.options)):
            self._drop(f"{self.name} Configure-Reject of options that were not sent")
            return
        self._outstanding = None
        if self.state in _NEGOTIATING:
            if packet.code == Code.CONFIGURE_REJECT:
                self.policy.rejected(packet.options)
            else:
                self.policy.naked(packet.options)
            if self._count_round(packet.options, now):
                return
        self._run(Event.NAK_OR_REJECT, now)

    def _count_round(self, options: Options, now: float) -> bool:
        """True when the negotiation has just been given up."""
        endless = self.opened and self._started_over >= self.timers.max_starts
        if self.state not in _NEGOTIATING and not endless:
            return False
        self.rounds += 1
        if self.rounds <= self.timers.max_rounds and not endless:
            return False
        self._notices.append(StuckNotice(options))
        self.close(now, b"Negotiation does not converge")
        return True

    def _drop(self, reason: str) -> None:
        self._notices.append(DroppedNotice(reason))

    def _forget(self) -> None:
        self.policy.reset()
        self.rounds = self._naks = self._unasked = 0
        self.our_options = self.peer_options = ()
        self._outstanding = self._answer = self._request_seen = None

    # The table at work

    def _run(self, event: Event, now: float) -> None:
        before = self.state
        actions, self.state = step(before, event)
        if event is Event.TIMEOUT_RETRY or Action.INIT_COUNT in actions:
            self._deadline = None
        for action in actions:
            self._act(action, now)
        if self.state not in TIMED_STATES:
            self._deadline = None
        elif self.state is State.ACK_RCVD:
            self._await_until = now + self.timers.await_request
            self._deadline = self._next_look(now)
        elif self._deadline is None or before not in TIMED_STATES:
            self._deadline = now + self._restart

    def _act(self, action: Action, now: float) -> None:
        packet = self._received
        identifier = packet.identifier if packet is not None else 0
        match action:
            case Action.LAYER_UP:
                self.rounds = self._stayed = 0
                self._notices.append(Upcall.UP)
            case Action.LAYER_DOWN:
                self._outstanding = None
                self._note_start_over()
                self._notices.append(Upcall.DOWN)
            case Action.LAYER_FINISHED:
                self._notices.append(Upcall.FINISHED)
            case Action.INIT_COUNT:
                closing = self.state in (State.CLOSING, State.STOPPING)
                timers = self.timers
                self._restarts_left = timers.max_terminate if closing else timers.max_configure
                self._tries = 0
            case Action.ZERO_COUNT:
                self._restarts_left = 0
                self._deadline = None
            case Action.SEND_REQUEST:
                self._send_request(now)
            case Action.SEND_ACK | Action.SEND_NAK:
                if self._answer is not None:
                    self._outbox.append(self._answer)
            case Action.SEND_TERMINATE:
                self._restarts_left -= 1
                if not self._repeating:
                    self._outstanding_id = self.next_identifier()
                self._outbox.append(
                    Terminate(Code.TERMINATE_REQUEST, self._outstanding_id, self._reason)
                )
                self._deadline = now + self._restart
            case Action.SEND_TERMINATE_ACK:
                self._outbox.append(Terminate(Code.TERMINATE_ACK, identifier))
            case Action.SEND_CODE_REJECT:
                if packet is not None:
                    raw = encode_packet(packet)[:_REJECTED_SIZE]
                    self._outbox.append(CodeReject(self.next_identifier(), raw))
            case Action.SEND_ECHO_REPLY:
                if isinstance(packet, MagicPacket) and packet.code == Code.ECHO_REQUEST:
                    reply = MagicPacket(
                        Code.ECHO_REPLY, packet.identifier, self.reply_magic, packet.data
                    )
                    self._outbox.append(reply)
            case Action.LAYER_STARTED:
                pass

    def _note_start_over(self) -> None:
        """What was open is not any more. A repeat of ours that comes after the peer has opened
        starts it over (RFC 1661 section 4.1, event RCR in Opened); where the round trip is longer
        than our timer, that would go on for ever."""
        if self.state not in _NEGOTIATING:
            return
        self._started_over += 1
        self._restart = max(self._restart, min(2 * self._restart, SLOWEST_RESTART))

    def _send_request(self, now: float) -> None:
        if not self._repeating or self._outstanding is None:
            self._outstanding = self.policy.request()
            self._outstanding_id = self.next_identifier()
        if self.state in TIMED_STATES and self._restarts_left <= 0 and not self._repeating:
            # A renegotiation from Opened starts with what the last one left; RFC 1661 leaves it
            # out of the table, and one attempt would be too few.
            self._restarts_left = self.timers.max_configure
            self._tries = 0
        self._restarts_left -= 1
        self._tries += 1
        self._outbox.append(
            Configure(Code.CONFIGURE_REQUEST, self._outstanding_id, self._outstanding)
        )
        self._deadline = now + self._restart
