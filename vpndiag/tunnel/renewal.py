"""After the keys were renewed: the gateway gets all it needs for the new SA pair, and the old SAs
are deleted once the new one is seen to be used."""

from __future__ import annotations

from vpndiag.protocols.ike.events import ChildSa
from vpndiag.tunnel.esp_channel import EspChannel
from vpndiag.tunnel.ike_sas import IkeSas

_RETIRE_PROVEN = 2.0
_RETIRE = 8.0
"""Seconds after which an old SA is deleted: the new one was seen to be used, or was not."""
_REPEAT_QM3 = 0.5


class Renewal:
    """Begins with :meth:`renewed`, and is over when the old SAs are deleted."""

    def __init__(self, ikes: IkeSas, esp: EspChannel) -> None:
        self._ikes = ikes
        self._esp = esp
        self._renewed: float | None = None
        """When the newest of several SA pairs was made; the older ones are still there."""
        self._repeat_qm3: float | None = None
        self._insisted = False

    def renewed(self, child: ChildSa, now: float) -> None:
        """Another SA pair has taken the place of the one in use."""
        self._renewed, self._insisted = now, False
        self._repeat_qm3 = now + _REPEAT_QM3 if child.initiated else None

    def get_timer(self) -> float | None:
        times = (self._repeat_qm3, self._retire_at())
        return min((t for t in times if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        if self._repeat_qm3 is not None and self._repeat_qm3 <= now:
            self._insist(now)
        retire_at = self._retire_at()
        if retire_at is not None and retire_at <= now:
            self._retire(now)

    def _insist(self, now: float) -> None:
        """The gateway may lack the message that completes the new SA. It is sent again until
        something comes on that SA, and once in any case: Libreswan uses it before it is complete,
        and ends everything when the old one is deleted and it is not."""
        self._repeat_qm3 = None
        wanted = not self._insisted or not self._esp.proven
        if wanted and self._ikes.current.engine.repeat_connection():
            self._insisted = True
            self._repeat_qm3 = now + _REPEAT_QM3

    def _retire_at(self) -> float | None:
        if self._renewed is None:
            return None
        return self._renewed + (_RETIRE_PROVEN if self._esp.proven else _RETIRE)

    def _retire(self, now: float) -> None:
        """Delete what was replaced."""
        self._renewed = self._repeat_qm3 = None
        if self._esp.child is not None:
            self._ikes.drop_old(self._esp.child, now)
            self._esp.keep(self._ikes.children)
