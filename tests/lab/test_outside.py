"""Where on the way packets die: three routers between client and gateway, and what they drop.

    client ── 1 ── 2 ── 3 ── [bridge] gateway
    192.168.7.2  192.168.7.1  100.64.0.1  203.0.113.1  198.51.100.2

A router drops on arrival (prerouting: it says nothing of the packet at all) or when it forwards
(then it has said "time exceeded" before to what came with so small a time to live).
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.live import Result, analyze, run
from tests.lab.clean import NETNS_ETC
from tests.lab.embedded import Embedded
from tests.lab.gateways import Gateway
from tests.lab.namespace import Namespace
from tests.lab.netns import GATEWAY_ADDRESS, ROUTER_ADDRESS, Site
from tests.lab.netns import run as command

USER, PASSWORD = "alice", "wonderland"
GATEWAY, REFERENCE = "198.51.100.2", "198.51.100.3"
HOPS = ("192.168.7.1", "100.64.0.1", "203.0.113.1")
GatewayByName = Callable[..., Gateway]


class Way:
    """Three routers before a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client = Namespace("client")
        self.routers = [Namespace(f"hop{n}") for n in (1, 2, 3)]
        chain = [self.client, *self.routers]
        for n, (one, two) in enumerate(zip(chain, self.routers, strict=False)):
            upper = HOPS[n]
            lower = upper[:-1] + "2"
            command(["ip", "link", "add", "up0", "netns", one.name, "type", "veth", "peer", "name",
                     "dn0", "netns", two.name])  # fmt: skip
            one.ip(f"addr add {lower}/24 dev up0", "link set dev up0 up",
                   f"route add default via {upper}")  # fmt: skip
            two.ip(f"addr add {upper}/24 dev dn0", "link set dev dn0 up")
        self._join()
        _first, second, last = self.routers
        for router in self.routers:
            router.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"])
        second.ip("route add 192.168.7.0/24 via 100.64.0.2")
        last.ip("route add default via 203.0.113.2")

    def _join(self) -> None:
        last = self.routers[-1]
        name = f"way{last.name.split('-')[2]}"
        command(["ip", "link", "add", "gw", "netns", last.name, "type", "veth", "peer", "name",
                 name, "netns", self.site.name])  # fmt: skip
        self.site.ip(f"link set dev {name} master br0 up")
        last.ip(f"addr add {ROUTER_ADDRESS}/24 dev gw", "addr add 198.51.100.1/24 dev gw",
                "link set dev gw up")  # fmt: skip

    def drop(self, hop: int, rule: str, hook: str = "forward") -> None:
        """``hop`` 4 is the gateway's own machine."""
        place = [*self.routers, self.site][hop - 1]
        text = f"table ip way {{\n chain c{hook} {{\n type filter hook {hook} priority -10;\n"
        place.run(["nft", "-f", "-"], stdin=f"{text} {rule}\n }}\n}}\n")

    def clear(self) -> None:
        for place in (*self.routers, self.site):
            place.run(["nft", "delete", "table", "ip", "way"], check=False)

    def close(self) -> None:
        self.clear()
        for place in (self.client, *self.routers):
            place.close()


@pytest.fixture(scope="module")
def laid(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Way, Embedded]]:
    folder = tmp_path_factory.mktemp("way")
    site = Site("far", own_address=True)
    site.ip(f"addr add {GATEWAY}/24 dev br0", f"addr add {REFERENCE}/24 dev br0")
    way = Way(site)
    gateway = Embedded(site, GATEWAY, folder / "gateway.log")
    reference = Embedded(site, REFERENCE, folder / "reference.log")
    yield way, gateway
    gateway.daemon.close()
    reference.daemon.close()
    way.close()
    site.close()


@pytest.fixture
def way(laid: tuple[Way, Embedded]) -> Iterator[Way]:
    yield laid[0]
    laid[0].clear()


@pytest.fixture
def tried(laid: tuple[Way, Embedded], way: Way) -> Callable[..., Result]:
    def give(*options: str, **settings: object) -> Result:
        given = {"user": USER, "psk": laid[1].psk, "password": PASSWORD, **settings}
        return run(way.client, GATEWAY, *options, **given)  # type: ignore[arg-type]

    return give


def headline(result: Result) -> str:
    return str(result.report["verdict"]["headline"])


def owner(result: Result) -> str:
    return str(result.report["findings"][0]["owner"])


def causes(result: Result) -> list[str]:
    return [c["text"] for c in result.report["findings"][0]["causes"]]


def seen(result: Result, kind: str) -> list[dict[str, object]]:
    return [o for o in result.report["observations"] if o["kind"] == kind]


BOTH = "udp dport { 500, 4500 } drop"


