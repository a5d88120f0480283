"""What a gateway does with a session that is up: it renews, expires and checks, or drops it."""

from __future__ import annotations

import contextlib

from vpndiag.gateway.site import Site
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.esp.pairs import EspPairs
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.events import ChildSa
from vpndiag.protocols.ike.responder import IkeResponder

_EXPIRES = 8.0
"""Seconds from a renewal that is ignored to the end of the SA."""
_KEEP_OLD = 1.0
"""Seconds after which a replaced SA pair is deleted."""


class Upkeep:
    """The clock of one IKE SA and its SA pairs."""

    def __init__(self, site: Site, ike: IkeResponder, pairs: EspPairs) -> None:
        self._site = site
        self._ike = ike
        self._pairs = pairs
        self._expiry: dict[int, float] = {}
        self._renew_at: float | None = None
        self._delete_at: tuple[float, bytes] | None = None
        self._dpd_at: float | None = None
        self._deaf_until = 0.0
        self._newest: ChildSa | None = None

    def deaf(self, now: float) -> bool:
        """ESP is lost for the time being."""
        return now < self._deaf_until

    def added(self, child: ChildSa, now: float) -> None:
        """Quick mode was completed."""
        config, faults = self._site.config, self._site.faults
        old, self._newest = self._newest, child
        if config.renew_seconds is not None:
            self._renew_at = now + config.renew_seconds
        if config.dpd_seconds is not None:
            self._dpd_at = self._dpd_at or now + config.dpd_seconds
        if old is not None:
            self._deaf_until = now + faults.renewal_delay
            if not child.initiated:
                return
            self._delete_at = now + _KEEP_OLD, old.spi_in

    def expire(self, now: float) -> None:
        """The SA pair lives no longer than the client expects."""
        if self._newest is not None:
            spi = int.from_bytes(self._newest.spi_in, "big")
            self._expiry.setdefault(spi, now + _EXPIRES)

    def get_timer(self) -> float | None:
        times = [self._renew_at, self._dpd_at, *self._expiry.values()]
        if self._delete_at is not None:
            times.append(self._delete_at[0])
        return min((t for t in times if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for spi, end in list(self._expiry.items()):
            if now >= end:
                del self._expiry[spi]
                self._pairs.drop(spi)
        if self._ike.state is not IkeState.ESTABLISHED:
            self._renew_at = self._dpd_at = self._delete_at = None
            return
        if self._renew_at is not None and now >= self._renew_at:
            self._renew_at = None
            self._ike.start_quick_mode(now)
        if self._delete_at is not None and now >= self._delete_at[0]:
            spi_in, self._delete_at = self._delete_at[1], None
            with contextlib.suppress(LocalProtocolError):  # the client was quicker
                self._ike.delete_child(spi_in, now)
            self._pairs.drop(int.from_bytes(spi_in, "big"))
        if self._dpd_at is not None and now >= self._dpd_at:
            self._dpd_at = now + (self._site.config.dpd_seconds or 0.0)
            self._ike.send_dpd(now)
