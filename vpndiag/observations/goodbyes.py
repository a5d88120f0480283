"""Messages by which one side ends something."""

from __future__ import annotations

from typing import TypeGuard

from vpndiag.observations.base import Observation
from vpndiag.observations.ike import IkeMessage
from vpndiag.observations.l2tp import L2tpMessage
from vpndiag.observations.ppp import PppMessage


def ends(o: Observation) -> TypeGuard[IkeMessage | L2tpMessage | PppMessage]:
    """Whether it is one: a Delete of IKE, CDN, StopCCN or LCP's Terminate-Request."""
    if isinstance(o, PppMessage):
        return o.protocol == "LCP" and o.code == "Terminate-Request"
    if isinstance(o, L2tpMessage):
        return o.message in ("CDN", "StopCCN")
    return isinstance(o, IkeMessage) and bool(o.deletes)
