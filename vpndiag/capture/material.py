"""What all files of a capture hold together, as tracks: what belongs to one IKE SA, one pair of
hosts, one PPP link. Nothing is judged and nobody is called a client here (that is ``sessions``)."""

from __future__ import annotations

from dataclasses import field

from vpndiag.capture.asked import Asked
from vpndiag.capture.decrypt import EspStats
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.inside_log import InsideLog
from vpndiag.capture.packets import End, IcmpError, Incomplete, Message, PppPacket
from vpndiag.capture.tally import Tally
from vpndiag.records import record

Hosts = tuple[str, str]
"""Two addresses, sorted."""


def hosts(one: str, two: str) -> Hosts:
    return (one, two) if one <= two else (two, one)


def other_host(pair: Hosts, one: str) -> str:
    return pair[1] if one == pair[0] else pair[0]


@record(slots=True)
class IkeTrack:
    """All messages with one initiator cookie between two hosts."""

    cookie: bytes
    hosts: Hosts
    messages: list[Message] = field(default_factory=list)
    left_out: int = 0
    last_ns: int = 0

    @property
    def first_ns(self) -> int:
        return self.messages[0].time_ns


@record(slots=True)
class DataCount:
    """Packets that carry users' data, one direction: ``src`` sent them."""

    src: str
    packets: int = 0
    bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    first_frame: int = 0
    echoes: int = 0
    """LCP echoes among them."""
    inside_esp: bool = False
    tunnel: int = 0
    session: int = 0
    """L2TP's, as the receiver assigned them."""

    def add(self, time_ns: int, size: int, frame: int) -> None:
        if not self.packets:
            self.first_ns, self.first_frame = time_ns, frame
        self.packets += 1
        self.bytes += size
        self.last_ns = time_ns


@record(slots=True)
class L2tpTrack:
    """All L2TP between two hosts that is seen in one way: in the clear, or inside ESP."""

    hosts: Hosts
    inside_esp: bool
    messages: list[Message] = field(default_factory=list)
    data: dict[tuple[str, int, int, bool], DataCount] = field(default_factory=dict)
    """By sender, tunnel and session ID; LCP echoes (True) apart from users' packets."""
    left_out: int = 0


@record(slots=True)
class PppTrack:
    """A PPP link that was captured bare or in PPPoE."""

    key: tuple[str, str, int]
    packets: list[PppPacket] = field(default_factory=list)
    left_out: int = 0


@record(slots=True)
class FlowTrack:
    """The ESP packets of one SPI between two ends; several counters when several files were read.
    ``stats`` when there were keys."""

    src: End
    dst: End
    spi: int
    parts: list[EspFlow] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    stats: EspStats | None = None

    @property
    def first_ns(self) -> int:
        return self.parts[0].first_ns

    @property
    def last_ns(self) -> int:
        return self.parts[-1].last_ns

    @property
    def packets(self) -> int:
        return sum(p.packets for p in self.parts)

    @property
    def udp(self) -> bool:
        return bool(self.src[1] or self.dst[1])

    @property
    def hosts(self) -> Hosts:
        return hosts(self.src[0], self.dst[0])


@record(slots=True)
class Material:
    """What all files hold together. Times in nanoseconds since 1970."""

    first_ns: int | None = None
    last_ns: int = 0
    frames: int = 0
    ike: list[IkeTrack] = field(default_factory=list)
    l2tp: list[L2tpTrack] = field(default_factory=list)
    ppp: list[PppTrack] = field(default_factory=list)
    flows: list[FlowTrack] = field(default_factory=list)
    icmp: list[IcmpError] = field(default_factory=list)
    incomplete: list[Incomplete] = field(default_factory=list)
    dns: list[Message] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    odd: list[Message] = field(default_factory=list)
    inner: dict[Hosts, list[Message]] = field(default_factory=dict)
    """IP packets that ESP carried in PPP, headers only, by outer hosts."""
    inside: InsideLog = field(default_factory=InsideLog)
    """Questions and answers in users' IP packets."""
    asked: Asked | None = None
    """What was to be tested inside; None: nobody said."""
    left_out: int = 0

    def wanted(self, asked: Asked) -> None:
        """Somebody says what was to be tested."""
        self.asked = asked if self.asked is None else self.asked.joined(asked)