@pytest.mark.parametrize(
    ("hop", "hook", "said", "who"),
    [
        (1, "forward", f"UDP 500 and 4500 stop after hop 1, {HOPS[0]}", "network"),
        (2, "forward", f"UDP 500 and 4500 stop after hop 2, {HOPS[1]}, the provider's", "network"),
        (3, "forward", f"UDP 500 and 4500 get as far as hop 3, {HOPS[2]}", "gateway-admin"),
        (4, "prerouting", f"UDP 500 and 4500 get as far as hop 3, {HOPS[2]}", "gateway-admin"),
        (1, "prerouting", "UDP 500 and 4500 stop before the first router", "network"),
        (2, "prerouting", f"UDP 500 and 4500 stop after hop 1, {HOPS[0]}", "network"),
        (3, "prerouting", f"UDP 500 and 4500 stop after hop 2, {HOPS[1]}", "network"),
    ],
)
def test_both_ports(
    way: Way, tried: Callable[..., Result], tmp_path: Path, hop: int, hook: str, said: str, who: str
) -> None:
    way.drop(hop, BOTH, hook)
    capture = tmp_path / "run.pcapng"
    result = tried("--capture", str(capture))
    assert (result.code, result.finding) == (1, "path.silent"), result.text
    assert headline(result).startswith(said), result.text
    assert owner(result) == who, result.text
    assert result.seconds < 8, result.text
    judged = analyze(capture)
    assert (judged.finding, headline(judged)) == ("path.silent", headline(result)), judged.text


def test_in_captures_of_others(way: Way, tried: Callable[..., Result], tmp_path: Path) -> None:
    """At the client, and behind the first router, which takes one of each time to live."""
    way.drop(2, BOTH)
    client, middle = tmp_path / "client.pcap", tmp_path / "middle.pcap"
    with way.client.capture(client, "up0"), way.routers[0].capture(middle, "up0"):
        result = tried()
    assert headline(analyze(client)) == headline(result)
    judged = analyze(middle)
    assert judged.finding == "path.silent", judged.text
    assert headline(judged).startswith(f"UDP 500 and 4500 stop after hop 2, {HOPS[1]}"), judged.text


@pytest.mark.parametrize("hop", [1, 2])
def test_one_port(way: Way, tried: Callable[..., Result], tmp_path: Path, hop: int) -> None:
    for port, code, other in ((500, "path.500-silent", 4500), (4500, "path.float-blocked", 500)):
        way.drop(hop, f"udp dport {port} drop")
        capture = tmp_path / "run.pcapng"
        result = tried("--capture", str(capture))
        assert (result.code, result.finding) == (1, code), result.text
        assert headline(result).startswith(f"UDP {port} stops after hop {hop}, {HOPS[hop - 1]}")
        assert f"UDP {other}" in headline(result).partition(";")[2], result.text
        assert "through to the gateway" in headline(result)
        assert owner(result) == "network"
        judged = analyze(capture)
        assert (judged.finding, headline(judged)) == (code, headline(result)), judged.text
        way.clear()


def test_4500_without_credentials(way: Way, tried: Callable[..., Result]) -> None:
    way.drop(2, "udp dport 4500 drop")
    result = tried("--quiet", user=None, psk="")
    assert (result.code, result.finding) == (1, "path.4500-silent"), result.text
    assert headline(result).startswith(f"UDP 4500 stops after hop 2, {HOPS[1]}"), result.text


def test_a_router_that_says_nothing_is_no_block(way: Way, tried: Callable[..., Result]) -> None:
    """The second router never says "time exceeded"; the gateway drops."""
    way.drop(2, "icmp type time-exceeded drop", "output")
    way.drop(4, BOTH, "prerouting")
    result = tried()
    assert result.finding == "path.silent"
    assert headline(result).startswith(f"UDP 500 and 4500 get as far as hop 3, {HOPS[2]}")
    trace = next(o for o in seen(result, "path-trace") if o["what"] == "ike")
    assert [h["address"] for h in trace["hops"]] == [HOPS[0], "", HOPS[2]]  # type: ignore[attr-defined]


def test_no_router_says_anything(way: Way, tried: Callable[..., Result]) -> None:
    for hop in (1, 2, 3):
        way.drop(hop, "icmp type time-exceeded drop", "output")
    way.drop(2, BOTH)
    result = tried()
    assert result.finding == "path.silent"
    assert "stop" not in headline(result) and "only UDP 500 and 4500 is silent" in headline(result)


def test_udp_is_stopped_altogether(way: Way, tried: Callable[..., Result]) -> None:
    way.drop(1, "ip protocol udp drop")
    result = tried()
    assert result.finding == "path.silent"
    assert f"beyond hop 1, {HOPS[0]}" in headline(result), result.text
    assert "TCP reaches the gateway" in headline(result)
    assert owner(result) == "network"


