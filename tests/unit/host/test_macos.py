"""macOS' own VPN, from recorded output: what is seen, and what is made of it."""

from __future__ import annotations

import pytest

from tests.unit.host.recorded import Recorded
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.host import bsd, resolvers, scutil
from vpndiag.host.look import look
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostPort,
    HostResolvers,
    HostRoutes,
    HostScope,
    Observation,
    Resolver,
    Route,
)

ID = "0EBAF065-DF53-43AF-A952-EA70B96644BE"
LIST = f"""\
Available network connection services in the current set (*=enabled):
* (Connected)      {ID} PPP --> L2TP       "Office (main)"                  [PPP:L2TP]
* (Disconnected)   11111111-2222-3333-4444-555555555555 VPN (com.wireguard.macos) "wg home" \
[VPN:com.wireguard.macos]
"""
SHOW = f"""\
* (Connected)      {ID} PPP --> L2TP       "Office (main)"                  [PPP:L2TP]
PPP <dictionary> {{
  ACSPEnabled : 1
  AuthName : alice.person
  AuthPassword : {ID}
  AuthPasswordEncryption : Keychain
  CommRemoteAddress : vpn.example.com
  DisconnectOnIdle : 0
}}
"""
STATUS = """\
Connected
Extended Status <dictionary> {
  IPv4 : <dictionary> {
    Addresses : <array> {
      0 : 10.99.1.1
    }
    DestAddresses : <array> {
      0 : 10.99.0.1
    }
    InterfaceName : ppp0
    OverridePrimary : 1
    Router : 10.99.0.1
    ServerAddress : 203.0.113.5
  }
  PPP : <dictionary> {
    CommRemoteAddress : vpn.example.com
    ConnectTime : 21824
    LCPMRU : 1500
    LCPMTU : 1280
    LastCause : 0
    Status : 8
  }
  Status : 2
}
"""
FAILED = """\
Disconnected
Extended Status <dictionary> {
  PPP : <dictionary> {
    DeviceLastCause : 0
    LastCause : 19
    Status : 0
  }
  Status : 0
}
"""
IFCONFIG = """\
lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tinet6 ::1 prefixlen 128
en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether 00:00:5e:00:53:01
\tinet6 fe80::18ae:1%en0 prefixlen 64 secured scopeid 0x6
\tinet 192.168.1.7 netmask 0xffffff00 broadcast 192.168.1.255
\tstatus: active
awdl0: flags=8943<UP,BROADCAST,RUNNING,PROMISC,SIMPLEX,MULTICAST> mtu 1484
\tinet6 fe80::5c:1%awdl0 prefixlen 64 scopeid 0x8
utun0: flags=8051<UP,POINTOPOINT,RUNNING,MULTICAST> mtu 1380
\tinet6 fe80::2:3%utun0 prefixlen 64 scopeid 0x9
ppp0: flags=8051<UP,POINTOPOINT,RUNNING,MULTICAST> mtu 1280
\tinet 10.99.1.1 --> 10.99.0.1 netmask 0xff000000
"""
NETSTAT = """\
Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            10.99.0.1          UGScg                ppp0
default            192.168.1.1        UGScIg                en0
10                 ppp0               USc                  ppp0
10.99.0.1          10.99.1.1          UHr                  ppp0
127                127.0.0.1          UCS                   lo0
169.254            link#6             UCS                   en0      !
172.16/12          192.168.1.254      UGSc                  en0
192.168.1          link#6             UCS                   en0      !
192.168.1.1/32     link#6             UCS                   en0      !
203.0.113.5        192.168.1.1        UGHS                  en0

Internet6:
Destination                             Gateway                         Flags           Netif Expire
default                                 fe80::1%en0                     UGcg              en0
2001:db8:7::/64                         link#6                          UC                en0
fe80::%en0/64                           link#6                          UCI               en0
"""
DNS = """\
DNS configuration

resolver #1
  search domain[0] : corp.example
  nameserver[0] : 10.99.0.53
  if_index : 15 (ppp0)
  flags    : Supplemental, Request A records
  reach    : 0x00000003 (Reachable,Transient Connection)
  order    : 100000

resolver #2
  nameserver[0] : 192.168.1.1
  if_index : 6 (en0)
  flags    : Request A records
  order    : 200000

resolver #3
  domain   : local
  options  : mdns
  timeout  : 5
  order    : 300000

DNS configuration (for scoped queries)

resolver #1
  nameserver[0] : 192.168.1.1
  if_index : 6 (en0)
  flags    : Scoped, Request A records
"""
UDP_OLD = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)     rhiwat shiwat    \
pid   epid  state    options
udp4       0      0  *.500                  *.*                                786896   9216    \
410      0 0x0000 0x00000000
udp4       0      0  192.168.1.7.4500       *.*                                786896   9216    \
410      0 0x0000 0x00000000
"""
UDP_NEW = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)     rxbytes txbytes \
rhiwat shiwat    process:pid    state  options
udp4       0      0  *.500                  *.*                                0       0 \
786896   9216    charon:733    00100 00000004
"""
PS = "    1 launchd\n  410 racoon\n  411 pppd\n"
FILES = {"/usr/sbin/racoon": "", "/usr/sbin/pppd": ""}
OUTPUTS = {
    "scutil --nc list": LIST,
    f"scutil --nc show {ID}": SHOW,
    f"scutil --nc status {ID}": STATUS,
    "scutil --dns": DNS,
    "ifconfig -a": IFCONFIG,
    "netstat -rn": NETSTAT,
    "netstat -anv -p udp": UDP_OLD,
    "ps -axc -o pid=,comm=": PS,
}
SOURCES = {"203.0.113.5": "192.168.1.7", "": "10.99.1.1"}


