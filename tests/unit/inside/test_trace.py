"""Where packets stop inside: the trace, and what is concluded from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP

from tests.unit.inside.bench import ADDRESS, Bench
from vpndiag.diagnosis import behind
from vpndiag.diagnosis.view import View
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import (
    Ended,
    Hop,
    InsideApp,
    InsidePing,
    InsideScope,
    InsideTrace,
    Observation,
)
from vpndiag.probes.inside import InsidePlan, parse_app

HOST = "10.99.7.7"
ROUTERS = ("10.99.0.1", "10.99.5.1", "10.99.6.1")
PLAN = InsidePlan(internal_hosts=(HOST,))


def routed(beyond: str = "", mute: tuple[str, ...] = ()) -> Bench:
    """HOST behind three routers, those of ``mute`` silent. ``beyond``: "unreachable", "answer" to
    connection requests, or nothing."""

    def answer(packet: bytes) -> list[bytes] | None:
        asked = IP(packet)
        if asked.dst != HOST:
            return None
        quoted = bytes(asked)[:28]
        if asked.ttl <= len(ROUTERS):
            router = ROUTERS[asked.ttl - 1]
            if router in mute:
                return []
            return [bytes(IP(src=router, dst=str(ADDRESS)) / ICMP(type=11) / quoted)]
        if beyond == "unreachable":
            error = ICMP(type=3, code=1)
            return [bytes(IP(src=ROUTERS[-1], dst=str(ADDRESS)) / error / quoted)]
        if beyond == "answer" and asked.haslayer(TCP) and asked[TCP].flags == "S":
            t = asked[TCP]
            reply = TCP(sport=t.dport, dport=t.sport, flags="SA", seq=7, ack=t.seq + 1)
            return [bytes(IP(src=HOST, dst=str(ADDRESS)) / reply)]
        return []

    return Bench(plan=PLAN, answer=answer).run()


def hops(trace: InsideTrace) -> list[str]:
    return [hop.address for hop in trace.hops]


def found(bench: Bench) -> list[str]:
    view = View([*bench.seen, Ended(t=bench.seconds, why="done")])
    return [f.code for f in behind.judge(view, bench.of(InsideScope)[0])]


def test_where_everything_answers_nothing_is_traced() -> None:
    bench = Bench(plan=InsidePlan(internal_hosts=("10.99.0.80",))).run()
    assert bench.of(InsideTrace) == []


def test_the_routers_on_the_way_to_a_silent_host_are_named() -> None:
    bench = routed()
    (trace,) = bench.of(InsideTrace)
    assert (hops(trace), trace.end, trace.protocol) == (list(ROUTERS), "silent", "icmp")
    assert found(bench) == ["routes.host-silent"], "a router behind the gateway answers"
    assert all(hop.seconds == pytest.approx(0.04) for hop in trace.hops)


def test_a_router_that_says_nothing_is_a_gap() -> None:
    (trace,) = routed(mute=(ROUTERS[1],)).of(InsideTrace)
    assert hops(trace) == [ROUTERS[0], "", ROUTERS[2]]


def test_a_router_that_knows_no_way_ends_the_trace() -> None:
    bench = routed("unreachable")
    assert bench.of(InsideTrace) == [], "pings are told already"
    assert found(bench) == ["routes.host-unreachable"]


def test_it_takes_no_longer_than_the_wait_for_pings_and_few_packets() -> None:
    bench = routed()
    assert bench.seconds < 3.6, "as long as a router may take to say that nobody is there"
    assert sum(IP(p).dst == HOST for p in bench.sent) < 45


@pytest.mark.parametrize(
    ("fault", "code", "seen"),
    [
        ("forwarding", "routes.no-forwarding", []),
        ("way_back", "routes.nothing-behind", [ROUTERS[0]]),
    ],
)
def test_a_gateway_that_does_not_forward_is_told_from_one_without_a_way_back(
    fault: str, code: str, seen: list[str]
) -> None:
    config = GatewayConfig()
    config = replace(config, faults=replace(config.faults, **{fault: False}))
    bench = Bench(plan=PLAN, config=config).run()
    traces = bench.of(InsideTrace)
    assert {t.target for t in traces} == {HOST, "10.99.0.53"}, "the DNS server is silent as well"
    assert [(hops(t), t.end) for t in traces] == [(seen, "silent")] * 2
    assert found(bench) == [code]


def test_a_silent_port_is_traced_with_connection_requests() -> None:
    bench = routed_app(answers=False)
    echo, tcp = sorted(bench.of(InsideTrace), key=lambda t: t.protocol)
    assert (echo.port, tcp.port) == (0, 445)
    assert hops(tcp) == hops(echo) == list(ROUTERS)
    assert bench.of(InsideApp)[0].outcome == "silent"


def test_a_connection_that_the_trace_opened_is_left_with_a_reset() -> None:
    bench = routed_app(answers=True)
    tcp = next(t for t in bench.of(InsideTrace) if t.protocol == "tcp")
    assert (tcp.end, tcp.end_how, tcp.end_by) == ("reached", "answer", HOST)
    resets = [IP(p)[TCP] for p in bench.sent if IP(p).haslayer(TCP) and IP(p)[TCP].flags == "R"]
    opened = [IP(p)[TCP].sport for p in bench.sent if IP(p).haslayer(TCP) and 4 <= IP(p).ttl <= 8]
    assert set(opened) == {r.sport for r in resets}, "of all that got through"


def routed_app(answers: bool) -> Bench:
    """TCP 445 of HOST drops the connection request of the application (time to live 64)."""

    def answer(packet: bytes) -> list[bytes] | None:
        asked = IP(packet)
        if asked.dst != HOST:
            return None
        if asked.ttl <= len(ROUTERS):
            error = IP(src=ROUTERS[asked.ttl - 1], dst=str(ADDRESS)) / ICMP(type=11)
            return [bytes(error / bytes(asked)[:28])]
        if answers and asked.ttl <= 8 and asked.haslayer(TCP) and asked[TCP].flags == "S":
            t = asked[TCP]
            reply = TCP(sport=t.dport, dport=t.sport, flags="SA", seq=7, ack=t.seq + 1)
            return [bytes(IP(src=HOST, dst=str(ADDRESS)) / reply)]
        return []

    return Bench(plan=InsidePlan(apps=(parse_app(f"{HOST}:smb"),)), answer=answer).run()


def test_a_stranger_does_not_end_a_trace() -> None:
    """ICMP errors that quote packets of others, and segments with a wrong acknowledgement."""

    def answer(packet: bytes) -> list[bytes] | None:
        asked = IP(packet)
        if asked.dst != HOST:
            return None
        foreign = IP(src=str(ADDRESS), dst=HOST) / ICMP(id=1, seq=1)
        error = IP(src=ROUTERS[0], dst=str(ADDRESS)) / ICMP(type=11) / bytes(foreign)[:28]
        wild = TCP(sport=445, dport=50000, flags="SA", seq=7, ack=9)
        return [bytes(error), bytes(IP(src=HOST, dst=str(ADDRESS)) / wild)]

    plan = InsidePlan(internal_hosts=(HOST,), apps=(parse_app(f"{HOST}:smb"),))
    for trace in Bench(plan=plan, answer=answer).run().of(InsideTrace):
        assert (trace.hops, trace.end) == ((), "silent")


# --- the rules alone ------------------------------------------------------------------------------


def scope() -> InsideScope:
    return InsideScope(t=0.0, address="10.99.1.1", peer="10.99.0.1", dns=("10.99.0.53",))


def ping(target: str, received: int = 0, **more: object) -> InsidePing:
    role = {"10.99.0.1": "peer", "10.99.0.53": "dns"}.get(target, "host")
    return InsidePing(t=1.0, role=role, target=target, sent=6, received=received, **more)  # type: ignore[arg-type]


def trace(target: str, *addresses: str, **more: object) -> InsideTrace:
    line = tuple(Hop(ttl=n, address=a) for n, a in enumerate(addresses, 1))
    settings: dict[str, object] = {"protocol": "icmp", "end": "silent", **more}
    return InsideTrace(t=1.5, target=target, hops=line, **settings)  # type: ignore[arg-type]


def codes(*seen: Observation) -> list[str]:
    view = View([scope(), *seen, Ended(t=9.0, why="done")])
    return [f.code for f in behind.judge(view, scope())]


PEER = ping("10.99.0.1", 3, round_trips=(0.01, 0.01, 0.01))


def test_the_gateways_own_refusal_is_certain() -> None:
    refused = ping(HOST, error="net-unreachable", reporter="10.99.0.1")
    assert codes(PEER, refused) == ["routes.no-forwarding"]


def test_host_unreachable_of_the_gateway_is_about_the_host() -> None:
    off = ping(HOST, error="host-unreachable", reporter="10.99.0.1")
    assert codes(PEER, off) == ["routes.host-unreachable"]


def test_a_connection_trace_alone_does_not_prove_that_nothing_is_forwarded() -> None:
    """A gateway that takes connections itself (as SoftEther's NAT) never says "time exceeded"."""
    app = InsideApp(t=4.0, app="x", host=HOST, address=HOST, port=80, outcome="silent")
    assert codes(PEER, app, trace(HOST, protocol="tcp", port=80)) == ["routes.nothing-behind"]


def test_an_unfinished_trace_proves_nothing() -> None:
    assert codes(PEER, ping(HOST), trace(HOST, end="unfinished")) == ["routes.nothing-behind"]


def test_a_gateway_under_another_address_is_no_router_behind_it() -> None:
    assert codes(PEER, ping(HOST), trace(HOST, "10.99.200.1")) == ["routes.nothing-behind"]


def test_a_late_answer_is_an_answer() -> None:
    late = trace(HOST, "10.99.0.1", end="reached", end_ttl=2, end_by=HOST, end_how="answer")
    assert codes(PEER, ping(HOST), late) == []
