"""When a run asks further, and when nothing more can be learnt.

Engine events and silence come in; out come further questions (:mod:`~.questions`; which, before a
proposal is chosen, is for :mod:`~.first_contact`), other quick modes, and in the end
:attr:`Decisions.over`. What it all means is for the rules to say.
"""

from __future__ import annotations

from typing import Literal

from vpndiag.probes.first_contact import FirstContact
from vpndiag.probes.inside.through import Through
from vpndiag.probes.patience import AGAIN, MOST_BEGINNINGS, PPP_AGAIN, Patience
from vpndiag.probes.questions import Questions
from vpndiag.probes.silent_l2tp import SilentL2tp
from vpndiag.probes.soak import Soaking
from vpndiag.protocols.ike import events as ike_events
from vpndiag.protocols.ike.algorithms import Group
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType, ProtocolId
from vpndiag.protocols.ike.profiles import BROAD
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.l2tp.constants import MessageType
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp.ccp_options import MPPE
from vpndiag.tunnel.options import TunnelOptions
from vpndiag.tunnel.stack import Stack

FLOAT_PROBE_AFTER = 1.5
AGAIN_AFTER = 3.0
"""Seconds without message 6 before port 4500 is asked afresh."""
MM5_ENOUGH, MM5_SECONDS = 10, 4.0
"""Of so many all are lost once in 10,000 runs, at 40% loss. After so long no repeat of message 4
answers one of message 3."""
GRACE_AUTH = 2.0
"""After an answer to message 5 that cannot be read."""
MPPE_WAIT = 1.2
"""After IPCP is up: a gateway that demands MPPE may still hang up."""
REASON_WAIT, REASON_WAIT_MOST = 0.5, 2.0
"""After a Terminate-Request instead of an answer to the login."""
ALIVE_WITHIN = 12.0
"""Seconds since the gateway's last L2TP packet."""
GONE_AFTER = 5.5
GONE_AFTER_LOSSY = 14.0
"""Seconds without anything from a gateway that does not even acknowledge HELLO."""


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
        self._options = options
        self.first_contact = FirstContact(questions, patience, began)
        self._l2tp = SilentL2tp(stack)
        self._decided = began
        self._exhausted = ""
        """The question that was given up."""
        self._auth_doubt_at: float | None = None
        self._clear_doubt_at: float | None = None
        """An unprotected refusal came where a protected answer is due: anyone can have sent it."""
        self._sa_is_up = False
        self._mm5_at: float | None = None
        self._natt_before = False
        """UDP 4500 had answered a question of its own when message 5 was sent."""
        self._mm5s = 0
        self._port_doubted = False
        self._l2tp_repeated = False
        self._mppe = False
        self._session_up = False
        """Without a user name that is as far as it goes."""
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
        times = self._l2tp.checks()
        if not self._options.plain_l2tp:
            times += self.first_contact.checks()
        if self._auth_doubt_at is not None:
            times.append(self._auth_doubt_at + GRACE_AUTH)
        if self._clear_doubt_at is not None:
            times.append(self._clear_doubt_at + GRACE_AUTH)
        if self._mm5_at is not None:
            times += [self._mm5_at + FLOAT_PROBE_AFTER, self._mm5_at + AGAIN_AFTER]
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
            asked = self.stack if not soaking else None
            unheard = asked.l2tp.unheard(now) if asked is not None else 0.0
            if unheard >= (GONE_AFTER_LOSSY if self.patience.lossy else GONE_AFTER):
                self._end("stopped")
            elif self._stop_at is not None:
                return  # it hangs up, or is gone
            elif all_sent and self.through.done and not hang_up_due and not unheard:
                self._up(now)
        elif self._session_up:
            if all_sent:  # ICCN among it, which is part of what was seen
                self._end("done")
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
        over = self.first_contact.decide(now, given_up=self._exhausted == "MM2")
        if over:
            self._end(over)
            return
        if self.first_contact.chosen and self._mm5_at is not None:
            self._decide_auth(now)
        self._l2tp.decide(now)

    def _decide_auth(self, now: float) -> None:
        if self._auth_doubt_at is not None and now >= self._auth_doubt_at + GRACE_AUTH:
            self._end("stopped")
            return
        assert self._mm5_at is not None
        floated = self.stack is not None and self.stack.options.port_natt
        if now >= self._mm5_at + FLOAT_PROBE_AFTER and floated:
            self.questions.ask_natt(now)
        natt = self.questions.natt
        unknown = natt is not None and (self._natt_before or not natt.answered)
        if now >= self._mm5_at + AGAIN_AFTER and unknown:
            # The port, or the gateway altogether? An answer from before message 5 does not tell.
            self.questions.ask("again", now)
        if self._exhausted == "MM6" and self.questions.all_done:
            heard = self._port_doubted and not self._natt_unanswered
            if heard and self.patience.loses and self._begun_anew(now):
                self._exhausted, self._port_doubted = "", False
                return
            self._end("stopped")

    @property
    def _natt_unanswered(self) -> bool:
        """UDP 4500 was asked a question of its own, and has not answered it."""
        return self.questions.natt is not None and not self.questions.natt.answered

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
                self.patience.answered(event.name, now, again=event.repeat)
                if event.repeat and self._mm5_was_of_no_use(event, now):
                    self._exhausted = self._exhausted or "MM6"
            case ike_events.PeerVendorIds():
                self._l2tp.note_vendor_ids(event.vendor_ids)
            case ike_events.ProposalChosen():
                self.first_contact.choose()
            case ike_events.MessageSent(name="MM5"):
                self._mm5s += 1
                if self._mm5_at is None:
                    natt = self.questions.natt
                    self._mm5_at, self._natt_before = now, natt is not None and natt.answered
                self._clear_doubt_at = None
            case ike_events.PhaseOneEstablished():
                self._mm5_at = self._auth_doubt_at = None
            case ike_events.NotifyReceived():
                self._notified(event, now)
            case ike_events.Rejected(stage="MM6"):
                self._auth_doubt_at = self._auth_doubt_at or now
            case ike_events.PeerIsIkev2() | ike_events.PeerAnsweredAggressive():
                if not self.first_contact.chosen:
                    self.first_contact.refuse(now)
            case ike_events.TimedOut():
                self._ike_silent(event, now)
            case ike_events.Failed():
                self._ike_failed(event, now)
            case ike_events.QuickModeEstablished():
                self._sa_is_up, self._clear_doubt_at = True, None
                if self._quick_modes:
                    # Accepted only after another offer was refused: that is what was to be learnt.
                    self._end("stopped")
                else:
                    self._l2tp.begin(now)
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

    def _mm5_was_of_no_use(self, event: ike_events.MessageReceived, now: float) -> bool:
        """The gateway repeats message 4 by itself, long after message 5: Libreswan does so, and is
        silent to a wrong key."""
        waited = self._mm5_at is not None and now - self._mm5_at >= MM5_SECONDS
        main_mode = event.message.header.exchange == ExchangeType.MAIN_MODE
        return waited and main_mode and self._mm5s >= MM5_ENOUGH

    def _begun_anew(self, now: float, *, selective: bool = False) -> bool:
        """A new main mode where silence, or a gateway's end of it, may be the path's: it loses
        packets, and nothing else has been said that ends the run. ``selective``: the gateway
        answers other questions of IKEv1."""
        if not (self.patience.lossy or selective) or self.patience.begun >= MOST_BEGINNINGS:
            return False
        if self._stop_at is not None or self.stack is None or not self.stack.begin_anew(now):
            return False
        self.patience.begun += 1
        self._mm5_at = self._auth_doubt_at = self._clear_doubt_at = None
        self._mm5s = 0
        self._l2tp.stop()
        self._sa_is_up = False
        return True

    def _called_again(self, waiting_for: str, now: float) -> bool:
        """Begun anew, once, since PPP does not go on with a gateway that is there: it says
        something of its own, HELLO at the least. SoftEther says its Challenge five times and no
        more."""
        if self._called or waiting_for not in PPP_AGAIN or self.stack is None:
            return False
        alive = now - self.stack.l2tp.heard_at <= ALIVE_WITHIN
        self._called = alive and self._begun_anew(now)
        return self._called

    @property
    def _has_esp(self) -> bool:
        """An ESP SA of ours is still there."""
        ikes = self.stack.ikes if self.stack is not None else None
        return ikes is not None and bool(ikes.children)

    def _notified(self, event: ike_events.NotifyReceived, now: float) -> None:
        note = event.notification
        if note is not None and not note.is_error:
            return
        if not self.first_contact.chosen:
            self.first_contact.refuse(now)
        elif self._mm5_at is not None:
            if event.trust is not ike_events.Trust.AUTHENTICATED:
                self._auth_doubt_at = self._auth_doubt_at or now
        elif event.phase == 1 and event.trust is ike_events.Trust.CLEAR and not self._sa_is_up:
            self._clear_doubt_at = self._clear_doubt_at or now

    def _ike_silent(self, event: ike_events.TimedOut, now: float) -> None:
        if event.waiting_for == "DPD-ACK" or (event.message_id and self._has_esp):
            return  # a quick mode beside the SA in use: the gateway may begin one of its own
        if event.waiting_for == "MM2":
            first = self.patience.begun == 1 and not self.first_contact.refused
            selective = self.patience.heard and not self.questions.ikev2_alone
            if first and selective and self._begun_anew(now, selective=True):
                return
        elif event.waiting_for == "MM6" and self._natt_unanswered:
            self._port_doubted = True  # the question on UDP 4500 is waited for first
        elif event.waiting_for in AGAIN and self.patience.loses and self._begun_anew(now):
            return
        self._exhausted = self._exhausted or event.waiting_for
        # Begun anew, with a gateway that chose a proposal before, there is nothing else to ask.
        anew = event.waiting_for == "MM2" and self.first_contact.chosen
        if anew or event.waiting_for not in ("MM2", "MM6"):
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
        if not refused or self._l2tp.waiting:
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
                if self._sa_is_up and event.message.message_type == MessageType.SCCRP:
                    # The first request may come before the gateway has its SA in place, or has
                    # loaded what L2TP takes: that is no loss.
                    self._l2tp_repeated = False
                if self._l2tp_repeated:
                    self.patience.lossy = True
                if self._l2tp.answered():
                    self._end("stopped")
            case l2tp_events.MessageSent() if event.retransmission:
                self._l2tp_repeated = True
            case l2tp_events.TunnelClosed() | l2tp_events.SessionClosed() | l2tp_events.TimedOut():
                # A StopCCN may follow a CDN, a CDN an LCP Terminate: let them arrive.
                self._stop_at = self._stop_at or now + 0.1
            case l2tp_events.SessionEstablished() if self._options.user is None:
                self._session_up = True
            case l2tp_events.SecretMismatch():
                self._stop_at = self._stop_at or now + 0.3

    def _reason_due(self) -> float:
        """Seconds in which the answer to a login may still come that the farewell behind it has
        overtaken: the longer the way, the more its packets can be apart."""
        trip = self.stack.round_trip.seconds if self.stack is not None else 0.0
        return min(max(REASON_WAIT, trip), REASON_WAIT_MOST)

    def _ppp_event(self, event: ppp_events.LinkEvent, now: float) -> None:
        match event:
            case ppp_events.TimedOut() if self._called_again(event.waiting_for, now):
                pass
            case ppp_events.CcpDemanded():
                self._mppe = self._mppe or any(o.type == MPPE for o in event.options)
            case ppp_events.IpcpUp():
                self._up_at = self._up_at or now
            case ppp_events.AuthResult(ok=False):
                self._stop_at = self._stop_at or now + 0.1
            case ppp_events.Terminated(by="peer", phase=ppp_events.Phase.AUTHENTICATE):
                self._stop_at = self._stop_at or now + self._reason_due()
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
