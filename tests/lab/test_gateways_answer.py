"""The lab itself: every gateway answers, lets a real client in, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.clean import leftovers
from tests.lab.config import Certificates, GatewayConfig
from tests.lab.gateways import ALL_GATEWAYS, GATEWAYS, PLAIN_GATEWAYS, Gateway, start
from tests.lab.ikeprobe import ask_ike, ask_l2tp
from tests.lab.linuxclient import ClientConfig, LinuxClient
from tests.lab.process import Unsupported, is_running

ROOT = Path(__file__).resolve().parents[2]
MAIN_MODE_SA = 1  # payload type of the first payload of an accepted Main Mode message 2


OWN = f"vd-{os.getpid()}-"  # others may use the lab on this machine at the same time


def traces() -> dict[str, set[str]]:
    """What this process could leave behind on this machine."""
    return {
        "namespaces": {name for name in _names("/run/netns") if name.startswith(OWN)},
        "resolvers": {name for name in _names("/etc/netns") if name.startswith(OWN)},
        "files": {name for name in _names(tempfile.gettempdir()) if name.startswith(OWN)},
        "softether": {d for d in ("/var/lib/softether", "/run/softether") if Path(d).exists()},
        "mounts": {
            line
            for line in Path("/proc/self/mounts").read_text().splitlines()
            if "/vd-" not in line or OWN in line
        },
        "processes": _processes(),
    }


def _processes() -> set[str]:
    """Daemons that bear our mark, and our zombies."""
    found = set()
    mark = f"VD_OWNER={os.getpid()}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            marked = mark in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if marked or (state == "Z" and int(parent) == os.getpid()):
            found.add(f"{folder.name} {state} {(folder / 'comm').read_text().strip()}")
    return found


def _names(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()} if Path(folder).is_dir() else set()


def left_behind(before: dict[str, set[str]], wait: float = 5) -> dict[str, set[str]]:
    """What is there now and was not before; the kernel gets a moment to finish."""
    end = time.monotonic() + wait
    while True:
        now = traces()
        extra = {kind: now[kind] - before[kind] for kind in now if now[kind] - before[kind]}
        if not extra or time.monotonic() > end:
            return extra
        time.sleep(0.1)


@pytest.mark.parametrize("name", ALL_GATEWAYS)
def test_starts_answers_and_is_gone(lab: None, name: str) -> None:
    before = traces()
    with start(name) as gateway:
        with gateway.network() as network:
            assert _processes() - before["processes"]
            if name in PLAIN_GATEWAYS:
                assert ask_l2tp(network.client, network.address, timeout=5), gateway.log()
            for port in (500, 4500) if name in GATEWAYS else ():
                answer = ask_ike(network.client, network.address, port, timeout=5)
                assert answer is not None, gateway.log()
                assert answer[16] == MAIN_MODE_SA
        assert gateway.log().strip()
    assert left_behind(before) == {}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_is_gone_too(lab: None, ending: signal.Signals) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.lab", "up", "softether", "--nat"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert run.stdout is not None
    for line in run.stdout:
        if "Ctrl-C" in line:
            break
    assert leftovers(run.pid)
    run.send_signal(ending)
    run.wait(20)
    end = time.monotonic() + 10
    while leftovers(run.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert leftovers(run.pid) == []
    assert not is_running(run.pid)


@pytest.mark.parametrize("nat", ["none", "client", "gateway", "both"])
def test_a_real_client_gets_in(gateway: Gateway, linux_client: LinuxClient, nat: str) -> None:
    with gateway.network(
        nat_client=nat in ("client", "both"), nat_gateway=nat in ("gateway", "both")
    ) as network:
        attempt = linux_client.connect(network)
        assert attempt.up, attempt.log + gateway.log()
        assert attempt.dns == ("10.92.0.1",)
        assert linux_client.ping(gateway.config.inside_address)


@pytest.mark.parametrize("name", ["strongswan", "softether"])
def test_settings_reach_the_daemons(
    gateway_by_name: Callable[..., Gateway], linux_client: LinuxClient, name: str
) -> None:
    config = GatewayConfig(users={"bob": 'p"w d'}, pool=("10.93.7.20", "10.93.7.30"),
                           inside_address="10.93.7.1", dns=("10.93.7.1",))  # fmt: skip
    if name == "softether":
        config = replace(config, users={"bob": "pw"})
    gateway = gateway_by_name(name, config)
    with gateway.network() as network:
        wrong = linux_client.connect(network, ClientConfig(user="bob", password="no"))
        assert wrong.stage == "ppp", wrong.log
        # xl2tpd lets nobody in who comes back at once from the same port
        gateway.reconfigure(config)
        right = linux_client.connect(
            network, ClientConfig(user="bob", password=config.users["bob"])
        )
        assert right.address is not None and right.address.startswith("10.93.7."), right.log


@pytest.mark.parametrize("name", ["strongswan", "libreswan"])
def test_plain_l2tp_answers_only_when_ipsec_is_off(
    gateway_by_name: Callable[..., Gateway], name: str
) -> None:
    gateway = gateway_by_name(name)
    with gateway.network() as network:
        assert not ask_l2tp(network.client, network.address, timeout=1)
        gateway.reconfigure(replace(gateway.config, ipsec=False))
        assert ask_l2tp(network.client, network.address, timeout=5)
        assert ask_ike(network.client, network.address, timeout=1) is None


def test_faults_of_the_network(gateway_by_name: Callable[..., Gateway]) -> None:
    gateway = gateway_by_name("softether")
    with gateway.network() as network:
        client, address = network.client, network.address
        rules = network.drop(port=500, direction="to-client")
        assert ask_ike(client, address, timeout=0.6) is None
        assert ask_ike(client, address, 4500, timeout=2) is not None
        network.remove(*rules)
        assert ask_ike(client, address, timeout=2) is not None
        network.reject(port=500)
        with client.socket() as sock:
            sock.settimeout(2)
            sock.connect((address, 500))
            sock.send(b"x")
            with pytest.raises(ConnectionRefusedError):
                sock.recv(10)
        network.clear()
        network.drop(min_size=100)
        assert ask_ike(client, address, timeout=0.6) is None
        network.clear()
        assert ask_ike(client, address, timeout=2) is not None
        gateway.freeze()
        assert ask_ike(client, address, timeout=0.6) is None
        gateway.thaw()
        assert ask_ike(client, address, timeout=5) is not None


def test_what_a_gateway_cannot_do_is_refused(gateway_by_name: Callable[..., Gateway]) -> None:
    certificates = Certificates("", "", "")
    with pytest.raises(Unsupported, match="certificates"):
        gateway_by_name("softether", GatewayConfig(certificates=certificates))
