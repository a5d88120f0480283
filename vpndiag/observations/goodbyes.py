"""Messages by which one side ends something."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TypeGuard

from vpndiag.observations.base import Observation
from vpndiag.observations.ike import IkeMessage
from vpndiag.observations.l2tp import L2tpMessage
from vpndiag.observations.ppp import PppMessage

_CONTROL = ("CDN", "StopCCN")
_LINK = ("Terminate-Request", "PADT")
_IN_ORDER = attrgetter("t", "frames")


def ends(o: Observation) -> TypeGuard[IkeMessage | L2tpMessage | PppMessage]:
    """Whether it is one: a Delete of IKE, CDN, StopCCN, LCP's Terminate-Request or PPPoE's PADT."""
    if type(o) is PppMessage:
        return (o.code == "Terminate-Request" and o.protocol == "LCP") or o.code == "PADT"
    if type(o) is L2tpMessage:
        return o.message in _CONTROL
    return type(o) is IkeMessage and bool(o.deletes)


def goodbyes(
    ike: Iterable[IkeMessage], l2tp: Iterable[L2tpMessage], ppp: Iterable[PppMessage]
) -> list[IkeMessage | L2tpMessage | PppMessage]:
    """Those of them that are one, in order."""
    found: list[IkeMessage | L2tpMessage | PppMessage] = [m for m in ike if m.deletes]
    found += [m for m in l2tp if m.message in _CONTROL]
    found += [m for m in ppp if m.code in _LINK and ends(m)]
    return sorted(found, key=_IN_ORDER)
