"""Our embedded gateway, seen by clients of others: strongSwan, xl2tpd and pppd, ike-scan."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.live import ROOT
from tests.lab.embedded import Embedded
from tests.lab.linuxclient import ClientConfig, LinuxClient
from tests.lab.netns import GATEWAY_ADDRESS, Network, Site

USER, PASSWORD = "alice", "wonderland"
RFC3947 = "4a131c81070358455c5728f20e95452f"


@pytest.fixture(scope="module")
def embedded(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    site = Site("own", own_address=True)
    log = tmp_path_factory.mktemp("embedded") / "gateway.log"
    gateway = Embedded(site, GATEWAY_ADDRESS, log)
    yield gateway
    gateway.daemon.close()
    site.close()


def client(embedded: Embedded, **changes: str) -> ClientConfig:
    given = {"psk": embedded.psk, "user": USER, "password": PASSWORD, **changes}
    return ClientConfig(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("nat", [False, True], ids=["direct", "nat"])
def test_the_real_client_gets_in_and_pings(
    embedded: Embedded, linux_client: LinuxClient, nat: bool
) -> None:
    with Network(embedded.site, nat_client=nat) as network:
        attempt = linux_client.connect(network, client(embedded), limit=40)
        log = attempt.log[-6000:] + embedded.daemon.log()[-2000:]
        assert attempt.up, log
        assert attempt.dns, log
        peer = re.search(r"remote IP address (\S+)", attempt.log)
        assert peer is not None, log
        assert linux_client.ping(peer[1]), log
        linux_client.disconnect()


def test_the_real_client_s_own_vpn_as_vpndiag_host_sees_it(
    embedded: Embedded, linux_client: LinuxClient
) -> None:
    with Network(embedded.site) as network:
        attempt = linux_client.connect(network, client(embedded), limit=40)
        assert attempt.up, attempt.log[-6000:]
        done = linux_client.machine.sh(
            "ip route add 10.99.0.0/24 dev ppp0\n"
            f"cd {ROOT} && {sys.executable} -m vpndiag host --json -",
            check=False, timeout=60,
        )  # fmt: skip
        linux_client.disconnect()
    start = done.output.index("{")
    report: dict[str, Any] = json.JSONDecoder().raw_decode(done.output[start:])[0]
    seen = report["observations"]
    ppp = next(o for o in seen if o["kind"] == "host-interface" and o["name"] == "ppp0")
    assert (ppp["type"], ppp["up"], ppp["peer"]) == ("l2tp", "yes", "10.99.0.1"), ppp
    assert attempt.address in ppp["addresses"][0]
    states = {o["name"]: o["state"] for o in seen if o["kind"] in ("host-module", "host-service")}
    assert states["xl2tpd"] == states["pppd"] == states["charon"] == "running", states
    assert states["ppp_generic"] in ("loaded", "built-in"), states
    holders = {o["port"]: o["holders"] for o in seen if o["kind"] == "host-port"}
    assert holders[500] == ["charon"] and holders[1701] == ["xl2tpd"], holders
    layers = {layer["id"]: layer for layer in report["layers"]}
    assert layers["routes"]["status"] == "passed", layers["routes"]
    assert "10.99.0.0/24 through ppp0" in layers["routes"]["summary"]
    # pppd was told the gateway's DNS server; nothing on this machine takes it over.
    assert (done.code, report["verdict"]["finding"]) == (1, "dns.not-used"), report["verdict"]


def test_the_real_client_with_a_wrong_key(embedded: Embedded, linux_client: LinuxClient) -> None:
    with Network(embedded.site) as network:
        attempt = linux_client.connect(network, client(embedded, psk="not-the-key"), limit=15)
        assert attempt.stage == "ike", attempt.log[-4000:]
        again = linux_client.connect(network, client(embedded), limit=40)
        assert again.up, again.log[-6000:]
        linux_client.disconnect()


def test_the_real_client_with_a_wrong_password(
    embedded: Embedded, linux_client: LinuxClient
) -> None:
    with Network(embedded.site) as network:
        attempt = linux_client.connect(network, client(embedded, password="wrong"), limit=40)
        assert attempt.stage == "ppp", attempt.log[-4000:]
        assert attempt.gave_up
        assert re.search(r"CHAP authentication failed|E=691", attempt.log), attempt.log[-4000:]


@pytest.mark.skipif(shutil.which("ike-scan") is None, reason="ike-scan is not installed")
def test_ike_scan_gets_a_main_mode_answer(embedded: Embedded) -> None:
    with Network(embedded.site) as network:
        done = network.client.run(
            ["ike-scan", "-M", f"--vendor={RFC3947}", "--trans=7/256,2,1,14", network.address],
            check=False, timeout=30,
        )  # fmt: skip
        assert "Main Mode Handshake returned" in done.stdout, done.stdout
        for part in ("Enc=AES", "KeyLength=256", "Hash=SHA1", "Group=14", "Auth=PSK"):
            assert part in done.stdout, done.stdout
