"""The client's L2TP tunnel with its one session, asked for again where the path loses packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.l2tp.config import L2tpConfig, Role
from vpndiag.protocols.l2tp.reliable import RetransmitConfig
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel
from vpndiag.tunnel.options import Flow, TunnelOptions
from vpndiag.tunnel.recorder import Recorder

L2TP_PORT = 1701
L2TP_RETRANSMIT = RetransmitConfig(first=0.6, cap=0.8, tries=16)
REPLY, REPLY_LOSSY = 10.0, 6.0
"""Seconds to wait for SCCRP or ICRP once the request was acknowledged. xl2tpd repeats them after
1, 2, 4 and 8 s; on a lossy path another tunnel is asked for sooner than the last of them."""
MOST_TUNNELS = 4
HELLO_AFTER = 2.0
"""Seconds of silence in a session that is up, before the gateway is asked whether it is there."""


class L2tpChannel:
    """``transmit`` puts a datagram on the wire and gives its frame number; None: it could not;
    ``lossy`` tells whether the path is known to lose packets."""

    def __init__(
        self,
        options: TunnelOptions,
        recorder: Recorder,
        random_bytes: Callable[[int], bytes],
        transmit: Callable[[bytes, float], int | None],
        lossy: Callable[[], bool],
    ) -> None:
        self.heard_at = 0.0
        """When the last packet came."""
        self.other_port = 0
        """Of the gateway, if it accepted the tunnel from another one than it was asked on
        (RFC 2661 section 8.1). Not inside ESP, whose selectors are for one port."""
        self._options = options
        self._recorder = recorder
        self._random = random_bytes
        self._transmit = transmit
        self._lossy = lossy
        self._inside: Literal["clear", "esp"] = "clear" if options.plain_l2tp else "esp"
        self._tunnel: L2tpTunnel | None = None
        self._session: int | None = None
        self._asking = False
        """The session is not there yet, and is still wanted."""
        self._tunnels = 0

    @property
    def begun(self) -> bool:
        """A tunnel was asked for."""
        return self._tunnel is not None

    def start(self, now: float) -> None:
        """Ask for a tunnel, and then for a session in it."""
        o = self._options
        config = L2tpConfig(
            host_name=o.host_name.encode(),
            secret=o.l2tp_secret,
            challenge=o.l2tp_secret is not None,
            stop_without_secret=False,
            retransmit=L2TP_RETRANSMIT,
            reply_timeout=REPLY_LOSSY if self._lossy() else REPLY,
        )
        self._asking = True
        self._session = None
        self._tunnels += 1
        self.other_port = 0
        self._tunnel = L2tpTunnel(Role.LAC, config, self._random)
        self._tunnel.start(now)

    def forget(self, now: float) -> None:
        """The tunnel goes with the SAs under it; another one may be started."""
        if self._tunnel is not None:
            self._tunnel.close(now, 6, None, b"")  # the address it may hold is needed again
            self._send(now)
        self._tunnel = self._session = None
        self._asking = False

    def watch(self) -> None:
        """The session carries an address: from now on ask whether a silent gateway is there."""
        if self._tunnel is not None:
            self._tunnel.watch(HELLO_AFTER)

    def unheard(self, now: float) -> float:
        """Seconds since anything came, while a control message of ours waits for its
        acknowledgement; else 0."""
        return self._tunnel.unheard(now) if self._tunnel is not None else 0.0

    def get_timer(self) -> float | None:
        return self._tunnel.get_timer() if self._tunnel is not None else None

    def handle_timer(self, now: float) -> None:
        if self._tunnel is not None:
            self._tunnel.handle_timer(now)

    # --- messages ---------------------------------------------------------------------------

    def receive(
        self, datagram: bytes, source: tuple[str, int], frame: int, now: float
    ) -> list[l2tp_events.Event]:
        """A datagram from the gateway; what has happened, as :meth:`drain` has it."""
        if self._tunnel is None:
            return []
        self.heard_at = now
        self._tunnel.receive(datagram, now)
        events = self.drain(now)
        accepted = any(isinstance(event, l2tp_events.TunnelEstablished) for event in events)
        if accepted and self._options.plain_l2tp:
            asked = self._options.gateway_ports[Flow.L2TP]
            self.other_port = source[1] if source[1] != asked else 0
        wrong = any(isinstance(event, l2tp_events.SecretMismatch) for event in events)
        self._recorder.add(
            self._recorder.l2tp.observe(
                datagram,
                t=self._recorder.t(now),
                frames=(frame,),
                direction="in",
                inside=self._inside,
                source=source,
                destination=(self._options.local, L2TP_PORT),
                response_valid=False if wrong else None,
            )
        )
        return events

    def drain(self, now: float) -> list[l2tp_events.Event]:
        """What has happened, in order, with the PPP frames of our session. A request that came to
        nothing is not among it where another tunnel is asked for instead."""
        events: list[l2tp_events.Event] = []
        again = False
        while self._tunnel is not None and (event := self._tunnel.next_event()) is not None:
            match event:
                case l2tp_events.TimedOut(acknowledged=True) if self._may_ask_again:
                    again = True
                    continue
                case l2tp_events.TunnelClosed() | l2tp_events.SessionClosed() if again:
                    continue
                case l2tp_events.TunnelEstablished() if self._asking:
                    self._session = self._tunnel.open_session(now)
                case l2tp_events.SessionEstablished() if event.session_id == self._session:
                    self._asking = False
                case l2tp_events.PppFrame() if event.session_id != self._session:
                    continue
            events.append(event)
        if again:
            self._send(now)  # the farewell
            self.start(now)
        return events

    @property
    def _may_ask_again(self) -> bool:
        return self._lossy() and self._asking and self._tunnels < MOST_TUNNELS

    def pump(self, now: float) -> list[l2tp_events.Event]:
        """Send what is to be sent; what has happened, as :meth:`drain` has it."""
        if self._tunnel is None:
            return []
        before = self.drain(now)
        self._send(now)
        return before + self.drain(now)

    def _send(self, now: float) -> None:
        assert self._tunnel is not None
        for datagram in self._tunnel.datagrams_to_send(now):
            frame = self._transmit(datagram, now)
            if frame is None:
                continue
            self._recorder.add(
                self._recorder.l2tp.observe(
                    datagram,
                    t=self._recorder.t(now),
                    frames=(frame,),
                    direction="out",
                    inside=self._inside,
                    source=(self._options.local, L2TP_PORT),
                    destination=(self._options.gateway, self.other_port or L2TP_PORT),
                )
            )

    # --- the session ------------------------------------------------------------------------

    @property
    def session(self) -> int | None:
        """The session that was asked for: our session ID."""
        return self._session

    def send_ppp(self, frame: bytes, now: float) -> bool:
        """Queue a frame; False: the session is gone."""
        if self._tunnel is None or self._session is None:
            return False
        try:
            self._tunnel.send_ppp(self._session, frame, now)
        except LocalProtocolError:
            return False
        return True

    def close(self, now: float) -> list[l2tp_events.Event]:
        """Ask for nothing more, send what waits, then CDN and StopCCN (RFC 2661 sections 6.12 and
        6.4); what has happened, as :meth:`drain` has it."""
        self._asking = False
        if self._tunnel is None:
            return []
        events = self.pump(now)
        if self._session is not None:
            self._tunnel.close_session(self._session, 3, None, b"", now)
        self._tunnel.close(now, 6, None, b"")
        return events
