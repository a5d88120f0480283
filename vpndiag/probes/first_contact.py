"""What is asked until the gateway has chosen a proposal: it refuses, or is silent."""

from __future__ import annotations

from typing import Literal

from vpndiag.probes.patience import Patience
from vpndiag.probes.questions import Questions

NATT_PROBE_AFTER = 0.5
IKEV2_PROBE_AFTER = 0.6
OTHER_OFFER_AFTER = 0.8
AGGRESSIVE_PROBE_AFTER = 1.0
"""Seconds of silence on port 500 before each further question."""
REJECTED_AFTER = 3.0
"""Seconds after which errors for port 500 are believed."""
NATT_IKEV2_AFTER = 2.5
"""Seconds of silence on port 4500, while 500 answers, before it is asked with IKEv2."""
GRACE = 0.8
"""After an unprotected refusal: anyone can forge one, so the real answer may still win."""

Over = Literal["", "done", "stopped"]


class FirstContact:
    """``chosen``: message 2 came, and this is over. ``began``: when the first packet was sent."""

    def __init__(self, questions: Questions, patience: Patience, began: float) -> None:
        self.chosen = False
        self.errors_on_500 = 0
        """ICMP and local errors for UDP 500 so far."""
        self._questions = questions
        self._patience = patience
        self._began = began
        self._refused_at: float | None = None
        self._explored = False
        self._given_up = False
        self._natt_asked_at: float | None = None

    @property
    def refused(self) -> bool:
        return self._refused_at is not None

    def refuse(self, now: float) -> None:
        """The gateway turned the proposal down, or somebody in its name."""
        self._refused_at = self._refused_at or now

    def choose(self) -> None:
        """The gateway chose a proposal: nothing else needs to be known."""
        self.chosen = True
        self._refused_at = None
        self._questions.settle("ikev2", "other-offer", "other-method", "aggressive")

    def checks(self) -> list[float]:
        """Times at which silence may call for a further question."""
        times: list[float] = []
        if not self.chosen:
            times += [
                self._began + after
                for after in (
                    NATT_PROBE_AFTER,
                    IKEV2_PROBE_AFTER,
                    OTHER_OFFER_AFTER,
                    AGGRESSIVE_PROBE_AFTER,
                    REJECTED_AFTER,
                )
            ]
        if self._refused_at is not None:
            times.append(self._refused_at + GRACE)
        return times

    def decide(self, now: float, *, given_up: bool) -> Over:
        """Ask what is due, or end the run. ``given_up``: the tunnel's own message 1 was."""
        if self._questions.primary is not None:
            over = self._decide_outside(now)
            if over:
                return over
        if self.chosen:
            return ""
        if self._refused_at is not None:
            return self._decide_refused(now, self._refused_at)
        return self._decide_silent(now, given_up or self._given_up)

    def _decide_outside(self, now: float) -> Over:
        """A run without credentials ends with message 2 and the answer of port 4500."""
        primary = self._questions.primary
        assert primary is not None
        if not primary.done:
            return ""
        if primary.chosen:
            self.chosen = True
        elif primary.answered:
            self.refuse(now)
        else:
            self._given_up = True
        return self._ask_natt(now) if self.chosen else ""

    def _ask_natt(self, now: float) -> Over:
        self._questions.ask_natt(now)
        self._natt_asked_at = self._natt_asked_at or now
        assert self._questions.natt is not None
        if now >= self._natt_asked_at + NATT_IKEV2_AFTER:
            # A gateway that takes no more half-open IKEv1 SAs may still answer IKEv2.
            self._questions.ask("ikev2-natt", now)
        answered = self._questions.natt.answered or self._questions.answered("ikev2-natt")
        if self._questions.natt.done or answered:
            # Given up is not the same as not asked for long enough.
            return "done" if answered else "stopped"
        return ""

    def _decide_refused(self, now: float, refused_at: float) -> Over:
        """Would another proposal do, another method, or another version of IKE?"""
        if now < refused_at + GRACE:
            return ""
        if not self._explored:
            self._explored = True
            for name in ("other-offer", "other-method", "ikev2", "aggressive"):
                self._questions.ask(name, now)
        return "stopped" if self._questions.all_done else ""

    def _decide_silent(self, now: float, given_up: bool) -> Over:
        waited = now - self._began
        if waited >= NATT_PROBE_AFTER:
            self._questions.ask_natt(now)
        # An answer to IKEv2 is no reason to stop asking what IKEv1 would take.
        if not self._patience.heard or self._questions.answered("ikev2"):
            if waited >= IKEV2_PROBE_AFTER:
                self._questions.ask("ikev2", now)
            if waited >= OTHER_OFFER_AFTER:
                self._questions.ask("other-offer", now)
                self._questions.ask("other-method", now)
            if waited >= AGGRESSIVE_PROBE_AFTER:
                self._questions.ask("aggressive", now)
            if waited >= REJECTED_AFTER and self.errors_on_500 >= 3:
                return "stopped"
        return "stopped" if given_up and self._questions.all_done else ""
