"""Breaks of the tunnel and its session."""

from __future__ import annotations

from vpndiag.gateway.breaks.register import Register
from vpndiag.protocols.l2tp.config import Ignore, Refuse

BREAKS = Register()
_add = BREAKS.add

_add("l2tp.no-answer", "the L2TP service is silent", tunnel=Ignore())
_add("l2tp.not-authorized", "StopCCN 4", tunnel=Refuse(4, None, b"Not authorized"))
_add("l2tp.refused", "StopCCN 2, error 6", tunnel=Refuse(2, 6, b"Go away"))
_add("l2tp.already-exists", "StopCCN 3", tunnel=Refuse(3))
_add("l2tp.version", "StopCCN 5", tunnel=Refuse(5, 0x0100, b"L2TP version 1.0 only"))
_add("l2tp.shutting-down", "StopCCN 6", tunnel=Refuse(6, None, b"Maintenance"))
_add("l2tp.protocol-error", "StopCCN 7", tunnel=Refuse(7))
_add(
    "l2tp.secret-wanted",
    "the gateway wants a tunnel secret",
    config={"l2tp_secret": b"tunnel secret"},
)
_add(
    "l2tp.secret-mismatch",
    "the two tunnel secrets differ",
    config={"l2tp_secret": b"tunnel secret"},
    client={"l2tp_secret": b"another secret"},
)
_add("l2tp.call-refused", "CDN 3", call=Refuse(3, None, b"Administrative reasons"))
_add("l2tp.no-facilities", "CDN 4", call=Refuse(4, None, b"All lines are busy"))
_add("l2tp.call-unanswered", "the call is not answered", call=Ignore())
_add("l2tp.hung-up", "the call is closed as soon as it is up", hang_up="call")
_add("l2tp.v3-only", "the gateway speaks L2TPv3", l2tp_v3=True)
