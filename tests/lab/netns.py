"""Network namespaces: the client's, the gateway's, and the network between them with its faults.

    client ──veth── network ──veth── site [bridge] ── gateway
    10.91.1.2   10.91.1.1  10.91.2.1              10.91.2.2

A gateway lives at a *Site* (a namespace with a bridge), which outlives the networks put before it:
one gateway serves many tests, each with its own network, addresses always the same.  Every
namespace has its own address space, so parallel runs do not meet.

The network namespace routes.  It can masquerade its clients, hide the gateway behind a translated
address, have a small MTU on the way (telling or not telling by ICMP), and drop or reject what rules
say.  Rules act before connection tracking, so they see fragments as fragments.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.lab.namespace import Namespace
from tests.lab.process import LabError, Owned, StateDir, run

GATEWAY_ADDRESS = "10.91.2.2"  # of every gateway, at its site
SITE_ADDRESS = "10.91.2.9"  # of the bridge, where the gateway is a machine of its own
ROUTER_ADDRESS = "10.91.2.1"
# one network after another takes the same address: nobody's ARP cache must remember the last one
ROUTER_MAC = "02:00:00:00:02:01"
PUBLIC_ADDRESS = "10.91.3.1"  # of the gateway when it is behind a NAT
HOPS = ("192.168.7.1", "100.64.0.1", "203.0.113.1", "198.51.100.1")
"""Routers on a long way, as the client meets them; with less than three the first of them."""
Direction = Literal["to-gateway", "to-client", "both"]


class Site(Namespace):
    """Where a gateway stands: a bridge to which networks, and a machine's TAP, are joined.

    With ``own_address`` the gateway is a process in this very namespace and the bridge bears its
    address; else the bridge only has a service address, for asking whether the gateway is up.
    """

    def __init__(self, role: str, *, own_address: bool) -> None:
        super().__init__(role)
        address = GATEWAY_ADDRESS if own_address else SITE_ADDRESS
        self.ip(
            "link add br0 type bridge",
            "link set br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"addr add {address}/24 dev br0",
            "link set br0 up",
            f"route add default via {ROUTER_ADDRESS}",
        )

    def forget_paths(self) -> None:
        """Path MTUs that the kernel learnt from ICMP: it keeps them for ten minutes, by route."""
        self.ip("route del default", f"route add default via {ROUTER_ADDRESS}")

    def add_tap(self, name: str) -> None:
        self.ip(f"tuntap add {name} mode tap", f"link set {name} master br0 up")


@dataclass(frozen=True, slots=True)
class Rule:
    """One nftables rule; ``remove`` it through the network that made it."""

    handle: int
    text: str


class Network(Owned):
    """The network between one site and its clients.

    ``nat_client`` masquerades the clients, ``nat_gateway`` puts the gateway behind a translated
    address (``ports`` of UDP and ESP are forwarded), ``mtu`` narrows the way in both directions,
    with ``mtu_icmp`` False no Fragmentation Needed is sent. The NAT forgets a mapping after
    ``mapping`` seconds of silence. ``hops`` (at most 3): so many routers before this one, at
    :data:`HOPS`.
    """

    def __init__(
        self,
        site: Site,
        *,
        nat_client: bool = False,
        nat_gateway: bool = False,
        mtu: int | None = None,
        mtu_icmp: bool = True,
        ports: Sequence[int] = (500, 4500, 1701),
        mapping: int = 120,
        hops: int = 0,
    ) -> None:
        super().__init__()
        self.site = site
        self.nat_client, self.nat_gateway = nat_client, nat_gateway
        self.clients: list[Namespace] = []
        self._resolvers: list[Resolver] = []
        self._mtu = mtu
        self._links = 0
        self.hops: list[Namespace] = []
        try:
            self.router = Namespace("net")
            self._build(ports, mtu_icmp, mapping)
            self.client = self._far_client(hops) if hops else self.add_client()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """The address at which clients reach the gateway."""
        return PUBLIC_ADDRESS if self.nat_gateway else GATEWAY_ADDRESS

    def _build(self, ports: Sequence[int], mtu_icmp: bool, mapping: int) -> None:
        router = self.router
        self._uplink = f"up{router.name.split('-')[2]}"
        run(["ip", "link", "add", "gw", "address", ROUTER_MAC, "netns", router.name,
             "type", "veth", "peer", "name", self._uplink, "netns", self.site.name])  # fmt: skip
        self.site.ip(f"link set {self._uplink} master br0 up")
        _plain_packets(router, "gw")
        _plain_packets(self.site, self._uplink)
        router.ip(
            f"addr add {ROUTER_ADDRESS}/24 dev gw",
            "link set gw up",
            f"addr add {PUBLIC_ADDRESS}/32 dev lo",
        )
        if self._mtu:
            router.ip(f"route add {GATEWAY_ADDRESS}/32 dev gw mtu lock {self._mtu}")
        router.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.all.send_redirects=0",
                    f"net.netfilter.nf_conntrack_udp_timeout={mapping}",
                    f"net.netfilter.nf_conntrack_udp_timeout_stream={mapping}"])  # fmt: skip
        wanted = ", ".join(str(port) for port in ports)
        masquerade = 'iifname "c*" oifname gw masquerade' if self.nat_client else ""
        forward = (
            f"ip daddr {PUBLIC_ADDRESS} udp dport {{ {wanted} }} dnat to {GATEWAY_ADDRESS}\n"
            f"ip daddr {PUBLIC_ADDRESS} ip protocol esp dnat to {GATEWAY_ADDRESS}"
            if self.nat_gateway
            else ""
        )
        # behind its NAT the gateway can be reached no other way, as in life
        hidden = "ct status dnat accept\noifname gw drop" if self.nat_gateway else ""
        silence = "" if mtu_icmp else "icmp type destination-unreachable icmp code 4 drop"
        tracked = self.nat_client or self.nat_gateway
        self._nft(f"""table ip vd {{
            chain faults {{ type filter hook prerouting priority -500; }}
            chain hidden {{ type filter hook forward priority 0; {hidden}
            }}
            chain told {{ type filter hook output priority 0; {silence}
            }}
        }}""")
        if tracked:
            self._nft(f"""table ip vdnat {{
                chain pre {{ type nat hook prerouting priority -100; {forward}
                }}
                chain post {{ type nat hook postrouting priority 100; {masquerade}
                }}
            }}""")

    def _nft(self, text: str) -> str:
        return self.router.run(["nft", "-e", "-a", "-f", "-"], stdin=text).stdout

    def add_client(self) -> Namespace:
        """Another client; with ``nat_client`` it has the same outside address as the first."""
        client = Namespace(f"client{len(self.clients) + 1}")
        self.clients.append(client)
        prefix = self._connect(client, "eth0")
        client.ip(
            f"addr add {prefix}.2/24 dev eth0",
            "link set eth0 up",
            f"route add default via {prefix}.1",
        )
        _plain_packets(client, "eth0")
        return client

    def _far_client(self, hops: int) -> Namespace:
        """A client behind a chain of routers."""
        client = Namespace("client1")
        self.clients.append(client)
        self.hops = [Namespace(f"hop{n}") for n in range(1, hops + 1)]
        chain = [client, *self.hops, self.router]
        for n, (lower, upper) in enumerate(itertools.pairwise(chain)):
            near, far = HOPS[n][:-1] + "2", HOPS[n]
            up, down = ("up0", "dn0") if n else ("eth0", "dn0")
            down = "c1" if upper is self.router else down
            run(["ip", "link", "add", up, "netns", lower.name, "type", "veth", "peer", "name",
                 down, "netns", upper.name])  # fmt: skip
            lower.ip(f"addr add {near}/24 dev {up}", f"link set {up} up",
                     f"route add default via {far}")  # fmt: skip
            upper.ip(f"addr add {far}/24 dev {down}", f"link set {down} up")
            if n:
                upper.ip(f"route add {HOPS[0][:-1]}0/24 via {near}")
            _plain_packets(lower, up)
            _plain_packets(upper, down)
        for hop in self.hops:
            hop.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"])
        return client

    def join(self, site: Site) -> str:
        """Connect a site with a machine as a client; returns the first three octets of its network.

        The machine is to take address .2, with the router at .1.
        """
        device = f"net{self.router.name.split('-')[2]}"
        prefix = self._connect(site, device)
        site.ip(f"link set {device} master br0 up")
        _plain_packets(site, device)
        return prefix

    def _connect(self, client: Namespace, device: str) -> str:
        self._links += 1
        number = self._links
        run(["ip", "link", "add", device, "netns", client.name, "type", "veth", "peer", "name",
             f"c{number}", "address", "02:00:00:00:01:01", "netns", self.router.name])  # fmt: skip
        # 10.91.1.0/24, then 10.91.11.0/24, 10.91.12.0/24...
        prefix = "10.91.1" if number == 1 else f"10.91.{9 + number}"
        self.router.ip(f"addr add {prefix}.1/24 dev c{number}", f"link set c{number} up")
        if self._mtu:
            self.router.ip(f"route add {prefix}.2/32 dev c{number} mtu lock {self._mtu}")
        _plain_packets(self.router, f"c{number}")
        return prefix

    # faults

    def drop(
        self,
        *,
        port: int | None = None,
        protocol: str | None = None,
        direction: Direction = "both",
        min_size: int | None = None,
        max_size: int | None = None,
        fragments: bool = False,
        share: float | None = None,
        match: str = "",
        reject: str | None = None,
        hop: int = 0,
    ) -> list[Rule]:
        """Drop packets.

        ``port``: the gateway's UDP port.  ``protocol``: "udp", "esp", "icmp"...  Sizes are of the
        whole IP packet in octets.  ``fragments``: only fragments, first and later ones.  ``share``:
        per cent of the packets that match, at random.  ``match``: more nftables words.  ``reject``:
        answer with this ICMP code instead, "port-unreachable" or "admin-prohibited".  ``hop``: that
        router of a long way does so when it forwards (it has said "time exceeded" before).
        """
        rules = []
        sides = (("to-gateway", 'iifname "c*"'), ("to-client", "iifname gw"))
        if hop:
            sides = (("to-gateway", "iifname dn0"), ("to-client", "iifname up0"))
        for way, side in sides:
            if direction not in (way, "both"):
                continue
            words = [side]
            if protocol:
                words.append(f"ip protocol {protocol}")
            if port:
                words.append(f"udp {'dport' if way == 'to-gateway' else 'sport'} {port}")
            if min_size is not None:
                words.append(f"ip length >= {min_size}")
            if max_size is not None:
                words.append(f"ip length <= {max_size}")
            if fragments:
                words.append("ip frag-off & 0x3fff != 0")
            if match:
                words.append(match)
            if share is not None:
                words.append(f"numgen random mod 1000 < {round(share * 10)}")
            words.append("counter")
            words.append(f"reject with icmp type {reject}" if reject else "drop")
            if hop:
                self._at_hop(hop, " ".join(words))
            else:
                rules.append(self.rule(" ".join(words)))
        return rules

    def _at_hop(self, hop: int, text: str) -> None:
        table = f"""table ip vd {{
            chain faults {{ type filter hook forward priority 0
                {text}
            }}
        }}
