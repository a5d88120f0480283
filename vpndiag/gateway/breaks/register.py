"""What a break is, and the table that each layer's breaks are kept in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from vpndiag.gateway.config import GatewayConfig
from vpndiag.records import record
from vpndiag.tunnel.options import TunnelOptions

Change = Callable[[GatewayConfig, TunnelOptions, float], tuple[GatewayConfig, TunnelOptions]]


@record(frozen=True, slots=True)
class Break:
    """``name`` is the code, with a colon and the variant where the fault shows in several ways.
    ``outcome``: what the verdict is meant to be."""

    name: str
    what: str
    change: Change
    outcome: Literal["failed", "healthy"] = "failed"
    soak: float = 0.0
    """Seconds that the client must stay connected for it to show."""

    @property
    def code(self) -> str:
        """The finding that it provokes."""
        return self.name.partition(":")[0]

    def apply(
        self, config: GatewayConfig, options: TunnelOptions, now: float
    ) -> tuple[GatewayConfig, TunnelOptions]:
        """Gateway and client set up for this break. ``now``: POSIX seconds, for certificates."""
        return self.change(config, options, now)


class Register(dict[str, Break]):
    """Breaks by name, in the order they were added."""

    def add(
        self,
        name: str,
        what: str,
        *,
        outcome: Literal["failed", "healthy"] = "failed",
        soak: float = 0.0,
        config: dict[str, Any] | None = None,
        client: dict[str, Any] | None = None,
        **faults: Any,
    ) -> None:
        """A break of changes: to fields of the two configurations, and of the gateway's faults."""

        def change(
            gateway: GatewayConfig, options: TunnelOptions, now: float
        ) -> tuple[GatewayConfig, TunnelOptions]:
            gateway = replace(gateway, **(config or {}))
            gateway = replace(gateway, faults=replace(gateway.faults, **faults))
            return gateway, replace(options, **(client or {}))

        self[name] = Break(name, what, change, outcome, soak)