def seen(sources: dict[str, str] | None = None, /, **scope: object) -> list[Observation]:
    machine = Recorded(OUTPUTS, FILES, sources=sources or SOURCES)
    return look(HostScope(t=0.0, system="macOS", **scope), machine)  # type: ignore[arg-type]


def down(**outputs: str) -> list[Observation]:
    printed = {
        **OUTPUTS,
        "scutil --nc list": LIST.replace("(Connected)   ", "(Disconnected)"),
        f"scutil --nc status {ID}": FAILED,
        "ifconfig -a": IFCONFIG[: IFCONFIG.index("ppp0:")],
        "netstat -anv -p udp": "",
        **outputs,
    }
    machine = Recorded(printed, FILES, sources={"": "192.168.1.7"})
    return look(HostScope(t=0.0, system="macOS"), machine)


def one(observations: list[Observation], kind: type) -> list:  # type: ignore[type-arg]
    return [o for o in observations if type(o) is kind]


def test_the_connection_is_seen_and_no_user_name() -> None:
    found = seen()
    first = one(found, HostConnection)[0]
    assert (first.name, first.type, first.server, first.status) == (
        "Office (main)", "L2TP", "vpn.example.com", "connected"
    )  # fmt: skip
    assert (first.interface, first.server_address, first.full_tunnel) == (
        "ppp0", "203.0.113.5", "yes"
    )  # fmt: skip
    assert "alice" not in str(found)


def test_interfaces_of_apple_s_own_are_left_out_and_ppp_is_the_vpn() -> None:
    links = {i.name: i for i in one(seen(), HostInterface)}
    assert set(links) == {"lo0", "en0", "utun0", "ppp0"}
    ppp = links["ppp0"]
    assert (ppp.type, ppp.addresses, ppp.peer, ppp.mtu) == (
        "l2tp", ("10.99.1.1/32",), "10.99.0.1", 1280
    )  # fmt: skip
    assert links["en0"].addresses == ("fe80::18ae:1/64", "192.168.1.7/24")
    assert links["utun0"].type == "tunnel"