"""
        self.hops[hop - 1].run(["nft", "-f", "-"], stdin=table)

    def reject(
        self,
        *,
        code: str = "port-unreachable",
        direction: Direction = "to-gateway",
        port: int | None = None,
        protocol: str | None = None,
    ) -> list[Rule]:
        """Answer packets with an ICMP error from the router instead of forwarding them."""
        return self.drop(port=port, protocol=protocol, direction=direction, reject=code)

    def loss(self, share: float, direction: Direction = "both") -> list[Rule]:
        """Lose this many per cent of all packets, each way, at random."""
        return self.drop(share=share, direction=direction)

    def rule(self, text: str) -> Rule:
        """Add a rule in nftables' own words to the chain that sees packets first."""
        answer = self._nft(f"add rule ip vd faults {text}")
        found = re.search(r"# handle (\d+)", answer)
        if found is None:
            raise LabError(f"nft did not give a handle for: {text}\n{answer}")
        return Rule(int(found[1]), text)

    def remove(self, *rules: Rule) -> None:
        for rule in rules:
            self._nft(f"delete rule ip vd faults handle {rule.handle}")

    def clear(self) -> None:
        """Forget every fault rule and all of the NAT's state."""
        self._nft("flush chain ip vd faults")
        self.forget_nat()

    def forget_nat(self) -> None:
        """A NAT that lost its table (rebooted, or timed out): mappings are made afresh."""
        if self.nat_client or self.nat_gateway:
            rules = self.router.run(["nft", "list", "table", "ip", "vdnat"]).stdout
            self._nft("delete table ip vdnat")
            run([*self.router.prefix, "conntrack", "-F"], check=False)
            self._nft(rules)

    def counted(self) -> str:
        """The fault rules with their packet counters, for a test's message."""
        return self.router.run(["nft", "list", "chain", "ip", "vd", "faults"]).stdout

    def resolver(
        self, records: Mapping[str, Sequence[str]] | None = None, mode: str = "answer"
    ) -> Resolver:
        """Give the clients a resolver in the network; ``mode`` as in dnsd.py (silent, lying...)."""
        table = {"vpn.lab.test": [self.address]} if records is None else records
        for client in self.clients:
            client.set_resolver(ROUTER_ADDRESS)
        found = Resolver(self.router, table, mode, ROUTER_ADDRESS)
        self._resolvers.append(found)
        return found

    def _close(self) -> None:
        for resolver in self._resolvers:
            resolver.close()
        for namespace in (*self.clients, *self.hops):
            namespace.close()
        if hasattr(self, "router"):
            self.router.close()
        if hasattr(self, "_uplink"):
            run(["ip", "-n", self.site.name, "link", "delete", self._uplink], check=False)


