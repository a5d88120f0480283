"""What the authentication engines share: methods, outcomes, and the frame of an engine.

An engine speaks one authentication protocol in one role. The peer (RFC 1994's word for the side
that proves who it is) is in :mod:`auth_peer`, the authenticator in :mod:`auth_server`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import field
from enum import Enum

from vpndiag.protocols.ppp import lcp_options, protocols
from vpndiag.protocols.ppp.lcp_options import AuthDemand
from vpndiag.records import record

RandomBytes = Callable[[int], bytes]


class AuthMethod(Enum):
    """The methods this package can speak, in both roles."""

    MSCHAPV2 = "mschapv2"
    EAP = "eap"
    CHAP_MD5 = "chap-md5"
    PAP = "pap"

    @property
    def demand(self) -> AuthDemand:
        """What stands for it in LCP."""
        return _DEMANDS[self]


_DEMANDS = {
    AuthMethod.MSCHAPV2: lcp_options.AUTH_MSCHAPV2,
    AuthMethod.EAP: lcp_options.AUTH_EAP,
    AuthMethod.CHAP_MD5: lcp_options.AUTH_CHAP_MD5,
    AuthMethod.PAP: lcp_options.AUTH_PAP,
}


def method_of(demand: AuthDemand) -> AuthMethod | None:
    """The method that ``demand`` asks for; None for one that is not spoken here."""
    return next(
        (
            method
            for method, known in _DEMANDS.items()
            if (known.protocol, known.algorithm) == (demand.protocol, demand.algorithm)
        ),
        None,
    )


@record(frozen=True, slots=True)
class Credentials:
    """User name and password. The password is in no ``repr``."""

    user: str
    password: str = field(repr=False)

    @property
    def name(self) -> bytes:
        return self.user.encode("utf-8", "surrogateescape")

    @property
    def secret(self) -> bytes:
        """The password as PAP, CHAP-MD5 and EAP-MD5 use it."""
        return self.password.encode("utf-8", "surrogateescape")


@record(frozen=True, slots=True)
class AuthTimers:
    """Seconds between sendings, and how many there are before giving up."""

    request: float = 1.5
    """Between PAP Authenticate-Requests, CHAP Challenges and EAP Requests."""
    response: float = 3.0
    """Before a CHAP Response that got no answer is sent again: long, since a server may be
    asking a slow RADIUS server meanwhile."""
    tries: int = 10


@record(frozen=True, slots=True)
class AuthOutcome:
    """The exchange has ended. ``code`` and ``retry`` are E= and R= of a Failure; ``server_proof``
    is "verified", "wrong" or "absent" for MS-CHAPv2 and None for other methods; ``inner`` is the
    EAP type."""

    ok: bool
    message: bytes = b""
    code: int | None = None
    retry: bool | None = None
    server_proof: str | None = None
    user: bytes = b""
    inner: int | None = None


@record(frozen=True, slots=True)
class AuthTimeout:
    waiting_for: str
    tries: int


@record(frozen=True, slots=True)
class AuthDropped:
    reason: str


Notice = AuthOutcome | AuthTimeout | AuthDropped


class AuthEngine(ABC):
    """Base of all engines: an outbox of payloads, a list of notices, one timer."""

    protocol: int = protocols.CHAP

    def __init__(self, timers: AuthTimers) -> None:
        self.timers = timers
        self.finished = False
        self._outbox: list[bytes] = []
        self._notices: list[Notice] = []
        self._deadline: float | None = None
        self._tries = 0

    @abstractmethod
    def start(self, now: float) -> None:
        """The link has entered the authentication phase."""

    @abstractmethod
    def receive(self, payload: bytes, now: float) -> None:
        """A packet of this protocol. :raises DecodeError: it does not decode."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""

    @property
    def overdue(self) -> bool:
        """A peer's answer has been sent so often that the authenticator's verdict may be lost for
        good."""
        return False

    def network_phase_seen(self, now: float) -> None:  # noqa: B027
        """The peer has begun with network protocols, so it takes itself for authenticated."""

    def get_timer(self) -> float | None:
        return self._deadline

    def take_output(self) -> list[bytes]:
        output, self._outbox = self._outbox, []
        return output

    def take_notices(self) -> list[Notice]:
        notices, self._notices = self._notices, []
        return notices

    def _arm(self, deadline: float | None) -> None:
        self._deadline = deadline

    def _drop(self, reason: str) -> None:
        self._notices.append(AuthDropped(reason))

    def _finish(self, outcome: AuthOutcome) -> None:
        self.finished = True
        self._deadline = None
        self._notices.append(outcome)

    def _out_of_tries(self, waiting_for: str) -> bool:
        """Count one more expiry; True (and a notice) when there were enough."""
        if self._tries < self.timers.tries:
            return False
        self._deadline = None
        self._notices.append(AuthTimeout(waiting_for, self._tries))
        return True
