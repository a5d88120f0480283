"""Questions asked through the tunnel once an address was assigned: sans-IO, all side by side."""

from vpndiag.probes.inside.check import Link
from vpndiag.probes.inside.exchange import App, parse_app
from vpndiag.probes.inside.mtu import Encapsulation
from vpndiag.probes.inside.plan import InsidePlan
from vpndiag.probes.inside.run import Inside

__all__ = ["App", "Encapsulation", "Inside", "InsidePlan", "Link", "parse_app"]
