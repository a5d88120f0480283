"""A Linux system's own VPN, from recorded output: what is seen, and what is made of it."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict

import pytest

from tests.unit.host import linux_samples as samples
from tests.unit.host.recorded import Recorded
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.host import kernel
from vpndiag.host.look import look
from vpndiag.host.machine import Machine
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostPort,
    HostResolvers,
    HostRoutes,
    HostScope,
    HostSetting,
    Observation,
    Resolver,
    Route,
)
from vpndiag.report.model import Diagnosis


def seen(machine: Machine, **scope: object) -> list[Observation]:
    return look(HostScope(t=0.0, system="Linux", **scope), machine)  # type: ignore[arg-type]


def judged(machine: Machine, **scope: object) -> Diagnosis:
    return diagnose(seen(machine, **scope))


def codes(diagnosis: Diagnosis) -> set[str]:
    return {f.code for f in diagnosis.findings}


def status(diagnosis: Diagnosis) -> dict[str, str]:
    return {layer.id: layer.status for layer in diagnosis.layers}


def one(observations: list[Observation], kind: type) -> list:  # type: ignore[type-arg]
    return [o for o in observations if type(o) is kind]


def test_a_vpn_that_is_up_is_seen_with_address_routes_and_resolvers() -> None:
    found = seen(samples.up(), gateway="203.0.113.5")
    ppp = next(i for i in one(found, HostInterface) if i.name == "ppp0")
    assert (ppp.type, ppp.up, ppp.addresses, ppp.peer, ppp.mtu) == (
        "l2tp", "yes", ("10.99.1.1/32",), "10.99.0.1", 1400
    )  # fmt: skip
    table = one(found, HostRoutes)[0]
    assert table.routes[0] == Route("0.0.0.0/0", "ppp0", "", 50)
    assert Route("203.0.113.5/32", "wlp2s0", "192.168.1.1", 50) in table.routes
    servers = one(found, HostResolvers)[0]
    assert servers.resolvers == (
        Resolver("10.99.0.53", "ppp0"),
        Resolver("192.168.1.1", "wlp2s0", last=True),
    )
    assert servers.pushed == ("10.99.0.53",)


def test_a_vpn_that_is_up_and_right_is_healthy() -> None:
    result = judged(samples.up(), gateway="203.0.113.5", internal_networks=("10.20.0.0/16",))
    assert result.verdict.outcome == "healthy"
    assert not result.findings
    layers = {layer.id: layer for layer in result.layers}
    assert layers["routes"].summary == "all traffic goes through ppp0 (full tunnelling)"
    assert layers["routes"].facts["default route 1"] == "ppp0, metric 50"
    assert layers["address"].summary == "10.99.1.1 on ppp0, gateway 10.99.0.1"
    assert layers["name"].status == "not_reached"
    assert layers["app"].reason


def test_neither_user_names_nor_keys_of_networkmanager_are_kept() -> None:
    found = seen(samples.up())
    connection = one(found, HostConnection)[0]
    assert (connection.name, connection.server, connection.ipsec_auth) == (
        "Office : main", "vpn.example.com", "psk"
    )  # fmt: skip
    text = json.dumps([asdict(o) for o in found])
    assert "alice" not in text and "c2VjcmV0" not in text


def test_nothing_wrong_and_nothing_up_is_inconclusive() -> None:
    result = judged(samples.down())
    assert result.verdict.outcome == "inconclusive"
    assert codes(result) == set()
    layers = {layer.id: layer for layer in result.layers}
    assert layers["path"].status == "not_reached"
    assert "charon runs here" in layers["path"].reason
    assert "esp4 is loadable" in layers["ipsec"].reason


def test_a_system_without_any_l2tp_is_not_applicable() -> None:
    bare = Recorded({"ip -j addr show": json.dumps(samples.LINKS)}, {"/etc/resolv.conf": ""})
    assert judged(bare).verdict.outcome == "not_applicable"


def test_a_profile_wants_a_client_where_there_is_none() -> None:
    bare = Recorded({"ip -j addr show": json.dumps(samples.LINKS)}, {"/etc/resolv.conf": ""})
    result = judged(bare, gateway="vpn.example.com")
    assert result.verdict.finding == "ike.no-service"
    assert {"ike.no-service", "l2tp.no-program", "lcp.no-ppp"} <= codes(result)


def test_the_route_to_the_gateway_through_the_tunnel_is_found() -> None:
    looped = samples.up(sources={"": "10.99.1.1"})
    result = judged(looped, gateway="203.0.113.5")
    assert result.verdict.finding == "routes.gateway-in-tunnel"
    assert result.verdict.layer == "routes"


def test_full_tunnelling_without_any_route_past_the_vpn_is_suspicious() -> None:
    bare = json.dumps([*samples.VPN_ROUTES[:2], *samples.ROUTES])
    result = judged(samples.up(routes=bare))
    assert [(f.code, f.severity) for f in result.findings] == [
        ("routes.gateway-in-tunnel", "warning")
    ]
    # Other tables may hold that route.
    other = '[{"priority":100,"src":"all","table":"51820"}]'
    assert not judged(samples.up(routes=bare, rules=other)).findings


def test_an_internal_network_that_goes_past_the_vpn_is_found() -> None:
    split = json.dumps([*samples.ROUTES, samples.VPN_ROUTES[1]])
    machine = samples.up(routes=split, sources={"10.99.0.53": "10.99.1.1", "": "192.168.1.7"})
    result = judged(machine, internal_networks=("10.20.0.0/16",))
    assert result.verdict.finding == "routes.not-routed"
    assert "10.20.0.0/16 goes out by wlp2s0" in result.verdict.headline
    # It was set to take all traffic, too.
    assert "routes.default-elsewhere" in codes(result)


def test_split_tunnelling_as_the_profile_wants_it_is_healthy() -> None:
    routes = [*samples.ROUTES, samples.VPN_ROUTES[1],
              {"dst": "10.20.0.0/16", "dev": "ppp0", "scope": "link", "flags": []}]  # fmt: skip
    machine = samples.up(
        routes=json.dumps(routes),
        profile=samples.NM_SHOW.replace("never-default:no", "never-default:yes"),
        sources={"10.20.0.1": "10.99.1.1", "10.99.0.53": "10.99.1.1", "": "192.168.1.7"},
    )
    result = judged(machine, internal_networks=("10.20.0.0/16",))
    assert result.verdict.outcome == "healthy" and not result.findings
    layers = {layer.id: layer for layer in result.layers}
    assert layers["routes"].summary == "10.20.0.0/16 through ppp0 (split tunnelling)"


def test_nothing_routed_into_the_vpn_is_a_warning_without_a_profile() -> None:
    split = json.dumps([*samples.ROUTES, samples.VPN_ROUTES[1]])
    machine = samples.up(routes=split, sources={"10.99.0.53": "10.99.1.1", "": "192.168.1.7"})
    result = judged(machine)
    assert result.verdict.outcome == "healthy"
    assert status(result)["routes"] == "warning"
    assert "routes.not-routed" in codes(result)


def test_an_overlap_with_the_home_network_fails_while_up_and_warns_while_down() -> None:
    home = {"internal_networks": ("192.168.0.0/16",)}
    result = judged(samples.up(sources={"192.168.0.1": "192.168.1.7", "": "10.99.1.1"}), **home)
    assert result.verdict.finding == "routes.overlap"
    result = judged(samples.down(), **home)
    assert result.verdict.outcome == "inconclusive"
    assert status(result)["routes"] == "warning"


def test_a_more_specific_route_of_the_vpn_makes_an_overlap_harmless() -> None:
    result = judged(samples.up(), internal_networks=("192.168.1.128/25",))
    assert "routes.overlap" not in codes(result)


def test_the_vpn_s_dns_that_is_not_asked_is_found() -> None:
    conf = {"/etc/resolv.conf": "nameserver 192.168.1.1\n",
            "/etc/ppp/resolv.conf": "nameserver 10.99.0.53\n"}  # fmt: skip
    result = judged(samples.up(files=conf))
    assert result.verdict.finding == "dns.not-used"
    assert "10.99.0.53 is not asked" in result.verdict.headline


def test_the_vpn_s_dns_behind_another_is_a_warning() -> None:
    conf = {"/etc/resolv.conf": "nameserver 192.168.1.1\nnameserver 10.99.0.53\n",
            "/etc/ppp/resolv.conf": "nameserver 10.99.0.53\n"}  # fmt: skip
    result = judged(samples.up(files=conf))
    assert codes(result) == {"dns.asked-last"}
    assert result.verdict.outcome == "healthy"


def test_a_resolver_on_this_computer_hides_whom_it_asks() -> None:
    conf = {"/etc/resolv.conf": "nameserver 127.0.0.1\n"}
    result = judged(samples.up(files=conf), expected_dns=("10.99.0.53",))
    assert status(result)["dns"] == "not_reached"
    assert "127.0.0.1" in {layer.id: layer for layer in result.layers}["dns"].reason


def test_another_ike_daemon_on_udp_500_is_named() -> None:
    held = 'UNCONN 0 0 0.0.0.0:500 0.0.0.0:* users:(("vpnserver",pid=77,fd=9))\n'
    result = judged(samples.down(sockets=held))
    assert result.verdict.finding == "path.port-taken"
    assert "held by vpnserver" in result.verdict.headline


def test_a_holder_that_is_not_told_is_no_failure() -> None:
    machine = samples.down(
        sockets="UNCONN 0 0 0.0.0.0:500 0.0.0.0:*\n", without=("/proc/640/comm",)
    )
    result = judged(machine)
    assert result.verdict.outcome == "inconclusive"
    assert status(result)["path"] == "warning"


def test_a_port_held_on_loopback_only_disturbs_nobody() -> None:
    held = 'UNCONN 0 0 127.0.0.1:500 0.0.0.0:* users:(("vpndiag",pid=77,fd=9))\n'
    assert codes(judged(samples.down(sockets=held))) == set()


def test_xl2tpd_as_a_service_holds_the_port_that_networkmanager_wants() -> None:
    held = 'UNCONN 0 0 0.0.0.0:1701 0.0.0.0:* users:(("xl2tpd",pid=77,fd=9))\n'
    result = judged(samples.down(sockets=held))
    assert codes(result) == {"l2tp.port-taken"}
    assert result.findings[0].severity == "warning"


def test_without_ss_the_sockets_are_read_from_proc() -> None:
    machine = samples.down(
        files={"/proc/net/udp": "  sl  local\n  1: 00000000:01F4 00000000:0000 07\n"}
    )
    del machine.outputs["ss -H -l -u -n -p"]
    port = one(seen(machine), HostPort)[0]
    assert (port.taken, port.addresses, port.running) == ("yes", ("0.0.0.0",), ("charon",))
    del machine.files["/proc/net/udp"]
    assert one(seen(machine), HostPort)[0].taken == "cannot-tell"


@pytest.mark.parametrize(
    ("version", "policy", "refused"),
    [
        ("5.1", "", True),
        ("5.1", "ikev1-policy=accept", False),
        ("5.1", "    ikev1-policy = drop", True),
        ("4.12", "", False),
        ("4.12", "ikev1-policy=reject", True),
        ("5.1", "# ikev1-policy=accept", True),
    ],
)
def test_libreswan_that_refuses_ikev1(version: str, policy: str, refused: bool) -> None:
    machine = samples.down(
        files={"/usr/libexec/ipsec/pluto": "", "/etc/ipsec.conf": f"config setup\n{policy}\n"},
        without=("/usr/lib/ipsec/charon", "/proc/640/comm"),
        version=f"Libreswan {version}\n",
    )
    found = seen(machine)
    assert one(found, HostSetting)[0].name == "ikev1-policy"
    result = diagnose(found)
    assert (result.verdict.finding == "ike.ikev1-disabled") is refused


def test_missing_kernel_parts_are_told_by_layer() -> None:
    base = "/lib/modules/6.1.0-18-amd64"
    machine = samples.down(
        files={f"{base}/modules.dep": "kernel/net/xfrm/xfrm_algo.ko:\n", "/proc/modules": ""}
    )
    result = judged(machine)
    assert result.verdict.finding == "ipsec.kernel-missing"
    assert {"ipsec.kernel-missing", "lcp.no-ppp", "l2tp.kernel-missing"} == codes(result)


def test_a_blacklisted_l2tp_matters_only_to_kl2tpd() -> None:
    blocked = {"/etc/modprobe.d/l2tp_ppp-blacklist.conf": "# why\nblacklist l2tp_ppp\n"}
    result = judged(samples.down(files=blocked))
    assert result.verdict.outcome == "inconclusive"
    only = samples.down(files={**blocked, "/usr/sbin/kl2tpd": ""}, without=("/usr/sbin/xl2tpd",))
    assert judged(only).verdict.finding == "l2tp.kernel-missing"


CONFIG = "CONFIG_PPP=y\nCONFIG_INET_ESP=m\n# CONFIG_PPPOL2TP is not set\n"


@pytest.mark.parametrize(
    ("files", "name", "state"),
    [
        ({"/proc/modules": "esp4 1 0 - Live 0x0\n"}, "esp4", "loaded"),
        ({"/proc/config.gz": gzip.compress(CONFIG.encode())}, "ppp_generic", "built-in"),
        ({"/proc/config.gz": gzip.compress(CONFIG.encode())}, "l2tp_ppp", "absent"),
        ({"/proc/config.gz": gzip.compress(CONFIG.encode())}, "esp4", "cannot-tell"),
        ({"/boot/config-1.0": CONFIG}, "ppp_generic", "built-in"),
        ({"/lib/modules/1.0/modules.builtin": "kernel/net/esp4.ko\n"}, "esp4", "built-in"),
        ({"/lib/modules/1.0/modules.dep": "kernel/net/esp4.ko.zst: a.ko\n"}, "esp4", "loadable"),
        ({"/lib/modules/1.0/modules.dep": "kernel/net/esp6.ko:\n"}, "esp4", "absent"),
        ({"/lib/modules/1.0/modules.dep": "x/esp4.ko:\n",
          "/lib/modprobe.d/no.conf": "install esp4 /bin/false\n"}, "esp4", "blacklisted"),
        ({"/proc/net/pppol2tp": ""}, "l2tp_ppp", "loaded"),
        ({"/proc/config.gz": b"\x1f\x8bdamaged"}, "esp4", "cannot-tell"),
        ({}, "esp4", "cannot-tell"),
    ],
)  # fmt: skip
def test_what_proves_a_kernel_part(files: dict[str, str | bytes], name: str, state: str) -> None:
    assert kernel.modules(Recorded(files=files, release="1.0"))[name][0] == state


def test_connections_of_xl2tpd_are_read_without_secrets() -> None:
    conf = (
        "[global]\nport = 1701\n[lac office]\nlns = vpn.example.com\nname = alice\n"
        "[lns default]\nip range = 10.0.0.2-10.0.0.9\n"
    )
    found = seen(Recorded({}, {"/etc/xl2tpd/xl2tpd.conf": conf}))
    assert [(c.name, c.server) for c in one(found, HostConnection)] == [
        ("office", "vpn.example.com")
    ]
    assert "alice" not in str(found)


def test_a_program_that_this_user_may_not_start_is_installed_all_the_same() -> None:
    machine = samples.down()
    machine.program = lambda name: None  # type: ignore[method-assign]
    assert codes(judged(machine)) == set()


def test_a_connection_that_is_up_shows_that_nothing_essential_is_missing() -> None:
    bare = samples.up()
    for path in ("/usr/lib/ipsec/charon", "/usr/sbin/xl2tpd", "/usr/sbin/pppd"):
        del bare.files[path]
    assert judged(bare).verdict.outcome == "healthy"


def test_a_modem_s_ppp_interface_is_not_taken_for_the_vpn() -> None:
    line = json.dumps([samples.LINKS[0], samples.PPP])
    machine = samples.down(addresses=line, without=("/usr/sbin/xl2tpd",))
    assert judged(machine).verdict.outcome != "healthy"


def test_an_mtu_that_cannot_fit_is_a_warning() -> None:
    wide = json.dumps([*samples.LINKS, {**samples.PPP, "mtu": 1500}])
    result = judged(samples.up(addresses=wide), gateway="203.0.113.5")
    assert codes(result) == {"mtu.interface-too-large"}
    assert "at most 1434" in result.findings[0].detail


def test_hostile_names_come_out_visible_and_bounded() -> None:
    odd = json.dumps([*samples.LINKS, {**samples.PPP, "ifname": "ppp0\x1b[2J" + "x" * 999}])
    for o in one(seen(samples.up(addresses=odd)), HostInterface):
        assert o.name.isprintable() and len(o.name) < 300


@pytest.mark.parametrize(
    "junk", ["", "{", "[1]", "null", '[{"ifname": 7}]', "\x00" * 99, "[" * 9999]
)
def test_other_output_than_expected_raises_nothing(junk: str) -> None:
    machine = Recorded(dict.fromkeys(samples.OUTPUTS, junk), dict.fromkeys(samples.FILES, junk))
    result = judged(machine, gateway="203.0.113.5", internal_networks=("10.0.0.0/8",))
    assert result.verdict.outcome in ("failed", "inconclusive")
