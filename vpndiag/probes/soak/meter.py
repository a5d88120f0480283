"""Echo requests over a long time: round trips, losses, jitter, and now and then a train of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from ipaddress import IPv4Address

from vpndiag.observations.soak import Soak, SoakRole, SoakSample
from vpndiag.probes.inside.check import Link
from vpndiag.probes.soak.numbers import Jitter, quantile, spread
from vpndiag.protocols.inner.ip import (
    ECHO_HEADERS,
    ICMP,
    IpPacket,
    build_echo,
    build_ip,
    parse_echo_reply,
)
from vpndiag.records import record

PACE = 1.0
FAST = 0.1
"""Seconds between echo requests: usually, and while a stall is looked for."""
GIVE_UP = 2.0
"""Seconds after which an echo request counts as lost."""
STALLED = 10
"""So many in a row, asked fast, are a stall and not loss."""
SAMPLES = 100
SHORTEST_SAMPLE = 5.0
TRAIN = 32
TRAIN_SIZE = 1228
"""Bytes of the IP packet: crosses any tunnel unfragmented that carries the IPv6 minimum."""
TRAIN_EVERY = 10.0
TRAIN_WAIT = 1.0
_DATA = b"vpndiag echo request inside tunl"


@record(slots=True)
class Echo:
    """One echo request. ``round_trip`` None: not answered (yet)."""

    sent: float
    round_trip: float | None = None
    lost: bool = False
    """Counted as lost."""
    excused: bool = False
    """Part of a stall, which is told as such, and not of the loss."""


class Meter:
    """``send_echo`` sends an LCP Echo-Request, for a ``target`` of None. Packets to send collect in
    ``out``."""

    def __init__(
        self,
        link: Link,
        role: SoakRole,
        target: IPv4Address | None,
        planned: float,
        send_echo: Callable[[float], bool],
    ) -> None:
        self.role = role
        self.target = target
        self.out: list[bytes] = []
        self.sent = self.received = 0
        self.last: float | None = None
        """The newest round trip."""
        self._link = link
        self._send_echo = send_echo
        self._planned = planned
        self._id, self._train_id = 0, 1
        while self._id == self._train_id or not self._id:
            self._id, self._train_id = link.number(), link.number()
        self._sequence = 0
        self._pending: OrderedDict[int, Echo] = OrderedDict()
        self._window: list[Echo] | None = None
        self._round_trips: list[float] = []
        self._lost_since: float | None = None
        self._heard = 0.0
        """When the newest request that was answered was sent."""
        self._began = 0.0
        self._next = 0.0
        self._pace = PACE
        # the interval
        self._interval = max(SHORTEST_SAMPLE, planned / SAMPLES)
        self._since = 0.0
        self._counted = (0, 0, 0)
        self._jitter = Jitter()
        self._jitters: list[float] = []
        self._rate: float | None = None
        # trains
        self._train_at: float | None = None
        self._train_sent = 0.0
        self._train_came: dict[int, float] = {}
        self._rates: list[float] = []
        self._trains = 0

    @property
    def waiting_since(self) -> float | None:
        """When the oldest request behind the last answered one was sent; None: there is none."""
        if self._lost_since is not None:
            return self._lost_since
        return next((e.sent for e in self._pending.values() if e.sent > self._heard), None)

    @property
    def median(self) -> float:
        return quantile(sorted(self._round_trips[-200:]), 0.5) or 0.0

    def start(self, now: float) -> None:
        self._began = self._since = self._next = now
        self._train_at = now + 2.0 if self.target is not None else None
        self.handle_timer(now)

    # --- looking closely --------------------------------------------------------------------

    def look_closely(self, now: float) -> None:
        """Ask every :data:`FAST` seconds, and keep what comes of each request."""
        if self._window is None:
            self._window = []
        self._pace = FAST
        self._next = min(self._next, now)

    def relax(self, now: float) -> float:
        """Ask seldom again; the longest time that was not answered, or answered late, since."""
        window, self._window = self._window or [], None
        self._pace = PACE
        usual = self.median
        longest = 0.0
        run: list[Echo] = []
        for echo in window:
            if echo.round_trip is not None:
                self._excuse(run)
                run = []
                longest = max(longest, echo.round_trip - usual)
            elif run or echo.sent <= now - GIVE_UP:  # else its answer may still come
                run.append(echo)
                longest = max(longest, echo.sent - run[0].sent + FAST)
        self._excuse(run)
        return round(longest, 3) if longest >= FAST else 0.0

    def _excuse(self, run: list[Echo]) -> None:
        if len(run) < STALLED:
            return
        for echo in run:
            echo.excused = True
            self.sent -= echo.lost
            echo.lost = False

    # --- answers ----------------------------------------------------------------------------

    def receive(self, packet: IpPacket, now: float) -> None:
        """Any packet that came for us."""
        reply = parse_echo_reply(packet) if packet.source == self.target else None
        if reply is None:
            return
        if reply[0] == self._train_id:
            if self._train_sent and reply[1] <= TRAIN:
                self._train_came.setdefault(reply[1], now)
        elif reply[0] == self._id:
            echo = self._pending.pop(reply[1], None)
            if echo is not None:
                self._answered(echo, now - echo.sent, now)

    def echo_reply(self, round_trip: float, now: float) -> None:
        """An LCP Echo-Reply: it answers all requests before it."""
        if self.target is not None or not self._pending:
            return
        for echo in self._pending.values():
            self._answered(echo, min(round_trip, now - echo.sent), now)
        self._pending.clear()

    def _answered(self, echo: Echo, round_trip: float, now: float) -> None:
        echo.round_trip = self.last = round_trip
        self._heard, self._lost_since = max(self._heard, echo.sent), None
        self.sent += 1
        self.received += 1
        self._round_trips.append(round_trip)
        self._jitter.add(round_trip)

    # --- time -------------------------------------------------------------------------------

    def get_timer(self) -> float:
        times = [self._next, self._since + self._interval]
        first = next(iter(self._pending.values()), None)
        if first is not None:
            times.append(first.sent + GIVE_UP)
        if self._train_sent:
            times.append(self._train_sent + TRAIN_WAIT)
        elif self._train_at is not None:
            times.append(self._train_at)
        return min(times)

    def handle_timer(self, now: float) -> None:
        for sequence, echo in list(self._pending.items()):
            if now < echo.sent + GIVE_UP:
                break
            del self._pending[sequence]
            echo.lost = not echo.excused
            self.sent += echo.lost
            if self._lost_since is None and echo.sent > self._heard:
                self._lost_since = echo.sent
        if now >= self._next:
            self._ask(now)
        self._run_trains(now)
        if now >= self._since + self._interval:
            self._sample(now)

    def _ask(self, now: float) -> None:
        self._next = now + self._pace
        self._sequence = self._sequence % 0xFFFF + 1
        echo = Echo(now)
        if self.target is None:
            if not self._send_echo(now):
                return
        else:
            data = build_echo(self._id, self._sequence, _DATA)
            self.out.append(self._ip(data, self._sequence))
        self._pending[self._sequence] = echo
        if self._window is not None:
            self._window.append(echo)

    def _ip(self, data: bytes, identification: int) -> bytes:
        assert self.target is not None
        return build_ip(
            self._link.address, self.target, ICMP, data, identification=identification & 0xFFFF
        )

    def _run_trains(self, now: float) -> None:
        if self._train_sent:
            complete = len(self._train_came) == TRAIN
            if complete or now >= self._train_sent + TRAIN_WAIT:
                self._train_over()
        elif self._train_at is not None and now >= self._train_at:
            self._train_at = now + TRAIN_EVERY
            if self._pace == FAST:
                return  # it would look like a stall
            self._train_sent = now
            self.out += self._train

    @cached_property
    def _train(self) -> list[bytes]:
        filler = bytes(TRAIN_SIZE - ECHO_HEADERS)
        numbers = range(1, TRAIN + 1)
        return [self._ip(build_echo(self._train_id, n, filler), n) for n in numbers]

    def _train_over(self) -> None:
        came, begun = self._train_came, self._train_sent
        self._train_sent, self._train_came = 0.0, {}
        # Some gateways allow few pings at a time: that is no throughput.
        if len(came) >= TRAIN // 2:
            took = max(came.values()) - begun
            self._trains += 1
            self._rate = round(len(came) * TRAIN_SIZE * 8 / max(took, 0.0005))
            self._rates.append(self._rate)

    # --- results ----------------------------------------------------------------------------

    def _sample(self, now: float) -> None:
        sent, received, index = self._counted
        self._counted = (self.sent, self.received, len(self._round_trips))
        if self._jitter.value is not None:
            self._jitters.append(self._jitter.value)
        self._link.emit(
            SoakSample(
                t=self._link.t(now),
                seconds=round(now - self._since, 3),
                sent=self.sent - sent,
                received=self.received - received,
                jitter=_micro(self._jitter.value),
                throughput=self._rate,
                **spread(self._round_trips[index:]),
            )
        )
        self._since, self._rate = now, None

    def finish(self, now: float) -> None:
        """The end: what was not emitted yet, and the whole."""
        if now > self._since + 1.0:
            self._sample(now)
        rates = sorted(self._rates)
        jitter = sum(self._jitters) / len(self._jitters) if self._jitters else None
        waiting = self.waiting_since
        self._link.emit(
            Soak(
                t=self._link.t(now),
                planned=self._planned,
                seconds=round(now - self._began, 3),
                role=self.role,
                target=str(self.target or ""),
                sent=self.sent,
                received=self.received,
                jitter=_micro(jitter),
                throughput=quantile(rates, 0.5),
                train_packets=TRAIN if rates else 0,
                train_size=TRAIN_SIZE if rates else 0,
                trains=self._trains,
                silent_for=round(now - waiting, 3) if waiting and now - waiting > GIVE_UP else 0.0,
                **spread(self._round_trips),
            )
        )


def _micro(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
