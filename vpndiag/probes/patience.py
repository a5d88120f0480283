"""How long to wait for an answer, learnt from the run itself.

On a clean path a question that stays unanswered through its usual tries is settled. Where earlier
questions had to be repeated the path loses packets, and silence proves less: more tries follow.
"""

from __future__ import annotations

from vpndiag.tunnel.round_trip import RoundTrip

FIRST_CONTACT = (0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6, 0.7)
"""Waits in seconds before anything was ever heard: 8 tries in 4.5 s, so that a gateway that is
silent on both ports has its verdict within 6 s. At 30% loss each way all tries on both ports are
lost about once in 40,000 runs."""
TRIES = 16
"""Once the gateway was heard: about 10 s. At 30% loss each way one question in 50,000 stays
unanswered through all of them."""
TRIES_LOSSY = 36
"""Where repeats were needed before."""
TRIES_BEFORE_AGAIN = 12
"""There, before all is begun anew: gateways repeat an answer only so often (Libreswan three times),
and the answer to a new question is a new one."""
CAP = 0.7
"""Seconds between later tries; implementations in use repeat after 0.5 to 1 s as well."""
FIRST_LOSSY, CAP_LOSSY = 0.35, 0.5
"""On a path that loses packets. SoftEther gives up an IKE SA that has no IPsec SA after 5 s: at 40%
loss each way eight tries of a quick mode are all lost once in 35 runs, eleven once in 135."""


AGAIN = ("MM4", "MM6", "QM2")
"""Answers without which a run on a lossy path begins anew; MM2 where the gateway answers other
questions."""
PPP_AGAIN = (
    "LCP Configure-Ack",
    "LCP Configure-Request",
    "CHAP Challenge",
    "IPCP Configure-Ack",
    "IPCP Configure-Request",
)
"""The same within PPP. Not for the answer to a password: that a RADIUS server does not come is
more likely than another loss."""
MOST_BEGINNINGS = 4
AT_ONCE = 0.3
"""Seconds within which answers to several tries come that were only late. Gateways repeat by
themselves after half a second at the earliest."""


class Patience:
    """Callable as :data:`vpndiag.protocols.ike.retransmit.Patience`; shared by all of a run."""

    def __init__(self) -> None:
        self.heard = False
        """IKE came from the gateway."""
        self.lossy = False
        """A question had to be repeated and was then answered: packets are lost, or the way is
        long."""
        self.round_trip: RoundTrip | None = None
        """Of the run's tunnel, if there is one."""
        self.begun = 1
        """Main modes that the run was begun with."""
        self._contact = False
        self._late: tuple[int, float] | None = None
        """Of the question for which packets are thought to be lost: how many answers to its tries
        are missing, and when the first came."""
        self._tries: dict[str, int] = {}

    def answered(self, question: str, now: float = 0.0, *, again: bool = False) -> None:
        """The gateway answered ``question`` (the name of the message waited for); ``again``: a
        message came that it has sent before. Where each try has its answer at once nothing was
        lost, but late: an ARP, a gateway or a radio link had to wake up."""
        self.heard = True
        self._contact = self._contact or question == "MM2"
        tries = 0 if again else self._tries.pop(question, 1)
        if tries > 1:
            self._late = None if self.lossy else (tries - 1, now)
            self.lossy = True
        elif again and self._late is not None:
            missing, since = self._late
            if now - since > AT_ONCE:
                self._late = None  # a gateway repeats what it has no answer to, as well
            elif missing > 1:
                self._late = missing - 1, since
            else:
                self.lossy, self._late = False, None

    @property
    def loses(self) -> bool:
        """Packets are lost, as far as is known: silence may be nothing else. A way of 1200 ms has
        questions repeated as well, but answers all of them after the same time."""
        return self.lossy and not (self.round_trip is not None and self.round_trip.even)

    @property
    def _insistent(self) -> bool:
        """Message 1 is asked for longer than at first contact: where the gateway answers other
        questions (a new one is asked first), and where it has answered it before."""
        return self.heard and (self.begun > 1 or self._contact)

    def _most(self, waiting_for: str) -> int:
        if not self.loses:
            return TRIES
        return TRIES_BEFORE_AGAIN if waiting_for in AGAIN and self.begun == 1 else TRIES_LOSSY

    def __call__(self, waiting_for: str, tries: int) -> float | None:
        """Seconds that transmission number ``tries`` is given; None: give up."""
        self._tries[waiting_for] = tries
        if waiting_for == "MM2":
            if tries <= len(FIRST_CONTACT):
                return FIRST_CONTACT[tries - 1]
            return CAP if self._insistent and tries <= TRIES else None
        if tries > self._most(waiting_for):
            return None
        if self.loses:
            return min(FIRST_LOSSY * 1.15 ** (tries - 1), CAP_LOSSY)
        return min(0.5 * 1.15 ** (tries - 1), CAP)
