"""What a :class:`~vpndiag.protocols.ppp.link.PppLink` tells: every packet, and every result.

Times are not in the events: the caller knows the ``now`` of the call that led to them. Messages
are the peer's raw bytes. No event holds a password, except the ``raw`` of one marked ``secret``.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from ipaddress import IPv4Address

from vpndiag.protocols.ppp import describe
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.protocols.ppp.describe import Packet
from vpndiag.protocols.ppp.lcp_options import AuthDemand
from vpndiag.protocols.ppp.lcp_policy import AuthAnswer
from vpndiag.protocols.ppp.options import Options
from vpndiag.protocols.ppp.protocols import protocol_name
from vpndiag.records import record


class Phase(Enum):
    """RFC 1661 section 3.2."""

    DEAD = "dead"
    ESTABLISH = "establish"
    AUTHENTICATE = "authenticate"
    NETWORK = "network"
    TERMINATE = "terminate"


@record(frozen=True, slots=True)
class _Packet:
    protocol: int
    packet: Packet | None
    """None when the payload does not decode or the protocol is not one of ours."""
    raw: bytes = field(repr=False)
    """The frame as it went or came, from FF 03 or the protocol field on."""
    repeat: bool = False
    """The same protocol and payload went the same way a short while ago."""
    secret: bool = False
    """``raw`` holds a password in clear: show it to nobody."""

    @property
    def protocol_name(self) -> str:
        return protocol_name(self.protocol)

    @property
    def text(self) -> str:
        """One printable line, passwords masked."""
        if self.packet is None:
            return f"{self.protocol_name}: not decoded"
        return describe.text(self.protocol, self.packet)


@record(frozen=True, slots=True)
class PacketSent(_Packet):
    """A control or authentication packet was queued. IP packets have no event when sent."""


@record(frozen=True, slots=True)
class PacketReceived(_Packet):
    """A packet of anything but IP came."""


@record(frozen=True, slots=True)
class LcpUp:
    """Both sides have acknowledged. ``mru`` is the most the peer takes, in bytes of PPP
    information field (1500 when it did not say)."""

    our_options: Options
    peer_options: Options
    mru: int


@record(frozen=True, slots=True)
class AuthDemanded:
    """The peer asked for a login method in its Configure-Request; ``counter`` is what we proposed
    instead. Reported once for each different demand and answer."""

    demand: AuthDemand
    accepted: bool
    counter: AuthDemand | None = None


@record(frozen=True, slots=True)
class AuthResult:
    """A login exchange ended. ``ok`` is false too when the server's proof is wrong or absent,
    though it accepted us. ``code`` and ``retry`` are E= and R= of a Failure. ``server_proof`` is
    "verified", "wrong", "absent", or None where the method has none or it did not come to it."""

    method: AuthMethod
    ok: bool
    message: bytes = b""
    code: int | None = None
    retry: bool | None = None
    server_proof: str | None = None
    user: bytes = b""
    inner: int | None = None


@record(frozen=True, slots=True)
class NoCommonAuth:
    """No login method suits both. ``answers`` has each demand and what was said to it, in order:
    the peer's demands and our answers, or ours and the peer's when ``ours``."""

    answers: tuple[AuthAnswer, ...]
    ours: bool = False

    @property
    def offered(self) -> tuple[AuthDemand, ...]:
        """The different demands, in order."""
        return tuple(dict.fromkeys(answer.demand for answer in self.answers))


@record(frozen=True, slots=True)
class IpcpUp:
    """IP may flow. ``dns`` and ``nbns`` have what was agreed, without unspecified addresses."""

    address: IPv4Address | None
    peer_address: IPv4Address | None
    dns: tuple[IPv4Address, ...] = ()
    nbns: tuple[IPv4Address, ...] = ()


@record(frozen=True, slots=True)
class AddressRefused:
    """The server did not give an address. ``how`` is "rejected" (Configure-Reject of IP-Address),
    "unspecified" (0.0.0.0 acknowledged) or "protocol-rejected" (no IPCP at all)."""

    how: str


@record(frozen=True, slots=True)
class Ipv6cpUp:
    """IPv6 may flow. ``interface_id``: our 8 bytes, None when not negotiated."""

    interface_id: bytes | None


@record(frozen=True, slots=True)
class CcpDemanded:
    """The peer asked for compression or encryption (MPPE), which is refused. Reported once for
    each different request."""

    options: Options


@record(frozen=True, slots=True)
class ProtocolRejected:
    """The peer refused a protocol that we spoke."""

    protocol: int


@record(frozen=True, slots=True)
class NegotiationStuck:
    """A negotiation went round and round and was given up; the peer's last options."""

    protocol: int
    options: Options


@record(frozen=True, slots=True)
class Terminated:
    """A Terminate-Request. ``by`` is "peer" or "us"; ``phase`` the one the link was in."""

    by: str
    protocol: int
    message: bytes
    phase: Phase


@record(frozen=True, slots=True)
class TimedOut:
    """Nothing of what we waited for came: "LCP Configure-Ack", "CHAP Challenge"...; ``tries`` is
    how often we asked (or how long we waited, in units of the retry time)."""

    waiting_for: str
    tries: int


@record(frozen=True, slots=True)
class EchoReply:
    """``rtt`` in seconds."""

    rtt: float


@record(frozen=True, slots=True)
class LoopbackDetected:
    """Our own magic number came back: the line is looped (RFC 1661 section 6.4)."""


@record(frozen=True, slots=True)
class IpPacket:
    """An IP packet from the peer; ``version`` 4 or 6 as the PPP protocol says."""

    version: int
    data: bytes


@record(frozen=True, slots=True)
class Dropped:
    """Something that was received and not acted on, and why."""

    reason: str


@record(frozen=True, slots=True)
class Finished:
    """The link is dead: nothing more will be sent or taken, except Terminate-Acks."""


LinkEvent = (
    PacketSent
    | PacketReceived
    | LcpUp
    | AuthDemanded
    | AuthResult
    | NoCommonAuth
    | IpcpUp
    | AddressRefused
    | Ipv6cpUp
    | CcpDemanded
    | ProtocolRejected
    | NegotiationStuck
    | Terminated
    | TimedOut
    | EchoReply
    | LoopbackDetected
    | IpPacket
    | Dropped
    | Finished
)
