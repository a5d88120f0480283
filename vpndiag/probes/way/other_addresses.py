"""The gateway's other addresses, where its name has several: do they answer as well?

A run tests one address; clients take any of them, the first or the next in turn. So each of the
others is asked once, by IKE message 1, whether the tested one answers or not.
"""

from __future__ import annotations

import asyncio

from vpndiag.probes.aside import Beside
from vpndiag.probes.way.explore import message_1
from vpndiag.tunnel.options import Flow

MOST = 8
"""Addresses that are asked, at most."""


async def ask_other_addresses(beside: Beside) -> None:
    """The aside. It takes as long as one silent address does (:data:`.controls.PATIENCE`)."""
    from vpndiag.probes.name import addresses_to_try
    from vpndiag.probes.way import controls

    o = beside.options
    if o.plain_l2tp:
        return
    others = [a for a in addresses_to_try(beside.names, prefer="ipv4") if a != o.gateway][:MOST]

    async def ask(address: str) -> None:
        port = o.gateway_ports[Flow.IKE]
        message = message_1(beside)
        beside.add(
            await controls.ike("other-address", o.gateway_name, address, port, message, beside.t)
        )

    await asyncio.gather(*(ask(address) for address in others))


__all__ = ["ask_other_addresses"]
