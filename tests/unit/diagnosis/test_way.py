"""Silent ports: what traces and control checks make of them, and who has to act."""

from __future__ import annotations

import pytest

from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import (
    ControlCheck,
    Ended,
    Hop,
    IcmpError,
    IkeMessage,
    LocalEnd,
    Observation,
    PathTrace,
    Scope,
)
from vpndiag.report.model import Diagnosis, Finding

GATEWAY = "198.51.100.2"
HOPS = ("192.168.7.1", "192.168.9.1", "100.64.0.1", "203.0.113.1", "203.0.113.9")


def ike(t: float, port: int, **changes: object) -> IkeMessage:
    values: dict[str, object] = {
        "t": t, "frames": (int(t * 10),), "direction": "out", "step": "MM1", "port": port,
        "initiator_cookie": f"{port:016x}", "version": 1, "exchange": 2, "message_id": 0,
        "responder_cookie": "0" * 16, "protection": "clear", "size": 100,
        "transforms": ("AES-CBC-256/SHA1/MODP2048/PSK",),
    }  # fmt: skip
    return IkeMessage(**(values | changes))  # type: ignore[arg-type]


def silent(*more: Observation, ports: tuple[int, ...] = (500, 4500)) -> list[Observation]:
    """A run whose ports of ``ports`` are silent; the others answer."""
    seen: list[Observation] = [
        Scope(t=0.0, credentials=True, user=True, plain_l2tp=False, certificate=False),
        LocalEnd(t=0.0, local_address="192.168.7.2", gateway_address=GATEWAY, source_port=4000,
                 source_port_natt=4001),
    ]  # fmt: skip
    for port in (500, 4500):
        seen += [ike(0.1 + n / 2, port, repeat=n > 0) for n in range(8)]
        if port not in ports:
            seen.append(ike(0.2, port, direction="in", step="MM2", responder_cookie="f" * 16))
    return [*seen, *more, Ended(t=5.0, why="stopped")]


def trace(what: str, *hops: str, end: str = "silent", at: int = 0, by: str = "", how: str = ""):  # type: ignore[no-untyped-def]
    return PathTrace(
        t=3.0, what=what, port={"ike": 500, "ike-natt": 4500}.get(what, 33434),  # type: ignore[arg-type]
        hops=tuple(Hop(ttl=n, address=a, seconds=0.01 * n) for n, a in enumerate(hops, 1)),
        end=end, end_ttl=at, end_by=by, end_how=how, tries=3,  # type: ignore[arg-type]
    )  # fmt: skip


def reached(what: str, hops: tuple[str, ...] = HOPS, how: str = "port-unreachable") -> PathTrace:
    found: PathTrace = trace(what, *hops, end="reached", at=len(hops) + 1, by=GATEWAY, how=how)
    return found


def both(*hops: str) -> list[Observation]:
    return [trace("ike", *hops), trace("ike-natt", *hops)]


def check(role: str, what: str, outcome: str, port: int = 0, target: str = "") -> ControlCheck:
    return ControlCheck(
        t=2.0, role=role, what=what, target=target or GATEWAY, address=target or GATEWAY,  # type: ignore[arg-type]
        port=port, outcome=outcome,  # type: ignore[arg-type]
    )  # fmt: skip


ALIVE = [check("gateway", "tcp", "refused", 443), check("gateway", "tcp", "silent", 80)]
DEAD = [check("gateway", "tcp", "silent", 443), check("gateway", "icmp-echo", "silent")]


def main(diagnosis: Diagnosis) -> Finding:
    assert diagnosis.verdict.layer == "path"
    return diagnosis.findings[0]


def found(*more: Observation, ports: tuple[int, ...] = (500, 4500)) -> Finding:
    finding = main(diagnose(silent(*more, ports=ports)))
    expected = {(500, 4500): "path.silent", (500,): "path.500-silent", (4500,): "path.4500-silent"}
    assert finding.code == expected[ports]
    return finding


