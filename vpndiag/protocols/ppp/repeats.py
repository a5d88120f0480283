"""What a link sends again of its own accord: LCP Echo-Requests, and its last Configure-Ack."""

from __future__ import annotations

_MEMORY = 16
"""Echo-Requests whose answers are still known as such."""
ACKS_UP = 6
"""Times that IPCP's last Ack is sent again while nothing comes through an open link."""


class Echoes:
    """LCP Echo-Requests (RFC 1661 section 5.8): when the next is due, and which are unanswered.

    ``interval`` in seconds; None sends none of our own accord. After ``failures`` unanswered ones
    the peer is gone.
    """

    def __init__(self, interval: float | None, failures: int) -> None:
        self.at: float | None = None
        """When the next one is due."""
        self._interval = interval
        self._failures = failures
        self._asked: dict[int, float] = {}

    def begin(self, now: float) -> None:
        """LCP is up; what was asked before is forgotten."""
        self._asked.clear()
        self.wait(now)

    def wait(self, now: float) -> None:
        """Until the next one is due."""
        self.at = None if self._interval is None else now + self._interval

    def stop(self) -> None:
        self.at = None

    def asked(self, identifier: int, now: float) -> None:
        """An Echo-Request leaves."""
        self._asked[identifier] = now
        while len(self._asked) > _MEMORY:
            del self._asked[next(iter(self._asked))]

    def answered(self, identifier: int, now: float) -> float | None:
        """The round trip time in seconds; None: nothing was asked under this identifier."""
        asked = self._asked.get(identifier)
        if asked is None:
            return None
        self._asked.clear()
        return now - asked

    @property
    def unanswered(self) -> int:
        return len(self._asked)

    @property
    def given_up(self) -> bool:
        return self.unanswered >= self._failures


class AckAgain:
    """When a client sends its Configure-Ack again, as long as the server does not go on.

    The server does not begin with the login, or nothing comes through the open link: our Ack may
    be lost. SoftEther and pppd ask for it every 3 to 9 s only, and take another one for a
    duplicate.
    """

    def __init__(self) -> None:
        self.at: float | None = None
        self._wait: float | None = None
        self._left = 0

    def watch(self, now: float, wait: float | None, most: int) -> None:
        """An Ack has opened a protocol: the server is to go on. Each ``wait`` seconds it is sent
        again, ``most`` times; None: never."""
        self._wait, self._left = wait, most
        self._arm(now)

    def stop(self) -> None:
        """The server goes on."""
        self.at = None

    def again(self, now: float) -> None:
        """It is sent once more."""
        self._left -= 1
        self._arm(now)

    def _arm(self, now: float) -> None:
        armed = self._wait is not None and self._left > 0
        self.at = now + self._wait if armed and self._wait is not None else None
