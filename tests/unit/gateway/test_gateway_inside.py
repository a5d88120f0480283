"""What answers inside the gateway, checked with Scapy and dnspython."""

from __future__ import annotations

from ipaddress import IPv4Address

import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP

from vpndiag.gateway.config import GatewayConfig
from vpndiag.gateway.inside import MAX_CONNECTIONS, Inside
from vpndiag.gateway.zone import answer_query

CLIENT = "10.99.1.1"
GATEWAY, DNS, FILES = "10.99.0.1", "10.99.0.53", "10.99.0.80"
CONFIG = GatewayConfig()


def ask(packet: IP, inside: Inside | None = None) -> list[IP]:
    answers = (inside or Inside(CONFIG)).answer(bytes(packet), IPv4Address(CLIENT))
    parsed = [IP(a) for a in answers]
    for original, answer in zip(parsed, answers, strict=True):
        again = IP(answer)
        del again.chksum
        if again.haslayer(TCP):
            del again[TCP].chksum
        if again.haslayer(UDP) and not again.haslayer(ICMP):
            del again[UDP].chksum
        assert bytes(again) == bytes(original), "checksums as Scapy computes them"
    return parsed


@pytest.mark.parametrize("host", [GATEWAY, DNS, FILES])
def test_hosts_answer_pings(host: str) -> None:
    (reply,) = ask(IP(src=CLIENT, dst=host) / ICMP(id=7, seq=3) / b"payload!")
    assert (reply.src, reply.dst) == (host, CLIENT)
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq) == (0, 7, 3)
    assert bytes(reply[ICMP].payload) == b"payload!"


def test_an_unknown_host_is_unreachable() -> None:
    (reply,) = ask(IP(src=CLIENT, dst="10.99.0.99") / ICMP())
    assert (reply.src, reply[ICMP].type, reply[ICMP].code) == (GATEWAY, 3, 1)


def test_a_udp_port_that_is_closed_is_unreachable() -> None:
    (reply,) = ask(IP(src=CLIENT, dst=FILES) / UDP(sport=4000, dport=9) / b"x")
    assert (reply.src, reply[ICMP].type, reply[ICMP].code) == (FILES, 3, 3)


def test_a_packet_that_is_too_big_and_may_not_be_cut_is_refused() -> None:
    big = IP(src=CLIENT, dst=FILES, flags="DF") / ICMP() / bytes(1400)
    (reply,) = ask(big)
    assert (reply[ICMP].type, reply[ICMP].code) == (3, 4)
    assert reply[ICMP].nexthopmtu == CONFIG.mru


def test_packets_of_another_source_are_dropped() -> None:
    assert ask(IP(src="10.99.1.2", dst=GATEWAY) / ICMP()) == []


def query(name: str, kind: str) -> dns.message.Message:
    asked = dns.message.make_query(name, kind)
    packet = IP(src=CLIENT, dst=DNS) / UDP(sport=4000, dport=53) / asked.to_wire()
    (reply,) = ask(packet)
    assert (reply[UDP].sport, reply[UDP].dport) == (53, 4000)
    answer = dns.message.from_wire(bytes(reply[UDP].payload))
    assert answer.id == asked.id
    return answer


def test_the_zone_answers() -> None:
    assert "10.99.0.53" in query("dc.corp.example", "A").answer[0].to_text()
    assert "dc.corp.example." in query("_ldap._tcp.corp.example", "SRV").answer[0].to_text()
    assert query("corp.example", "SOA").answer[0].rdtype == dns.rdatatype.SOA
    empty = query("dc.corp.example", "AAAA")
    assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
    assert query("nothing.corp.example", "A").rcode() == dns.rcode.NXDOMAIN
    assert query("www.example.org", "A").rcode() == dns.rcode.REFUSED


def tcp(flags: str, seq: int, ack: int = 0, port: int = 80, data: bytes = b"") -> IP:
    head = TCP(sport=4000, dport=port, flags=flags, seq=seq, ack=ack)
    return IP(src=CLIENT, dst=FILES) / head / data


def test_a_web_server_takes_one_request() -> None:
    inside = Inside(CONFIG)
    (opened,) = ask(tcp("S", 100), inside)
    assert (opened[TCP].flags, opened[TCP].ack) == ("SA", 101)
    start = opened[TCP].seq
    assert ask(tcp("A", 101, start + 1), inside) == []
    (page,) = ask(tcp("PA", 101, start + 1, data=b"HEAD / HTTP/1.0\r\n\r\n"), inside)
    assert page[TCP].flags == "FPA"
    assert (page[TCP].seq, page[TCP].ack) == ((start + 1) & 0xFFFFFFFF, 101 + 19)
    assert bytes(page[TCP].payload).startswith(b"HTTP/1.0 200 ")
    (closed,) = ask(tcp("FA", 120, page[TCP].seq + len(page[TCP].payload) + 1), inside)
    assert closed[TCP].ack == 121


def test_a_tcp_port_that_is_closed_resets() -> None:
    (reply,) = ask(tcp("S", 100, port=81))
    assert (reply[TCP].flags, reply[TCP].ack) == ("RA", 101)


def test_half_open_connections_are_bounded() -> None:
    inside = Inside(CONFIG)
    for port in range(1, MAX_CONNECTIONS * 2):
        packet = IP(src=CLIENT, dst=FILES) / TCP(sport=port, dport=80, flags="S")
        assert inside.answer(bytes(packet), IPv4Address(CLIENT))
    assert len(inside._tcp) == MAX_CONNECTIONS


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_garbage_does_no_harm(data: bytes) -> None:
    inside = Inside(CONFIG)
    inside.answer(data, None)
    for protocol in (1, 6, 17):
        packet = IP(src=CLIENT, dst=DNS, proto=protocol) / data
        inside.answer(bytes(packet), IPv4Address(CLIENT))
    answer_query(CONFIG.zone, data)
