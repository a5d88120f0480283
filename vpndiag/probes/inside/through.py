"""The questions inside on top of the tunnel's engines: when they start, and with what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from vpndiag.observations import IcmpError, IkeMessage, L2tpMessage, PppMessage
from vpndiag.probes.inside.check import Link, RandomBytes
from vpndiag.probes.inside.mtu import Encapsulation
from vpndiag.probes.inside.plan import InsidePlan
from vpndiag.probes.inside.run import Inside
from vpndiag.probes.patience import Patience
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp import lcp_options
from vpndiag.protocols.ppp.options import find
from vpndiag.tunnel.recorder import Recorder
from vpndiag.tunnel.stack import IpPacketIn, Stack

DEFAULT_MRU = 1500
PATH_MTU = 1500
"""What is taken for the path outside as long as nobody says otherwise."""


class Through:
    """Starts :class:`Inside` when IPCP is up and carries its packets. ``plan`` None: nothing is
    asked inside, and ``done`` as soon as IPCP is up."""

    def __init__(
        self,
        plan: InsidePlan | None,
        stack: Stack | None,
        recorder: Recorder,
        random_bytes: RandomBytes,
        patience: Patience,
    ) -> None:
        self.inside: Inside | None = None
        self._plan = plan
        self._stack = stack
        self._recorder = recorder
        self._random = random_bytes
        self._patience = patience
        self._mru_out = self._mru_in = DEFAULT_MRU
        self._started = False
        self._out: list[bytes] = []

    @property
    def done(self) -> bool:
        """And the last packet has left."""
        return self._started and (self.inside is None or (self.inside.done and not self.waiting))

    def event(self, event: object, now: float) -> None:
        """Any event of the stack."""
        match event:
            case IpPacketIn():
                if self.inside is not None:
                    self.inside.receive(event.data, now)
            case ppp_events.LcpUp():
                ours = find(event.our_options, lcp_options.MRU)
                self._mru_in = (ours.number(2) if ours is not None else None) or DEFAULT_MRU
                self._mru_out = event.mru
            case ppp_events.IpcpUp():
                self._start(event, now)

    def _start(self, up: ppp_events.IpcpUp, now: float) -> None:
        if self._started:
            return
        self._started = True
        if self._plan is None or self._stack is None or up.address is None:
            return
        self.inside = Inside(
            self._plan,
            Link(
                address=up.address,
                peer=up.peer_address,
                dns=tuple(dict.fromkeys(up.dns)),
                mru_out=self._mru_out,
                mru_in=self._mru_in,
                random=self._random,
                emit=self._recorder.add,
                t=self._recorder.t,
                lossy=self._lossy(),
                suspect=self._suspect(),
                verify_time=self._stack.options.verify_time,
            ),
            self._encapsulation(self._stack),
            self._path_mtu(),
        )
        self.inside.start(now)

    def _lossy(self) -> bool:
        """Something had to be sent again on the way here; once may be the gateway being slow."""
        again = sum(not isinstance(o, IkeMessage) for o in self._repeats())
        return self._patience.lossy or again >= 2

    def _suspect(self) -> bool:
        """Either end had to repeat something. Not counted is LCP: pppd is started when its first
        request has already come."""
        plain = self._stack is not None and self._stack.options.plain_l2tp
        for o in self._repeats():
            link = isinstance(o, PppMessage) and o.protocol == "LCP"
            probe = isinstance(o, L2tpMessage) and o.inside == "clear" and not plain
            if not link and not probe:
                return True
        return False

    def _repeats(self) -> Iterator[IkeMessage | L2tpMessage | PppMessage]:
        for o in self._recorder.observations():
            if isinstance(o, IkeMessage | L2tpMessage | PppMessage) and o.repeat:
                yield o

    @staticmethod
    def _encapsulation(stack: Stack) -> Encapsulation:
        outer = 40 if ":" in stack.options.gateway else 20
        pair = stack.esp.newest
        plain = stack.esp.child is not None and not stack.esp.udp
        return Encapsulation(pair.outbound.suite if pair else None, outer, udp=not plain)

    def _path_mtu(self) -> int:
        told = [
            o.mtu
            for o in self._recorder.observations()
            if isinstance(o, IcmpError) and o.what == "fragmentation-needed" and o.mtu
        ]
        return max(min([PATH_MTU, *told]), 576)

    @property
    def waiting(self) -> bool:
        """There is something to send."""
        if self.inside is not None:
            self._out += self.inside.packets()
        return bool(self._out)

    def pump(self, now: float) -> None:
        """Send what is to be sent."""
        if not self.waiting or self._stack is None:
            return
        packets, self._out = self._out, []
        with contextlib.suppress(LocalProtocolError):  # the link goes down; the run will see it
            for packet in packets:
                self._stack.send_ip(packet, now)

    def get_timer(self) -> float | None:
        return self.inside.get_timer() if self.inside is not None else None

    def handle_timer(self, now: float) -> None:
        timer = self.get_timer()
        if self.inside is not None and timer is not None and timer <= now:
            self.inside.handle_timer(now)

    def finish(self, now: float) -> None:
        """The run ends: keep what is known."""
        if self.inside is not None:
            self.inside.finish(now)
