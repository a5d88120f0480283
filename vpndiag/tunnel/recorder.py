"""Everything that passes, numbered, and turned into observations.

Frame numbers count all packets sent and received, so they are the frame numbers of the capture
that a run writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from vpndiag.observations import Direction, EspFlow, Observation
from vpndiag.observe.ike import IkeObserver
from vpndiag.observe.l2tp import L2tpObserver
from vpndiag.records import record
from vpndiag.tunnel.options import Flow

Address = tuple[str, int]

Sink = Callable[[float, Flow, Direction, Address, Address, bytes], None]
"""``sink(t, flow, direction, source, destination, data)`` for each packet."""

IcmpSink = Callable[[float, str, int, int, int, int], None]
"""``sink(t, reporter, type, code, port, mtu)`` for each ICMP error whose sender is known."""

AsideSink = Callable[[float, Address, Address, bytes, int, bool], None]
"""``sink(t, source, destination, data, ttl, whole)`` for each datagram of a question beside the
run; ``whole``: with don't-fragment."""

AsideIcmpSink = Callable[[float, str, int, int, Address, Address, int], None]
"""``sink(t, reporter, type, code, source, destination, mtu)``: an ICMP error about one of those."""

MAX_OBSERVATIONS = 20_000
"""A flooding peer must not fill the memory; what comes beyond is counted and not kept."""
_SAMPLES = 16
_SHOWN = 8


@record(slots=True)
class _Count:
    first: float
    last: float
    udp: bool
    packets: int = 0
    bytes: int = 0
    verified: int = 0
    bad: int = 0
    truncated: int = 0
    replayed: int = 0
    highest: int = 0
    late: int = 0
    late_by: int = 0
    late_frames: list[int] = field(default_factory=list)
    longest: float = 0.0
    longest_from: float = 0.0
    sizes: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def number(self, sequence: int, frame: int) -> None:
        """A packet's sequence number: behind a higher one, others have overtaken it."""
        behind = self.highest - sequence
        if behind <= 0:
            self.highest = sequence
            return
        self.late += 1
        self.late_by = max(self.late_by, behind)
        if len(self.late_frames) < _SHOWN:
            self.late_frames.append(frame)


class Recorder:
    """``start`` is subtracted from all times; ``ports`` as for the IKE observer."""

    def __init__(self, start: float = 0.0, ports: Mapping[int, int] | None = None) -> None:
        self.start = start
        self.frames = 0
        self.ike = IkeObserver(ports)
        self.l2tp = L2tpObserver()
        self.clear_l2tp = L2tpObserver()
        self.packet_sink: Sink | None = None
        self.icmp_sink: IcmpSink | None = None
        self.aside_sink: AsideSink | None = None
        self.aside_icmp_sink: AsideIcmpSink | None = None
        self.on_observation: Callable[[Observation], None] | None = None
        self.not_kept = 0
        self.closed = False
        self._observations: list[Observation] = []
        self._esp: dict[tuple[Direction, int], _Count] = {}

    def t(self, now: float) -> float:
        return now - self.start

    def packet(
        self,
        now: float,
        flow: Flow,
        direction: Direction,
        source: Address,
        destination: Address,
        data: bytes,
    ) -> int:
        """Number a packet; it goes to the sink as it was on the wire."""
        self.frames += 1
        if self.packet_sink is not None:
            self.packet_sink(now, flow, direction, source, destination, data)
        return self.frames

    def icmp(
        self,
        now: float,
        reporter: str | None,
        icmp_type: int,
        code: int,
        port: int,
        mtu: int | None,
    ) -> tuple[int, ...]:
        """Number an ICMP error that can be written as a packet; its frame number, if it has one."""
        if reporter is None:
            return ()
        self.frames += 1
        if self.icmp_sink is not None:
            self.icmp_sink(now, reporter, icmp_type, code, port, mtu or 0)
        return (self.frames,)

    def aside_packet(
        self,
        now: float,
        source: Address,
        destination: Address,
        data: bytes,
        ttl: int = 64,
        *,
        whole: bool = True,
    ) -> int:
        """Number a datagram that a question beside the run sent or received."""
        self.frames += 1
        if self.aside_sink is not None:
            self.aside_sink(now, source, destination, data, ttl, whole)
        return self.frames

    def aside_icmp(
        self,
        now: float,
        reporter: str | None,
        icmp_type: int,
        code: int,
        source: Address,
        destination: Address,
        mtu: int | None = None,
    ) -> tuple[int, ...]:
        """As :meth:`icmp`, about a datagram of :meth:`aside_packet`."""
        if reporter is None:
            return ()
        self.frames += 1
        if self.aside_icmp_sink is not None:
            self.aside_icmp_sink(now, reporter, icmp_type, code, source, destination, mtu or 0)
        return (self.frames,)

    def add(self, observation: Observation | None, *, aside: bool = False) -> None:
        """Keep an observation (None is ignored). Once ``closed`` only those of questions beside
        the run (``aside``) are kept: they may come in after its end."""
        if observation is None or (self.closed and not aside):
            return
        if len(self._observations) >= MAX_OBSERVATIONS:
            self.not_kept += 1
            return
        self._observations.append(observation)
        if self.on_observation is not None:
            self.on_observation(observation)

    def esp(
        self,
        now: float,
        direction: Direction,
        spi: int,
        packet: bytes,
        frame: int,
        *,
        udp: bool,
        verified: bool | None = None,
        truncated: bool = False,
        replayed: bool = False,
    ) -> None:
        """Count an ESP packet."""
        if self.closed:
            return
        t = self.t(now)
        count = self._esp.get((direction, spi))
        if count is None:
            if len(self._esp) >= 256:
                return
            count = self._esp[direction, spi] = _Count(t, t, udp)
        if t - count.last > count.longest:
            count.longest, count.longest_from = t - count.last, count.last
        count.last = t
        count.packets += 1
        count.bytes += len(packet)
        count.verified += verified is True
        count.bad += verified is False
        count.truncated += truncated
        count.replayed += replayed
        if verified and not replayed:
            count.number(int.from_bytes(packet[4:8], "big"), frame)
        if len(count.sizes) < _SAMPLES:
            count.sizes.append(len(packet))
            count.times.append(t)
            count.frames.append(frame)

    def observations(self) -> list[Observation]:
        """All so far, ESP flows included."""
        return self._observations + [
            EspFlow(
                t=c.first,
                frames=tuple(c.frames[:4]),
                direction=direction,
                spi=f"0x{spi:08x}",
                udp_encapsulated=c.udp,
                packets=c.packets,
                bytes=c.bytes,
                last_t=c.last,
                verified=c.verified if direction == "in" else None,
                bad_integrity=c.bad if direction == "in" else None,
                truncated_to_96=c.truncated if direction == "in" else None,
                replayed=c.replayed,
                out_of_order=c.late,
                late_by=c.late_by,
                late_frames=tuple(c.late_frames),
                longest_silence=c.longest,
                silence_from=c.longest_from,
                sizes=tuple(c.sizes),
                times=tuple(c.times),
            )
            for (direction, spi), c in self._esp.items()
        ]
