"""Pings inside: echo requests to one target, with round trips and losses.

They follow each other closely, so that a healthy run takes no longer than its round trips. The
gateway itself is asked :data:`LINE` times, which shows a line that loses one packet in twenty; when
one of them is lost, or something was on the way here, :data:`LINE_LOSSY` times, which measures it.
What is sent before the other end is ready is lost on some gateways (pppd tells the kernel of its
new link a moment late), so requests before the first one that is answered are counted apart.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.observations.inside import InsidePing, TargetRole
from vpndiag.observe.inside import lost_first
from vpndiag.probes.inside.check import Check, Link
from vpndiag.protocols.inner.ip import (
    ICMP,
    IcmpFault,
    IpPacket,
    build_echo,
    build_ip,
    parse_echo_reply,
)

GAP = 0.01
PACE = 0.2
"""Seconds between the first requests, and between those to a target that does not answer."""
COUNT = 3
"""Echo requests to a target that answers, and is not the gateway."""
LINE, LINE_LOSSY = 30, 100
LINE_GAP = 0.002
MORE, MORE_LOSSY = 6, 18
"""Further requests to one that does not, and to one on a path that loses packets."""
LINGER = 0.5
"""Seconds to wait for the last answers, beyond a round trip, and to believe in silence."""
LINGER_NAMED = 2.2
"""The same for a host that was named and has not answered: a router asks for it three times, a
second each, before it says "host unreachable" (RFC 1122 section 2.3.2.1)."""
_DATA = b"vpndiag echo request inside tunl"


class Pings(Check):
    """``done`` when :data:`COUNT` requests were answered or given up, or none of many was."""

    def __init__(self, link: Link, role: TargetRole, target: IPv4Address) -> None:
        super().__init__(link)
        self.role = role
        self.target = target
        self._id = link.number()
        self._sent: dict[int, float] = {}
        self._answered: dict[int, float] = {}
        """Seconds to the answer of each, in the order of the answers."""
        self._error = ("", "")
        self._measuring = False
        """A request was lost: how many are?"""
        self._next: float | None = None

    @property
    def alive(self) -> bool:
        return bool(self._answered)

    @property
    def refused(self) -> bool:
        """An ICMP error came."""
        return bool(self._error[0])

    @property
    def sent(self) -> int:
        return len(self._sent)

    @property
    def round_trip(self) -> float | None:
        """The longest so far."""
        return max(self._answered.values(), default=None)

    @property
    def lost_first(self) -> int:
        """Requests before the first that was answered; 0 as long as none was."""
        return min(self._answered, default=1) - 1

    @property
    def lossy(self) -> bool:
        """Requests were lost that came later."""
        return len(self._answered) < len(self._sent) - self.lost_first

    def start(self, now: float) -> None:
        self._ask(now)

    def _ask(self, now: float) -> None:
        sequence = len(self._sent) + 1
        self._sent[sequence] = now
        echo = build_echo(self._id, sequence, _DATA)
        self.send(build_ip(self.link.address, self.target, ICMP, echo, identification=sequence))
        self._next = now + self._pause()

    def _pause(self) -> float:
        if not self._more():
            named = self.role == "host" and not self._answered and not self._error[0]
            return LINGER_NAMED if named else LINGER + (self.round_trip or 0.0)
        if self._answered or len(self._sent) < self._wanted:
            return LINE_GAP if self.role == "peer" else GAP
        return PACE

    @property
    def _wanted(self) -> int:
        """Requests, counted from the first that is answered."""
        if self.role != "peer":
            return COUNT
        doubt = self._measuring or self.link.lossy or self.link.suspect
        return LINE_LOSSY if self._answered and doubt else LINE

    def _more(self) -> bool:
        if len(self._sent) < self.lost_first + self._wanted:
            return True
        most = self._wanted + (MORE_LOSSY if self.link.lossy else MORE)
        return not self._answered and not self._error[0] and len(self._sent) < most

    def receive(self, packet: IpPacket, now: float) -> None:
        if self.done or packet.source != self.target:
            return
        reply = parse_echo_reply(packet)
        if reply is None or reply[0] != self._id or reply[1] not in self._sent:
            return
        if reply[1] in self._answered:
            return
        self._answered[reply[1]] = now - self._sent[reply[1]]
        if self._more():
            self._next = min(self._next or now, now + self._pause())
        elif not self.lossy:
            self._conclude(now, True)

    def fault(self, fault: IcmpFault, now: float) -> None:
        mine = fault.protocol == ICMP and fault.ports[0] == self._id
        if mine and fault.destination == self.target and not self._error[0]:
            self._error = (fault.what, str(fault.reporter))
            if self._next is not None and len(self._sent) > COUNT:
                self._next = now

    def get_timer(self) -> float | None:
        return None if self.done else self._next

    def handle_timer(self, now: float) -> None:
        if self.done or self._next is None or now < self._next:
            return
        if not self._more() and self.role == "peer" and self._answered:
            self._measuring = self._measuring or self.lossy
        if self._more():
            self._ask(now)
        else:
            self._conclude(now, True)

    def finish(self, now: float) -> None:
        if not self.done and self._sent:
            self._conclude(now, False)

    def _conclude(self, now: float, complete: bool) -> None:
        self.done = True
        self.link.emit(
            InsidePing(
                t=self.link.t(now),
                role=self.role,
                target=str(self.target),
                sent=len(self._sent),
                received=len(self._answered),
                lost_first=lost_first([(t, self._answered.get(n)) for n, t in self._sent.items()]),
                round_trips=tuple(round(r, 6) for r in self._answered.values()),
                error=self._error[0],
                reporter=self._error[1],
                complete=complete,
            )
        )
