"""All ESP flows of a capture, by ends and SPI."""

from __future__ import annotations

from collections.abc import Iterator

from vpndiag.capture.flow_values import FlowKey
from vpndiag.capture.flows import EspFlow

MAX_FLOWS = 32_768


class EspFlows:
    """All ESP flows of a capture, MAX_FLOWS at most; ``dropped`` counts packets of flows beyond."""

    def __init__(self, every_size: bool = False) -> None:
        """``every_size``: of flows that may be joined to others (:meth:`EspFlow.append`)."""
        self._flows: dict[tuple[bytes, int], EspFlow] = {}
        self._every_size = every_size
        self.dropped = 0

    def __iter__(self) -> Iterator[EspFlow]:
        return iter(self._flows.values())

    def __len__(self) -> int:
        return len(self._flows)

    def get(self, ends: bytes, spi: int) -> EspFlow | None:
        """The flow between packed ``ends`` (addresses, then ports) with this SPI, if known."""
        return self._flows.get((ends, spi))

    def create(self, ends: bytes, spi: int, key: FlowKey) -> EspFlow | None:
        """A new flow; None (and counted) when there are too many already."""
        if len(self._flows) >= MAX_FLOWS:
            self.dropped += 1
            return None
        flow = self._flows[ends, spi] = EspFlow(key, self._every_size)
        return flow

    def append(self, later: EspFlows, frames: int) -> bool:
        """Take over the flows of packets that came later, frames numbered on by ``frames``; False:
        that would not be as if all had been counted here (and now they are spoilt)."""
        for where, flow in later._flows.items():
            known = self._flows.get(where)
            if known is None:
                if len(self._flows) >= MAX_FLOWS:
                    return False
                known = self._flows[where] = EspFlow(flow.key)
            if not flow.follows(known):
                return False
            known.append(flow, frames)
        return True
