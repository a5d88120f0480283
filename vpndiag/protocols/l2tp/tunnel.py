"""An L2TPv2 control connection with its incoming calls, as LAC or LNS (RFC 2661, 5 and 7).

Feed UDP payloads to :meth:`L2tpTunnel.receive`; send :meth:`~L2tpTunnel.datagrams_to_send` after
every call; call :meth:`~L2tpTunnel.handle_timer` at :meth:`~L2tpTunnel.get_timer`. One engine is
one tunnel: several clients of a gateway are told apart by ``message.peek_tunnel_id`` and address.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.l2tp import events, handshake, hidden, results
from vpndiag.protocols.l2tp.avps import Avp
from vpndiag.protocols.l2tp.calls import Calls
from vpndiag.protocols.l2tp.config import (
    Accept,
    Decision,
    Ignore,
    L2tpConfig,
    Role,
    TunnelRequest,
)
from vpndiag.protocols.l2tp.constants import DEFAULT_WINDOW, AvpType, MessageType, message_name
from vpndiag.protocols.l2tp.events import Dropped, DropReason, Event, PeerInfo, Side
from vpndiag.protocols.l2tp.message import (
    ControlMessage,
    DataMessage,
    OtherVersion,
    decode,
    encode_control,
    encode_data,
)
from vpndiag.protocols.l2tp.opening import Opening
from vpndiag.protocols.l2tp.reliable import Arrival, Outgoing, ReliableChannel
from vpndiag.protocols.l2tp.states import TUNNEL_TABLE, TunnelAction, TunnelState
from vpndiag.protocols.l2tp.values import ResultCode

RandomBytes = Callable[[int], bytes]

_WAITING = (TunnelState.WAIT_CTL_REPLY, TunnelState.WAIT_CTL_CONN)
_KINDS = frozenset(MessageType)
_OVER = (TunnelState.CLOSING, TunnelState.CLOSED)


class L2tpTunnel:
    """One tunnel. ``role``: LAC calls :meth:`start`, LNS is fed with the first SCCRQ.

    Nothing that the peer sends raises: it becomes events. Times are seconds on any clock.
    """

    def __init__(self, role: Role | str, config: L2tpConfig, random_bytes: RandomBytes) -> None:
        self.role = Role(role)
        self.config = config
        self.state = TunnelState.IDLE
        self.local_id = self._pick_id(random_bytes)
        self.peer_id = 0
        """The tunnel ID that the peer assigned, 0 until known."""
        self.peer: PeerInfo | None = None
        self._random_bytes = random_bytes
        self._channel = ReliableChannel(config.retransmit)
        self._opening = Opening(self, random_bytes)
        self._calls = Calls(self)
        self._events: deque[Event] = deque()
        self._frames: list[bytes] = []
        self._acknowledged_at: float | None = None
        self._tries = 0
        self._heard = 0.0
        self._final = False
        self._decision: Decision = Accept()

    @staticmethod
    def _pick_id(random_bytes: RandomBytes) -> int:
        return int.from_bytes(random_bytes(2), "big") or 1

    # What the caller does

    def start(self, now: float) -> None:
        """LAC: send SCCRQ.

        :raises LocalProtocolError: started already, or an LNS.
        """
        if self.role is not Role.LAC or self.state is not TunnelState.IDLE:
            raise LocalProtocolError("only a new LAC starts a tunnel")
        self._heard = now
        self.state = TunnelState.WAIT_CTL_REPLY
        # Without knowing the peer nothing of the first message needs hiding.
        self._channel.send(0, 0, self._opening.request())

    def open_session(self, now: float) -> int:
        """LAC: send ICRQ; returns our session ID.

        :raises LocalProtocolError: the tunnel is not established, or an LNS.
        """
        if self.role is not Role.LAC or self.state is not TunnelState.ESTABLISHED:
            raise LocalProtocolError("incoming calls are opened by a LAC in an established tunnel")
        return self._calls.open(self._random_bytes)

    def send_ppp(self, session_id: int, frame: bytes, now: float) -> None:
        """Queue one PPP frame for ``session_id`` (ours).

        :raises LocalProtocolError: no such established session, or a frame that is too long.
        """
        session = self._calls.established(session_id)
        self._frames.append(encode_data(session.data_message(self.peer_id, frame)))

    def close_session(
        self, session_id: int, result: int, error: int | None, message: bytes, now: float
    ) -> None:
        """Send CDN. Without effect on a session that is gone."""
        self._calls.close(session_id, ResultCode(result, error, message))

    def close(
        self,
        now: float,
        result: int = results.STOPCCN_CLEAR,
        error: int | None = None,
        message: bytes = b"",
    ) -> None:
        """Send StopCCN, which ends all sessions too. Without effect on a closed tunnel."""
        if self.state is TunnelState.IDLE:
            self.state = TunnelState.CLOSED
        elif self.state not in _OVER:
            self.stop(ResultCode(result, error, message))

    def watch(self, interval: float) -> None:
        """Send HELLO after ``interval`` seconds of silence from now on."""
        self.config = replace(self.config, hello_interval=interval)

    def unheard(self, now: float) -> float:
        """Seconds since anything came, as long as a control message of ours, such as HELLO, waits
        for its acknowledgement; 0: none does, or the tunnel is not up."""
        if self.state is not TunnelState.ESTABLISHED or self._channel.idle:
            return 0.0
        return now - self._heard

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """UDP payloads to send now, in order."""
        datagrams: list[bytes] = []
        for transmission in self._channel.transmissions(now, self.peer_id):
            data = encode_control(transmission.message)
            datagrams.append(data)
            self.emit(events.MessageSent(transmission.message, data, transmission.retransmission))
        datagrams += self._frames
        self._frames = []
        if self._final and self.state is TunnelState.CLOSING:
            self._channel.stop()
            self.state = TunnelState.CLOSED
        return datagrams

    # Time

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is due; None for never."""
        if self.state is TunnelState.CLOSED:
            return None
        times = [self._channel.timer(), self._reply_due(), self._hello_due()]
        if self.state not in _OVER:
            times.append(self._calls.due())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Retransmit, say HELLO, or give up."""
        if self.state is TunnelState.CLOSED:
            return
        exhausted = self._channel.handle_timer(now)
        if exhausted is not None:
            self._give_up(exhausted)
            return
        due = self._reply_due()
        if due is not None and now >= due:
            waiting_for = "SCCRP" if self.state is TunnelState.WAIT_CTL_REPLY else "SCCCN"
            self.emit(events.TimedOut(waiting_for, self._tries, acknowledged=True))
            self.stop(ResultCode(results.STOPCCN_CLEAR))
            return
        if self.state is TunnelState.ESTABLISHED:
            self._calls.handle_timer(now)
        hello = self._hello_due()
        if hello is not None and now >= hello:
            self.send_control(0, handshake.typed(MessageType.HELLO))

    def _reply_due(self) -> float | None:
        if self.state not in _WAITING or self._acknowledged_at is None:
            return None
        return self._acknowledged_at + self.config.reply_timeout

    def _hello_due(self) -> float | None:
        interval = self.config.hello_interval
        if self.state is not TunnelState.ESTABLISHED or interval is None:
            return None
        return self._heard + interval if self._channel.idle else None

    def _give_up(self, exhausted: Outgoing) -> None:
        if self.state is TunnelState.CLOSING:
            self._channel.stop()
            self.state = TunnelState.CLOSED
            return
        kind = exhausted.kind
        name = handshake.REPLIES.get(MessageType(kind)) if kind is not None else None
        name = name or f"acknowledgement of {message_name(kind)}"
        self.emit(events.TimedOut(name, exhausted.tries))
        self._channel.stop()
        self._final = True
        if self.peer_id:
            # The peer may still hear us: one StopCCN, without waiting for an answer.
            self.stop(ResultCode(results.STOPCCN_CLEAR))
            return
        self.state = TunnelState.CLOSED
        self.emit(events.TunnelClosed(Side.US, None))

    # What arrives

    def receive(self, data: bytes, now: float) -> None:
        """One UDP payload from the peer."""
        try:
            message = decode(data)
        except DecodeError as error:
            self._drop(DropReason.MALFORMED, str(error), data)
            return
        if isinstance(message, OtherVersion):
            self._drop(DropReason.OTHER_VERSION, message.name, data)
        elif isinstance(message, DataMessage):
            self._receive_data(message, data, now)
        else:
            self._receive_control(message, data, now)

    def _receive_data(self, message: DataMessage, data: bytes, now: float) -> None:
        if message.tunnel_id != self.local_id or self.state is TunnelState.IDLE:
            self._drop(DropReason.UNKNOWN_TUNNEL, f"tunnel {message.tunnel_id}", data)
        elif self.state in _OVER:
            self._drop(DropReason.CLOSED, "data after the end of the tunnel", data)
        else:
            self._heard = now
            self._calls.receive_data(message, data)

    def _receive_control(self, message: ControlMessage, data: bytes, now: float) -> None:
        message = replace(message, avps=hidden.reveal_all(message.avps, self.config.secret))
        if not self._is_ours(message):
            self._drop(DropReason.UNKNOWN_TUNNEL, f"{message.name} of another tunnel", data)
            return
        if self.state is TunnelState.IDLE and not self._admit(message, data):
            return
        self._heard = now
        arrival, ready = self._channel.receive(message, now)
        self.emit(events.MessageReceived(message, data, arrival is Arrival.DUPLICATE))
        if arrival is Arrival.TOO_FAR:
            self._drop(DropReason.TOO_FAR_AHEAD, f"{message.name} with Ns {message.ns}", data)
        if self._channel.idle:
            if self._acknowledged_at is None and self.state in _WAITING:
                self._acknowledged_at = now
                self._tries = self._channel.acknowledged_tries
            self._calls.acknowledged(now, self._channel.acknowledged_tries)
        for entry in ready:
            self._process(entry, data)
        if self.state is TunnelState.CLOSING and self._channel.idle:
            self.state = TunnelState.CLOSED

    def _is_ours(self, message: ControlMessage) -> bool:
        if message.tunnel_id == self.local_id and self.state is not TunnelState.IDLE:
            return True
        if message.tunnel_id != 0:
            return False
        kind = message.message_type
        if kind == MessageType.SCCRQ and self.role is Role.LNS:
            assigned = message.number(AvpType.ASSIGNED_TUNNEL_ID)
            return self.state is TunnelState.IDLE or assigned == self.peer_id
        if kind == MessageType.StopCCN and self.state is not TunnelState.IDLE:
            # A peer that stops before it learnt our tunnel ID.
            assigned = message.number(AvpType.ASSIGNED_TUNNEL_ID)
            return self.peer_id in (0, assigned)
        return False

    def _admit(self, message: ControlMessage, data: bytes) -> bool:
        """LNS: whether a first SCCRQ gets any answer."""
        if message.ns != 0:
            self._drop(DropReason.NOT_EXPECTED, f"first SCCRQ with Ns {message.ns}", data)
            return False
        self.peer = handshake.peer_info(message)
        self._decision = self.config.policy(TunnelRequest(self.peer, message))
        if isinstance(self._decision, Ignore):
            self.emit(events.MessageReceived(message, data))
            self._drop(DropReason.IGNORED, "policy: silence", data)
            if self._decision.acknowledge:
                self.peer_id = self.peer.tunnel_id or 0
                self._channel.receive(message, 0.0)
                self.state = TunnelState.CLOSED
            return False
        return True

    def _process(self, message: ControlMessage, data: bytes) -> None:
        if self.state in _OVER:
            return
        kind = message.message_type
        if self._refuse_unknown(message):
            return
        action = None
        if kind is not None and kind in _KINDS:
            action = TUNNEL_TABLE.get((self.state, MessageType(kind)))
        match action:
            case TunnelAction.ANSWER:
                self._opening.answer(message, self._decision)
            case TunnelAction.CONNECT:
                self._opening.connect(message)
            case TunnelAction.ESTABLISH:
                self._opening.establish(message)
            case TunnelAction.CLOSE:
                self._closed_by_peer(message)
            case TunnelAction.STOP:
                self.stop(ResultCode(results.STOPCCN_FSM))
            case TunnelAction.CALL | TunnelAction.REFUSE_CALL | TunnelAction.SESSION:
                self._calls.receive(action, message, data)
            case TunnelAction.NOTE:
                pass
            case None:
                detail = f"{message.name} in state {self.state.value}"
                self._drop(DropReason.NOT_EXPECTED, detail, data)

    def _refuse_unknown(self, message: ControlMessage) -> bool:
        """Unknown AVPs and message types with the M bit (4.1, 4.4.1). A LAC goes on despite them:
        a client is to find out how far it gets."""
        unknown: list[Avp] = [
            avp for avp in message.avps if avp.mandatory and (avp.spec is None or avp.hidden)
        ]
        first = message.find(AvpType.MESSAGE_TYPE)
        known_type = message.message_type in _KINDS
        if first is not None and first.mandatory and not known_type:
            unknown.append(first)
        if not unknown:
            return False
        tolerate = self.role is Role.LAC
        closing = message.message_type in (MessageType.StopCCN, MessageType.CDN)
        self.emit(events.UnknownMandatory(message, tuple(unknown), tolerate or closing))
        if tolerate or closing:
            return False
        text = unknown[0].name.encode("ascii")
        result = ResultCode(results.STOPCCN_ERROR, results.ERROR_UNKNOWN_AVP, text)
        if self.state is TunnelState.IDLE:
            self.peer_id = message.number(AvpType.ASSIGNED_TUNNEL_ID) or 0
        if not self._calls.refuse(message, result):
            self.stop(result)
        return True

    # Control connection

    def _closed_by_peer(self, message: ControlMessage) -> None:
        if not self.peer_id:
            self.peer_id = message.number(AvpType.ASSIGNED_TUNNEL_ID) or 0
        self._channel.stop()
        self._calls.tunnel_closed(Side.PEER)
        self.state = TunnelState.CLOSED
        code = message.result
        if code is None:
            self.emit(events.TunnelClosed(Side.PEER, None))
        else:
            self.emit(events.TunnelClosed(Side.PEER, code.result, code.error, code.message))

    # Shared with the opening and the calls

    def meet(self, peer: PeerInfo) -> None:
        """What the peer says of itself in SCCRQ or SCCRP."""
        self.peer = peer
        self.peer_id = peer.tunnel_id or 0
        self._channel.peer_window = peer.receive_window or DEFAULT_WINDOW

    def stop(self, code: ResultCode) -> None:
        """Send StopCCN."""
        # A peer whose tunnel ID is unknown would take a repeated SCCRQ for a new tunnel.
        self._final = self._final or not self.peer_id
        avps = handshake.stop_avps(self.local_id, code)
        # Never hidden: the reason may be that the secrets differ.
        self._channel.send(self.peer_id, 0, avps, last=True)
        self._calls.tunnel_closed(Side.US)
        self.state = TunnelState.CLOSING
        self.emit(events.TunnelClosed(Side.US, code.result, code.error, code.message))

    def emit(self, event: Event) -> None:
        self._events.append(event)

    def send_control(self, session_id: int, avps: tuple[Avp, ...]) -> None:
        """Queue a message to the peer's session (0: the tunnel)."""
        self._channel.send(self.peer_id, session_id, self._hide(avps))

    def _hide(self, avps: tuple[Avp, ...]) -> tuple[Avp, ...]:
        if self.config.secret is None or not self.config.hide:
            return avps
        return hidden.hide_some(avps, self.config.hide, self.config.secret, self._random_bytes)

    def _drop(self, reason: DropReason, detail: str, data: bytes) -> None:
        self.emit(Dropped(reason, detail, data))
