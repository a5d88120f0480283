"""When a run asks further, and when nothing more can be learnt.

Engine events and silence come in; out come further questions (:mod:`~.questions`), other quick
modes, and in the end :attr:`Decisions.over`. What it all means is for the rules to say.
"""

from __future__ import annotations

from typing import Literal

from vpndiag.probes.inside.through import Through
from vpndiag.probes.patience import AGAIN, MOST_BEGINNINGS, PPP_AGAIN, Patience
from vpndiag.probes.questions import Questions
from vpndiag.probes.soak import Soaking
from vpndiag.protocols.esp.suites import Integrity
from vpndiag.protocols.ike import events as ike_events
from vpndiag.protocols.ike.constants import Group, NotifyType, ProtocolId
from vpndiag.protocols.ike.profiles import BROAD
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp.ccp_options import MPPE
from vpndiag.tunnel.options import TunnelOptions
from vpndiag.tunnel.stack import Stack

NATT_PROBE_AFTER = 0.5
IKEV2_PROBE_AFTER = 0.6
OTHER_OFFER_AFTER = 0.8
AGGRESSIVE_PROBE_AFTER = 1.0
"""Seconds of silence on port 500 before each further question."""
FLOAT_PROBE_AFTER = 1.5
AGAIN_AFTER = 3.0
"""Seconds without message 6 before port 4500 is asked afresh."""
NATT_IKEV2_AFTER = 2.5
"""Seconds of silence on port 4500, while 500 answers, before it is asked with IKEv2."""
GRACE = 0.8
"""After an unprotected refusal: anyone can forge one, so the real answer may still win."""
GRACE_AUTH = 2.0
"""After an answer to message 5 that cannot be read."""
DPD_AFTER = 1.6
TRUNCATION_AFTER = 2.4
"""Seconds without an answer to SCCRQ before: asking IKE whether it still lives; trying SHA2-256 cut
to 96 bits as well."""
MPPE_WAIT = 1.2
"""After IPCP is up: a gateway that demands MPPE may still hang up."""

ALIVE_WITHIN = 12.0
"""Seconds since the gateway's last L2TP packet."""
GONE_AFTER = 5.5
GONE_AFTER_LOSSY = 14.0
"""Seconds without anything from a gateway that does not even acknowledge HELLO."""

_DPD = bytes.fromhex("afcad71368a1f1c96b8696fc7757")


