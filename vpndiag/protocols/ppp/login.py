"""The authentication phase of a link: the engine that LCP agreed on, at work.

Either the peer demands a login of a client, or a server demands one of its peer; never both: a
server accepts no demand, and a client makes none.
"""

from __future__ import annotations

from vpndiag.protocols.errors import RemoteProtocolError
from vpndiag.protocols.ppp import protocols
from vpndiag.protocols.ppp.auth import (
    AuthEngine,
    AuthMethod,
    AuthOutcome,
    Notice,
    RandomBytes,
    method_of,
)
from vpndiag.protocols.ppp.auth_factory import make_authenticator, make_peer
from vpndiag.protocols.ppp.config import ClientConfig, ServerConfig
from vpndiag.protocols.ppp.events import AuthResult
from vpndiag.protocols.ppp.lcp_options import AuthDemand
from vpndiag.protocols.ppp.wire import Wire


class Login:
    """``engine``, from the begin of the phase until the link is left: a repeated Challenge is
    answered after the login as well. ``pending``: the login is not over."""

    def __init__(
        self, config: ClientConfig | ServerConfig, random_bytes: RandomBytes, wire: Wire
    ) -> None:
        self.engine: AuthEngine | None = None
        self.pending = False
        self.user = b""
        """Who has logged in, as the engine says; raw bytes of the peer where we are the server."""
        self._config = config
        self._random = random_bytes
        self._wire = wire
        self._method = AuthMethod.PAP
        self._early: tuple[int, bytes] | None = None

    def begin(self, demand: AuthDemand | None, now: float) -> None:
        """LCP is up: start the engine for the login that was agreed on, if any."""
        method = method_of(demand) if demand is not None else None
        if method is None:
            return
        self._method = method
        self.pending = True
        if isinstance(self._config, ClientConfig):
            self.engine = make_peer(self._config, method, self._random)
        else:
            self.engine = make_authenticator(self._config, method, self._random)
        self.engine.start(now)

    @property
    def waits_for_server(self) -> bool:
        """A client whose server has to begin."""
        client = isinstance(self._config, ClientConfig)
        return client and self.pending and self._method is not AuthMethod.PAP

    def keep(self, protocol: int, payload: bytes) -> None:
        """A Challenge that came before the Ack that opens LCP here: the network may reorder or lose
        packets, and SoftEther says its Challenge five times and no more."""
        self._early = (protocol, payload)

    def take_kept(self, now: float) -> bool:
        """Receive what was kept; False: nothing was, or it is of another protocol."""
        early, self._early = self._early, None
        if early is None:
            return False
        try:
            return self.receive(*early, now)
        except RemoteProtocolError as error:
            self._wire.drop(f"{protocols.protocol_name(early[0])} packet: {error}")
            return True

    def receive(self, protocol: int, payload: bytes, now: float) -> bool:
        """A packet of PAP, CHAP or EAP; False: that protocol was not agreed on.

        :raises DecodeError: it does not decode.
        """
        if self.engine is None or not self.speaks(protocol):
            return False
        self.engine.receive(payload, now)
        return True

    def speaks(self, protocol: int) -> bool:
        return self.engine is not None and self.engine.protocol == protocol

    def network_phase_seen(self, now: float) -> None:
        """The peer has begun with network protocols, so it takes itself for authenticated."""
        if self.engine is not None:
            self.engine.network_phase_seen(now)

    def get_timer(self) -> float | None:
        return self.engine.get_timer() if self.engine is not None else None

    def handle_timer(self, now: float) -> bool:
        """Do what is due; True when the server's verdict may be lost for good."""
        due = self.get_timer()
        if self.engine is None or due is None or due > now:
            return False
        self.engine.handle_timer(now)
        return self.engine.overdue

    def send_output(self) -> None:
        """Put what the engine has to say on the wire."""
        if self.engine is not None:
            for payload in self.engine.take_output():
                self._wire.send(self.engine.protocol, payload)

    def take_notices(self) -> list[Notice]:
        return self.engine.take_notices() if self.engine is not None else []

    def ended(self, outcome: AuthOutcome) -> None:
        """Tell how the login ended."""
        self._wire.tell(
            AuthResult(
                self._method,
                outcome.ok,
                outcome.message,
                outcome.code,
                outcome.retry,
                outcome.server_proof,
                outcome.user,
                outcome.inner,
            )
        )
        if outcome.ok:
            self.pending = False
            self.user = outcome.user

    def leave(self) -> None:
        """The link goes down."""
        self.engine = None
        self.pending = False
