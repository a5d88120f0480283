"""Staying connected for a while: quality inside, and the renewal of the keys."""

from vpndiag.probes.soak.plan import SoakPlan, parse_duration
from vpndiag.probes.soak.soak import Progress, Soaking

__all__ = ["Progress", "SoakPlan", "Soaking", "parse_duration"]
