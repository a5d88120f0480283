"""The control connection's state table (RFC 2661, 7.2)."""

from __future__ import annotations

from enum import Enum

from vpndiag.protocols.l2tp.constants import MessageType


class TunnelState(Enum):
    IDLE = "idle"
    WAIT_CTL_REPLY = "wait-ctl-reply"
    WAIT_CTL_CONN = "wait-ctl-conn"
    ESTABLISHED = "established"
    CLOSING = "closing"
    """Our StopCCN is on its way."""
    CLOSED = "closed"
    """What still arrives is only acknowledged."""


class TunnelAction(Enum):
    ANSWER = "send SCCRP"
    CONNECT = "send SCCCN, established"
    ESTABLISH = "established"
    CLOSE = "closed by the peer"
    NOTE = "no effect"
    CALL = "send ICRP"
    REFUSE_CALL = "send CDN: no outgoing calls"
    SESSION = "look at the session table"
    STOP = "send StopCCN: finite state machine error"


_S, _M, _A = TunnelState, MessageType, TunnelAction

TUNNEL_TABLE: dict[tuple[TunnelState, MessageType], TunnelAction] = {
    (_S.IDLE, _M.SCCRQ): _A.ANSWER,
    (_S.WAIT_CTL_REPLY, _M.SCCRP): _A.CONNECT,
    (_S.WAIT_CTL_REPLY, _M.SCCRQ): _A.STOP,
    (_S.WAIT_CTL_REPLY, _M.SCCCN): _A.STOP,
    (_S.WAIT_CTL_REPLY, _M.StopCCN): _A.CLOSE,
    (_S.WAIT_CTL_CONN, _M.SCCCN): _A.ESTABLISH,
    (_S.WAIT_CTL_CONN, _M.SCCRQ): _A.STOP,
    (_S.WAIT_CTL_CONN, _M.SCCRP): _A.STOP,
    (_S.WAIT_CTL_CONN, _M.StopCCN): _A.CLOSE,
    (_S.ESTABLISHED, _M.SCCRQ): _A.STOP,
    (_S.ESTABLISHED, _M.SCCRP): _A.STOP,
    (_S.ESTABLISHED, _M.SCCCN): _A.STOP,
    (_S.ESTABLISHED, _M.StopCCN): _A.CLOSE,
    (_S.ESTABLISHED, _M.HELLO): _A.NOTE,
    (_S.ESTABLISHED, _M.ICRQ): _A.CALL,
    (_S.ESTABLISHED, _M.OCRQ): _A.REFUSE_CALL,
    (_S.ESTABLISHED, _M.ICRP): _A.SESSION,
    (_S.ESTABLISHED, _M.ICCN): _A.SESSION,
    (_S.ESTABLISHED, _M.CDN): _A.SESSION,
    (_S.ESTABLISHED, _M.WEN): _A.SESSION,
    (_S.ESTABLISHED, _M.SLI): _A.SESSION,
}
"""What is not here is not expected in that state and has no effect."""
