"""How far a server goes along with its client, and when a link is to hang up."""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.protocols.ppp.config import ClientConfig, FallSilent, HangUp, Point, ServerConfig


class Course:
    """``terminate`` ends the link: it is called with ``now`` and the reason to send to the peer.
    ``fall_silent`` is called when nothing more is to be sent or taken."""

    def __init__(
        self,
        config: ClientConfig | ServerConfig,
        terminate: Callable[[float, bytes], None],
        fall_silent: Callable[[], None],
    ) -> None:
        self._policy = config.policy if isinstance(config, ServerConfig) else None
        self._terminate = terminate
        self._fall_silent = fall_silent
        self._hang_up_at: tuple[float, bytes] | None = None

    def ends_at(self, point: Point, now: float) -> bool:
        """Ask the server's policy; True when it does not go on. A client always does."""
        conduct = self._policy.at(point) if self._policy is not None else None
        if isinstance(conduct, FallSilent):
            self._fall_silent()
        elif isinstance(conduct, HangUp):
            self.hang_up(now, conduct.after, conduct.message)
        return conduct is not None

    def hang_up(self, now: float, after: float, reason: bytes) -> None:
        """End the link in ``after`` seconds, or at once."""
        if after > 0:
            self._hang_up_at = (now + after, reason)
        else:
            self._terminate(now, reason)

    def cancel(self) -> None:
        """There is nothing to hang up any more."""
        self._hang_up_at = None

    def get_timer(self) -> float | None:
        return self._hang_up_at[0] if self._hang_up_at is not None else None

    def handle_timer(self, now: float) -> None:
        if self._hang_up_at is not None and self._hang_up_at[0] <= now:
            self._terminate(now, self._hang_up_at[1])
