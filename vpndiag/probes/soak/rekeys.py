"""Renewing the keys of a session that is up, and how long its traffic stalls meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from vpndiag.observations import Observation
from vpndiag.observations.soak import Rekey
from vpndiag.probes.soak.meter import Meter
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike import events
from vpndiag.records import record
from vpndiag.tunnel.stack import Stack

LEAD = 1.0
AFTER = 3.0
"""Seconds before and after a renewal in which a stall is looked for."""
AFTER_STALLED = 15.0
"""The same while nothing is answered."""
QUIET = 0.4
"""Seconds without an answer in which no renewal is begun: its stall could not be told."""
GRACE = 2.0
"""After an unprotected refusal of a main mode: anyone can have sent it."""
MAX_WATCHED = 50
MAX_TOLD = 200
"""Renewals begun by the gateway that are watched closely, and told at all."""

What = Literal["ipsec", "ike"]
Outcome = Literal["", "renewed", "refused", "unanswered", "unfinished"]


@record(slots=True)
class _Renewal:
    what: What
    begun_by: Literal["client", "gateway"]
    started: float
    message_id: int = 0
    """Of the quick mode; 0: any."""
    outcome: Outcome = ""
    ended: float = 0.0
    detail: str = ""
    refused_at: float | None = None


class Rekeys:
    """One renewal at a time; ``plan`` says when ours are due."""

    def __init__(
        self,
        stack: Stack,
        meter: Meter,
        emit: Callable[[Observation], None],
        t: Callable[[float], float],
    ) -> None:
        self._stack = stack
        self._meter = meter
        self._emit = emit
        self._t = t
        self._due: deque[tuple[float, What]] = deque()
        self.failed = False
        """A renewal was refused or not answered: the session will end when its keys expire."""
        self._now: _Renewal | None = None
        self._beside: float | None = None
        """When the gateway began a quick mode while ours was under way."""
        self._told = 0

    def plan(self, began: float, seconds: float) -> None:
        """IPsec after a third of the time, IKE after two."""
        if self._stack.ikes is not None:
            self._due.append((began + seconds / 3, "ipsec"))
            self._due.append((began + seconds * 2 / 3, "ike"))

    @property
    def busy(self) -> bool:
        """A renewal is under way, is due, or its stall is not measured yet."""
        return self._now is not None or bool(self._due)

    @property
    def under_way(self) -> What | None:
        return self._now.what if self._now is not None and not self._now.outcome else None

    # --- time -------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        now = self._now
        if now is None:
            return self._due[0][0] - LEAD if self._due else None
        if not now.outcome:
            if not now.started:
                return self._due[0][0]
            return now.refused_at + GRACE if now.refused_at is not None else None
        return self._close_at(now)

    def handle_timer(self, now: float) -> None:
        renewal = self._now
        if renewal is None:
            if self._due and now >= self._due[0][0] - LEAD:
                self._meter.look_closely(now)
                self._now = _Renewal(self._due[0][1], "client", 0.0)
        elif not renewal.started:
            if now >= self._due[0][0]:
                what = self._due.popleft()[1]
                waiting = self._meter.waiting_since
                if waiting is not None and now - waiting > QUIET + self._meter.median:
                    self._due.appendleft((now + QUIET, what))  # something else is wrong
                else:
                    self._begin(renewal, now)
        elif not renewal.outcome:
            if renewal.refused_at is not None and now >= renewal.refused_at + GRACE:
                self._conclude("refused", now)
        elif now >= self._close_at(renewal):
            self._close(now)

    def _close_at(self, renewal: _Renewal) -> float:
        waiting = self._meter.waiting_since
        stalled = waiting is not None and waiting <= renewal.ended + AFTER - 1.0
        return renewal.ended + (AFTER_STALLED if stalled else AFTER)

    def _begin(self, renewal: _Renewal, now: float) -> None:
        renewal.started = now
        try:
            if renewal.what == "ipsec":
                renewal.message_id = self._stack.renew_ipsec(now)
            else:
                self._stack.renew_ike(now)
        except LocalProtocolError:
            self._conclude("refused", now, "there is no IKE SA any more")

    def replace_ike(self, now: float) -> None:
        """The gateway deleted the IKE SA and left its IPsec SAs: make another one."""
        if self._now is None:
            self._meter.look_closely(now)
            self._now = renewal = _Renewal("ike", "gateway", now)
            self._due = deque(d for d in self._due if d[1] != "ike")
            self._begin(renewal, now)

    # --- events -----------------------------------------------------------------------------

    def event(self, event: object, now: float) -> None:
        """Any event of the stack."""
        match event:
            case events.MessageReceived(name="QM1" | "MM1", repeat=False):
                self._gateway_begins("ipsec" if event.name == "QM1" else "ike", now)
            case events.QuickModeEstablished():
                self._established(event.child, now)
            case events.PhaseOneEstablished():
                if self._is("ike", "gateway") and not self._began_ike():
                    self._conclude("renewed", now)
            case events.Failed():
                self._failed(event, now)
            case events.TimedOut():
                self._timed_out(event, now)
            case events.NotifyReceived(trust=events.Trust.CLEAR):
                self._told_in_clear(event, now)

    def _began_ike(self) -> bool:
        return self._stack.ikes is not None and self._stack.ikes.current.began

    def _is(self, what: What, begun_by: str) -> bool:
        r = self._now
        return (
            r is not None and bool(r.started) and not r.outcome
            and (r.what, r.begun_by) == (what, begun_by)
        )  # fmt: skip

    def _gateway_begins(self, what: What, now: float) -> None:
        if self._now is None and self._told < MAX_WATCHED:
            self._meter.look_closely(now)
            self._now = _Renewal(what, "gateway", now)
        elif what == "ipsec":
            self._beside = now

    def _established(self, child: events.ChildSa, now: float) -> None:
        r = self._now
        if r is not None and r.started and not r.outcome:
            ours = r.begun_by == "client" or self._began_ike()
            if child.initiated and (r.what == "ike" or child.message_id == r.message_id):
                if ours:
                    self._conclude("renewed", now)
                    return
            elif not child.initiated and (r.what, r.begun_by) == ("ipsec", "gateway"):
                self._conclude("renewed", now)
                return
        if not child.initiated:
            began, self._beside = self._beside or now, None
            self._tell(_Renewal("ipsec", "gateway", began, outcome="renewed", ended=now), None)

    def _failed(self, event: events.Failed, now: float) -> None:
        r = self._now
        if r is None or r.outcome or not r.started:
            return
        mine = event.message_id == r.message_id if r.what == "ipsec" else True
        if mine:
            self._conclude("refused", now, event.detail)

    def _timed_out(self, event: events.TimedOut, now: float) -> None:
        r = self._now
        if r is None or r.outcome or not r.started or event.waiting_for == "DPD-ACK":
            return
        if r.what == "ike" or event.message_id == r.message_id:
            self._conclude("unanswered", now, f"{event.waiting_for}, {event.tries} tries")

    def _told_in_clear(self, event: events.NotifyReceived, now: float) -> None:
        note = event.notification
        if self._is("ike", "client") and note is not None and note.is_error and self._now:
            self._now.refused_at = self._now.refused_at or now
            self._now.detail = note.name

    # --- results ----------------------------------------------------------------------------

    def _conclude(self, outcome: Outcome, now: float, detail: str = "") -> None:
        r = self._now
        assert r is not None
        r.outcome, r.ended = outcome, now
        r.detail = detail or (r.detail if outcome == "refused" else "")
        if outcome != "renewed":
            # What comes after would hide it, or fail for the same reason.
            self.failed = True
            self._due.clear()
            if r.what == "ike" and self._stack.ikes is not None:
                self._stack.ikes.give_up_renewing()

    def _close(self, now: float) -> None:
        r, self._now = self._now, None
        if r is not None:
            self._tell(r, self._meter.relax(now))

    def _tell(self, r: _Renewal, stall: float | None) -> None:
        if self._told >= MAX_TOLD:
            return
        self._told += 1
        self._emit(
            Rekey(
                t=self._t(r.started),
                what=r.what,
                begun_by=r.begun_by,
                outcome=r.outcome or "unfinished",
                seconds=round(r.ended - r.started, 3) if r.outcome else None,
                stall=stall,
                detail=r.detail[:200],
            )
        )

    def finish(self, now: float) -> None:
        """The run ends."""
        self._due.clear()
        if self._now is not None and self._now.started:
            self._close(now)