@pytest.mark.parametrize(
    ("stops", "said", "first", "second"),
    [
        (0, "stop before the first router", "network the user is in", "security program"),
        (1, "stop after hop 1, 192.168.7.1, the first router", "network the user is in", None),
        (2, "stop after hop 2, 192.168.9.1, still in this network", "network the user is in",
         "provider"),
        (3, "stop after hop 3, 100.64.0.1, the provider's NAT", "provider", None),
        (4, "stop after hop 4, 203.0.113.1", "provider", "before the gateway"),
    ],
)  # fmt: skip
def test_where_ike_stops_and_other_udp_goes_on(
    stops: int, said: str, first: str, second: str | None
) -> None:
    finding = found(*both(*HOPS[:stops]), reached("udp"))
    assert finding.detail == f"UDP 500 and 4500 {said}; other UDP goes through to the gateway."
    assert finding.owner == "network"
    assert first in finding.causes[0].text
    if second is None:
        assert len(finding.causes) == 1
    else:
        assert second in finding.causes[1].text
    assert finding.causes[0].likelihood == "likely"


def test_one_port_is_stopped_and_the_other_is_not() -> None:
    finding = found(
        trace("ike", *HOPS[:3]), reached("ike-natt", how="answer"), reached("udp"), ports=(500,)
    )
    assert finding.detail == (
        "UDP 500 stops after hop 3, 100.64.0.1, the provider's NAT; "
        "UDP 4500 and other UDP go through to the gateway."
    )
    finding = found(
        reached("ike", how="answer"), trace("ike-natt", *HOPS[:1]), reached("udp"), ports=(4500,)
    )
    assert finding.detail.startswith("UDP 4500 stops after hop 1, 192.168.7.1, the first router;")


def test_both_are_silent_but_only_one_is_stopped() -> None:
    finding = found(trace("ike", *HOPS[:1]), trace("ike-natt", *HOPS), reached("udp"))
    assert finding.detail.startswith("UDP 500 stops after hop 1")
    assert "UDP 4500 and other UDP go on to hop 5" in finding.detail


def test_they_stop_at_different_places() -> None:
    finding = found(trace("ike", *HOPS[:1]), trace("ike-natt", *HOPS[:3]), reached("udp"))
    assert "UDP 500 stops after hop 1" in finding.detail
    assert "UDP 4500 stops after hop 3" in finding.detail


def test_all_routers_pass_it() -> None:
    finding = found(*both(*HOPS), reached("udp"))
    assert finding.detail == (
        "UDP 500 and 4500 get as far as hop 5, 203.0.113.9, the last router before the gateway; "
        "the machine is there, but no answer of its VPN comes back."
    )
    assert finding.owner == "gateway-admin"


def test_a_gap_in_all_traces_is_no_block() -> None:
    gap = (HOPS[0], "", *HOPS[2:])
    finding = found(*both(*gap), reached("udp", gap))
    assert "the last router before the gateway" in finding.detail


def test_the_host_is_dead_as_well() -> None:
    finding = found(*both(*HOPS), trace("udp", *HOPS), *DEAD)
    assert "as other UDP does; nothing at the gateway's address answers" in finding.detail
    assert finding.owner == "gateway-admin"
    assert "off" in finding.causes[0].text and "address" in finding.causes[1].text


def test_the_host_lives_by_tcp() -> None:
    finding = found(*both(*HOPS), trace("udp", *HOPS), *ALIVE)
    assert "the machine is there" in finding.detail
    assert any("TCP 443 refused, TCP 80 silent: somebody is there" in e.text
               for e in finding.evidence)  # fmt: skip


def test_the_closed_port_1701_is_a_sign_of_life() -> None:
    closed = IcmpError(t=1.0, what="port-unreachable", icmp_type=3, icmp_code=3, reporter=GATEWAY,
                       from_gateway=True, port=1701)  # fmt: skip
    assert "the machine is there" in found(*both(*HOPS), trace("udp", *HOPS), *DEAD, closed).detail


def test_the_gateways_own_nat_passes_it_inwards() -> None:
    inward = (*HOPS, GATEWAY)
    finding = found(*both(*inward), reached("udp"))
    assert "the gateway's own address, and is passed on to a machine behind it" in finding.detail
    assert finding.owner == "gateway-admin"


@pytest.mark.parametrize("traced", [both(*HOPS), []], ids=["traced", "no trace"])
def test_a_reference_gateway_is_silent_too(traced: list[Observation]) -> None:
    refs = [check("reference", "ike", "silent", p, "192.0.2.9") for p in (500, 4500)]
    finding = found(*traced, *refs)
    assert "this network lets no VPN through" in finding.detail
    assert finding.owner == "network"


def test_a_reference_gateway_answers() -> None:
    refs = [check("reference", "ike", "answered", p, "192.0.2.9") for p in (500, 4500)]
    finding = found(*refs, *ALIVE)
    assert finding.detail.startswith("Another gateway is reached from here on the same ports; ")
    assert finding.owner == "gateway-admin"


