"""Settings of an L2TP engine, and the answers of a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import StrEnum

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp.events import PeerInfo
from vpndiag.protocols.l2tp.message import ControlMessage
from vpndiag.protocols.l2tp.reliable import RetransmitConfig
from vpndiag.records import record


class Role(StrEnum):
    """``LAC``: opens the tunnel and incoming calls (the client). ``LNS``: answers."""

    LAC = "lac"
    LNS = "lns"


@record(frozen=True, slots=True)
class Accept:
    """Go on."""


@record(frozen=True, slots=True)
class Refuse:
    """Answer with StopCCN or CDN."""

    result: int
    error: int | None = None
    message: bytes = b""


@record(frozen=True, slots=True)
class Ignore:
    """Do not answer. ``acknowledge``: send the ZLB that reliable delivery wants (for a call that
    is always done)."""

    acknowledge: bool = False


Decision = Accept | Refuse | Ignore


@record(frozen=True, slots=True)
class TunnelRequest:
    """An SCCRQ that a policy judges."""

    peer: PeerInfo
    message: ControlMessage


@record(frozen=True, slots=True)
class CallRequest:
    """An ICRQ that a policy judges."""

    message: ControlMessage


Policy = Callable[[TunnelRequest | CallRequest], Decision]


def accept_all(request: TunnelRequest | CallRequest) -> Decision:
    """The default policy."""
    return Accept()


@record(frozen=True, slots=True)
class L2tpConfig:
    """Times in seconds. Names are what goes on the wire.

    ``challenge``: ask the peer to prove the secret. ``require_secret``: and end the tunnel when
    it does not answer (a wrong answer always ends it). ``stop_without_secret``: end the tunnel with
    StopCCN 4 when the peer sends a challenge and there is no secret, instead of going on without a
    response, which some gateways accept. ``hide``: attribute types to send hidden.
    ``hello_interval``: send HELLO after this long a silence, None for never. ``reply_timeout``:
    wait for SCCRP, SCCCN, ICRP, ICCN after our message was acknowledged. ``sequencing``: as LAC,
    ask for sequence numbers in data messages. ``vendor_name`` and ``firmware`` are left out when
    None.
    """

    host_name: bytes = b"vpndiag"
    vendor_name: bytes | None = None
    firmware: int | None = None
    framing: int = 3
    bearer: int | None = 0
    receive_window: int = 8
    secret: bytes | None = field(default=None, repr=False)
    challenge: bool = False
    require_secret: bool = False
    stop_without_secret: bool = False
    hide: frozenset[int] = frozenset()
    retransmit: RetransmitConfig = field(default_factory=RetransmitConfig)
    hello_interval: float | None = 60.0
    reply_timeout: float = 30.0
    sequencing: bool = False
    policy: Policy = accept_all

    def __post_init__(self) -> None:
        if (self.challenge or self.require_secret or self.hide) and self.secret is None:
            raise LocalProtocolError("tunnel authentication and hidden AVPs need a secret")
        if not 1 <= self.receive_window <= 0xFFFF:
            raise LocalProtocolError("receive window out of range")

    @property
    def asks_proof(self) -> bool:
        return self.challenge or self.require_secret
