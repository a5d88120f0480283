"""What a link is to do: configuration of a client, and of a server with its policy object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from ipaddress import IPv4Address

from vpndiag.protocols.ppp.auth import AuthMethod, AuthTimers, Credentials
from vpndiag.protocols.ppp.auth_server import CheckPassword, LoginAnswer, Refuse
from vpndiag.protocols.ppp.control_terms import ControlTimers
from vpndiag.protocols.ppp.network_policies import AddressRefusal, Assignment, NoAddress
from vpndiag.records import record


@record(frozen=True, slots=True)
class Timers:
    """All timing of a link. ``echo_interval`` None sends no LCP Echo-Requests of its own accord;
    after ``echo_failures`` unanswered ones the link is given up."""

    control: ControlTimers = field(default_factory=ControlTimers)
    auth: AuthTimers = field(default_factory=AuthTimers)
    ack_again: float | None = None
    """Seconds after which a client sends its Configure-Ack again when the server does not go on;
    None: never. For paths that lose packets: a server that has the Ack and is true to the table
    starts over for another one (RFC 1661 section 4.1)."""
    acks_again: int = 12
    """How often."""
    ack_again_once_lost: float | None = None
    """The same for IPCP alone where something of ours had to be repeated: its Ack may be lost too,
    and then the server drops all that is sent through the link."""
    echo_interval: float | None = None
    echo_failures: int = 4
    retry_grace: float = 5.0
    """How long a server leaves a client that may try its password again (R=1)."""
    refusal_grace: float = 0.0
    """How long a server that refused a login waits before it ends the link, and meanwhile repeats
    its refusal to a client that did not get it (RFC 1994 section 4.2)."""


@record(frozen=True, slots=True)
class ClientConfig:
    """A client. ``auth`` are the methods it accepts, best first: a demand for any of them is
    acknowledged, any other is answered with a Nak that proposes them in turn. EAP that is not the
    first of them is acknowledged only when the peer insists on it. ``mru`` None asks
    for none. ``credentials`` None accepts no login at all."""

    credentials: Credentials | None = None
    auth: tuple[AuthMethod, ...] = (
        AuthMethod.MSCHAPV2,
        AuthMethod.EAP,
        AuthMethod.CHAP_MD5,
        AuthMethod.PAP,
    )
    mru: int | None = 1400
    address: IPv4Address | None = None
    want_ipv6: bool = False
    timers: Timers = field(default_factory=Timers)


class Point(Enum):
    """Where a server may stop going along."""

    START = "start"
    LCP_REQUEST = "lcp-request"
    LCP_UP = "lcp-up"
    LOGIN_OK = "login-ok"
    IPCP_REQUEST = "ipcp-request"
    IPCP_UP = "ipcp-up"


@record(frozen=True, slots=True)
class HangUp:
    """Send LCP Terminate-Request with ``message``, ``after`` seconds during which nothing else is
    begun."""

    message: bytes = b""
    after: float = 0.0


@record(frozen=True, slots=True)
class FallSilent:
    """Neither send nor take anything more."""


Conduct = HangUp | FallSilent | None


class ServerPolicy:
    """How a server treats its clients. Subclass and override what is to be otherwise.

    As it stands: no account exists, there is no address, and nothing is broken on purpose.
    """

    def login(self, name: bytes, method: AuthMethod) -> LoginAnswer:
        """What to do with a login of ``name``, raw bytes of the peer."""
        return Refuse()

    def assign(self, user: bytes) -> Assignment | NoAddress:
        """The addresses for ``user`` (empty without a login)."""
        return NoAddress()

    def at(self, point: Point) -> Conduct:
        """Called when the link gets to ``point``; None goes on."""
        return None


class FixedPolicy(ServerPolicy):
    """Accounts, one assignment and points of failure from tables."""

    def __init__(
        self,
        accounts: Mapping[bytes, str | LoginAnswer],
        assignment: Assignment | NoAddress,
        conduct: Mapping[Point, Conduct] | None = None,
    ) -> None:
        self._accounts = dict(accounts)
        self._assignment = assignment
        self._conduct = dict(conduct or {})

    def login(self, name: bytes, method: AuthMethod) -> LoginAnswer:
        account = self._accounts.get(name)
        if account is None:
            return Refuse()
        return CheckPassword(account) if isinstance(account, str) else account

    def assign(self, user: bytes) -> Assignment | NoAddress:
        return self._assignment

    def at(self, point: Point) -> Conduct:
        return self._conduct.get(point)


@record(frozen=True, slots=True)
class ServerConfig:
    """A server. ``auth`` are the login methods it demands, best first; empty demands none."""

    policy: ServerPolicy
    auth: tuple[AuthMethod, ...] = (AuthMethod.MSCHAPV2,)
    eap_methods: tuple[int, ...] = (26, 4)
    name: bytes = b"vpndiag"
    mru: int | None = 1400
    require_mppe: bool = False
    want_ipv6: bool = False
    timers: Timers = field(default_factory=Timers)


__all__ = [
    "AddressRefusal",
    "Assignment",
    "ClientConfig",
    "Conduct",
    "FallSilent",
    "FixedPolicy",
    "HangUp",
    "NoAddress",
    "Point",
    "ServerConfig",
    "ServerPolicy",
    "Timers",
]
