"""The incoming calls of one tunnel: opening, answering, closing, data (RFC 2661, 5.2 to 5.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp import events, handshake, results
from vpndiag.protocols.l2tp.avps import Avp
from vpndiag.protocols.l2tp.config import CallRequest, Ignore, L2tpConfig, Refuse, Role
from vpndiag.protocols.l2tp.constants import AvpType, MessageType
from vpndiag.protocols.l2tp.events import Dropped, DropReason, Event, Side
from vpndiag.protocols.l2tp.message import ControlMessage, DataMessage
from vpndiag.protocols.l2tp.session import SESSION_TABLE, Session, SessionAction, SessionState
from vpndiag.protocols.l2tp.states import TunnelAction
from vpndiag.protocols.l2tp.values import ResultCode

MAX_SESSIONS = 256
_SESSION_KINDS = (MessageType.ICRP, MessageType.ICCN, MessageType.WEN, MessageType.SLI)
_OPENING_KINDS = (MessageType.ICRQ, MessageType.OCRQ)


class Tunnel(Protocol):
    """What calls need of their tunnel."""

    role: Role
    config: L2tpConfig

    def emit(self, event: Event) -> None: ...

    def send_control(self, session_id: int, avps: tuple[Avp, ...]) -> None: ...


class Calls:
    """Sessions by our session ID."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._sessions: dict[int, Session] = {}
        self._serial = 0
        self._last_id = 0

    def open(self, random_bytes: Callable[[int], bytes]) -> int:
        """Send ICRQ; returns our session ID."""
        if len(self._sessions) >= MAX_SESSIONS:
            raise LocalProtocolError(f"more than {MAX_SESSIONS} sessions")
        if not self._last_id:
            self._last_id = int.from_bytes(random_bytes(2), "big")
        local_id = self._next_id()
        self._serial += 1
        self._sessions[local_id] = Session(local_id, 0, SessionState.WAIT_REPLY)
        avps = handshake.call_avps(local_id, self._serial)
        self._tunnel.send_control(0, avps)
        return local_id

    def established(self, session_id: int) -> Session:
        """:raises LocalProtocolError: there is none."""
        session = self._sessions.get(session_id)
        if session is None or session.state is not SessionState.ESTABLISHED:
            raise LocalProtocolError(f"session {session_id} is not established")
        return session

    def close(self, session_id: int, code: ResultCode) -> None:
        """Send CDN and forget the session."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        avps = handshake.disconnect_avps(session.local_id, code)
        self._tunnel.send_control(session.peer_id, avps)
        self._closed(session, Side.US, code)

    def tunnel_closed(self, by: Side) -> None:
        """The tunnel takes all sessions along, without CDN."""
        for session in self._sessions.values():
            self._closed(session, by, None)
        self._sessions.clear()

    # Time

    def acknowledged(self, now: float, tries: int) -> None:
        """All that was sent is acknowledged: from here on the peer's reply is waited for.

        ``tries``: transmissions of the last message.
        """
        for session in self._sessions.values():
            if session.state is not SessionState.ESTABLISHED and session.acknowledged_at is None:
                session.acknowledged_at = now
                session.tries = tries

    def due(self) -> float | None:
        return min((time for _, time in self._deadlines()), default=None)

    def handle_timer(self, now: float) -> None:
        """Give up calls whose reply does not come."""
        for session, time in self._deadlines():
            if now < time:
                continue
            waiting_for = "ICRP" if session.state is SessionState.WAIT_REPLY else "ICCN"
            timed_out = events.TimedOut(waiting_for, session.tries, True, session.local_id)
            self._tunnel.emit(timed_out)
            self.close(session.local_id, ResultCode(results.CDN_NOT_IN_TIME))

    def _deadlines(self) -> list[tuple[Session, float]]:
        wait = self._tunnel.config.reply_timeout
        return [
            (session, session.acknowledged_at + wait)
            for session in self._sessions.values()
            if session.acknowledged_at is not None and session.state is not SessionState.ESTABLISHED
        ]

    # What arrives

    def receive(self, action: TunnelAction, message: ControlMessage, data: bytes) -> None:
        """A message about a call, in an established tunnel."""
        if action is TunnelAction.SESSION:
            self._receive_session(message, data)
        elif action is TunnelAction.CALL and self._tunnel.role is Role.LNS:
            self._answer(message, data)
        else:
            self.refuse(message, ResultCode(results.CDN_NO_FACILITIES))

    def refuse(self, message: ControlMessage, code: ResultCode) -> bool:
        """Answer a message about a call with CDN; False when it is about the tunnel."""
        kind = message.message_type
        if kind in _OPENING_KINDS:
            peer_id = message.number(AvpType.ASSIGNED_SESSION_ID) or 0
            self._tunnel.send_control(peer_id, handshake.disconnect_avps(0, code))
            return True
        session = self._sessions.get(message.session_id)
        if session is None or kind not in _SESSION_KINDS:
            return message.session_id != 0
        if kind == MessageType.ICRP:
            session.peer_id = message.number(AvpType.ASSIGNED_SESSION_ID) or 0
        self.close(session.local_id, code)
        return True

    def receive_data(self, message: DataMessage, data: bytes) -> None:
        """A data message of this tunnel."""
        session = self._sessions.get(message.session_id)
        if session is None:
            self._drop(DropReason.UNKNOWN_SESSION, f"session {message.session_id}", data)
            return
        if session.state is not SessionState.ESTABLISHED:
            self._drop(DropReason.SESSION_NOT_UP, f"session is in {session.state.value}", data)
            return
        late = session.note_data(message, follow=self._tunnel.role is Role.LAC)
        frame = events.PppFrame(session.local_id, message.payload, message.ns, late)
        self._tunnel.emit(frame)

    def _answer(self, message: ControlMessage, data: bytes) -> None:
        peer_id = message.number(AvpType.ASSIGNED_SESSION_ID) or 0
        if not peer_id:
            self.refuse(message, ResultCode(results.CDN_ERROR, results.ERROR_VALUE))
            return
        if len(self._sessions) >= MAX_SESSIONS:
            self.refuse(message, ResultCode(results.CDN_ERROR, results.ERROR_NO_RESOURCES))
            return
        decision = self._tunnel.config.policy(CallRequest(message))
        if isinstance(decision, Refuse):
            code = ResultCode(decision.result, decision.error, decision.message)
            self.refuse(message, code)
            return
        if isinstance(decision, Ignore):
            self._drop(DropReason.IGNORED, "policy: silence", data)
            return
        local_id = self._next_id()
        self._sessions[local_id] = Session(local_id, peer_id, SessionState.WAIT_CONNECT)
        self._tunnel.send_control(peer_id, handshake.call_reply_avps(local_id))

    def _receive_session(self, message: ControlMessage, data: bytes) -> None:
        session = self._find(message)
        if session is None:
            detail = f"{message.name} for session {message.session_id}"
            self._drop(DropReason.UNKNOWN_SESSION, detail, data)
            return
        kind = message.message_type
        action = SESSION_TABLE.get((session.state, MessageType(kind))) if kind else None
        match action:
            case SessionAction.CONNECT:
                self._connect(session, message)
            case SessionAction.ESTABLISH:
                needs = message.find(AvpType.SEQUENCING_REQUIRED) is not None
                session.sequencing = session.required = needs
                self._established(session)
            case SessionAction.CLOSE:
                del self._sessions[session.local_id]
                self._closed(session, Side.PEER, message.result)
            case SessionAction.NOTE:
                pass
            case None:
                detail = f"{message.name} while the session is in {session.state.value}"
                self._drop(DropReason.NOT_EXPECTED, detail, data)

    def _find(self, message: ControlMessage) -> Session | None:
        session = self._sessions.get(message.session_id)
        if session is not None or message.session_id or message.message_type != MessageType.CDN:
            return session
        # A peer that gives up before it learnt our session ID names its own (4.4.4).
        assigned = message.number(AvpType.ASSIGNED_SESSION_ID)
        for candidate in self._sessions.values():
            if assigned and candidate.peer_id == assigned:
                return candidate
        return None

    def _connect(self, session: Session, message: ControlMessage) -> None:
        session.peer_id = message.number(AvpType.ASSIGNED_SESSION_ID) or 0
        if not session.peer_id:
            code = ResultCode(results.CDN_ERROR, results.ERROR_VALUE)
            self.close(session.local_id, code)
            return
        config = self._tunnel.config
        session.sequencing = session.required = config.sequencing
        self._tunnel.send_control(session.peer_id, handshake.call_connected_avps(config))
        self._established(session)

    def _established(self, session: Session) -> None:
        session.state = SessionState.ESTABLISHED
        self._tunnel.emit(
            events.SessionEstablished(session.local_id, session.peer_id, session.sequencing)
        )

    def _closed(self, session: Session, by: Side, code: ResultCode | None) -> None:
        if code is None:
            event = events.SessionClosed(session.local_id, by, None)
        else:
            event = events.SessionClosed(
                session.local_id, by, code.result, code.error, code.message
            )
        self._tunnel.emit(event)

    def _next_id(self) -> int:
        """Ids count up, so that a stale packet of a closed session finds no new one."""
        self._last_id = self._last_id % 0xFFFF + 1
        while self._last_id in self._sessions:
            self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id

    def _drop(self, reason: DropReason, detail: str, data: bytes) -> None:
        self._tunnel.emit(Dropped(reason, detail, data))