def test_no_udp_gets_out_while_tcp_does() -> None:
    finding = found(*both(*HOPS[:1]), trace("udp", *HOPS[:1]), *ALIVE)
    assert finding.detail == (
        "Nothing answers UDP beyond hop 1, 192.168.7.1, the first router, while TCP reaches the "
        "gateway."
    )
    assert finding.owner == "network"


def test_one_more_router_may_only_have_been_slow() -> None:
    finding = found(*both(*HOPS[:3]), trace("udp", *HOPS[:4]), *DEAD)
    assert "stop after hop 3" in finding.detail and "on to hop 4" in finding.detail
    assert finding.causes[-1].owner == "gateway-admin"


def test_the_router_that_refuses_is_named() -> None:
    refused = [trace(w, *HOPS[:3], end="refused", at=3, by=HOPS[2], how="prohibited")
               for w in ("ike", "ike-natt")]  # fmt: skip
    finding = found(*refused, reached("udp"))
    assert f"({HOPS[2]} refuses it)" in finding.detail


def test_answered_from_another_source_port() -> None:
    finding = found(reached("ike", how="answer"), reached("ike-natt", how="answer"), reached("udp"))
    assert "answered when asked from another source port" in finding.detail


@pytest.mark.parametrize(
    "more",
    [
        [],
        [trace(w, end="cannot-tell") for w in ("ike", "ike-natt", "udp")],
        [
            trace(w, *HOPS[:n], end="unfinished")
            for w, n in (("ike", 1), ("ike-natt", 1), ("udp", 2))
        ],
        [*both(), trace("udp")],
        DEAD,
    ],
    ids=["nothing asked", "another system", "no time", "mute network", "only controls"],
)
def test_what_shows_nothing_leaves_the_finding_as_it_was(more: list[Observation]) -> None:
    finding = found(*more)
    assert finding.detail == "Nothing came back from UDP 500 and 4500 of the gateway."
    assert len(finding.causes) == 5 and finding.owner == "network"


def test_a_routing_loop() -> None:
    one, two = "203.0.113.1", "203.0.113.9"
    round_ = ("192.168.7.1", one, two, one, two, "", two, one, two)
    finding = found(*both(*round_), trace("udp", *round_), *DEAD)
    assert finding.detail == f"A routing loop: packets go round at {one} and {two}."
    assert finding.owner == "network" and "circles" in finding.title


def test_a_loop_is_told_by_packets_whose_time_to_live_ran_out() -> None:
    worn_out = IcmpError(t=1.0, what="ttl-exceeded", icmp_type=11, icmp_code=0,
                         reporter="203.0.113.9", from_gateway=False, port=500)  # fmt: skip
    finding = found(*both(*HOPS[:2]), trace("udp", *HOPS[:2]), worn_out)
    assert finding.detail == "A routing loop: packets go round at 203.0.113.9."


def test_ways_of_two_lengths_are_no_loop() -> None:
    finding = found(*both("192.168.7.1", "203.0.113.1", "", "203.0.113.1"), *DEAD)
    assert "loop" not in finding.detail


def test_an_honest_cannot_tell() -> None:
    finding = found(*[trace(w, end="cannot-tell") for w in ("ike", "ike-natt", "udp")])
    assert any("cannot be told on this system" in e.text for e in finding.evidence)


def test_a_long_trace_is_shortened_in_the_evidence() -> None:
    long = tuple(f"203.0.113.{n}" for n in range(1, 21))
    texts = [e.text for e in found(*both(*long), reached("udp", long)).evidence]
    assert any("203.0.113.4, (12 more), 203.0.113.17" in text for text in texts)


def test_closed_ports_of_a_trace_in_a_capture_are_not_the_gateways() -> None:
    closed = IcmpError(t=2.0, what="port-unreachable", icmp_type=3, icmp_code=3, reporter=GATEWAY,
                       from_gateway=True, port=33440)  # fmt: skip
    capture = [o for o in silent(closed) if not isinstance(o, Scope | LocalEnd)]
    assert main(diagnose(capture)).code == "path.silent"


def test_one_answer_of_a_router_that_gives_few_is_no_block() -> None:
    """A router that limits its ICMP errors said "time exceeded" once, to UDP 500."""
    finding = found(trace("ike", HOPS[0]), trace("ike-natt"), trace("udp"), *DEAD)
    assert "stop" not in finding.detail and finding.code == "path.silent"
    assert finding.title == "The VPN server does not answer at all"
