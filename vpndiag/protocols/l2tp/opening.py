"""How a control connection comes up: SCCRQ, SCCRP and SCCCN, and the proofs of the tunnel secret
that they carry (RFC 2661, 5.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vpndiag.protocols.l2tp import auth, events, handshake, results
from vpndiag.protocols.l2tp.avps import Avp
from vpndiag.protocols.l2tp.config import Decision, L2tpConfig, Refuse
from vpndiag.protocols.l2tp.constants import AvpType, MessageType
from vpndiag.protocols.l2tp.events import Event, PeerInfo
from vpndiag.protocols.l2tp.message import ControlMessage
from vpndiag.protocols.l2tp.states import TunnelState
from vpndiag.protocols.l2tp.values import ResultCode


class Tunnel(Protocol):
    """What the opening needs of its tunnel."""

    config: L2tpConfig
    state: TunnelState
    local_id: int
    peer: PeerInfo | None
    peer_id: int

    def emit(self, event: Event) -> None: ...

    def meet(self, peer: PeerInfo) -> None: ...

    def send_control(self, session_id: int, avps: tuple[Avp, ...]) -> None: ...

    def stop(self, code: ResultCode) -> None: ...


class Opening:
    """Either side's part of it; what is wrong with the other side's stops the tunnel."""

    def __init__(self, tunnel: Tunnel, random_bytes: Callable[[int], bytes]) -> None:
        self._tunnel = tunnel
        self._random_bytes = random_bytes
        self._challenge: bytes | None = None
        self._authenticated: bool | None = None

    def request(self) -> tuple[Avp, ...]:
        """LAC: SCCRQ."""
        return self._start(MessageType.SCCRQ, None)

    def answer(self, message: ControlMessage, decision: Decision) -> None:
        """LNS: SCCRP, or StopCCN, to SCCRQ."""
        tunnel = self._tunnel
        peer = handshake.peer_info(message)
        tunnel.meet(peer)
        if isinstance(decision, Refuse):
            tunnel.stop(ResultCode(decision.result, decision.error, decision.message))
            return
        version = peer.protocol_version
        if version is not None and version.version != 1:
            tunnel.stop(ResultCode(results.STOPCCN_VERSION, 0x0100))
            return
        if not tunnel.peer_id or version is None or peer.host_name is None or peer.framing is None:
            text = b"missing or malformed AVP in SCCRQ"
            tunnel.stop(ResultCode(results.STOPCCN_ERROR, results.ERROR_VALUE, text))
            return
        proceed, response = self._prove(message, MessageType.SCCRP)
        if not proceed:
            return
        avps = self._start(MessageType.SCCRP, response)
        tunnel.state = TunnelState.WAIT_CTL_CONN
        tunnel.send_control(0, avps)

    def connect(self, message: ControlMessage) -> None:
        """LAC: SCCCN to SCCRP."""
        peer = handshake.peer_info(message)
        self._tunnel.meet(peer)
        if not self._tunnel.peer_id:
            text = b"no Assigned Tunnel ID in SCCRP"
            self._tunnel.stop(ResultCode(results.STOPCCN_ERROR, results.ERROR_VALUE, text))
            return
        if not self._check_proof(message, MessageType.SCCRP):
            return
        proceed, response = self._prove(message, MessageType.SCCCN)
        if not proceed:
            return
        self._tunnel.send_control(0, handshake.connected_avps(response))
        self._up(peer)

    def establish(self, message: ControlMessage) -> None:
        """LNS: SCCCN has come."""
        peer = self._tunnel.peer
        if self._check_proof(message, MessageType.SCCCN) and peer is not None:
            self._up(peer)

    def _start(self, kind: MessageType, response: bytes | None) -> tuple[Avp, ...]:
        config = self._tunnel.config
        self._challenge = self._random_bytes(16) if config.asks_proof else None
        local_id = self._tunnel.local_id
        return handshake.start_avps(kind, config, local_id, self._challenge, response)

    def _up(self, peer: PeerInfo) -> None:
        self._tunnel.state = TunnelState.ESTABLISHED
        self._tunnel.emit(events.TunnelEstablished(peer, self._authenticated))

    def _prove(self, message: ControlMessage, carrier: MessageType) -> tuple[bool, bytes | None]:
        """Whether to go on, and the answer to the peer's challenge, if it sent one."""
        config = self._tunnel.config
        challenge = message.data(AvpType.CHALLENGE)
        if challenge is None:
            return True, None
        if config.secret is not None:
            return True, auth.challenge_response(carrier, config.secret, challenge)
        self._tunnel.emit(events.SecretWanted(message.name))
        if config.stop_without_secret:
            self._tunnel.stop(ResultCode(results.STOPCCN_NOT_AUTHORIZED))
            return False, None
        return True, None

    def _check_proof(self, message: ControlMessage, carrier: MessageType) -> bool:
        """Whether to go on after the peer's answer to our challenge."""
        config = self._tunnel.config
        if self._challenge is None or config.secret is None:
            return True
        avp = message.find(AvpType.CHALLENGE_RESPONSE)
        if avp is None and not config.require_secret:
            return True
        self._authenticated = avp is not None and auth.response_matches(
            carrier, config.secret, self._challenge, avp.value
        )
        if self._authenticated:
            return True
        self._tunnel.emit(events.SecretMismatch(message.name, answered=avp is not None))
        self._tunnel.stop(ResultCode(results.STOPCCN_NOT_AUTHORIZED))
        return False
