"""A Debian desktop with NetworkManager-l2tp and strongSwan, its VPN up or down."""

from __future__ import annotations

import json

from tests.unit.host.recorded import Recorded

PPP = {
    "ifindex": 7, "ifname": "ppp0", "flags": ["POINTOPOINT", "NOARP", "UP", "LOWER_UP"],
    "mtu": 1400, "link_type": "ppp",
    "addr_info": [{"family": "inet", "local": "10.99.1.1", "address": "10.99.0.1",
                   "prefixlen": 32, "scope": "global", "label": "ppp0"}],
}  # fmt: skip
LINKS = [
    {"ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"], "mtu": 65536,
     "link_type": "loopback",
     "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
    {"ifindex": 2, "ifname": "wlp2s0", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
     "mtu": 1500, "link_type": "ether",
     "addr_info": [{"family": "inet", "local": "192.168.1.7", "prefixlen": 24},
                   {"family": "inet6", "local": "fe80::1c2:3", "prefixlen": 64}]},
]  # fmt: skip
ROUTES = [
    {"dst": "default", "gateway": "192.168.1.1", "dev": "wlp2s0", "protocol": "dhcp",
     "metric": 600, "flags": []},
    {"dst": "192.168.1.0/24", "dev": "wlp2s0", "protocol": "kernel", "scope": "link",
     "prefsrc": "192.168.1.7", "metric": 600, "flags": []},
]  # fmt: skip
VPN_ROUTES = [
    {"dst": "default", "dev": "ppp0", "protocol": "static", "scope": "link", "metric": 50,
     "flags": []},
    {"dst": "10.99.0.1", "dev": "ppp0", "protocol": "kernel", "scope": "link",
     "prefsrc": "10.99.1.1", "flags": []},
    {"dst": "203.0.113.5", "gateway": "192.168.1.1", "dev": "wlp2s0", "protocol": "static",
     "metric": 50, "flags": []},
]  # fmt: skip
SS = """\
UNCONN 0      0            0.0.0.0:68         0.0.0.0:*
UNCONN 0      0            0.0.0.0:500        0.0.0.0:*
UNCONN 0      0            0.0.0.0:4500       0.0.0.0:*
UNCONN 0      0               [::]:500           [::]:*
"""
UUID = "6f2d8c1e-2a55-4d6e-9d0b-2d8f3d1f7a10"
NM_LIST = f"{UUID}:vpn:wlp2s0:yes:Office \\: main\nabc:802-11-wireless:wlp2s0:yes:home\n"
NM_SHOW = """\
vpn.service-type:org.freedesktop.NetworkManager.l2tp
vpn.data:gateway = vpn.example.com, ipsec-enabled = yes, machine-auth-type = psk, \
password-flags = 1, user = alice.person, ipsec-psk = 0sc2VjcmV0
ipv4.never-default:no
"""
NM_SHOW_COMMAND = f"nmcli -t -f vpn.service-type,vpn.data,ipv4.never-default connection show {UUID}"
RESOLVED_DNS = "Global:\nLink 2 (wlp2s0): 192.168.1.1\nLink 7 (ppp0): 10.99.0.53\n"
RESOLVED_DOMAIN = "Global:\nLink 2 (wlp2s0): fritz.box\nLink 7 (ppp0): ~.\n"
RESOLVED_DEFAULT = "Global: no\nLink 2 (wlp2s0): yes\nLink 7 (ppp0): yes\n"

FILES = {
    "/proc/1/comm": "systemd\n",
    "/proc/640/comm": "charon\n",
    "/proc/modules": "xfrm_user 57344 2 - Live 0x0000000000000000\n",
    "/lib/modules/6.1.0-18-amd64/modules.builtin": "kernel/net/ipv4/tunnel4.ko\n",
    "/lib/modules/6.1.0-18-amd64/modules.dep": (
        "kernel/net/ipv4/esp4.ko: kernel/net/xfrm/xfrm_algo.ko\n"
        "kernel/drivers/net/ppp/ppp_generic.ko.xz: kernel/drivers/net/slip/slhc.ko.xz\n"
        "kernel/net/l2tp/l2tp_ppp.ko: kernel/net/l2tp/l2tp_core.ko\n"
        "kernel/net/l2tp/l2tp_netlink.ko: kernel/net/l2tp/l2tp_core.ko\n"
        "kernel/net/key/af_key.ko:\nkernel/net/xfrm/xfrm_user.ko:\n"
    ),
    "/usr/lib/ipsec/charon": "",
    "/usr/sbin/xl2tpd": "",
    "/usr/sbin/pppd": "",
    "/usr/lib/NetworkManager/VPN/nm-l2tp-service.name": "",
    "/etc/resolv.conf": "# stub\nnameserver 127.0.0.53\noptions edns0\n",
}
OUTPUTS = {
    "ip -j addr show": json.dumps([*LINKS, PPP]),
    "ip -j route show": json.dumps([*VPN_ROUTES, *ROUTES]),
    "ip -j -6 route show": "[]",
    "ip -j rule show": '[{"priority":0,"src":"all","table":"local"},'
    '{"priority":32766,"src":"all","table":"main"}]',
    "ss -H -l -u -n -p": SS,
    "ipsec --version": "Linux strongSwan U5.9.8/K6.1.0-18-amd64\n",
    "nmcli -t -f UUID,TYPE,DEVICE,ACTIVE,NAME connection show": NM_LIST,
    NM_SHOW_COMMAND: NM_SHOW,
    "resolvectl --no-pager dns": RESOLVED_DNS,
    "resolvectl --no-pager domain": RESOLVED_DOMAIN,
    "resolvectl --no-pager default-route": RESOLVED_DEFAULT,
}
SOURCES = {"203.0.113.5": "192.168.1.7", "": "10.99.1.1"}


def up(*, files: dict[str, str] | None = None, sources: dict[str, str] | None = None,
       **outputs: str) -> Recorded:  # fmt: skip
    """The VPN is up, all traffic goes into it. ``outputs``: other ones, by the name of a list
    (``addresses``, ``routes``) or of a command with underscores."""
    return Recorded(
        {**OUTPUTS, **_named(outputs)}, {**FILES, **(files or {})}, sources=sources or SOURCES
    )


def down(*, files: dict[str, str] | None = None, without: tuple[str, ...] = (),
         **outputs: str) -> Recorded:  # fmt: skip
    """Nothing is connected; files in ``without`` are not there."""
    printed = {
        **OUTPUTS,
        "ip -j addr show": json.dumps(LINKS),
        "ip -j route show": json.dumps(ROUTES),
        "nmcli -t -f UUID,TYPE,DEVICE,ACTIVE,NAME connection show": NM_LIST.replace(
            ":yes:O", ":no:O"
        ),
        "resolvectl --no-pager dns": RESOLVED_DNS.splitlines()[1],
        **_named(outputs),
    }
    there = {k: v for k, v in {**FILES, **(files or {})}.items() if k not in without}
    return Recorded(printed, there, sources={"": "192.168.1.7"})


_NAMES = {
    "addresses": "ip -j addr show",
    "routes": "ip -j route show",
    "rules": "ip -j rule show",
    "sockets": "ss -H -l -u -n -p",
    "dns": "resolvectl --no-pager dns",
    "domain": "resolvectl --no-pager domain",
    "version": "ipsec --version",
    "profile": NM_SHOW_COMMAND,
}


def _named(outputs: dict[str, str]) -> dict[str, str]:
    return {_NAMES[name]: text for name, text in outputs.items()}
