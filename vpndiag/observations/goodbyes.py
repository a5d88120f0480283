"""Messages by which one side ends something."""

from __future__ import annotations

from typing import TypeGuard

from vpndiag.observations.base import Observation
from vpndiag.observations.ike import IkeMessage
from vpndiag.observations.l2tp import L2tpMessage
from vpndiag.observations.ppp import PppMessage


def ends(o: Observation) -> TypeGuard[IkeMessage | L2tpMessage | PppMessage]:
    """Whether it is one: a Delete of IKE, CDN, StopCCN, LCP's Terminate-Request or PPPoE's PADT."""
    if type(o) is PppMessage:
        return (o.code == "Terminate-Request" and o.protocol == "LCP") or o.code == "PADT"
    if type(o) is L2tpMessage:
        return o.message in ("CDN", "StopCCN")
    return type(o) is IkeMessage and bool(o.deletes)
