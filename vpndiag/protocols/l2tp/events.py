"""What an L2TP engine tells its caller. Texts from the peer are raw bytes."""

from __future__ import annotations

from enum import Enum, StrEnum

from vpndiag.protocols.l2tp.avps import Avp
from vpndiag.protocols.l2tp.message import ControlMessage
from vpndiag.protocols.l2tp.values import ProtocolVersion
from vpndiag.records import record


class Side(StrEnum):
    US = "us"
    PEER = "peer"


class DropReason(Enum):
    """Why a datagram or message had no effect."""

    MALFORMED = "malformed"
    OTHER_VERSION = "other-version"
    UNKNOWN_TUNNEL = "unknown-tunnel"
    UNKNOWN_SESSION = "unknown-session"
    SESSION_NOT_UP = "session-not-up"
    NOT_EXPECTED = "not-expected"
    TOO_FAR_AHEAD = "too-far-ahead"
    IGNORED = "ignored"
    """The policy said to stay silent."""
    CLOSED = "closed"


@record(frozen=True, slots=True)
class PeerInfo:
    """What SCCRQ or SCCRP says of its sender; None where the AVP is absent or malformed."""

    host_name: bytes | None
    vendor_name: bytes | None
    firmware: int | None
    framing: int | None
    bearer: int | None
    receive_window: int | None
    protocol_version: ProtocolVersion | None
    tunnel_id: int | None
    challenge: bytes | None


@record(frozen=True, slots=True)
class MessageSent:
    """``retransmission`` counts from 0, the first transmission."""

    message: ControlMessage
    data: bytes
    retransmission: int = 0


@record(frozen=True, slots=True)
class MessageReceived:
    """``message`` has its hidden AVPs revealed where the secret allows; ``repeat`` is True for a
    message received before."""

    message: ControlMessage
    data: bytes
    repeat: bool = False


@record(frozen=True, slots=True)
class Dropped:
    reason: DropReason
    detail: str
    data: bytes


@record(frozen=True, slots=True)
class TunnelEstablished:
    """``authenticated``: True, the peer proved the secret; None, it was not asked or did not answer
    our challenge."""

    peer: PeerInfo
    authenticated: bool | None


@record(frozen=True, slots=True)
class TunnelClosed:
    """``result`` is None when no StopCCN was sent (nothing was ever answered), or it gave none."""

    by: Side
    result: int | None
    error: int | None = None
    message: bytes = b""


@record(frozen=True, slots=True)
class SessionEstablished:
    """``sequencing``: data messages to the peer carry sequence numbers."""

    session_id: int
    peer_session_id: int
    sequencing: bool


@record(frozen=True, slots=True)
class SessionClosed:
    """``result`` is None when the tunnel went down and took the session along."""

    session_id: int
    by: Side
    result: int | None
    error: int | None = None
    message: bytes = b""


@record(frozen=True, slots=True)
class PppFrame:
    """``data`` starts at the PPP frame as on the wire, FF 03 included when it was sent.

    ``out_of_order``: its sequence number is not beyond the last one.
    """

    session_id: int
    data: bytes
    ns: int | None = None
    out_of_order: bool = False


@record(frozen=True, slots=True)
class TimedOut:
    """``waiting_for`` is the name of a message, or ``acknowledgement of`` one.

    ``tries``: transmissions of ours. ``acknowledged``: the peer acknowledged it and then said
    nothing more. ``session_id``: ours, when a call timed out and not the tunnel."""

    waiting_for: str
    tries: int
    acknowledged: bool = False
    session_id: int | None = None


@record(frozen=True, slots=True)
class SecretWanted:
    """The peer sent a challenge and no secret is configured. ``message``: SCCRQ or SCCRP."""

    message: str


@record(frozen=True, slots=True)
class SecretMismatch:
    """The peer's answer to our challenge is wrong, or absent (``answered`` False)."""

    message: str
    answered: bool


@record(frozen=True, slots=True)
class UnknownMandatory:
    """AVPs (or a message type) that we do not know and the peer marked as mandatory.

    RFC 2661, 4.1 wants the session or tunnel to end; ``tolerated`` says that it did not.
    """

    message: ControlMessage
    avps: tuple[Avp, ...]
    tolerated: bool


Event = (
    MessageSent
    | MessageReceived
    | Dropped
    | TunnelEstablished
    | TunnelClosed
    | SessionEstablished
    | SessionClosed
    | PppFrame
    | TimedOut
    | SecretWanted
    | SecretMismatch
    | UnknownMandatory
)
