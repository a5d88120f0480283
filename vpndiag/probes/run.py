"""A whole run, sans-IO: the tunnel, the questions beside it, and when to stop.

The driver (or the simulated network) passes in datagrams, ICMP errors and the time, and takes out
packets and the next deadline. Observations collect in :attr:`LadderRun.recorder`; judging them is
not done here, except for the decision that nothing more can be learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vpndiag.observations import Ended, IcmpError, NameAnswer, Scope, SendError
from vpndiag.probes.outside import (
    ClearL2tpProbe,
    MainModeProbe,
    SideProbe,
    Waits,
    aggressive_probe,
    fixed,
    ikev2_probe,
)
from vpndiag.probes.patience import CAP, FIRST_CONTACT, TRIES, TRIES_LOSSY, Patience
from vpndiag.protocols.esp.udp import Kind, demultiplex
from vpndiag.protocols.ike import events as ike_events
from vpndiag.protocols.ike.config import DEFAULT_VENDOR_IDS
from vpndiag.protocols.ike.constants import AuthMethod, Group, NotifyType
from vpndiag.protocols.ike.profiles import BROAD
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp.ccp_options import MPPE
from vpndiag.tunnel.options import GATEWAY_PORTS, Flow, Packet, TunnelOptions
from vpndiag.tunnel.recorder import Recorder
from vpndiag.tunnel.stack import Stack, Stage

RandomBytes = Callable[[int], bytes]

NATT_PROBE_AFTER = 0.9
IKEV2_PROBE_AFTER = 0.7
OTHER_OFFER_AFTER = 1.2
AGGRESSIVE_PROBE_AFTER = 1.5
"""Seconds of silence on port 500 before each further question."""
FLOAT_PROBE_AFTER = 1.5
"""Seconds without message 6 before port 4500 is asked afresh."""
GRACE = 0.8
"""After an unprotected refusal: anyone can forge one, so the real answer may still win."""
GRACE_AUTH = 2.0
"""After an answer to message 5 that cannot be read."""
DPD_AFTER = 1.6
TRUNCATION_AFTER = 2.4
TRUNCATION_UNTIL = 5.0
"""Seconds without an answer to SCCRQ before: asking IKE whether it still lives; trying SHA2-256 cut
to 96 bits; and going back."""
MPPE_WAIT = 1.2
"""After IPCP is up: a gateway that demands MPPE may still hang up."""
CLOSING_SECONDS = 1.2
PROBE_EVERY = 0.6
PROBES_END = 5.5
"""Questions on the side are repeated until then, as long as nothing at all was heard; while the
gateway answers others, as often as the loss so far asks for."""


@dataclass(frozen=True, slots=True)
class RunKeys:
    """``ike``: initiator cookie and cipher key of phase 1; ``children``: the ESP SA pairs."""

    ike: tuple[bytes, bytes] | None = field(repr=False)
    children: tuple[ike_events.ChildSa, ...]
    client: str
    gateway: str


class LadderRun:
    """One run against one gateway address.

    ``names`` are the look-ups that led to the address. ``finished`` is set once the run has ended
    and said goodbye.
    """

    def __init__(
        self,
        options: TunnelOptions,
        random_bytes: RandomBytes,
        *,
        names: Sequence[NameAnswer] = (),
        start: float = 0.0,
    ) -> None:
        self.options = options
        real = options.gateway_ports
        self.recorder = Recorder(start, {real[f]: n for f, n in GATEWAY_PORTS.items() if n})
        self.patience = Patience()
        self.ended: Ended | None = None
        self.finished = False
        self.stack: Stack | None = None
        self._random = random_bytes
        self._names = list(names)
        self._primary: MainModeProbe | None = None
        self._natt_probe: MainModeProbe | None = None
        self._probes: list[SideProbe] = []
        self._clear: ClearL2tpProbe | None = None
        self._began = start
        self._chosen = False
        self._exhausted = ""
        """The question that was given up."""
        self._refused_at: float | None = None
        self._explored = False
        self._auth_doubt_at: float | None = None
        self._mm5_at: float | None = None
        self._l2tp_at: float | None = None
        self._dpd_sent = False
        self._dpd_supported = False
        self._truncation = "untried"
        self._mppe = False
        self._up_at: float | None = None
        self._quick_modes = 0
        self._stop_at: float | None = None
        self._close_by: float | None = None
        self._side_tries: dict[str, int] = {}
        self._sent_all = False
        """Nothing waits to be sent: what was decided has been seen to leave."""
        self._now = start
        self._icmp: dict[int, int] = {}
        self._children: list[ike_events.ChildSa] = []

    # --- the driver's side --------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin: the first packets are then ready to send."""
        o = self.options
        self._began = now
        add = self.recorder.add
        t = self.recorder.t(now)
        add(
            Scope(
                t=t,
                credentials=o.can_authenticate or o.plain_l2tp,
                user=o.user is not None,
                plain_l2tp=o.plain_l2tp,
                certificate=o.with_certificate,
            )
        )
        for name in self._names:
            add(name)
        if o.can_authenticate or o.plain_l2tp:
            self.stack = Stack(o, self._random, self.recorder, patience=self.patience)
            add(self.stack.local_end(t))
            self.stack.start(now)
        else:
            add(Stack(o, self._random, self.recorder).local_end(t))
            self._primary = MainModeProbe(
                "primary", o, self.recorder, self._random, waits=self._primary_waits
            )
            self._primary.start(now)
        if not o.plain_l2tp:
            self._clear = ClearL2tpProbe(o, self.recorder, self._random)
            self._clear.start(now)

    def _primary_waits(self, tries: int) -> float | None:
        return self.patience("MM2", tries, 0.0)

    def _natt_waits(self, tries: int) -> float | None:
        first = FIRST_CONTACT[1:-1]
        if tries <= len(first):
            return first[tries - 1]
        return CAP if self.patience.heard and tries <= TRIES else None

    def receive(self, flow: Flow, data: bytes, source: tuple[str, int], now: float) -> None:
        """A datagram that came in on ``flow`` (protocol 50: an ESP packet)."""
        o = self.options
        local = (o.local, {Flow.IKE: o.port_ike, Flow.NATT: o.port_natt}.get(flow, 0))
        frame = self.recorder.packet(now, flow, "in", source, local, data)
        expected = {o.gateway_ports[Flow.IKE], o.gateway_ports[Flow.NATT]}
        from_gateway = source[0] == o.gateway
        if flow is Flow.L2TP:
            self._receive_l2tp(data, source, frame, now, from_gateway)
        elif flow is Flow.ESP:
            if self.stack is not None and from_gateway:
                self.stack.receive_esp(data, flow, frame, now)
        elif flow is Flow.NATT:
            found = demultiplex(data)
            if found.kind is Kind.IKE:
                self._receive_ike(
                    found.body, flow, source, frame, now, from_gateway and source[1] in expected
                )
            elif found.kind is Kind.ESP and self.stack is not None and from_gateway:
                self.stack.receive_esp(found.body, flow, frame, now)
        else:
            self._receive_ike(
                data, flow, source, frame, now, from_gateway and source[1] in expected
            )
        self._decide(now)

    def _receive_ike(
        self,
        message: bytes,
        flow: Flow,
        source: tuple[str, int],
        frame: int,
        now: float,
        expected: bool,
    ) -> None:
        cookie = message[:8]
        mine = (
            self.stack is not None
            and self.stack.ike is not None
            and cookie == self.stack.ike.cookie
        )
        probes = [p for p in (self._primary, *self._probes) if p is not None and p.cookie == cookie]
        if not mine and not probes:
            return  # nobody who saw our packets sent this
        if not expected:
            self.recorder.add(
                self.recorder.ike.observe(
                    message,
                    t=self.recorder.t(now),
                    frames=(frame,),
                    direction="in",
                    source=source,
                    destination=(self.options.local, 0),
                    marker=flow is Flow.NATT,
                    other_source=f"{source[0]}:{source[1]}",
                )
            )
            return
        if mine and self.stack is not None:
            self.stack.receive_ike(message, flow, source, frame, now)
        for probe in probes:
            probe.receive(message, flow, source, frame, now)
            if probe.answered:
                self.patience.heard = True
                if self._side_tries.pop(probe.name, 1) > 1:
                    self.patience.lossy = True

    def _receive_l2tp(
        self, data: bytes, source: tuple[str, int], frame: int, now: float, from_gateway: bool
    ) -> None:
        if not from_gateway:
            return
        if self.options.plain_l2tp:
            if self.stack is not None:
                self.stack.receive_l2tp(data, source, frame, now)
        elif self._clear is not None:
            self._clear.receive(data, source, frame, now)

    def icmp(
        self,
        what: str,
        icmp_type: int,
        icmp_code: int,
        reporter: str | None,
        port: int,
        now: float,
        mtu: int | None = None,
    ) -> None:
        """An ICMP error for a packet that we sent to the gateway's ``port``."""
        self.recorder.add(
            IcmpError(
                t=self.recorder.t(now),
                what=what,
                icmp_type=icmp_type,
                icmp_code=icmp_code,
                reporter=reporter,
                from_gateway=None if reporter is None else reporter == self.options.gateway,
                port=port,
                mtu=mtu,
            )
        )
        self._icmp[port] = self._icmp.get(port, 0) + 1
        self._decide(now)

    def send_failed(self, error: str, detail: str, port: int, now: float) -> None:
        """The local machine refused to send to ``port``."""
        self.recorder.add(SendError(t=self.recorder.t(now), port=port, error=error, detail=detail))
        self._icmp[port] = self._icmp.get(port, 0) + 1
        self._decide(now)

    def packets_to_send(self, now: float) -> list[Packet]:
        """What is to be sent now, in order."""
        packets: list[Packet] = []
        self._now = now
        for _ in range(8):
            more: list[Packet] = []
            if self.stack is not None:
                more += self.stack.packets_to_send(now)
            for probe in (self._primary, *self._probes):
                if probe is not None and self.ended is None:
                    more += probe.pump(now)
            if self._clear is not None:
                more += self._clear.pump(now)
            packets += more
            self._sent_all = True
            self._decide(now)
            self._sent_all = False
            if not more:
                break
        return packets

    def get_timer(self) -> float | None:
        """When to call :meth:`handle_timer`; None once finished."""
        if self.finished:
            return None
        timers: list[float | None] = [self._close_by, self._stop_at]
        if self.stack is not None:
            timers.append(self.stack.get_timer())
        if self.ended is None:
            timers += [p.get_timer() for p in (self._primary, *self._probes) if p is not None]
            timers.append(self._next_check())
        if self._clear is not None:
            timers.append(self._clear.get_timer())
        return min((t for t in timers if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        if self.stack is not None:
            self.stack.handle_timer(now)
        if self.ended is None:
            for probe in (self._primary, *self._probes):
                timer = probe.get_timer() if probe is not None else None
                if probe is not None and timer is not None and timer <= now:
                    probe.handle_timer(now)
        if self._clear is not None:
            timer = self._clear.get_timer()
            if timer is not None and timer <= now:
                self._clear.handle_timer(now)
        self._decide(now)

    def interrupt(self, now: float) -> None:
        """The user wants to stop: end, and say goodbye."""
        self._end("interrupted", now)

    def end(self, now: float) -> None:
        """End here; for a driver that cannot go on."""
        self._end("stopped", now)

    def keys(self) -> RunKeys:
        """The keys of this run, for whoever decrypts its capture."""
        ike = self.stack.ike.engine if self.stack is not None and self.stack.ike else None
        return RunKeys(
            ike=ike.keys_for_wireshark if ike is not None else None,
            children=tuple(self._children),
            client=self.options.local,
            gateway=self.options.gateway,
        )

    # --- decisions ----------------------------------------------------------------------------

    def _checks(self) -> list[float]:
        """Times at which silence may call for a further question."""
        times: list[float] = []
        if not self._chosen and not self.options.plain_l2tp:
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
        if self._mm5_at is not None and self._natt_probe is None:
            times.append(self._mm5_at + FLOAT_PROBE_AFTER)
        if self._l2tp_at is not None:
            times += [
                self._l2tp_at + after for after in (DPD_AFTER, TRUNCATION_AFTER, TRUNCATION_UNTIL)
            ]
        if self._up_at is not None:
            times.append(self._up_at + MPPE_WAIT)
        return times

    def _next_check(self) -> float | None:
        last = self._last_decision
        return min((t for t in self._checks() if t > last), default=None)

    _last_decision = 0.0

    def _decide(self, now: float) -> None:
        self._last_decision = now
        if self.ended is not None:
            self._finish_closing(now)
            return
        if self.stack is not None:
            while self.stack.events and self.ended is None:
                self._stack_event(self.stack.events.popleft(), now)
        if self.ended is not None:
            return
        if self._stop_at is not None and now >= self._stop_at:
            self._end("stopped", now)
        elif self._up_at is not None and (not self._mppe or now >= self._up_at + MPPE_WAIT):
            # Not before our last acknowledgement has left: it is part of what was seen.
            if self._sent_all:
                self._end("done", now)
        elif not self.options.plain_l2tp:
            self._decide_ike(now)

    def _decide_ike(self, now: float) -> None:
        if self._primary is not None:
            self._decide_outside(now)
            if self.ended is not None:
                return
        if not self._chosen:
            self._decide_first_contact(now)
        elif self._mm5_at is not None:
            self._decide_auth(now)
        if self._l2tp_at is not None:
            self._decide_l2tp(now)

    def _decide_outside(self, now: float) -> None:
        """A run without credentials ends with message 2 and the answer of port 4500."""
        primary = self._primary
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
            self._probe_natt(now)
            assert self._natt_probe is not None
            if self._natt_probe.done:
                self._end("done", now)

    def _decide_first_contact(self, now: float) -> None:
        """Nothing chosen yet: refused, or silent."""
        waited = now - self._began
        if self._refused_at is not None:
            if now >= self._refused_at + GRACE:
                self._explore_refusal(now)
                if self._all_done():
                    self._end("stopped", now)
            return
        if waited >= NATT_PROBE_AFTER:
            self._probe_natt(now)
        heard = self.patience.heard
        if not heard:
            if waited >= IKEV2_PROBE_AFTER:
                self._probe_once("ikev2", now)
            if waited >= OTHER_OFFER_AFTER:
                self._probe_once("other-offer", now)
            if waited >= AGGRESSIVE_PROBE_AFTER:
                self._probe_once("aggressive", now)
            if waited >= 3.0 and self._icmp.get(500, 0) >= 3:
                self._end("stopped", now)
                return
        if self._exhausted == "MM2" and self._all_done():
            self._end("stopped", now)

    def _explore_refusal(self, now: float) -> None:
        if self._explored:
            return
        self._explored = True
        for name in ("other-offer", "other-method", "ikev2", "aggressive"):
            self._probe_once(name, now)

    def _probe_once(self, name: str, now: float) -> None:
        if any(p.name == name for p in self._probes):
            return
        probe = self._make_probe(name)
        if probe is not None:
            self._probes.append(probe)
            probe.start(now)

    def _make_probe(self, name: str) -> SideProbe | None:
        o = self.options
        common = (self.recorder, self._random)
        if name == "ikev2":
            return ikev2_probe(o, *common, self._side_waits(name))
        if name == "aggressive":
            return aggressive_probe(o, *common, self._side_waits(name))
        if name == "other-method":
            other = AuthMethod.PSK if o.with_certificate else AuthMethod.RSA_SIG
            transforms = tuple(replace(x, auth_method=other) for x in o.offered_ike())
            waits = self._side_waits(name)
            return MainModeProbe(name, o, *common, transforms=transforms, waits=waits)
        without_vids = not set(o.vendor_ids) & set(DEFAULT_VENDOR_IDS)
        if o.custom_ike or without_vids:
            ours = o.offered_ike() if without_vids else BROAD.ike_transforms(o.auth_method)
            return MainModeProbe(
                name, o, *common, transforms=ours, vendor_ids=DEFAULT_VENDOR_IDS,
                waits=self._side_waits(name),
            )  # fmt: skip
        return None

    def _side_waits(self, name: str) -> Waits:
        """How often a question on the side is asked: see :data:`PROBES_END`."""

        def wait(tries: int) -> float | None:
            self._side_tries[name] = tries
            if not self.patience.heard:
                left = self._began + PROBES_END - self._now
                return PROBE_EVERY if tries <= 2 or left >= PROBE_EVERY else None
            enough = TRIES_LOSSY if self.patience.lossy else 6
            return PROBE_EVERY if tries <= enough else None

        return wait

    def _probe_natt(self, now: float) -> None:
        if self._natt_probe is not None:
            return
        self._natt_probe = MainModeProbe(
            "natt", self.options, self.recorder, self._random, natt=True, waits=self._natt_waits
        )
        self._probes.append(self._natt_probe)
        self._natt_probe.start(now)

    def _all_done(self) -> bool:
        return all(p.done for p in self._probes)

    def _decide_auth(self, now: float) -> None:
        if self._auth_doubt_at is not None and now >= self._auth_doubt_at + GRACE_AUTH:
            self._end("stopped", now)
            return
        assert self._mm5_at is not None
        floated = self.stack is not None and self.stack.options.port_natt
        if now >= self._mm5_at + FLOAT_PROBE_AFTER and floated:
            self._probe_natt(now)
        if self._exhausted == "MM6" and self._all_done():
            self._end("stopped", now)

    def _decide_l2tp(self, now: float) -> None:
        """SCCRQ went out inside IPsec and nothing has come back."""
        stack = self.stack
        assert stack is not None and self._l2tp_at is not None
        waited = now - self._l2tp_at
        if waited >= DPD_AFTER and not self._dpd_sent and self._dpd_supported and stack.ike:
            self._dpd_sent = True
            stack.ike.engine.send_dpd(now)
        if waited >= TRUNCATION_AFTER and self._truncation == "untried":
            self._truncation = "trying" if stack.try_truncation() else "over"
        if waited >= TRUNCATION_UNTIL and self._truncation == "trying":
            self._truncation = "over"
            stack.restore_truncation()

    # --- events -------------------------------------------------------------------------------

    def _stack_event(self, event: object, now: float) -> None:
        if isinstance(event, ike_events.IkeEvent):
            self._ike_event(event, now)
        elif isinstance(event, l2tp_events.Event):
            self._l2tp_event(event, now)
        elif isinstance(event, ppp_events.LinkEvent):
            self._ppp_event(event, now)
        elif isinstance(event, Exception):
            self._end("stopped", now)

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
            case ike_events.MessageSent(name="MM5"):
                self._mm5_at = self._mm5_at or now
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
                self._children.append(event.child)
                if self._quick_modes:
                    # Accepted only after another offer was refused: that is what was to be learnt.
                    self._end("stopped", now)
                elif self._l2tp_at is None:
                    self._l2tp_at = now
            case ike_events.Deleted(by_peer=True):
                self._end("stopped", now)
            case ike_events.DeleteReceived(trust=ike_events.Trust.AUTHENTICATED):
                self._stop_at = self._stop_at or now + 0.5

    def _notified(self, event: ike_events.NotifyReceived, now: float) -> None:
        note = event.notification
        if note is not None and not note.is_error:
            return
        if not self._chosen:
            self._refused_at = self._refused_at or now
        elif self._mm5_at is not None:
            if event.trust is not ike_events.Trust.AUTHENTICATED:
                self._auth_doubt_at = self._auth_doubt_at or now
        elif event.phase == 1 and event.trust is ike_events.Trust.CLEAR and self._l2tp_at is None:
            self._stop_at = self._stop_at or now + GRACE_AUTH

    def _ike_silent(self, event: ike_events.TimedOut, now: float) -> None:
        if event.waiting_for == "DPD-ACK":
            return
        self._exhausted = self._exhausted or event.waiting_for
        if event.waiting_for not in ("MM2", "MM6"):
            self._end("stopped", now)

    def _ike_failed(self, event: ike_events.Failed, now: float) -> None:
        quick = event.message_id != 0 or event.stage.startswith("QM")
        if not quick:
            self._end("stopped", now)
            return
        assert self.stack is not None and self.stack.ike is not None
        refused = event.notify_type == NotifyType.NO_PROPOSAL_CHOSEN
        o = self.options
        if not refused or self._l2tp_at is not None:
            self._end("stopped", now)
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
            self._end("stopped", now)

    def _l2tp_event(self, event: l2tp_events.Event, now: float) -> None:
        match event:
            case l2tp_events.MessageReceived():
                self._l2tp_at = None
                if self._truncation == "trying":
                    # The gateway answered what was cut to 96 bits, and nothing before it.
                    self._end("stopped", now)
            case l2tp_events.MessageSent() if event.retransmission:
                pass
            case l2tp_events.TunnelClosed() | l2tp_events.SessionClosed() | l2tp_events.TimedOut():
                # A StopCCN may follow a CDN, a CDN an LCP Terminate: let them arrive.
                self._stop_at = self._stop_at or now + 0.1
            case l2tp_events.SessionEstablished() if self.options.user is None:
                self._end("done", now)
            case l2tp_events.SecretMismatch():
                self._stop_at = self._stop_at or now + 0.3

    def _ppp_event(self, event: ppp_events.LinkEvent, now: float) -> None:
        match event:
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

    # --- the end ------------------------------------------------------------------------------

    def _end(self, why: str, now: float) -> None:
        if self.ended is not None:
            return
        self.ended = Ended(t=self.recorder.t(now), why=why)  # type: ignore[arg-type]
        self.recorder.add(self.ended)
        self.recorder.closed = True
        self._stop_at = None
        self._close_by = now + CLOSING_SECONDS
        if self.stack is not None:
            self.stack.close(now)
        self._finish_closing(now)

    def _finish_closing(self, now: float) -> None:
        closed = self.stack is None or self.stack.stage is Stage.CLOSED
        if (closed or (self._close_by is not None and now >= self._close_by)) and not self.finished:
            self.finished = True


_DPD = bytes.fromhex("afcad71368a1f1c96b8696fc7757")


__all__ = ["LadderRun", "Waits", "fixed"]
