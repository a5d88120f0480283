"""The network behind a gateway: a router and a host, and what can be wrong there.

    gateway ──veth── inner router ──veth── host
    10.20.9.1   10.20.9.2   10.20.0.1   10.20.0.10

Made of namespaces: within the guest of a Linux gateway, or beside SoftEther (whose own NAT opens
the connections to the host). One script makes it in either place.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "10.20.0.10"
INNER_ROUTER = "10.20.9.2"
PROGRAM = Path(__file__).with_name("hostd.py")


@dataclass(frozen=True, slots=True)
class InsideNetwork:
    """``apps``: TCP port to a mode of hostd.py, or "filtered" (the host's firewall drops the
    connection request). ``forwarding``: "yes"; "no": the gateway does not; "prohibited": it
    refuses; "filtered": the inner router drops all of it. ``return_route``: the inner router knows
    the way to the pool.
    ``host``: "off" (nobody has its address), or "elsewhere" (its default gateway is another one).
    ``mtu``: larger packets vanish between gateway and inner router."""

    apps: Mapping[str, str] = field(default_factory=dict)
    forwarding: str = "yes"
    return_route: bool = True
    host: str = "up"
    mtu: int = 0
    certificate: str = ""
    """PEM of certificate and key, for the mode "tls"."""


GUEST = ("vdinner", "vdhost")
"""Names of the two namespaces within a guest."""
CLEAN = """
[ -e /run/netns/vdhost ] && kill -9 $(ip netns pids vdhost) 2>/dev/null
ip netns del vdhost 2>/dev/null; ip netns del vdinner 2>/dev/null
ip link del vdin 2>/dev/null; ip route del 10.20.0.0/24 2>/dev/null
nft delete table ip vdin 2>/dev/null
"""


def script(wanted: InsideNetwork, folder: str, names: tuple[str, str] = GUEST) -> str:
    """Shell lines for the gateway's own namespace, once the two others exist; ``folder`` is where
    the host's program may be written."""
    inner_name, host_name = names
    host, inner = f"ip netns exec {host_name}", f"ip netns exec {inner_name}"
    lines = [
        "set -e",
        *_first_link(inner_name, wanted.mtu),
        f"ip -n {inner_name} link add eth1 type veth peer name eth0 netns {host_name}",
        "ip addr add 10.20.9.1/30 dev vdin; ip link set vdin up",
        f"ip -n {inner_name} addr add {INNER_ROUTER}/30 dev eth0",
        f"ip -n {inner_name} addr add 10.20.0.1/24 dev eth1",
        f"for d in lo eth0 eth1; do ip -n {inner_name} link set $d up; done",
        f"ip -n {host_name} addr add {HOST if wanted.host != 'off' else '10.20.0.11'}/24 dev eth0",
        f"for d in lo eth0; do ip -n {host_name} link set $d up; done",
        f"ip route replace 10.20.0.0/24 via {INNER_ROUTER}",
        f"{inner} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0",
        f"{inner} sysctl -qw net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0",
    ]
    if wanted.mtu:
        # joined segments would pass, whatever their size
        off = "ethtool -K $d tx off tso off gso off gro off"
        lines += [f"for d in wire narrow eth0 eth1; do {inner} {off}; done >/dev/null",
                  f"d=eth0; {host} {off} >/dev/null; d=vdin; {off} >/dev/null"]  # fmt: skip
    if wanted.return_route:
        lines.append(f"ip -n {inner_name} route add default via 10.20.9.1")
    if wanted.host != "elsewhere":
        lines.append(f"ip -n {host_name} route add default via 10.20.0.1")
    if wanted.forwarding == "prohibited":
        lines.append("ip route replace prohibit 10.20.0.0/24")
    if wanted.forwarding == "filtered":
        lines.append(f"ip -n {inner_name} xfrm policy add dir fwd dst 10.20.0.0/24 action block")
    lines += [
        f"ip -n {host_name} xfrm policy add dir in dst {HOST} proto tcp dport {port} action block"
        for port, mode in wanted.apps.items()
        if mode == "filtered"
    ]
    ports = {port: mode for port, mode in wanted.apps.items() if mode != "filtered"}
    if ports:
        lines += [
            f"mkdir -p {folder}",
            f"cat >{folder}/hostd.py <<'END-OF-HOSTD'\n{PROGRAM.read_text()}\nEND-OF-HOSTD",
            f"cat >{folder}/hostd.pem <<'END-OF-PEM'\n{wanted.certificate}\nEND-OF-PEM",
            f"{host} python3 -S -E {folder}/hostd.py {shlex.quote(json.dumps(ports))} "
            f">{folder}/hostd.log 2>&1 </dev/null &",
            f"for i in $(seq 100); do [ $(grep -c listens {folder}/hostd.log) = {len(ports)} ] "
            "&& break; sleep 0.05; done",
        ]
    return "\n".join(lines) + "\n"


def _first_link(inner: str, mtu: int) -> list[str]:
    """Between gateway and inner router. With ``mtu`` there is a bridge on the way of which one link
    is narrower than the two ends know: it drops what is too large, as switches do. (A link takes
    four octets more than its MTU, for a VLAN tag.)"""
    if not mtu:
        return [f"ip link add vdin type veth peer name eth0 netns {inner}"]
    return [
        f"ip link add vdin type veth peer name wire netns {inner}",
        f"ip -n {inner} link add br0 type bridge",
        f"ip -n {inner} link add narrow mtu {mtu - 4} type veth peer name eth0 mtu 1500",
        f"for d in wire narrow; do ip -n {inner} link set $d master br0 up; done",
        f"ip -n {inner} link set br0 mtu 1500 up",
    ]
