"""Traffic that is not L2TP/IPsec, recognised for what it is."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Observation
from vpndiag.records import record

IKE_CUT_OFF = "IKE, cut off by the capture"
"""Messages of which a snap length left less than the exchange they belong to."""
IKE_FRAGMENTS = "IKE in incomplete IP fragments"
NAT_KEEPALIVES = "NAT keepalives"
"""With which a client behind a NAT keeps its mapping (RFC 3948 section 4): it has an IPsec SA."""


@record(frozen=True, slots=True, kw_only=True)
class OtherTraffic(Observation):
    """Packets of another VPN or none: ``IKEv2``, ``PPTP``, ``L2TPv3``, ``WireGuard``, ``OpenVPN``,
    ``PPPoE``, ``AH``, ``GRE``."""

    kind: Literal["other-traffic"] = "other-traffic"
    what: str
    packets: int