class Resolver(Owned):
    """A DNS server (dnsd.py) in a namespace."""

    def __init__(
        self, namespace: Namespace, records: Mapping[str, Sequence[str]], mode: str, address: str
    ) -> None:
        super().__init__()
        self._state = StateDir("dns")
        table = {name: list(values) for name, values in records.items()}
        self._daemon = namespace.daemon(
            [sys.executable, "-S", Path(__file__).with_name("dnsd.py"), address, mode,
             json.dumps(table)], self._state.path / "log")  # fmt: skip
        deadline = time.monotonic() + 10
        while "ready" not in self._daemon.log():
            if not self._daemon.running or time.monotonic() > deadline:
                raise LabError(f"dnsd did not start: {self._daemon.log()}")
            time.sleep(0.01)

    def log(self) -> str:
        return self._daemon.log()

    def _close(self) -> None:
        self._daemon.close()
        self._state.close()


def _plain_packets(namespace: Namespace, device: str) -> None:
    """No offloading: captures shall show checksums and sizes as they were sent."""
    words = ["tx", "off", "gro", "off", "tso", "off", "gso", "off"]
    namespace.run(["ethtool", "-K", device, *words], check=False)


def require_root() -> None:
    """Raises LabError with the reason where namespaces can't be made."""
    if os.geteuid() != 0:
        raise LabError("needs root (network namespaces)")
    try:
        Namespace("try").close()
    except LabError as error:
        raise LabError(f"no network namespaces here: {error}") from error
