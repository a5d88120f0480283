"""Staying connected: measuring, renewing keys, and noticing that the gateway is gone.

Sans-IO as the rest of a run. Everything that the gateway begins meanwhile (dead peer detection,
L2TP HELLO, LCP Echo-Request, renewals) is answered by the engines.
"""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address
from typing import Literal

from vpndiag.observations.soak import SoakRole
from vpndiag.probes.inside.check import Link
from vpndiag.probes.soak.meter import Meter
from vpndiag.probes.soak.plan import SoakPlan
from vpndiag.probes.soak.rekeys import Rekeys
from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike import events as ike_events
from vpndiag.protocols.inner.ip import parse_ip
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.records import record
from vpndiag.tunnel.stack import IpPacketIn, Stack

ASK_AFTER = 3.0
ASK_EVERY = 5.0
"""Seconds without an answer inside before IKE is asked whether the gateway lives (RFC 3706)."""
GONE = 21.0
"""Seconds after which a gateway that answers nothing at all is given up; the rules ask for 20."""
EXPIRED = 6.0
"""The same when the keys could not be renewed: it is known why."""
ONE_WAY = 41.0
"""The same when IKE answers and ESP does not; the rules ask for 40."""


@record(frozen=True, slots=True)
class Progress:
    """How far it is, for whoever watches."""

    elapsed: float
    planned: float
    sent: int
    received: int
    round_trip: float | None
    renewing: Literal["ipsec", "ike"] | None
    silent: float
    """Seconds without an answer."""


class Soaking:
    """:meth:`begin` once the ladder is climbed. ``over`` as in :class:`~..decisions.Decisions`."""

    def __init__(self, plan: SoakPlan, stack: Stack) -> None:
        self.over: Literal["", "done", "stopped"] = ""
        self._plan = plan
        self._stack = stack
        self._began: float | None = None
        self._meter: Meter | None = None
        self._rekeys: Rekeys | None = None
        self._stop_at: float | None = None
        self._time_is_up = False
        self._asked = 0.0
        self._ike_answered = 0.0

    @property
    def begun(self) -> bool:
        return self._began is not None

    def begin(self, link: Link, targets: list[tuple[SoakRole, IPv4Address]], now: float) -> None:
        """``targets`` answered pings; the first one is measured, or LCP where there is none."""
        self._began = self._ike_answered = now
        nobody: tuple[SoakRole, None] = ("lcp", None)
        role, target = targets[0] if targets else nobody
        self._meter = Meter(link, role, target, self._plan.seconds, self._send_echo)
        self._rekeys = Rekeys(self._stack, self._meter, link.emit, link.t)
        if self._plan.rekey:
            self._rekeys.plan(now, self._plan.seconds)
        self._meter.start(now)

    def _send_echo(self, now: float) -> bool:
        return self._stack.ppp is not None and self._stack.ppp.send_echo(now)

    def progress(self, now: float) -> Progress | None:
        """None: it has not begun, or is over."""
        meter = self._meter
        if meter is None or self._began is None or self.over:
            return None
        waiting = meter.waiting_since
        return Progress(
            now - self._began,
            self._plan.seconds,
            meter.sent,
            meter.received,
            meter.last,
            self._rekeys.under_way if self._rekeys is not None else None,
            max(0.0, now - waiting) if waiting is not None else 0.0,
        )

    # --- events -----------------------------------------------------------------------------

    def event(self, event: object, now: float) -> None:
        """Any event of the stack."""
        if self._meter is None or self._rekeys is None or self.over:
            return
        self._rekeys.event(event, now)
        match event:
            case IpPacketIn():
                with contextlib.suppress(DecodeError):
                    self._meter.receive(parse_ip(event.data), now)
            case ppp_events.EchoReply():
                self._meter.echo_reply(event.rtt, now)
            case ike_events.MessageReceived(protection=ike_events.Protection.DECRYPTED):
                self._ike_answered = now
            case ike_events.Deleted(by_peer=True) | ike_events.DeleteReceived():
                self._deleted(now)
            case (
                l2tp_events.TunnelClosed()
                | l2tp_events.SessionClosed()
                | l2tp_events.TimedOut()
                | ppp_events.Terminated(by="peer")
                | ppp_events.TimedOut()
                | ppp_events.Finished()
            ):
                # A StopCCN may follow a CDN, a CDN an LCP Terminate-Request: let them arrive.
                self._stop_at = self._stop_at or now + 0.3

    def _deleted(self, now: float) -> None:
        """The gateway deleted SAs: those that were replaced, or the last ones."""
        ikes = self._stack.ikes
        assert self._rekeys is not None
        if ikes is None:
            return
        if self._stack.esp.newest is None:
            self._stop_at = self._stop_at or now + 0.5
        elif not ikes.alive and not ikes.renewing:
            self._rekeys.replace_ike(now)

    # --- time -------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        if self._meter is None or self._rekeys is None or self.over or self._began is None:
            return None
        times: list[float | None] = [self._meter.get_timer(), self._rekeys.get_timer()]
        times.append(self._stop_at)
        end = self._began + self._plan.seconds
        if not self._rekeys.busy and not self._time_is_up:
            times.append(end)
        waiting = self._meter.waiting_since
        if waiting is not None:
            times += [max(waiting + ASK_AFTER, self._asked + ASK_EVERY), self._gone_at()]
        return min(t for t in times if t is not None)

    def handle_timer(self, now: float) -> None:
        if self._meter is None or self._rekeys is None or self.over or self._began is None:
            return
        self._meter.handle_timer(now)
        due = self._rekeys.get_timer()
        if due is not None and now >= due:
            self._rekeys.handle_timer(now)
        waiting = self._meter.waiting_since
        silent = now - waiting if waiting is not None else 0.0
        if waiting is not None and now >= max(waiting + ASK_AFTER, self._asked + ASK_EVERY):
            self._ask(now)
        ends = [t for t in (self._stop_at, self._gone_at()) if t is not None]
        if ends and now >= min(ends):
            self.over = "stopped"
        elif self._ends(now, silent):
            self.over = "done"

    def _gone_at(self) -> float | None:
        """When it is clear that nothing comes back, or nothing but IKE; None: something does."""
        assert self._meter is not None and self._rekeys is not None
        waiting = self._meter.waiting_since
        if waiting is None:
            return None
        if self._rekeys.failed:
            return waiting + EXPIRED
        return min(max(waiting, self._ike_answered) + GONE, waiting + ONE_WAY)

    def _ends(self, now: float, silent: float) -> bool:
        """The time is up; but what is silent now is watched until it is known why."""
        assert self._began is not None and self._rekeys is not None
        self._time_is_up = now >= self._began + self._plan.seconds
        return self._time_is_up and not self._rekeys.busy and silent < ASK_AFTER

    def _ask(self, now: float) -> None:
        self._asked = now
        if self._stack.ikes is not None and self._stack.ikes.alive:
            with contextlib.suppress(LocalProtocolError):
                self._stack.ikes.current.engine.send_dpd(now)

    @property
    def waiting(self) -> bool:
        """There is something to send."""
        return self._meter is not None and bool(self._meter.out)

    def pump(self, now: float) -> None:
        """Send what is to be sent."""
        if self._meter is None:
            return
        out, self._meter.out = self._meter.out, []
        with contextlib.suppress(LocalProtocolError):  # the link goes down; events tell
            for packet in out:
                self._stack.send_ip(packet, now)

    def finish(self, now: float) -> None:
        """The run ends: what is known is emitted."""
        if self._meter is not None and self._rekeys is not None:
            self._rekeys.finish(now)
            self._meter.finish(now)
            self._meter = None