class Decisions:
    """``stack``: None in a run without credentials. ``through``: the questions inside, which are
    waited for. ``soaking``: what follows them. ``began``: when the first packet was sent."""

    def __init__(
        self,
        options: TunnelOptions,
        stack: Stack | None,
        questions: Questions,
        patience: Patience,
        through: Through,
        began: float,
        soaking: Soaking | None = None,
    ) -> None:
        self.over: Literal["", "done", "stopped"] = ""
        """``done``: all that was asked for is reached; ``stopped``: there is no way on."""
        self.questions = questions
        self.patience = patience
        self.through = through
        self.soaking = soaking
        self.stack = stack
        self.errors_on_500 = 0
        self._natt_asked_at: float | None = None
        """ICMP and local errors for UDP 500 so far."""
        self._options = options
        self._began = began
        self._decided = began
        self._chosen = False
        self._exhausted = ""
        """The question that was given up."""
        self._refused_at: float | None = None
        self._explored = False
        self._auth_doubt_at: float | None = None
        self._clear_doubt_at: float | None = None
        """An unprotected refusal came where a protected answer is due: anyone can have sent it."""
        self._sa_is_up = False
        self._mm5_at: float | None = None
        self._l2tp_at: float | None = None
        self._l2tp_repeated = False
        self._dpd_sent = False
        self._dpd_supported = False
        self._truncation = "untried"
        self._mppe = False
        self._up_at: float | None = None
        self._quick_modes = 0
        self._stop_at: float | None = None
        self._called = False
        """The run has begun anew because PPP did not go on."""

    def get_timer(self) -> float | None:
        """When silence may call for a further question, or the end."""
        times = [t for t in self._checks() if t > self._decided]
        if self._stop_at is not None:
            times.append(self._stop_at)
        return min(times, default=None)

    def _checks(self) -> list[float]:
        """Times at which silence may call for a further question."""
        times: list[float] = []
        if not self._chosen and not self._options.plain_l2tp:
            times += [
                self._began + after
                for after in (
                    NATT_PROBE_AFTER,
                    IKEV2_PROBE_AFTER,
                    OTHER_OFFER_AFTER,
                    AGGRESSIVE_PROBE_AFTER,
                    3.0,
                )
            ]
        if self._refused_at is not None:
            times.append(self._refused_at + GRACE)
        if self._auth_doubt_at is not None:
            times.append(self._auth_doubt_at + GRACE_AUTH)
        if self._clear_doubt_at is not None:
            times.append(self._clear_doubt_at + GRACE_AUTH)
        if self._mm5_at is not None:
            times += [self._mm5_at + FLOAT_PROBE_AFTER, self._mm5_at + AGAIN_AFTER]
        if self._l2tp_at is not None:
            times += [self._l2tp_at + after for after in (DPD_AFTER, TRUNCATION_AFTER)]
        if self._up_at is not None:
            times.append(self._up_at + MPPE_WAIT)
        return times

    def decide(self, now: float, *, all_sent: bool) -> None:
        """``all_sent``: nothing waits to be sent; what was decided has been seen to leave."""
        self._decided = now
        if self.stack is not None:
            while self.stack.events and not self.over:
                self._stack_event(self.stack.events.popleft(), now)
        if self.over:
            return
        doubt = self._clear_doubt_at
        if self._stop_at is not None and now >= self._stop_at:
            self._end("stopped")
        elif doubt is not None and now >= doubt + GRACE_AUTH:
            # SoftEther answers INVALID-COOKIE once it has given the IKE SA up, after 5 s.
            if not self._begun_anew(now):
                self._end("stopped")
        elif self._up_at is not None:
            # Not before our last acknowledgement has left: it is part of what was seen.
            hang_up_due = self._mppe and now < self._up_at + MPPE_WAIT
            soaking = self.soaking is not None and self.soaking.begun  # counts silence by itself
            asked = self.stack is not None and not soaking
            unheard = self.stack.l2tp.unheard(now) if self.stack is not None and asked else 0.0
            if unheard >= (GONE_AFTER_LOSSY if self.patience.lossy else GONE_AFTER):
                self._end("stopped")
            elif self._stop_at is not None:
                return  # it hangs up, or is gone
            elif all_sent and self.through.done and not hang_up_due and not unheard:
                self._up(now)
        elif not self._options.plain_l2tp:
            self._decide_ike(now)

    def _up(self, now: float) -> None:
        """All questions are answered: stay, if that was asked for, or end."""
        soaking, inside = self.soaking, self.through.inside
        if soaking is None or inside is None:
            self._end("done")
        elif not soaking.begun:
            soaking.begin(inside.link, list(inside.alive), now)
        elif soaking.over:
            self._end(soaking.over)

    def _end(self, why: Literal["done", "stopped"]) -> None:
        self.over = self.over or why

    def _decide_ike(self, now: float) -> None:
        if self.questions.primary is not None:
            self._decide_outside(now)
            if self.over:
                return
        if not self._chosen:
            self._decide_first_contact(now)
        elif self._mm5_at is not None:
            self._decide_auth(now)
        if self._l2tp_at is not None:
            self._decide_l2tp(now)

    def _decide_outside(self, now: float) -> None:
        """A run without credentials ends with message 2 and the answer of port 4500."""
        primary = self.questions.primary
        assert primary is not None
        if not primary.done:
            return
        if primary.chosen:
            self._chosen = True
        elif primary.answered:
            self._refused_at = self._refused_at or now
        else:
            self._exhausted = self._exhausted or "MM2"
        if self._chosen:
            self.questions.ask_natt(now)
            self._natt_asked_at = self._natt_asked_at or now
            assert self.questions.natt is not None
            if now >= self._natt_asked_at + NATT_IKEV2_AFTER:
                # A gateway that takes no more half-open IKEv1 SAs may still answer IKEv2.
                self.questions.ask("ikev2-natt", now)
            answered = self.questions.natt.answered or self.questions.answered("ikev2-natt")
            if self.questions.natt.done or answered:
                # Given up is not the same as not asked for long enough.
                self._end("done" if answered else "stopped")

    def _decide_first_contact(self, now: float) -> None:
        """Nothing chosen yet: refused, or silent."""
        waited = now - self._began
        if self._refused_at is not None:
            if now >= self._refused_at + GRACE:
                self._explore_refusal(now)
                if self.questions.all_done:
                    self._end("stopped")
            return
        if waited >= NATT_PROBE_AFTER:
            self.questions.ask_natt(now)
        # An answer to IKEv2 is no reason to stop asking what IKEv1 would take.
        if not self.patience.heard or self.questions.answered("ikev2"):
            if waited >= IKEV2_PROBE_AFTER:
                self.questions.ask("ikev2", now)
            if waited >= OTHER_OFFER_AFTER:
                self.questions.ask("other-offer", now)
                self.questions.ask("other-method", now)
            if waited >= AGGRESSIVE_PROBE_AFTER:
                self.questions.ask("aggressive", now)
            if waited >= 3.0 and self.errors_on_500 >= 3:
                self._end("stopped")
                return
        if self._exhausted == "MM2" and self.questions.all_done:
            self._end("stopped")

    def _explore_refusal(self, now: float) -> None:
        if self._explored:
            return
        self._explored = True
        for name in ("other-offer", "other-method", "ikev2", "aggressive"):
            self.questions.ask(name, now)

    def _decide_auth(self, now: float) -> None:
        if self._auth_doubt_at is not None and now >= self._auth_doubt_at + GRACE_AUTH:
            self._end("stopped")
            return
        assert self._mm5_at is not None
        floated = self.stack is not None and self.stack.options.port_natt
        if now >= self._mm5_at + FLOAT_PROBE_AFTER and floated:
            self.questions.ask_natt(now)
        natt = self.questions.natt
        if now >= self._mm5_at + AGAIN_AFTER and natt is not None and not natt.answered:
            # The port, or the gateway altogether?
            self.questions.ask("again", now)
        if self._exhausted == "MM6" and self.questions.all_done:
            self._end("stopped")

    def _decide_l2tp(self, now: float) -> None:
        """SCCRQ went out inside IPsec and nothing has come back."""
        stack = self.stack
        assert stack is not None and self._l2tp_at is not None
        waited = now - self._l2tp_at
        alive = stack.ikes is not None and stack.ikes.alive
        if waited >= DPD_AFTER and not self._dpd_sent and self._dpd_supported and alive:
            assert stack.ikes is not None
            self._dpd_sent = True
            stack.ikes.current.engine.send_dpd(now)
        if waited >= TRUNCATION_AFTER and self._truncation == "untried":
            self._truncation = "trying" if stack.esp.try_truncation() else "over"

    # --- events -------------------------------------------------------------------------------

    def _stack_event(self, event: object, now: float) -> None:
        if self.soaking is not None and self.soaking.begun:
            self.soaking.event(event, now)
            return
        self.through.event(event, now)
        if isinstance(event, ike_events.IkeEvent):
            self._ike_event(event, now)
        elif isinstance(event, l2tp_events.Event):
            self._l2tp_event(event, now)
        elif isinstance(event, ppp_events.LinkEvent):
            self._ppp_event(event, now)
        elif isinstance(event, Exception):
            self._end("stopped")

    def _ike_event(self, event: ike_events.IkeEvent, now: float) -> None:
        match event:
            case ike_events.MessageReceived():
                self.patience.answered(event.name)
                assert self.stack is not None
                self.stack.lossy = self.patience.lossy
            case ike_events.PeerVendorIds():
                self._dpd_supported = any(v[:14] == _DPD for v in event.vendor_ids)
            case ike_events.ProposalChosen():
                self._chosen = True
                self._refused_at = None
                self.questions.settle("ikev2", "other-offer", "other-method", "aggressive")
            case ike_events.MessageSent(name="MM5"):
                self._mm5_at = self._mm5_at or now
                self._clear_doubt_at = None
            case ike_events.PhaseOneEstablished():
                self._mm5_at = self._auth_doubt_at = None
            case ike_events.NotifyReceived():
                self._notified(event, now)
            case ike_events.Rejected(stage="MM6"):
                self._auth_doubt_at = self._auth_doubt_at or now
            case ike_events.PeerIsIkev2() | ike_events.PeerAnsweredAggressive():
                if not self._chosen and self._refused_at is None:
                    self._refused_at = now
            case ike_events.TimedOut():
                self._ike_silent(event, now)
            case ike_events.Failed():
                self._ike_failed(event, now)
            case ike_events.QuickModeEstablished():
                self._sa_is_up, self._clear_doubt_at = True, None
                if self._quick_modes:
                    # Accepted only after another offer was refused: that is what was to be learnt.
                    self._end("stopped")
                elif self._l2tp_at is None:
                    self._l2tp_at = now
            case ike_events.Deleted(by_peer=True):
                # SoftEther ends all after 5 s in which no IPsec SA, or no L2TP session, came.
                if not self._begun_anew(now):
                    self._end("stopped")
            case ike_events.DeleteReceived(
                protocol=ProtocolId.ESP, trust=ike_events.Trust.AUTHENTICATED
            ) if self._sa_is_up and not self._has_esp:
                # Another SA may go: SoftEther tidies up what our questions left half open.
                if not self._begun_anew(now):
                    self._stop_at = self._stop_at or now + 0.5

    def _begun_anew(self, now: float, *, selective: bool = False) -> bool:
        """A new main mode where silence, or a gateway's end of it, may be the path's: it loses
        packets, and nothing else has been said that ends the run. ``selective``: the gateway
        answers other questions."""
        if not (self.patience.lossy or selective) or self.patience.begun >= MOST_BEGINNINGS:
            return False
        if self._stop_at is not None or self.stack is None or not self.stack.begin_anew(now):
            return False
        self.patience.begun += 1
        self._mm5_at = self._auth_doubt_at = self._clear_doubt_at = None
        self._l2tp_at, self._sa_is_up = None, False
        return True

    def _alive(self, now: float) -> bool:
        """The gateway says something of its own, HELLO at the least."""
        return self.stack is not None and now - self.stack.l2tp.heard_at <= ALIVE_WITHIN

    @property
    def _has_esp(self) -> bool:
        """An ESP SA of ours is still there."""
        ikes = self.stack.ikes if self.stack is not None else None
        return ikes is not None and bool(ikes.children)

    def _notified(self, event: ike_events.NotifyReceived, now: float) -> None:
        note = event.notification
        if note is not None and not note.is_error:
            return
        if not self._chosen:
            self._refused_at = self._refused_at or now
        elif self._mm5_at is not None:
            if event.trust is not ike_events.Trust.AUTHENTICATED:
                self._auth_doubt_at = self._auth_doubt_at or now
        elif event.phase == 1 and event.trust is ike_events.Trust.CLEAR and not self._sa_is_up:
            self._clear_doubt_at = self._clear_doubt_at or now

    def _ike_silent(self, event: ike_events.TimedOut, now: float) -> None:
        if event.waiting_for == "DPD-ACK" or (event.message_id and self._has_esp):
            return  # a quick mode beside the SA in use: the gateway may begin one of its own
        if event.waiting_for == "MM2":
            first = self.patience.heard and self._refused_at is None and self.patience.begun == 1
            if first and self._begun_anew(now, selective=True):
                return
        elif event.waiting_for in AGAIN and self._begun_anew(now):
            return
        self._exhausted = self._exhausted or event.waiting_for
        if event.waiting_for not in ("MM2", "MM6"):
            self._end("stopped")

    def _ike_failed(self, event: ike_events.Failed, now: float) -> None:
        quick = event.message_id != 0 or event.stage.startswith("QM")
        if not quick:
            self._end("stopped")
            return
        if self._has_esp:
            return
        assert self.stack is not None
        refused = event.notify_type == NotifyType.NO_PROPOSAL_CHOSEN
        o = self._options
        if not refused or self._l2tp_at is not None:
            self._end("stopped")
            return
        # Which offer would the gateway take? The same with the other choice of PFS, then ours.
        self._quick_modes += 1
        if self._quick_modes == 1:
            group = None if o.pfs_group else int(Group.MODP2048)
            self.stack.start_quick_mode(now, pfs_group=group, transforms=o.offered_esp())
        elif self._quick_modes == 2 and o.custom_esp:
            self.stack.start_quick_mode(
                now, pfs_group=o.pfs_group, transforms=BROAD.esp_transforms()
            )
        else:
            self._end("stopped")

    def _l2tp_event(self, event: l2tp_events.Event, now: float) -> None:
        match event:
            case l2tp_events.MessageReceived():
                self._l2tp_at = None
                if self._l2tp_repeated and self.stack is not None:
                    self.patience.lossy = self.stack.lossy = True
                if self._truncation == "trying":
                    self._truncation_answered(now)
            case l2tp_events.MessageSent() if event.retransmission:
                self._l2tp_repeated = True
            case l2tp_events.TunnelClosed() | l2tp_events.SessionClosed() | l2tp_events.TimedOut():
                # A StopCCN may follow a CDN, a CDN an LCP Terminate: let them arrive.
                self._stop_at = self._stop_at or now + 0.1
            case l2tp_events.SessionEstablished() if self._options.user is None:
                self._end("done")
            case l2tp_events.SecretMismatch():
                self._stop_at = self._stop_at or now + 0.3

    def _truncation_answered(self, now: float) -> None:
        """An answer while we cut to 96 bits: one that is cut as well proves the gateway's fault;
        another one was only late."""
        assert self.stack is not None and self.stack.esp.newest is not None
        self._truncation = "over"
        if self.stack.esp.newest.inbound.suite.integrity is Integrity.HMAC_SHA2_256_96:
            self._end("stopped")
        else:
            self.stack.esp.restore_truncation()

    def _ppp_event(self, event: ppp_events.LinkEvent, now: float) -> None:
        match event:
            case ppp_events.TimedOut(waiting_for=what) if what in PPP_AGAIN and not self._called:
                # SoftEther says its Challenge five times and no more.
                self._called = self._alive(now) and self._begun_anew(now)
                if not self._called:
                    self._stop_at = self._stop_at or now + 0.3
            case ppp_events.CcpDemanded():
                self._mppe = self._mppe or any(o.type == MPPE for o in event.options)
            case ppp_events.IpcpUp():
                self._up_at = self._up_at or now
            case ppp_events.AuthResult(ok=False):
                self._stop_at = self._stop_at or now + 0.1
            case ppp_events.Terminated(by="peer"):
                self._stop_at = self._stop_at or now + 0.1
            case (
                ppp_events.NoCommonAuth()
                | ppp_events.AddressRefused()
                | ppp_events.NegotiationStuck()
                | ppp_events.LoopbackDetected()
                | ppp_events.TimedOut()
                | ppp_events.Finished()
            ):
                self._stop_at = self._stop_at or now + 0.3
