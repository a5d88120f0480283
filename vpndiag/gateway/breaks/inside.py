"""Breaks behind the gateway: the tunnel is whole, and what is reached through it is not.

Some faults only show when the client asks for something: ``ask`` then says for what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Literal

from vpndiag.gateway.config import GatewayConfig
from vpndiag.records import record

Asked = Literal["apps", "internal_hosts", "internal_names", "internal_networks"]


@record(frozen=True, slots=True)
class InsideBreak:
    """``code`` is the finding that it provokes; ``ask`` what a client must be told to test;
    ``outcome`` what the verdict is meant to be."""

    code: str
    what: str
    config: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Any] = field(default_factory=dict)
    ask: Mapping[Asked, tuple[str, ...]] = field(default_factory=dict)
    outcome: Literal["failed", "healthy"] = "failed"

    def apply(self, config: GatewayConfig) -> GatewayConfig:
        """The gateway set up for this break."""
        config = replace(config, **self.config)
        return replace(config, faults=replace(config.faults, **self.faults))


_HOST: Mapping[Asked, tuple[str, ...]] = {"internal_hosts": ("10.99.0.80",)}
_NAME: Mapping[Asked, tuple[str, ...]] = {"internal_names": ("files.corp.example",)}
_WEB: Mapping[Asked, tuple[str, ...]] = {"apps": ("http://10.99.0.80",)}

INSIDE_BREAKS: dict[str, InsideBreak] = {
    b.code: b
    for b in (
        InsideBreak("routes.no-forwarding", "nothing is forwarded beyond the gateway",
                    faults={"forwarding": False}, ask=_HOST),
        InsideBreak("routes.nothing-behind", "no answer finds the way back to the gateway",
                    faults={"way_back": False}, ask=_HOST),
        InsideBreak("routes.host-unreachable", "nobody has the address of an internal host",
                    ask={"internal_hosts": ("10.99.0.99",)}),
        InsideBreak("mtu.black-hole", "packets of more than 1300 bytes vanish",
                    faults={"inside_mtu": 1300}),
        InsideBreak("dns.silent", "the DNS server does not answer",
                    faults={"inside_dns": "silent"}),
        InsideBreak("dns.no-server", "no DNS server is assigned", config={"dns": ()}, ask=_NAME),
        InsideBreak("dns.unreachable", "no DNS service runs where it is announced",
                    faults={"inside_dns": "unreachable"}),
        InsideBreak("dns.refused", "the DNS server refuses every question",
                    faults={"inside_dns": "refused"}, ask=_NAME),
        InsideBreak("dns.server-failure", "the DNS server fails",
                    faults={"inside_dns": "servfail"}, ask=_NAME),
        InsideBreak("dns.name-not-found", "the DNS server knows no name",
                    faults={"inside_dns": "nxdomain"}, ask=_NAME),
        InsideBreak("app.refused", "nothing listens", config={"tcp_ports": frozenset()}, ask=_WEB),
        InsideBreak("app.silent", "TCP is dropped", faults={"inside_tcp": "silent"}, ask=_WEB),
        InsideBreak("app.stalled", "answers of applications are lost",
                    faults={"inside_tcp": "stalled"}, ask=_WEB),
        InsideBreak("app.reset", "connections are cut", faults={"inside_tcp": "reset"}, ask=_WEB),
        InsideBreak("app.closed", "connections end without an answer", outcome="healthy",
                    ask={"apps": ("10.99.0.80:smb",)}),
        InsideBreak("app.no-address", "the name of an application is not known",
                    config={"dns": ()}, ask={"apps": ("http://files.corp.example",)}),
    )
}  # fmt: skip
"""By code, in the order of the ladder."""

__all__ = ["INSIDE_BREAKS", "InsideBreak"]
