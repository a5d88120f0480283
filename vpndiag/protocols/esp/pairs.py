"""The SA pairs between two ends while keys are renewed: any of them receives, the newest sends."""

from __future__ import annotations

from collections.abc import Iterable

from vpndiag.protocols.errors import RemoteProtocolError
from vpndiag.protocols.esp.sa import EspPair, read_header


class EspPairs:
    """Make before break: an old pair is good for packets that come in until it is forgotten."""

    def __init__(self) -> None:
        self._pairs: dict[int, EspPair] = {}

    @property
    def newest(self) -> EspPair | None:
        """The pair to send on."""
        return next(reversed(self._pairs.values()), None)

    def add(self, pair: EspPair) -> None:
        self._pairs[pair.inbound.spi] = pair

    def of(self, packet: bytes) -> EspPair | None:
        """The pair that an ESP packet came in on; None: none of these."""
        try:
            return self._pairs.get(read_header(packet).spi)
        except RemoteProtocolError:
            return None

    def keep(self, spis: Iterable[int]) -> None:
        """Forget all but those with these inbound SPIs."""
        kept = set(spis)
        self._pairs = {spi: pair for spi, pair in self._pairs.items() if spi in kept}

    def drop(self, spi: int) -> None:
        self._pairs.pop(spi, None)

    def clear(self) -> None:
        self._pairs.clear()

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, spi: int) -> bool:
        return spi in self._pairs
