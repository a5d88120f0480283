"""Every question inside, against the embedded gateway's inner network and against its absence."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address

import pytest

from tests.unit.inside.bench import ADDRESS, DNS, FILES, PEER, Bench
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import (
    InsideApp,
    InsideDhcp,
    InsideMtu,
    InsideName,
    InsidePing,
    InsideScope,
)
from vpndiag.probes.inside import InsidePlan, parse_app
from vpndiag.protocols.inner.ip import ICMP, TCP, UDP, IpPacket, build_ip, build_udp, parse_ip
from vpndiag.protocols.wire import u16


def plan(*apps: str, **more: object) -> InsidePlan:
    return InsidePlan(apps=tuple(map(parse_app, apps)), **more)  # type: ignore[arg-type]


def port_of(packet: IpPacket) -> int:
    return int.from_bytes(packet.payload[2:4], "big")


def nothing_for(protocol: int, *, to: IPv4Address | None = None):  # type: ignore[no-untyped-def]
    """A filter that drops this protocol on the way up."""

    def passes(way: str, data: bytes) -> bool:
        packet = parse_ip(data)
        return way == "down" or packet.protocol != protocol or to not in (None, packet.destination)

    return passes


def unreachable(code: int, reporter: IPv4Address = PEER):  # type: ignore[no-untyped-def]
    """Answers every packet that is no DHCP with an ICMP unreachable."""
    from vpndiag.protocols.inner.ip import checksum

    def answer(data: bytes) -> list[bytes]:
        body = bytes((3, code)) + b"\0\0" + bytes(4) + data[:28]
        body = body[:2] + u16(checksum(body)) + body[4:]
        return [build_ip(reporter, ADDRESS, ICMP, body)]

    return answer


# --- a healthy network ----------------------------------------------------------------------------


def test_a_healthy_network_is_known_within_half_a_second_and_few_packets() -> None:
    done = Bench().run()
    assert done.seconds < 0.5
    assert len(done.sent) <= 38
    assert {type(o) for o in done.seen} == {InsideScope, InsidePing, InsideMtu, InsideName}


def test_pings_tell_round_trips_of_each_target() -> None:
    dns, peer = Bench(delay=0.03).run().of(InsidePing)
    assert (peer.role, peer.target, dns.role, dns.target) == ("peer", str(PEER), "dns", str(DNS))
    assert (dns.sent, dns.received, peer.sent, peer.received) == (3, 3, 30, 30)
    assert dns.round_trips == pytest.approx((0.06, 0.06, 0.06))


def test_one_lost_ping_to_the_gateway_has_the_line_measured() -> None:
    """One packet in twenty is lost, and the three pings that others get would not show it."""
    count = itertools.count()

    def passes(way: str, data: bytes) -> bool:
        packet = parse_ip(data)
        echo = way == "up" and packet.protocol == ICMP and packet.destination == PEER
        return not echo or next(count) % 20 != 19

    peer = next(p for p in Bench(passes=passes).run().of(InsidePing) if p.role == "peer")
    assert (peer.sent, peer.received, peer.lost_first) == (100, 95, 0)


def test_what_was_lost_on_the_way_here_has_the_line_measured_as_well() -> None:
    peer = next(p for p in Bench(suspect=True).run().of(InsidePing) if p.role == "peer")
    assert (peer.sent, peer.received) == (100, 100)


def test_names_are_asked_of_the_server_for_both_families() -> None:
    names = Bench(plan=plan(internal_names=("files.corp.example",))).run().of(InsideName)
    assert {(n.rrtype, n.outcome, n.addresses) for n in names} == {
        ("A", "answered", (str(FILES),)),
        ("AAAA", "no-data", ()),
    }
    assert all(n.wanted and n.tries == 1 for n in names)


def test_a_domain_is_asked_for_its_controllers() -> None:
    names = Bench(plan=plan(internal_domain="corp.example")).run().of(InsideName)
    assert {(n.name, n.rrtype, n.outcome) for n in names} == {
        ("corp.example", "SOA", "answered"),
        ("_ldap._tcp.dc._msdcs.corp.example", "SRV", "nxdomain"),
    }


def test_an_application_named_by_name_is_looked_up_inside_and_answers() -> None:
    done = Bench(plan=plan("http://files.corp.example")).run()
    (app,) = done.of(InsideApp)
    assert (app.outcome, app.address, app.port) == ("answered", str(FILES), 80)
    assert app.detail == "HTTP/1.0 200 OK"
    assert app.connect_seconds == pytest.approx(0.04)
    assert done.seconds < 0.5


def test_the_connection_is_left_with_a_reset() -> None:
    done = Bench(plan=plan("http://10.99.0.80")).run()
    last = [p for p in map(parse_ip, done.sent) if p.protocol == TCP][-1]
    assert last.payload[13] & 4


# --- silence and refusals -------------------------------------------------------------------------


def test_silence_is_believed_after_several_tries() -> None:
    done = Bench(passes=lambda way, data: False).run()
    assert {(p.received, p.complete) for p in done.of(InsidePing)} == {(0, True)}
    (name,) = done.of(InsideName)
    assert (name.outcome, name.tries) == ("silent", 6)
    assert not done.of(InsideMtu), "nothing answers, so nothing can be said of sizes"
    assert done.seconds < 5


def test_on_a_lossy_path_silence_takes_longer() -> None:
    quick = Bench(passes=lambda way, data: False).run()
    patient = Bench(passes=lambda way, data: False, lossy=True).run()
    assert patient.of(InsideName)[0].tries >= 3 * quick.of(InsideName)[0].tries


@pytest.mark.parametrize(
    ("code", "what"), [(3, "port-unreachable"), (1, "host-unreachable"), (13, "prohibited")]
)
def test_an_icmp_error_is_told_with_its_sender(code: int, what: str) -> None:
    done = Bench(plan=plan("10.99.0.80:445"), answer=unreachable(code)).run()
    (name,) = done.of(InsideName)
    (app,) = done.of(InsideApp)
    assert (name.outcome, name.detail, name.reporter) == ("unreachable", what, str(PEER))
    assert (app.outcome, app.detail, app.reporter) == ("unreachable", what, str(PEER))
    assert {p.error for p in done.of(InsidePing)} == {what}


@pytest.mark.parametrize(
    ("app", "outcome"),
    [
        ("10.99.0.80:8080", "refused"),
        ("10.99.0.80:389", "connected"),
        ("10.99.0.80:smb", "closed"),
        ("nope.corp.example:80", "no-address"),
    ],
)
def test_how_an_application_ends(app: str, outcome: str) -> None:
    assert Bench(plan=plan(app)).run().of(InsideApp)[0].outcome == outcome


def test_an_application_whose_packets_are_dropped_is_silent() -> None:
    (app,) = Bench(plan=plan("10.99.0.80:445"), passes=nothing_for(TCP)).run().of(InsideApp)
    assert (app.outcome, app.retransmissions) == ("silent", 3)


def test_an_application_whose_answer_is_lost_is_stalled() -> None:
    def passes(way: str, data: bytes) -> bool:
        packet = parse_ip(data)
        return way == "up" or packet.protocol != TCP or len(packet.payload) < 60

    (app,) = Bench(plan=plan("http://10.99.0.80"), passes=passes).run().of(InsideApp)
    assert app.outcome == "stalled"
    assert app.connect_seconds is not None and app.received == 0


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1399, 1372, 1280, 1001, 577])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_black_hole_is_measured_to_the_byte_with_its_direction(limit: int, way: str) -> None:
    def passes(direction: str, data: bytes) -> bool:
        return direction != way or len(data) <= limit

    (found, _) = Bench(passes=passes).run().of(InsideMtu)
    assert found.largest == limit
    assert found.tried == 1400
    assert found.direction == {"up": "out", "down": "in"}[way]
    assert found.reporter == ""


def test_fragmentation_needed_is_told_with_its_sender_and_its_number() -> None:
    from vpndiag.protocols.inner.ip import checksum

    def answer(data: bytes) -> list[bytes] | None:
        if len(data) <= 1300:
            return None
        body = bytes((3, 4)) + b"\0\0" + u16(0) + u16(1300) + data[:28]
        body = body[:2] + u16(checksum(body)) + body[4:]
        return [build_ip(PEER, ADDRESS, ICMP, body)]

    done = Bench(answer=answer).run()
    found = done.of(InsideMtu)[0]
    assert (found.largest, found.told_mtu, found.reporter) == (1300, 1300, str(PEER))
    assert done.seconds < 3.5


def test_an_answer_in_fragments_is_an_answer() -> None:
    def answer(data: bytes) -> list[bytes] | None:
        packet = parse_ip(data)
        if packet.protocol != ICMP or len(data) < 1400:
            return None
        reply = b"\0\0\0\0" + packet.payload[4:]
        first = bytearray(build_ip(packet.destination, ADDRESS, ICMP, reply[:1376]))
        first[6:8], first[10:12] = b"\x20\0", b"\0\0"
        from vpndiag.protocols.inner.ip import checksum

        first[10:12] = u16(checksum(bytes(first[:20])))
        return [bytes(first)]

    found = Bench(answer=answer).run().of(InsideMtu)[0]
    assert (found.largest, found.fragments) == (1400, 1396)


# --- DNS over TCP, DHCP ---------------------------------------------------------------------------


def test_a_truncated_answer_is_asked_again_over_tcp() -> None:
    def answer(data: bytes) -> list[bytes] | None:
        packet = parse_ip(data)
        if packet.protocol != UDP or port_of(packet) != 53:
            return None
        query = packet.payload[8:]
        reply = query[:2] + b"\x83\x00" + query[4:]
        source = int.from_bytes(packet.payload[:2], "big")
        datagram = build_udp(packet.destination, ADDRESS, (53, source), reply)
        return [build_ip(packet.destination, ADDRESS, UDP, datagram)]

    (name,) = Bench(answer=answer).run().of(InsideName)
    assert name.truncated
    assert name.tcp == "refused", "the inner network has no TCP port 53"


def test_dhcpinform_is_asked_once_and_not_waited_for() -> None:
    done = Bench().run()
    asked = [p for p in map(parse_ip, done.sent) if p.destination == IPv4Address("255.255.255.255")]
    assert len(asked) == 1
    assert not done.of(InsideDhcp)


def test_the_answer_to_dhcpinform_tells_routes_and_domain() -> None:
    def answer(data: bytes) -> list[bytes] | None:
        packet = parse_ip(data)
        if packet.protocol != UDP or port_of(packet) != 67:
            return None
        head = bytearray(packet.payload[8 : 8 + 236])
        head[0] = 2
        options = (
            bytes.fromhex("63825363" "350105" "0f0c") + b"corp.example"
            + bytes.fromhex("7908" "18" "0a1400" "0a630001" "f908" "18" "0a1500" "0a630001" "ff")
        )  # fmt: skip
        datagram = build_udp(PEER, ADDRESS, (67, 68), bytes(head) + options)
        return [build_ip(PEER, ADDRESS, UDP, datagram)]

    done = Bench(answer=answer).run()
    (found,) = done.of(InsideDhcp)
    assert found.domain == "corp.example"
    asked = {(n.name, n.rrtype): (n.outcome, n.wanted) for n in done.of(InsideName)}
    assert asked["corp.example", "SOA"] == ("answered", True), "no name was given: the domain's"
    controllers = asked["_ldap._tcp.dc._msdcs.corp.example", "SRV"]
    assert controllers == ("nxdomain", False), "which is no fault of a domain without them"
    named = Bench(answer=answer, plan=plan(internal_names=("dc.corp.example",))).run()
    assert "SOA" not in {n.rrtype for n in named.of(InsideName)}
    assert found.routes == ("10.20.0.0/24 via 10.99.0.1", "10.21.0.0/24 via 10.99.0.1")


# --- the run's end --------------------------------------------------------------------------------


def test_an_interruption_claims_no_silence() -> None:
    done = Bench(plan=plan("10.99.0.80:445"), passes=lambda w, d: False).run(interrupt_at=0.3)
    assert not done.of(InsideName) and not done.of(InsideMtu)
    assert {p.complete for p in done.of(InsidePing)} == {False}
    assert done.of(InsideApp)[0].outcome == "interrupted"


def test_without_dns_and_peer_nothing_is_asked_and_nothing_hangs() -> None:
    done = Bench(peer=None, dns=(), plan=plan("files.corp.example:80")).run()
    assert done.of(InsideApp)[0].outcome == "no-address"
    assert done.seconds == 0.0


def test_a_gateway_without_any_answers_ends_within_the_limit() -> None:
    many = plan(
        *(f"10.99.0.{n}:80" for n in range(2, 12)),
        internal_hosts=tuple(f"10.99.0.{n}" for n in range(2, 12)),
        internal_names=tuple(f"n{n}.corp.example" for n in range(10)),
    )
    assert Bench(plan=many, passes=lambda w, d: False, config=GatewayConfig()).run().seconds < 6
