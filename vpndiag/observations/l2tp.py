"""L2TPv2 control messages (RFC 2661)."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Direction, Observation
from vpndiag.records import record


@record(frozen=True, slots=True, kw_only=True)
class L2tpMessage(Observation):
    """One control message; ZLB acknowledgements are left out, except one that is all that a
    request, or a message sent again, gets."""

    kind: Literal["l2tp-message"] = "l2tp-message"
    direction: Direction
    inside: Literal["esp", "clear"]
    message: str
    """``SCCRQ``, ``SCCRP``, ... or ``ZLB``; ``type 77`` when unknown."""
    tunnel_id: int
    """From the header: the receiver's."""
    session_id: int
    ns: int
    nr: int
    repeat: bool = False
    assigned_tunnel_id: int | None = None
    assigned_session_id: int | None = None
    host_name: str = ""
    vendor_name: str = ""
    firmware: int | None = None
    receive_window: int | None = None
    challenge: bool = False
    challenge_response: bool = False
    response_valid: bool | None = None
    """Our check of the peer's Challenge Response; None where it cannot be checked."""
    result_code: int | None = None
    error_code: int | None = None
    error_message: str = ""
    client_port: int = 0
    gateway_port: int = 0
    other_source: str = ""
