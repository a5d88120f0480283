"""A trace of several kinds of packets, on a virtual clock over a chain of routers."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from vpndiag.observations import PathTrace
from vpndiag.probes.way.trace import MAX_TTL, TRACEROUTE_PORT, TRIES, ToSend, Trace, What

PORTS: dict[What, int] = {"ike": 500, "ike-natt": 4500, "udp": TRACEROUTE_PORT}
GATEWAY = "198.51.100.2"


@dataclass
class Router:
    """``drops``: kinds that it does not forward; ``deaf``: kinds that it drops on arrival;
    ``mute``: it never says "time exceeded"; ``limit``: says so that often and no more."""

    address: str
    drops: Iterable[What] = ()
    deaf: Iterable[What] = ()
    refuses: Iterable[What] = ()
    mute: bool = False
    limit: int = 1000


@dataclass
class World:
    """Routers, then the gateway; ``answers``: what the gateway says to each kind."""

    routers: list[Router]
    answers: dict[What, str] = field(default_factory=lambda: {"udp": "port-unreachable"})
    delay: float = 0.01
    lose: Callable[[int], bool] = lambda number: False
    sent: list[tuple[float, ToSend]] = field(default_factory=list)

    def trace(self, until: float = 60.0) -> dict[str, PathTrace]:
        now = 5.0
        trace = Trace(PORTS, now)
        coming: list[tuple[float, int, Callable[[float], None]]] = []
        while not trace.done and now < until:
            while (packet := trace.to_send(now)) is not None:
                self.sent.append((now, packet))
                reply = self._way(packet, trace)
                if reply is not None and not self.lose(len(self.sent)):
                    heapq.heappush(coming, (now + self.delay, len(self.sent), reply))
            timer = trace.get_timer()
            times = [t for t in (timer, coming[0][0] if coming else None) if t is not None]
            if not times:
                assert trace.done
                break
            now = max(now, min(times))
            while coming and coming[0][0] <= now:
                heapq.heappop(coming)[2](now)
        self.ended = now
        return {t.what: t for t in trace.result(1.0)}

    def _way(self, packet: ToSend, trace: Trace) -> Callable[[float], None] | None:
        what, ttl = packet.what, packet.ttl
        for n, router in enumerate(self.routers, 1):
            if what in router.deaf:
                return None
            if ttl == n:
                router.limit -= 1
                if router.mute or router.limit < 0:
                    return None
                return lambda now: trace.exceeded(what, ttl, router.address, now)
            if what in router.refuses:
                return lambda now: trace.answered(what, ttl, "prohibited", router.address, False)
            if what in router.drops:
                return None
        how = self.answers.get(what)
        if how is None:
            return None
        return lambda now: trace.answered(what, ttl, how, GATEWAY, True)


def chain(count: int, **changes: dict[str, object]) -> list[Router]:
    return [Router(f"10.0.{n}.1", **changes.get(f"r{n}", {})) for n in range(1, count + 1)]  # type: ignore[arg-type]


def shown(trace: PathTrace) -> list[str]:
    return [hop.address for hop in trace.hops]


def test_other_packets_go_on_where_ike_stops() -> None:
    found = World(chain(4, r2={"drops": ("ike", "ike-natt")})).trace()
    assert shown(found["ike"]) == shown(found["ike-natt"]) == ["10.0.1.1", "10.0.2.1"]
    assert found["ike"].end == "silent" and found["ike"].tries == TRIES
    assert shown(found["udp"]) == ["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.4.1"]
    udp = found["udp"]
    assert (udp.end, udp.end_ttl, udp.end_by, udp.end_how) == (
        "reached", 5, GATEWAY, "port-unreachable"
    )  # fmt: skip
    assert all(hop.seconds == pytest.approx(0.01) for hop in udp.hops)


def test_what_is_dropped_on_arrival_does_not_show_that_router() -> None:
    found = World(chain(3, r2={"deaf": ("ike",)})).trace()
    assert shown(found["ike"]) == ["10.0.1.1"]
    assert len(shown(found["ike-natt"])) == 3


def test_a_mute_router_is_a_gap_and_no_end() -> None:
    found = World(chain(5, r3={"mute": True})).trace()
    for trace in found.values():
        assert shown(trace) == ["10.0.1.1", "10.0.2.1", "", "10.0.4.1", "10.0.5.1"]


def test_ike_is_not_sent_beyond_the_gateway_once_its_distance_is_known() -> None:
    world = World(chain(2))
    world.trace()
    far = [packet.ttl for at, packet in world.sent if at > 6.0]
    assert far and max(far) <= 3


def test_a_dead_network_costs_few_packets_and_little_time() -> None:
    world = World([Router("10.0.1.1", deaf=("ike", "ike-natt", "udp"))], answers={})
    found = world.trace()
    assert all(t.end == "silent" and not t.hops for t in found.values())
    assert len(world.sent) <= 3 * TRIES * 6
    assert world.ended - 5.0 < 3.0


def test_a_long_way_to_a_silent_gateway_is_traced_in_the_time_that_a_run_waits() -> None:
    world = World(chain(16), answers={}, delay=0.06)
    found = world.trace()
    assert len(found["ike"].hops) == 16
    assert world.ended - 5.0 < 3.9


def test_a_way_without_end_ends() -> None:
    world = World(chain(60), answers={})
    found = world.trace()
    assert len(found["udp"].hops) == MAX_TTL


def test_packets_are_paced() -> None:
    world = World(chain(10))
    world.trace()
    times = [at for at, _packet in world.sent]
    assert all(b - a >= 0.0199 for a, b in pairwise(times))
    each: dict[tuple[str, int], int] = {}
    for _at, packet in world.sent:
        each[packet.what, packet.ttl] = each.get((packet.what, packet.ttl), 0) + 1
    assert max(each.values()) <= TRIES


def test_lost_answers_are_asked_for_again() -> None:
    found = World(chain(4), lose=lambda number: number % 3 == 0).trace()
    assert all(len(t.hops) == 4 and all(shown(t)) for t in found.values())


def test_a_refusal_names_who_refuses() -> None:
    found = World(chain(4, r3={"refuses": ("ike",)})).trace()
    ike = found["ike"]
    assert (ike.end, ike.end_by, ike.end_how) == ("refused", "10.0.3.1", "prohibited")
    assert shown(ike) == ["10.0.1.1", "10.0.2.1", "10.0.3.1"]


def test_an_answer_ends_it() -> None:
    found = World(chain(2), answers={"ike": "answer", "udp": "port-unreachable"}).trace()
    assert (found["ike"].end, found["ike"].end_ttl) == ("reached", 3)


def test_a_trace_that_is_cut_short_says_so() -> None:
    found = World(chain(20), answers={}).trace(until=5.5)
    assert {t.end for t in found.values()} == {"unfinished"}


def test_what_was_never_asked_is_not_believed() -> None:
    trace = Trace(PORTS, 0.0)
    trace.exceeded("ike", 3, "10.0.3.1", 0.1)
    trace.answered("udp", 9, "port-unreachable", GATEWAY, True)
    assert all(t.end == "unfinished" and not t.hops for t in trace.result(0.1))


def test_ordinary_udp_goes_to_a_port_of_its_own_for_each_hop() -> None:
    world = World(chain(4))
    world.trace()
    ports = {(p.ttl, p.port) for _at, p in world.sent if p.what == "udp"}
    assert ports >= {(n, TRACEROUTE_PORT + n - 1) for n in range(1, 6)}
