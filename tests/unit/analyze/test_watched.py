"""Users' own traffic in a tunnel: what is a failure of the VPN, and what is everyday life."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpndiag.capture.attempt import Attempt
from vpndiag.capture.inside import inside
from vpndiag.capture.inside_log import InsideIndex, InsideLog
from vpndiag.capture.packets import Message
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import Ended, Observation, PppMessage
from vpndiag.protocols.inner.ip import ICMP, TCP, UDP, build_echo, build_ip, build_udp, u16
from vpndiag.protocols.inner.ip import checksum as internet_checksum
from vpndiag.protocols.inner.tcp import ACK, FIN, PSH, RST, SYN, build_segment
from vpndiag.report.model import Diagnosis

CLIENT, GATEWAY = "192.0.2.10", "203.0.113.5"
OWN, PEER, DNS, DNS2 = map(IPv4Address, ("10.9.0.2", "10.9.0.1", "10.20.0.53", "10.20.0.54"))
FILES = IPv4Address("10.20.0.10")
SECOND = 1_000_000_000


@dataclass
class Users:
    """A session in the clear between its two ends; ``at`` is the time in seconds."""

    servers: tuple[IPv4Address, ...] = (DNS,)
    at: float = 1.0
    log: InsideLog = field(default_factory=InsideLog)
    frame: int = 0
    port: int = 50_000

    def put(self, packet: bytes, out: bool = True, wait: float = 0.02) -> None:
        self.frame += 1
        source = (CLIENT, 1701) if out else (GATEWAY, 1701)
        self.log.feed(packet, len(packet), round(self.at * SECOND), self.frame, source, 0)
        self.at += wait

    def name(self, name: str, server: IPv4Address = DNS, *, tries: int = 1, wait: float = 1.0,
             rcode: int | None = dns.rcode.NOERROR, closed: bool = False) -> None:  # fmt: skip
        """A question; ``rcode`` None: no answer; ``closed``: port unreachable."""
        self.port += 1
        query = dns.message.make_query(name, "A", id=self.port & 0xFFFF, use_edns=False)
        packet = build_ip(OWN, server, UDP, build_udp(OWN, server, (self.port, 53),
                                                      query.to_wire()))  # fmt: skip
        for n in range(tries):
            last = n == tries - 1
            self.put(packet, wait=0.02 if last and (rcode is not None or closed) else wait)
        if closed:
            body = bytes((3, 3)) + bytes(6) + packet[:28]
            body = body[:2] + u16(internet_checksum(body)) + body[4:]
            self.put(build_ip(server, OWN, ICMP, body), out=False)
        elif rcode is not None:
            answer = dns.message.make_response(query)
            answer.set_rcode(dns.rcode.Rcode(rcode))
            if rcode == dns.rcode.NOERROR:
                answer.answer.append(dns.rrset.from_text(name + ".", 60, "IN", "A", str(FILES)))
            reply = build_udp(server, OWN, (53, self.port), answer.to_wire())
            self.put(build_ip(server, OWN, UDP, reply), out=False)

    def segment(self, out: bool, host: IPv4Address, port: int, flags: int, seq: int, ack: int,
                data: bytes = b"", wait: float = 0.02) -> None:  # fmt: skip
        ends = (OWN, host) if out else (host, OWN)
        ports = (self.port, port) if out else (port, self.port)
        segment = build_segment(*ends, ports, flags, seq, ack, b"", data)
        self.put(build_ip(*ends, TCP, segment, dont_fragment=True), out, wait)

    def connect(self, host: IPv4Address = FILES, port: int = 443) -> None:
        self.port += 1
        self.segment(True, host, port, SYN, 100, 0)
        self.segment(False, host, port, SYN | ACK, 500, 101)
        self.segment(True, host, port, ACK, 101, 501)

    def page(self, host: IPv4Address = FILES, port: int = 443, idle: float = 0.0) -> None:
        """Asked, answered, and left as browsers do: with a reset, perhaps after a while."""
        self.connect(host, port)
        self.segment(True, host, port, ACK | PSH, 101, 501, b"x" * 200)
        self.segment(False, host, port, ACK | PSH, 501, 301, b"y" * 900, wait=idle or 0.02)
        self.segment(True, host, port, RST | ACK, 301, 1401)

    def knock(self, host: IPv4Address, port: int, tries: int = 3, refused: bool = False) -> None:
        self.port += 1
        for n in range(tries):
            self.segment(True, host, port, SYN, 100, 0, wait=0.02 if refused else 1.0 + n)
            if refused:
                self.segment(False, host, port, RST | ACK, 0, 101, wait=0.5)

    def ping(self, host: IPv4Address, count: int, answered: bool = False) -> None:
        for n in range(1, count + 1):
            echo = build_echo(7, n, bytes(32))
            self.put(build_ip(OWN, host, ICMP, echo, ttl=128), wait=0.02 if answered else 1.0)
            if answered:
                reply = b"\0" + echo[1:2] + b"\0\0" + echo[4:]
                reply = reply[:2] + u16(internet_checksum(reply)) + reply[4:]
                self.put(build_ip(host, OWN, ICMP, reply), out=False)

    def observations(self) -> list[Observation]:
        attempt = Attempt(CLIENT, GATEWAY)
        ends = (CLIENT, 1701), (GATEWAY, 1701)
        attempt.clear = [Message((0,), ns, *ends, b"") for ns in (0, round(self.at * SECOND))]
        found = inside(attempt, InsideIndex(self.log), None, self.ppp(), lambda ns: ns / SECOND)
        return [*found, Ended(t=self.at, why="capture-end")]

    def ppp(self) -> list[PppMessage]:
        names = ("Primary-DNS", "Secondary-DNS")
        dns_options = tuple(zip(names, map(str, self.servers), strict=False))
        ack = {"protocol": "IPCP", "code": "Configure-Ack", "identifier": 1}
        return [
            PppMessage(t=0.5, direction="out", options=(("IP-Address", str(PEER)),), **ack),
            PppMessage(t=0.6, direction="in",
                       options=(("IP-Address", str(OWN)), *dns_options), **ack),
        ]  # fmt: skip

    @property
    def diagnosis(self) -> Diagnosis:
        return diagnose(self.observations())

    def working(self) -> None:
        self.name("files.corp.example")
        self.page()


def healthy(users: Users) -> dict[str, str]:
    """The severities of what is told of a session that must be called healthy."""
    diagnosis = users.diagnosis
    assert diagnosis.verdict.outcome == "healthy", diagnosis.verdict
    return {f.code: f.severity for f in diagnosis.findings}


def failed(users: Users) -> str | None:
    verdict = users.diagnosis.verdict
    assert verdict.outcome == "failed", verdict
    return verdict.finding


def test_a_user_at_work_is_healthy_to_the_application() -> None:
    users = Users()
    users.working()
    assert healthy(users) == {}
    status = {x.id: x.status for x in users.diagnosis.layers}
    assert (status["routes"], status["dns"], status["app"]) == ("passed", "passed", "passed")


def test_what_users_look_up_and_visit_is_not_listed() -> None:
    users = Users()
    for n in range(40):
        users.name(f"site{n}.example")
        users.page(IPv4Address(f"10.20.1.{n + 1}"))
    kinds = [o.kind for o in users.observations()]
    assert kinds.count("inside-name") == 4 and kinds.count("inside-app") == 8


@pytest.mark.parametrize("life", range(9))
def test_everyday_mishaps_are_no_failure(life: int) -> None:
    users = Users((DNS, DNS2))
    if life != 8:
        users.working()
    match life:
        case 0:  # names that nobody has
            for n in range(12):
                users.name(f"wpad{n}", rcode=dns.rcode.NXDOMAIN)
        case 1:  # a question lost, and answered by the other server
            users.name("mail.corp.example", DNS, tries=2, rcode=None)
            users.name("mail.corp.example", DNS2)
        case 2:  # a port that is closed, again and again
            users.knock(FILES, 8080, tries=6, refused=True)
        case 3:  # hosts that are off
            for n in range(5):
                users.knock(IPv4Address(f"10.20.0.{100 + n}"), 445, tries=4)
        case 4:  # pings are blocked
            users.ping(FILES, 20)
            users.ping(PEER, 20)
        case 5:  # connections kept open, and cut by the browser
            users.page(idle=60.0)
            users.connect()
            users.segment(True, FILES, 443, RST | ACK, 101, 501, wait=5.0)
        case 6:  # an upload that goes on when the capture ends
            users.connect()
            for n in range(40):
                users.segment(True, FILES, 443, ACK, 101 + 1000 * n, 501, b"u" * 1000, wait=0.1)
                users.segment(False, FILES, 443, ACK, 501, 1101 + 1000 * n, wait=0.1)
        case 7:  # one refused or failed name of many
            users.name("a.example", rcode=dns.rcode.REFUSED)
            users.name("b.example", rcode=dns.rcode.SERVFAIL)
        case 8:  # only the gateway's own DNS server is asked, and multicast
            users.name("files.corp.example")
            group = IPv4Address("224.0.0.251")
            for _ in range(30):
                datagram = build_udp(OWN, group, (5353, 5353), bytes(40))
                users.put(build_ip(OWN, group, UDP, datagram), wait=1.0)
    assert set(healthy(users).values()) <= {"info"}


def test_one_dns_server_of_two_that_is_dead_is_a_warning() -> None:
    users = Users((DNS, DNS2))
    users.working()
    for n in range(3):
        users.name(f"n{n}.corp.example", DNS2, tries=3, rcode=None, wait=1.5)
    assert healthy(users) == {"dns.one-silent": "warning"}


def test_dns_servers_that_answer_nothing_at_all_are_a_failure() -> None:
    users = Users((DNS, DNS2))
    users.ping(FILES, 2, answered=True)
    for n in range(3):
        for server in (DNS, DNS2):
            users.name(f"n{n}.corp.example", server, tries=3, rcode=None, wait=1.5)
    assert failed(users) == "dns.silent"


def test_but_one_name_that_is_not_answered_is_too_little_to_say_so() -> None:
    users = Users()
    users.ping(FILES, 2, answered=True)
    users.name("n.corp.example", tries=3, rcode=None, wait=2.0)
    assert healthy(users) == {}


def test_nobody_listens_on_port_53() -> None:
    users = Users()
    for n in range(3):
        users.name(f"n{n}.corp.example", closed=True)
    assert failed(users) == "dns.unreachable"


@pytest.mark.parametrize(
    ("rcode", "code"),
    [(dns.rcode.REFUSED, "dns.refused"), (dns.rcode.SERVFAIL, "dns.server-failure")],
)
def test_a_server_that_refuses_every_name(rcode: int, code: str) -> None:
    users = Users()
    for n in range(4):
        users.name(f"n{n}.corp.example", rcode=rcode)
    assert failed(users) == code


@pytest.mark.parametrize(("error", "code"), [
    (13, "routes.no-forwarding"), (0, "routes.no-forwarding"), (1, "routes.nothing-behind"),
])  # fmt: skip
def test_a_gateway_that_says_why_nothing_behind_it_answers(error: int, code: str) -> None:
    users = Users()
    for n in range(3):
        users.knock(IPv4Address(f"10.20.0.{10 + n}"), 445, tries=4)
        asked = build_segment(OWN, IPv4Address(f"10.20.0.{10 + n}"), (users.port, 445), SYN, 100, 0)
        quoted = build_ip(OWN, IPv4Address(f"10.20.0.{10 + n}"), TCP, asked)[:28]
        body = bytes((3, error)) + bytes(6) + quoted
        body = body[:2] + u16(internet_checksum(body)) + body[4:]
        users.put(build_ip(PEER, OWN, ICMP, body), out=False)
    assert failed(users) == code


def test_nothing_behind_the_gateway_answers_anybody() -> None:
    users = Users()
    users.ping(PEER, 3, answered=True)
    for n in range(3):
        users.knock(IPv4Address(f"10.20.0.{10 + n}"), 445, tries=4)
    users.name("n.corp.example", tries=3, rcode=None)
    assert failed(users) == "routes.nothing-behind"


def test_and_not_even_the_gateway() -> None:
    users = Users()
    for n in range(3):
        users.knock(IPv4Address(f"10.20.0.{10 + n}"), 445, tries=4)
    assert failed(users) == "routes.nothing-answers"


def test_a_silent_host_is_told_but_judges_nothing() -> None:
    users = Users()
    users.working()
    users.knock(IPv4Address("10.20.0.99"), 445, tries=4)
    assert healthy(users) == {"app.silent": "info"}


def test_a_hole_in_an_answer_that_is_never_filled_is_told() -> None:
    users = Users()
    users.working()
    users.connect(port=8443)
    users.segment(True, FILES, 8443, ACK | PSH, 101, 501, b"x" * 200)
    users.segment(False, FILES, 8443, ACK | PSH, 1861, 301, b"y" * 100, wait=5.0)
    assert healthy(users) == {"app.stalled": "info"}


def test_and_a_hole_that_is_filled_is_none() -> None:
    users = Users()
    users.working()
    users.connect(port=8443)
    users.segment(True, FILES, 8443, ACK | PSH, 101, 501, b"x" * 200)
    users.segment(False, FILES, 8443, ACK | PSH, 1861, 301, b"y" * 100)
    users.segment(False, FILES, 8443, ACK, 501, 301, b"y" * 1360, wait=5.0)
    users.segment(False, FILES, 8443, ACK | FIN, 1961, 301, wait=5.0)
    assert healthy(users) == {}


@given(st.lists(st.tuples(st.binary(max_size=120), st.booleans()), max_size=30))
def test_packets_of_any_content_break_nothing(strange: list[tuple[bytes, bool]]) -> None:
    users = Users()
    users.working()
    for data, out in strange:
        users.put(data, out)
        users.put(b"\x45" + data, out)
    users.observations()


class Noted(Users):
    """Keeps the packets as they are made."""

    def put(self, packet: bytes, out: bool = True, wait: float = 0.02) -> None:
        packets.append(packet)


packets: list[bytes] = []
_noted = Noted()
_noted.working()
_noted.ping(FILES, 2, answered=True)
_noted.name("y.example", closed=True)


@given(st.data())
def test_nor_do_damaged_packets(data: st.DataObject) -> None:
    users = Users()
    for packet in packets:
        raw = bytearray(packet)
        for _ in range(data.draw(st.integers(0, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(len(raw) // 2, len(raw)))
        users.put(bytes(raw[:cut]), data.draw(st.booleans()))
    users.observations()


def test_an_answer_finds_its_question_where_outer_addresses_are_translated() -> None:
    log = InsideLog()
    query = dns.message.make_query("a.example", "A", id=7, use_edns=False).to_wire()
    asked = build_ip(OWN, DNS, UDP, build_udp(OWN, DNS, (50_000, 53), query))
    answer = build_ip(DNS, OWN, UDP, build_udp(DNS, OWN, (53, 50_000), query))
    log.feed(asked, len(asked), 1, 1, ("198.51.100.7", 4500), 0x1111)
    log.feed(answer, len(answer), 2, 2, (GATEWAY, 4500), 0x2222)
    assert [(q.spi, q.answer_frame) for q in log.queries] == [(0x1111, 2)]


def test_memory_stays_bounded() -> None:
    from vpndiag.capture import inside_log

    users = Users()
    for n in range(inside_log.MAX_FLOWS + 500):
        users.port = n % 60_000
        users.segment(True, IPv4Address(0x0A140000 + n), 80, SYN, 1, 0, wait=0.0)
    assert len(users.log.flows) == inside_log.MAX_FLOWS
    assert len(users.log._flows) == 2 * inside_log.MAX_FLOWS
    assert len(users.log.pairs) <= inside_log.MAX_PAIRS
