"""What all clients of a gateway share: configuration, randomness, the address pool."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from vpndiag.gateway.config import GatewayConfig
from vpndiag.gateway.inside import Inside
from vpndiag.records import record

RandomBytes = Callable[[int], bytes]
Address = tuple[str, int]


@record(frozen=True, slots=True)
class Outgoing:
    """A datagram to send from the gateway's ``port`` (500, 4500 or 1701 by their standard numbers;
    0: from any other port)."""

    port: int
    destination: Address
    data: bytes


class Pool:
    """Addresses for clients, lowest first."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._used: set[IPv4Address] = set()

    def take(self) -> IPv4Address | None:
        """A free address; None when there is none left."""
        for n, address in enumerate(self._config.pool.hosts()):
            if n >= self._config.pool_size:
                return None
            if address not in self._used and address != self._config.gateway_inside:
                self._used.add(address)
                return address
        return None

    def release(self, address: IPv4Address) -> None:
        self._used.discard(address)


class Site:
    """Handed to every client object."""

    def __init__(self, config: GatewayConfig, random_bytes: RandomBytes) -> None:
        self.config = config
        self.faults = config.faults
        self.random = random_bytes
        self.pool = Pool(config)
        self.inside = Inside(config)
        self.out: list[Outgoing] = []
        self.deaf = False
        """UDP 4500 is dead from now on (``Faults.deaf_after``)."""
        self.leaving = False
        """The IKE SAs are to be deleted (``Faults.leave``)."""

    def local(self, port: int) -> Address:
        return self.config.address, self.config.ports.get(port, port)

    def send(self, port: int, destination: Address, data: bytes) -> None:
        self.out.append(Outgoing(port, destination, data))
