"""Faults of the path in front of the gateway: datagrams that do not arrive, or arrive wrong."""

from __future__ import annotations

from collections.abc import Iterator

from vpndiag.gateway.config import NATT_PORT, Faults
from vpndiag.gateway.site import Outgoing, Site
from vpndiag.protocols.esp.udp import Kind, demultiplex
from vpndiag.protocols.ike.constants import ExchangeType, HeaderFlag, PayloadType

_HEADER = 28


def message_name(message: bytes) -> str:
    """``MM1``, ``MM3``, ``MM5`` or ``QM1`` for an IKE message of the initiator, as far as it can be
    told from outside (``QM1`` stands for all of quick mode); empty for anything else."""
    if len(message) < _HEADER or message[17] >> 4 != 1:
        return ""
    exchange, encrypted = message[18], bool(message[19] & HeaderFlag.ENCRYPTION)
    if exchange == ExchangeType.QUICK_MODE:
        return "QM1"
    if exchange != ExchangeType.MAIN_MODE:
        return ""
    if encrypted:
        return "MM5"
    return "MM1" if message[16] == PayloadType.SA and message[8:16] == bytes(8) else "MM3"


class Path:
    """Judges each datagram. Loss is drawn from the gateway's own randomness."""

    def __init__(self, faults: Faults, site: Site) -> None:
        self._faults = faults
        self._site = site
        self._dead = faults.silent_ports | faults.closed_ports

    def comes_in(self, port: int, data: bytes) -> bool:
        """Whether a datagram to our ``port`` arrives."""
        if port in self._dead or (self._site.deaf and port == NATT_PORT) or self._lost():
            return False
        if self._faults.drop:
            if port == NATT_PORT:
                found = demultiplex(data)
                data = found.body if found.kind is Kind.IKE else b""
            if message_name(data) in self._faults.drop:
                return False
        return True

    def goes_out(self, packet: Outgoing) -> Iterator[Outgoing]:
        """What becomes of a datagram of ours."""
        if packet.port in self._dead or (self._site.deaf and packet.port == NATT_PORT):
            return
        if self._lost():
            return
        if self._faults.elsewhere:
            packet = Outgoing(0, packet.destination, packet.data)
        yield packet

    def _lost(self) -> bool:
        loss = self._faults.loss
        return bool(loss) and self._site.random(1)[0] < loss * 256
