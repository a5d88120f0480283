"""PPP control packets (RFC 1661 and the protocols on it)."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Direction, Observation
from vpndiag.records import record


@record(frozen=True, slots=True, kw_only=True)
class PppMessage(Observation):
    """One PPP control packet."""

    kind: Literal["ppp-message"] = "ppp-message"
    direction: Direction
    protocol: str
    """``LCP``, ``PAP``, ``CHAP``, ``EAP``, ``CCP``, ``IPCP``, ``IPV6CP`` or ``0x....``; ``PPPoE``
    for its PADT."""
    code: str
    """``Configure-Request``, ``Authenticate-Nak``, ``Challenge``, ``Success``, ..."""
    identifier: int
    repeat: bool = False
    options: tuple[tuple[str, str], ...] = ()
    """Name and value as text, in wire order: ``("MRU", "1400")``, ``("Authentication-Protocol",
    "CHAP MS-CHAPv2")``, ``("IP-Address", "0.0.0.0")``, ``("Primary-DNS", "192.0.2.53")``."""
    method: str = ""
    """For CHAP and EAP: ``MD5``, ``MS-CHAPv2``, ``Identity``, ...; for Protocol-Reject: the
    protocol rejected."""
    message: str = ""
    """The peer's text: failure message, terminate reason."""
    error_code: int | None = None
    """``E=`` of an MS-CHAP failure (RFC 2759 section 6)."""
    retry: bool | None = None
    name: str = ""
    """CHAP Name, PAP Peer-ID or EAP identity."""
    magic: int | None = None
    session: str = ""
    """L2TP session that it belongs to; ``PPP link`` or ``PPPoE 7``: captured without L2TP."""


@record(frozen=True, slots=True, kw_only=True)
class ServerProof(Observation):
    """Whether the server proved in MS-CHAPv2 that it knows the password (RFC 2759 section 5)."""

    kind: Literal["server-proof"] = "server-proof"
    outcome: Literal["verified", "wrong", "absent"]
