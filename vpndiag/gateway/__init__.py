"""An embedded L2TP/IPsec gateway from the project's own engines, whole or broken on purpose."""

from vpndiag.gateway.config import Faults, GatewayConfig, Zone
from vpndiag.gateway.core import Gateway, Outgoing

__all__ = ["Faults", "Gateway", "GatewayConfig", "Outgoing", "Zone"]
