"""The messages of one IKE SA, as rules look at them."""

from __future__ import annotations

from vpndiag.diagnosis.once import once
from vpndiag.observations import Direction, IkeMessage, IkeNotify
from vpndiag.observations.ike import MAX_LISTED

_STEPS = ("MM1", "MM2", "MM3", "MM4", "MM5", "MM6")
_AGGRESSIVE = ("AM1", "AM2", "AM3")
_REACHED = (
    {step: number for number, step in enumerate(_STEPS, 1)}
    | {step: 2 * number for number, step in enumerate(_AGGRESSIVE, 1)}
    | {"QM1": 7, "QM2": 7, "QM3": 7}
)

CERTIFICATE_METHODS = frozenset((2, 3, 4, 5, 9, 10, 11))
"""Authentication methods by signature or public key (RFC 2409 appendix A, RFC 4754)."""
NATT_VENDOR_IDS = frozenset(
    (
        "4a131c81070358455c5728f20e95452f",
        "4485152d18b6bbcd0be8a8469579ddcc",
        "16f6ca16e4a4066d83821a0f0aeaa862",
        "cd60464335df21f87cfdb2fc68b6a448",
        "90cb80913ebb696e086381b5ec427b1f",
        "7d9419a65310ca6f2c179d9215529d56",
        "9909b64eed937c6573de52ace952fa6b",
        "80d0bb3def54565ee84645d4c85ce3ee",
        "4d1e0e136deafa34c4f3ea9f02ec7285",
        "439b59f8ba676c4c7737ae22eab8f582",
        "8f8d83826d246b6fc7a8a6a428c11de8",
        "4df37928e9fc4fd1b3262170d515c662",
    )
)
"""With which a side says that it knows NAT traversal (RFC 3947 section 3.1, drafts); hex."""
INVALID_COOKIE, INVALID_SPI = 4, 11
"""Notify types of who does not have, or has no more, what it is asked about (RFC 2408 section
3.14.1)."""
ERROR_NOTIFY_LIMIT = 16384
"""Notify types below are errors, from here on status (RFC 2408 section 3.14.1)."""


class IkeSa:
    """All messages that carry one initiator cookie."""

    def __init__(self, cookie: str) -> None:
        self.cookie = cookie
        self.messages: list[IkeMessage] = []

    @once
    def _steps(self) -> dict[str, list[IkeMessage]]:
        found: dict[str, list[IkeMessage]] = {}
        for m in self.messages:
            found.setdefault(m.step, []).append(m)
        return found

    @property
    def first(self) -> IkeMessage:
        return self.messages[0]

    @property
    def by_client(self) -> bool:
        return self.first.direction == "out"

    @property
    def version(self) -> int:
        return self.first.version

    @property
    def aggressive(self) -> bool:
        return self.first.step.startswith("AM")

    @property
    def port(self) -> int:
        """The gateway's port that the first message went to."""
        return self.first.port

    def step(self, *steps: str) -> list[IkeMessage]:
        """The messages of these steps, repeats included."""
        if len(steps) == 1:
            return list(self._steps.get(steps[0], ()))
        return [m for m in self.messages if m.step in steps]

    def of(self, direction: Direction, step: str) -> list[IkeMessage]:
        """The messages of this step that went this way, repeats included."""
        return [m for m in self._steps.get(step, ()) if m.direction == direction]

    @once
    def reached(self) -> int:
        """Number of the last main mode step seen (aggressive mode: 2, 4, 6), 7 with quick mode."""
        return max((_REACHED.get(step, 0) for step in self._steps), default=0)

    @property
    def answers(self) -> list[IkeMessage]:
        return [m for m in self.messages if m.direction == "in"]

    @once
    def chosen(self) -> IkeMessage | None:
        """The message with the gateway's choice of transform."""
        for m in self.messages:
            if m.direction == "in" and m.step in ("MM2", "AM2") and m.transforms:
                return m
        return None

    @once
    def foreign_choice(self) -> bool:
        """The gateway chose what the client had not offered, or not one thing, and the client did
        not go on."""
        chosen, offered = self.chosen, self.first.transforms
        if chosen is None or self.reached > 2 or not self.by_client:
            return False
        if not 0 < len(offered) < MAX_LISTED:
            return False  # not all of it is known
        return len(chosen.transforms) != 1 or chosen.transforms[0] not in offered

    @property
    def by_certificate(self) -> bool:
        """Whether the gateway chose that both sides prove themselves by certificate."""
        return self.chosen is not None and not CERTIFICATE_METHODS.isdisjoint(
            self.chosen.auth_methods
        )

    @property
    def offered(self) -> IkeMessage:
        return self.first

    def notifies(self, direction: Direction = "in") -> list[tuple[IkeMessage, IkeNotify]]:
        """Error notifications, in order."""
        return [
            (m, n)
            for m in self.messages
            if m.direction == direction
            for n in m.notifies
            if n.type < ERROR_NOTIFY_LIMIT
        ]
