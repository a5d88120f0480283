"""Whatever comes through the tunnel: the questions neither fail nor go on for ever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.inside.bench import ADDRESS, DNS, FILES, Bench
from vpndiag.probes.inside import InsidePlan, parse_app
from vpndiag.probes.inside.exchange import Rdp, Smb, certificate_facts
from vpndiag.protocols.errors import RemoteProtocolError
from vpndiag.protocols.inner.dhcp import parse_options, parse_routes
from vpndiag.protocols.inner.ip import (
    build_ip,
    build_udp,
    parse_echo_fragment,
    parse_echo_reply,
    parse_fault,
    parse_ip,
    parse_udp,
)


@given(st.binary(max_size=120))
def test_decoders_raise_nothing_but_our_own_errors(data: bytes) -> None:
    for decode in (parse_ip, parse_options, parse_routes):
        try:
            decode(data)
        except RemoteProtocolError:
            continue


@given(st.sampled_from([1, 6, 17]), st.binary(max_size=120))
def test_payloads_decode_or_are_left_alone(protocol: int, payload: bytes) -> None:
    packet = parse_ip(build_ip(DNS, ADDRESS, protocol, payload))
    for decode in (parse_echo_fragment, parse_echo_reply, parse_fault, parse_udp):
        decode(packet)


@given(st.binary(max_size=200))
def test_first_answers_are_read_without_failing(answer: bytes) -> None:
    assert Smb(bytes).feed(answer) in ("more", "answered", "unexpected")
    assert Rdp().feed(answer) in ("more", "answered", "unexpected")
    assert certificate_facts(answer, "host", 0.0) is None


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=120), st.booleans())
def test_answers_of_any_content_end_in_a_result(noise: bytes, dns: bool) -> None:
    def answer(data: bytes) -> list[bytes]:
        packet = parse_ip(data)
        port = int.from_bytes(packet.payload[:2], "big")
        if packet.protocol == 17 and dns:
            reply = packet.payload[8:10] + noise  # the right id, and then anything
            datagram = build_udp(packet.destination, ADDRESS, (53, port), reply)
            return [build_ip(packet.destination, ADDRESS, 17, datagram)]
        return [build_ip(packet.destination, ADDRESS, packet.protocol, noise)]

    apps = (parse_app(f"https://{FILES}"), parse_app(f"{FILES}:smb"))
    assert Bench(plan=InsidePlan(apps=apps), answer=answer).run().seconds < 16
