"""What is asked when SCCRQ went out inside IPsec and nothing comes back."""

from __future__ import annotations

from collections.abc import Iterable

from vpndiag.protocols.esp.suites import Integrity
from vpndiag.tunnel.stack import Stack

DPD_AFTER = 1.6
TRUNCATION_AFTER = 2.4
"""Seconds without an answer to SCCRQ before: asking IKE whether it still lives; trying SHA2-256 cut
to 96 bits as well."""

_DPD = bytes.fromhex("afcad71368a1f1c96b8696fc7757")
"""Vendor ID of RFC 3706 section 5.1, without its version."""


class SilentL2tp:
    """``stack``: None in a run without credentials, where none of this happens."""

    def __init__(self, stack: Stack | None) -> None:
        self._stack = stack
        self._asked_at: float | None = None
        self._dpd_sent = False
        self._dpd_supported = False
        self._truncation = "untried"

    @property
    def waiting(self) -> bool:
        """SCCRQ is under way, and nothing has come."""
        return self._asked_at is not None

    def note_vendor_ids(self, vendor_ids: Iterable[bytes]) -> None:
        """Those of one message; a gateway may spread them over several."""
        self._dpd_supported |= any(v[:14] == _DPD for v in vendor_ids)

    def begin(self, now: float) -> None:
        """The SA is up: SCCRQ leaves."""
        if self._asked_at is None:
            self._asked_at = now

    def stop(self) -> None:
        """There is nothing to wait for any more."""
        self._asked_at = None

    def checks(self) -> list[float]:
        """Times at which silence may call for a further question."""
        if self._asked_at is None:
            return []
        return [self._asked_at + after for after in (DPD_AFTER, TRUNCATION_AFTER)]

    def decide(self, now: float) -> None:
        """Ask what is due."""
        stack = self._stack
        if stack is None or self._asked_at is None:
            return
        waited = now - self._asked_at
        alive = stack.ikes is not None and stack.ikes.alive
        if waited >= DPD_AFTER and not self._dpd_sent and self._dpd_supported and alive:
            assert stack.ikes is not None
            self._dpd_sent = True
            stack.ikes.current.engine.send_dpd(now)
        if waited >= TRUNCATION_AFTER and self._truncation == "untried":
            self._truncation = "trying" if stack.esp.try_truncation() else "over"

    def answered(self) -> bool:
        """L2TP came. True: cut to 96 bits as well, which proves the gateway's fault; an answer of
        full length, while we cut, was only late."""
        self._asked_at = None
        if self._truncation != "trying":
            return False
        assert self._stack is not None and self._stack.esp.newest is not None
        self._truncation = "over"
        if self._stack.esp.newest.inbound.suite.integrity is Integrity.HMAC_SHA2_256_96:
            return True
        self._stack.esp.restore_truncation()
        return False
