"""A session: one client, one gateway, one connection attempt."""

from __future__ import annotations

from dataclasses import field

from vpndiag.capture.material import DataCount, FlowTrack, Hosts, IkeTrack
from vpndiag.capture.packets import End, IcmpError, Incomplete, Message
from vpndiag.capture.ppp_sides import PppRound
from vpndiag.capture.sketch import Sketch
from vpndiag.records import record

SECOND = 1_000_000_000
SLACK = 3 * SECOND
"""Longer silence than this ends an attempt that has not succeeded."""


@record(slots=True)
class Attempt:
    """``begun`` False: it was going on when the capture started. ``end_ns`` is until when silence
    can be judged: the next attempt of the same client, or the end of the capture."""

    client: str
    gateway: str
    lane: int = 0
    begun: bool = True
    ike: list[Sketch] = field(default_factory=list)
    flows: list[FlowTrack] = field(default_factory=list)
    clear: list[Message] = field(default_factory=list)
    inside: list[Message] = field(default_factory=list)
    data: list[DataCount] = field(default_factory=list)
    ppp: PppRound | None = None
    sized: list[IkeTrack] = field(default_factory=list)
    """Questions about sizes, beside the attempt."""
    icmp: list[IcmpError] = field(default_factory=list)
    incomplete: list[Incomplete] = field(default_factory=list)
    end_ns: int = 0
    span: tuple[int, int] | None = None
    """First and last packet, once nothing more is added. Of one call of several in a tunnel: its
    own; what they share is older."""
    caller: str = ""
    """Whose call it is, where a tunnel carries those of several users."""
    place: tuple[int, int] = (0, 0)
    other: str = ""
    """Not an attempt of ours: what it is."""

    @property
    def _parts(self) -> tuple[Sketch | FlowTrack | DataCount, ...]:
        return *self.ike, *self.flows, *self.data

    @property
    def first_ns(self) -> int:
        if self.span is not None:
            return self.span[0]
        times = [part.first_ns for part in self._parts]
        times += [messages[0].time_ns for messages in (self.clear, self.inside) if messages]
        if self.ppp is not None:
            times.append(self.ppp.first_ns)
        return min(times, default=0)

    @property
    def last_ns(self) -> int:
        if self.span is not None:
            return self.span[1]
        times = [part.last_ns for part in self._parts]
        times += [messages[-1].time_ns for messages in (self.clear, self.inside) if messages]
        if self.ppp is not None:
            times.append(self.ppp.last_ns)
        return max(times, default=0)

    @property
    def messages(self) -> int:
        """How many there are to be read."""
        ike = sum([len(s.track.messages) for s in self.ike])
        ppp = len(self.ppp.packets) if self.ppp is not None else 0
        return ike + len(self.clear) + len(self.inside) + ppp

    @property
    def client_ends(self) -> set[End]:
        """UDP ends of the client in IKE."""
        return {e for s in self.ike if self.is_client(s) for e in s.ends}

    def is_client(self, s: Sketch) -> bool:
        """Whether the initiator of this SA is the session's client."""
        if self.client != self.gateway:
            return s.initiator[0] == self.client
        return s is self.ike[0] or bool(s.ends & self.ike[0].ends)

    def sent(self, flow: FlowTrack) -> bool:
        """Whether the client sent these ESP packets."""
        if self.client != self.gateway:
            if flow.src[0] in (self.client, self.gateway):
                return flow.src[0] == self.client
            return flow.src[0] == self.flows[0].src[0]
        ends = self.client_ends
        if flow.src in ends or flow.dst in ends:
            return flow.src in ends
        return flow.src == self.flows[0].src

    @property
    def established_ns(self) -> int | None:
        return min((s.established_ns for s in self.ike if s.established_ns), default=None)

    @property
    def key(self) -> tuple[Hosts, int, str]:
        """The same for all attempts of one client at one gateway."""
        pair = (self.client, self.gateway)
        return (pair if pair[0] <= pair[1] else (pair[1], pair[0])), self.lane, self.caller