def test_routes_are_written_out_and_scoped_ones_left_out() -> None:
    assert one(seen(), HostRoutes)[0].routes == (
        Route("0.0.0.0/0", "ppp0", "10.99.0.1"),
        Route("10.0.0.0/8", "ppp0"),
        Route("10.99.0.1/32", "ppp0", "10.99.1.1"),
        Route("172.16.0.0/12", "en0", "192.168.1.254"),
        Route("192.168.1.0/24", "en0"),
        Route("192.168.1.1/32", "en0"),
        Route("203.0.113.5/32", "en0", "192.168.1.1"),
        Route("::/0", "en0", "fe80::1"),
        Route("2001:db8:7::/64", "en0"),
    )


def test_resolvers_come_in_order_without_the_scoped_ones() -> None:
    found = one(seen(), HostResolvers)[0]
    assert found.resolvers == (
        Resolver("10.99.0.53", "ppp0"),
        Resolver("192.168.1.1", "en0", last=True),
    )
    assert found.pushed == ("10.99.0.53",)


def test_who_holds_a_port_is_told_by_old_and_new_systems() -> None:
    ports = {p.port: p for p in one(seen(), HostPort)}
    assert (ports[500].taken, ports[500].holders) == ("yes", ("racoon",))
    assert (ports[4500].addresses, ports[4500].holders) == (("192.168.1.7",), ("racoon",))
    assert ports[1701].taken == "no"
    assert bsd.udp_sockets(UDP_NEW, {}) == {500: (["0.0.0.0"], ["charon"])}


def test_a_vpn_that_is_up_and_right_is_healthy() -> None:
    result = diagnose(seen(internal_networks=("10.20.0.0/16",)))
    assert result.verdict.outcome == "healthy" and not result.findings


def test_the_vpn_s_resolver_behind_the_local_one_is_a_warning() -> None:
    swapped = DNS.replace("10.99.0.53", "X").replace("192.168.1.1", "10.99.0.53")
    swapped = swapped.replace("X", "192.168.1.1").replace("15 (ppp0)", "A").replace(
        "6 (en0)", "15 (ppp0)").replace("A\n", "6 (en0)\n")  # fmt: skip
    machine = Recorded({**OUTPUTS, "scutil --dns": swapped}, FILES, sources=SOURCES)
    result = diagnose(look(HostScope(t=0.0, system="macOS"), machine))
    assert [f.code for f in result.findings] == ["dns.asked-last"]


def test_the_last_failure_is_told_as_the_client_numbers_it() -> None:
    found = down()
    assert one(found, HostConnection)[0].error == "PPP error 19"
    result = diagnose(found)
    assert result.verdict.finding == "login.wrong-password"
    assert 'The last attempt of "Office (main)" failed with PPP error 19' in result.verdict.headline


def test_a_failure_with_several_causes_stays_inconclusive() -> None:
    silent = FAILED.replace("DeviceLastCause : 0", "DeviceLastCause : 2")
    result = diagnose(down(**{f"scutil --nc status {ID}": silent}))
    assert result.verdict.outcome == "inconclusive"
    assert "failed with L2TP error 2" in result.verdict.headline


def test_another_ike_program_is_named() -> None:
    result = diagnose(down(**{"netstat -anv -p udp": UDP_NEW}))
    assert result.verdict.finding == "path.port-taken"
    assert "charon" in result.verdict.headline


def test_a_mac_without_an_l2tp_connection_is_not_applicable() -> None:
    machine = Recorded({**OUTPUTS, "scutil --nc list": LIST.splitlines()[0],
                        "ifconfig -a": IFCONFIG[: IFCONFIG.index("ppp0:")]}, FILES)  # fmt: skip
    assert diagnose(look(HostScope(t=0.0, system="macOS"), machine)).verdict.outcome == (
        "not_applicable"
    )


@pytest.mark.parametrize("junk", ["", "\x00" * 50, "}\n" * 50, "a : b {\n" * 50, "udp4 x\n* (\n"])
def test_other_output_than_expected_raises_nothing(junk: str) -> None:
    machine = Recorded(dict.fromkeys(OUTPUTS, junk), FILES)
    diagnose(look(HostScope(t=0.0, system="macOS", gateway="203.0.113.5"), machine))
    scutil.dictionary(junk)
    resolvers.scutil_dns(junk)
