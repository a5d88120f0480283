"""Which sizes cross the path to a gateway, sans-IO: what to ask with which size, and what the
answers and silences show. The sockets are :mod:`~vpndiag.probes.way.sizing`'s.

First every question is asked small; the first that is answered is asked in full size with
don't-fragment, and beside it larger than any path, in fragments. Only when the full size is lost is
the limit looked for, several sizes at a time. In the end what was lost is asked once more beside a
small one: a gateway that answers no more shows nothing about sizes.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from vpndiag.observations.way import OuterMtu
from vpndiag.protocols.ike.padded import QUESTIONS, Question
from vpndiag.records import record

SMALL = 200
FULL = 1500
"""Bytes of an IP packet; nobody's way outside is expected to carry more."""
FRAGMENTED = 2000
TRIES, TRIES_LOSSY = 3, 6
TRIES_SEARCH = 2
"""For each of the sizes between: their neighbours speak for them too."""
PATIENCE = 0.5
"""Seconds that a first question is given; after that it depends on the round trip."""
LEAST_PATIENCE = 0.4
EVERY = 0.01
"""Seconds between two packets."""
_COMMON = (1492, 1480, 1472, 1460, 1440, 1420, 1400, 1380, 1280, 1000, 576)
"""What links and tunnels usually carry: PPPoE, GRE, L2TP, WireGuard, IPv6's least, IPv4's."""
_AT_ONCE = 7


Outcome = Literal["measured", "unanswered", "unsure", "unfinished", "cannot-tell"]


@record(frozen=True, slots=True)
class SizedAsk:
    """One packet. The same ``number`` is the same bytes, sent again."""

    number: int
    question: Question
    size: int
    """Bytes of the whole IP packet."""
    whole: bool
    """With don't-fragment."""


@record(slots=True)
class _Ask:
    what: SizedAsk
    tries: int = 0
    sent: float = 0.0
    answered: bool = False
    refused: bool = False
    """This machine, or an ICMP error, says that it is too big."""
    unsent: bool = False
    """This machine does not send it."""
    frames: list[int] = field(default_factory=list)


