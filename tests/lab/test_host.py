"""``vpndiag host`` on the real thing: a namespace with an interface like that of a VPN, its routes
set right and wrong with iproute2, and its resolvers."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clean import NETNS_ETC
from tests.lab.namespace import Namespace

ROOT = Path(__file__).parents[2]
GATEWAY = "203.0.113.5"
PROFILE = f"""\
gateway = "{GATEWAY}"
internal_networks = ["10.20.0.0/16"]
expected_dns = ["10.99.0.53"]
"""
FULL = ("route add {gateway} via 192.168.1.1 dev lan0", "route add default dev ppp0 metric 50")


class Computer:
    """At home behind a router, with the VPN's interface up."""

    def __init__(self, folder: Path) -> None:
        self.space = Namespace("host")
        self.profile = folder / "corp.toml"
        self.profile.write_text(PROFILE)
        self.space.ip(
            "link add lan0 mtu 1500 type veth peer name far0",
            "link add ppp0 mtu 1400 type veth peer name far1",
            "link set far0 up",
            "link set far1 up",
            "addr add 192.168.1.7/24 dev lan0",
            "addr add 10.99.1.1 peer 10.99.0.1 dev ppp0",
            "link set lan0 up",
            "link set ppp0 up",
            "route add default via 192.168.1.1 dev lan0 metric 600",
        )
        self.resolvers("10.99.0.53")

    def resolvers(self, *servers: str) -> None:
        etc = NETNS_ETC / self.space.name
        etc.mkdir(parents=True, exist_ok=True)
        (etc / "resolv.conf").write_text("".join(f"nameserver {s}\n" for s in servers))

    def routes(self, *lines: str) -> None:
        self.space.ip(*(line.format(gateway=GATEWAY) for line in lines))

    def look(self, *prefix: str, profile: bool = True) -> dict[str, Any]:
        corp = [str(self.profile)] if profile else []
        done = self.space.run(
            [*prefix, sys.executable, "-m", "vpndiag", "host", *corp, "--json", "-"], check=False
        )
        assert done.returncode in (0, 1, 3), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def close(self) -> None:
        shutil.rmtree(NETNS_ETC / self.space.name, ignore_errors=True)
        self.space.close()


@pytest.fixture
def computer(lab: None, tmp_path: Path) -> Iterator[Computer]:
    made = Computer(tmp_path)
    yield made
    made.close()


def codes(report: dict[str, Any]) -> set[str]:
    return {f["code"] for f in report["findings"]}


def test_a_vpn_that_is_set_up_right_is_healthy_then_each_fault_is_found(
    computer: Computer,
) -> None:
    computer.routes(*FULL)
    report = computer.look()
    assert (report["verdict"]["outcome"], codes(report)) == ("healthy", set())
    layers = {layer["id"]: layer for layer in report["layers"]}
    assert layers["address"]["summary"].startswith("10.99.1.1 on ppp0, gateway 10.99.0.1")
    assert "full tunnelling" in layers["routes"]["summary"]

    computer.routes("route del {gateway} via 192.168.1.1 dev lan0")
    assert computer.look()["verdict"]["finding"] == "routes.gateway-in-tunnel"

    computer.routes("route del default dev ppp0")
    report = computer.look()
    assert report["verdict"]["finding"] == "routes.not-routed"
    assert "10.20.0.0/16 goes out by lan0" in report["verdict"]["headline"]

    computer.routes("route add 10.0.0.0/8 dev ppp0")
    computer.resolvers("192.168.1.1", "10.99.0.53")
    assert codes(computer.look()) == {"dns.asked-last"}
    computer.resolvers("192.168.1.1")
    assert computer.look()["verdict"]["finding"] == "dns.not-used"


def test_an_ordinary_user_sees_the_same(computer: Computer) -> None:
    computer.routes(*FULL)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    readable = os.access(ROOT, os.R_OK | os.X_OK) and shutil.which("setpriv")
    if not readable:
        pytest.skip("another user cannot start vpndiag from here")
    report = computer.look(*nobody, profile=False)  # the test's folder is closed to others
    assert (report["verdict"]["outcome"], codes(report)) == ("healthy", set())
    assert report["vantage"]["privileged"] is False
    seen = {o["kind"]: o for o in report["observations"]}
    assert seen["host-routes"]["known"] and seen["host-port"]["taken"] != "cannot-tell"