def test_the_gateway_hangs(
    way: Way, laid: tuple[Way, Embedded], tried: Callable[..., Result]
) -> None:
    """Its service reads nothing; the machine closes TCP ports as ever."""
    daemon = laid[1].daemon
    daemon.signal(signal.SIGSTOP)
    try:
        result = tried()
    finally:
        daemon.signal(signal.SIGCONT)
    assert result.finding == "path.silent", result.text
    assert "the machine is there" in headline(result), result.text
    assert owner(result) == "gateway-admin"


def test_the_host_is_down(way: Way, tried: Callable[..., Result]) -> None:
    way.drop(4, f"ip daddr {GATEWAY} drop", "prerouting")
    result = tried()
    assert result.finding == "path.silent"
    assert "nothing at the gateway's address answers" in headline(result), result.text
    assert owner(result) == "gateway-admin"
    assert "off" in causes(result)[0]


def test_a_routing_loop(way: Way, tried: Callable[..., Result]) -> None:
    last = way.routers[-1]
    last.ip(f"route add {GATEWAY}/32 via 203.0.113.2")
    try:
        result = tried()
    finally:
        last.ip(f"route del {GATEWAY}/32 via 203.0.113.2")
    assert result.finding == "path.silent", result.text
    assert "A routing loop" in headline(result), result.text
    # routers say "time exceeded" only so often: one of the two is sure
    assert any(address in headline(result) for address in HOPS[1:])


def test_nobody_has_the_address(way: Way, tried: Callable[..., Result]) -> None:
    """The last router finds nobody there, and says so after a few seconds."""
    way.site.ip("link set br0 arp off")
    try:
        way.routers[-1].ip("neigh flush dev gw")
        result = tried()
    finally:
        way.site.ip("link set br0 arp on")
    assert result.finding == "path.host-unreachable", result.text
    assert HOPS[2] in headline(result) and not seen(result, "path-trace")


@pytest.mark.parametrize("blocked", [True, False], ids=["blocked here", "gateway"])
def test_a_reference_gateway(way: Way, tried: Callable[..., Result], blocked: bool) -> None:
    """Answers are dropped on the way back, which no trace can see; the reference tells whose."""
    only = "" if blocked else f"ip saddr {GATEWAY} "
    way.drop(2, f"{only}udp sport {{ 500, 4500 }} drop")
    result = tried("--reference", REFERENCE)
    assert result.finding == "path.silent"
    asked = {(o["port"], o["outcome"]) for o in seen(result, "control-check") if o["what"] == "ike"}
    if blocked:
        assert asked == {(500, "silent"), (4500, "silent")}
        assert "lets no VPN through" in headline(result), result.text
        assert owner(result) == "network"
    else:
        assert asked == {(500, "answered"), (4500, "answered")}
        assert owner(result) == "gateway-admin", result.text


def test_another_address_of_the_same_name(
    way: Way, laid: tuple[Way, Embedded], tmp_path: Path
) -> None:
    """The name has two addresses; the first one is dead."""
    way.drop(4, f"ip daddr {GATEWAY} drop", "prerouting")
    folder = NETNS_ETC / way.client.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").write_text("")
    (folder / "hosts").write_text(f"{GATEWAY} gw.lab.test\n{REFERENCE} gw.lab.test\n")
    try:
        result = run(way.client, "gw.lab.test", user=USER, psk=laid[1].psk, password=PASSWORD)
    finally:
        shutil.rmtree(folder)
    others = [o for o in seen(result, "control-check") if o["role"] == "other-address"]
    assert [(o["address"], o["outcome"]) for o in others] == [(REFERENCE, "answered")], result.text
    assert result.finding == "path.silent"
    assert "address" in causes(result)[0], result.text


def test_nothing_is_asked_while_all_is_well(way: Way, tried: Callable[..., Result]) -> None:
    result = tried("--reference", REFERENCE)
    assert result.outcome == "healthy", result.text
    assert not seen(result, "path-trace") and not seen(result, "control-check")


def test_interrupted_while_it_looks(way: Way, tried: Callable[..., Result]) -> None:
    way.drop(2, BOTH)
    result = tried(moments=[("port 4500", lambda: time.sleep(1.5))], interrupt_at="IKE MM1")
    assert result.code == 130 and result.report["interrupted"] is True, result.text
    assert result.seconds < 6
    assert {o["what"] for o in seen(result, "path-trace")} == {"ike", "ike-natt", "udp"}


def test_before_softether(gateway_by_name: GatewayByName) -> None:
    gateway = gateway_by_name("softether")
    laid = Way(gateway.site)
    try:
        laid.drop(2, "udp dport 4500 drop")
        result = run(laid.client, GATEWAY_ADDRESS)
        assert result.finding == "path.float-blocked", result.text
        assert headline(result).startswith(f"UDP 4500 stops after hop 2, {HOPS[1]}"), result.text
    finally:
        laid.close()