class SizeSearch:
    """Call :meth:`to_send` until it gives None, sleep until :meth:`get_timer`, pass in what comes
    back, until :attr:`done`."""

    def __init__(self, now: float, *, can_forbid: bool = True) -> None:
        """``can_forbid``: this system lets us set don't-fragment."""
        self._can_forbid = can_forbid
        self._stage = "which"
        self._asks: list[_Ask] = []
        """All of them; a packet's number is its place here."""
        self._open: list[_Ask] = []
        """Those of the present round."""
        self._next = now
        self._tries = TRIES
        self._patience = PATIENCE
        self._question: Question | None = None
        self._low, self._high = SMALL, FULL + 1
        self._local = False
        self._told: tuple[int, str] | None = None
        self._fragments: _Ask | None = None
        self._unsure = False
        self._round = [self._ask(question, SMALL) for question in QUESTIONS]

    def _ask(self, question: Question, size: int, *, whole: bool = True) -> _Ask:
        whole = whole and self._can_forbid
        ask = _Ask(SizedAsk(len(self._asks), question, size, whole))
        self._asks.append(ask)
        self._open.append(ask)
        return ask

    # --- what to send ----------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        return self._stage == "done"

    def get_timer(self) -> float | None:
        """When :meth:`to_send` has something to say again; None: never."""
        if self.done:
            return None
        return max(self._next, min((self._due(a) for a in self._open), default=self._next))

    def _due(self, ask: _Ask) -> float:
        return ask.sent + self._patience if ask.tries else 0.0

    def to_send(self, now: float) -> SizedAsk | None:
        """The next packet, if one is due."""
        while not self.done:
            self._settle(now)
            if not self._open:
                self._go_on()
                continue
            if now < self._next:
                return None
            for ask in sorted(self._open, key=self._due):
                if self._due(ask) <= now:
                    ask.tries += 1
                    ask.sent = now
                    self._next = now + EVERY
                    return ask.what
            return None
        return None

    def _settle(self, now: float) -> None:
        """Take out of the round what is answered, refused or given up."""
        self._open = [
            a
            for a in self._open
            if not (a.answered or a.refused)
            and not (a.tries >= self._limit and now >= self._due(a))
            and not (self._stage == "search" and a.what.size <= self._low)
        ]

    @property
    def _limit(self) -> int:
        """How often each packet of this round is sent."""
        if self._stage == "search" and self._tries == TRIES:
            return TRIES_SEARCH
        return self._tries

    def _go_on(self) -> None:
        """The round is over."""
        if self._stage == "which":
            self._stage = "done"  # nothing that we ask is answered
        elif self._stage == "full":
            self._full_over()
        elif self._stage == "search":
            lost = [a.what.size for a in self._round if a.what.size > self._low]
            self._high = min([self._high, *lost])
            self._narrow()
        else:
            self._verified()

    def _full_over(self) -> None:
        if not self._can_forbid:
            self._verify()
        elif self._low >= FULL:
            self._verify() if self._fragments_lost else self._finish()
        else:
            self._high = FULL
            self._stage = "search"
            self._narrow()

    @property
    def _fragments_lost(self) -> bool:
        return self._fragments is not None and not self._fragments.answered

    def _narrow(self) -> None:
        assert self._question is not None
        low, high = self._low, self._high
        if high - low <= 1:
            self._verify()
            return
        sizes = {s for s in _COMMON if low < s < high} if high == FULL else set()
        if self._told is not None and low < self._told[0] < high:
            sizes = {self._told[0], self._told[0] + 1}
        if not sizes:
            step = (high - low) / (_AT_ONCE + 1)
            sizes = {low + round(step * n) for n in range(1, _AT_ONCE + 1)}
        self._round = [self._ask(self._question, s) for s in sorted(sizes) if low < s < high]
        if not self._round:
            self._verify()

    def _verify(self) -> None:
        assert self._question is not None
        self._stage = "verify"
        self._round = [self._ask(self._question, SMALL)]
        if self._low < FULL and self._can_forbid and not self._local and self._told is None:
            self._round.append(self._ask(self._question, FULL))
        if self._fragments_lost:
            self._fragments = self._ask(self._question, FRAGMENTED, whole=False)
            self._round.append(self._fragments)

    def _verified(self) -> None:
        self._unsure = not self._round[0].answered
        self._finish()

    def _finish(self) -> None:
        self._stage = "done"
        self._open = []

    # --- what came back --------------------------------------------------------------------------

    def answered(self, number: int, now: float, frame: int = 0) -> None:
        """The gateway's answer to packet ``number``."""
        ask = self._of(number)
        if ask is None:
            return
        if frame:
            ask.frames.append(frame)
        if ask.answered or self.done:
            return
        ask.answered = True
        if ask.what.whole:
            self._low = max(self._low, ask.what.size)
            if self._low >= self._high:
                self._high = FULL  # an answer that came late
        if self._stage == "which":
            self._question = ask.what.question
            if ask.tries > 1:
                self._tries = TRIES_LOSSY
            else:
                self._patience = max(LEAST_PATIENCE, 0.2 + 2 * (now - ask.sent))
            self._stage = "full"
            self._open = []
            self._round = [self._ask(self._question, FULL)] if self._can_forbid else []
            self._fragments = self._ask(self._question, FRAGMENTED, whole=False)

    def too_big(self, number: int) -> None:
        """This machine does not send packet ``number``: its interface takes no such size."""
        ask = self._of(number)
        if ask is not None and not ask.answered:
            ask.refused = ask.unsent = self._local = True

    def told(self, mtu: int | None, reporter: str) -> None:
        """An ICMP error came: what we sent with don't-fragment is too big, and at most ``mtu``
        bytes pass (None, 0: it does not say)."""
        if self._told is None:
            self._told = (mtu or 0, reporter)
        sent = [a for a in self._open if a.what.whole and a.tries and not a.answered]
        largest = max((a.what.size for a in sent), default=0)
        for ask in sent:
            if ask.what.size > (mtu or largest - 1):
                ask.refused = True

    def sent_as(self, number: int, frame: int) -> None:
        """The frame number of a packet that was sent."""
        ask = self._of(number)
        if ask is not None:
            ask.frames.append(frame)

    def is_whole(self, number: int) -> bool:
        """Whether packet ``number`` was sent with don't-fragment."""
        ask = self._of(number)
        return ask is not None and ask.what.whole

    def _of(self, number: int) -> _Ask | None:
        return self._asks[number] if 0 <= number < len(self._asks) else None

    # --- what it shows ---------------------------------------------------------------------------

    def result(self, t: float, port: int) -> OuterMtu:
        """What is known by now."""
        whole = [a for a in self._asks if a.what.whole and a.what.question == self._question]
        over = self._stage == "done"
        passed = max((a for a in whole if a.answered), key=lambda a: a.what.size, default=None)
        largest = passed.what.size if passed is not None else 0
        sent = [a for a in whole if a.tries and not a.unsent]
        lost = [a for a in sent if not a.answered and a.what.size > largest]
        least = min(lost, key=lambda a: a.what.size, default=None)
        fragments = self._fragments
        shown = [a for a in (passed, least, fragments) if a is not None]
        return OuterMtu(
            t=t,
            frames=tuple(sorted({f for a in shown for f in a.frames[:4]}))[:12],
            port=port,
            question=self._question or "",
            outcome=self._outcome(over),
            tried=max((a.what.size for a in sent), default=0),
            largest=largest,
            lost=least.what.size if least is not None else 0,
            fragments="not-tested"
            if fragments is None or not fragments.tries
            else "pass"
            if fragments.answered
            else "lost"
            if over and not self._unsure
            else "not-tested",
            fragmented_size=fragments.what.size if fragments is not None else 0,
            told_mtu=(self._told[0] or None) if self._told else None,
            reporter=self._told[1] if self._told else "",
            local_limit=self._local,
            tries=max((a.tries for a in self._asks), default=0),
        )

    def _outcome(self, over: bool) -> Outcome:
        if not over:
            return "unfinished"
        if self._question is None:
            return "unanswered"
        if not self._can_forbid:
            return "cannot-tell"
        return "unsure" if self._unsure else "measured"
