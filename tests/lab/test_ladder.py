"""The whole ladder against real gateways: up to the address, and down where it must fail.

Every fault is followed at once by a healthy run: a client that leaves half a session behind makes
the next one fail on real gateways.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.faults import pki
from tests.faults.live import ROOT, Result, analyze, run
from tests.lab.config import GatewayConfig
from tests.lab.gateways import GATEWAYS, Gateway
from tests.lab.linuxgw import LinuxGateway

LINUX = ("strongswan", "libreswan")
GatewayByName = Callable[..., Gateway]


def told(result: Result, gateway: Gateway) -> str:
    return f"{result}\n{result.text}\n{gateway.log()[-6000:]}"


def healthy(gateway: Gateway, *options: str, **settings: object) -> Result:
    """A run that must reach the address."""
    with gateway.network() as network:
        result = run(network.client, network.address, *options, **settings)  # type: ignore[arg-type]
    assert result.outcome == "healthy" and result.code == 0, told(result, gateway)
    assert result.status("address") in ("passed", "warning"), told(result, gateway)
    return result


def broken(gateway: Gateway, *options: str, **settings: object) -> Result:
    with gateway.network() as network:
        return run(network.client, network.address, *options, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def schema() -> dict[str, object]:
    text = subprocess.run(
        [sys.executable, "-m", "vpndiag", "schema"], capture_output=True, check=True, cwd=ROOT
    ).stdout
    return dict(json.loads(text))


@pytest.mark.parametrize("privileged", [False, True], ids=["unprivileged", "root"])
def test_up_to_the_address(gateway: Gateway, privileged: bool, schema: dict[str, object]) -> None:
    result = healthy(gateway, privileged=privileged)
    jsonschema.validate(result.report, schema)
    login = next(layer for layer in result.report["layers"] if layer["id"] == "login")
    assert "MS-CHAPv2" in login["summary"]
    assert result.report["vantage"]["privileged"] is privileged or not privileged
    assert result.seconds < 12, told(result, gateway)


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("softether", "pap", "PAP"),
        ("strongswan", "pap", "PAP"),
        ("strongswan", "chap", "MD5"),
        ("libreswan", "chap", "MD5"),
        ("strongswan", "eap", "EAP"),
    ],
)
def test_other_ways_to_log_in(
    gateway_by_name: GatewayByName, name: str, method: str, said: str
) -> None:
    gateway = gateway_by_name(name, GatewayConfig(ppp_auth=(method,)))
    result = healthy(gateway, "--auth", method)
    login = next(layer for layer in result.report["layers"] if layer["id"] == "login")
    assert said in login["summary"]


@pytest.mark.parametrize("ike", ["windows", "macos", "android"])
def test_as_other_clients_offer(gateway_by_name: GatewayByName, ike: str) -> None:
    healthy(gateway_by_name("strongswan"), "--ike", ike)


@pytest.mark.parametrize("nat", ["client", "gateway", "both"])
def test_through_a_nat(gateway: Gateway, nat: str) -> None:
    with gateway.network(
        nat_client=nat in ("client", "both"), nat_gateway=nat in ("gateway", "both")
    ) as network:
        result = run(network.client, network.address)
    assert result.outcome == "healthy", told(result, gateway)


def test_wrong_key(gateway: Gateway) -> None:
    result = broken(gateway, psk="not-the-key")
    assert (result.code, result.finding) == (1, "auth.psk-mismatch"), told(result, gateway)
    healthy(gateway)


def test_wrong_password(gateway: Gateway) -> None:
    result = broken(gateway, password="not-the-password")
    assert (result.code, result.finding) == (1, "login.wrong-password"), told(result, gateway)
    healthy(gateway)


def test_wrong_password_and_no_reason_given(gateway_by_name: GatewayByName) -> None:
    """SoftEther answers a wrong PAP password by hanging up, without PAP's own refusal."""
    gateway = gateway_by_name("softether")
    result = broken(gateway, "--auth", "pap", password="not-the-password")
    assert (result.code, result.finding) == (1, "login.refused"), told(result, gateway)
    healthy(gateway)


def test_refused_phase_1_proposal(gateway: Gateway) -> None:
    """SoftEther refuses a group that it does not know by not answering."""
    result = broken(gateway, "--ike", "aes256-sha256-ecp256")
    expected = "ike.proposal-ignored" if gateway.name == "softether" else "ike.no-proposal-chosen"
    assert (result.code, result.finding) == (1, expected), told(result, gateway)
    healthy(gateway)


@pytest.mark.parametrize("name", GATEWAYS)
def test_refused_phase_2_proposal(gateway_by_name: GatewayByName, name: str) -> None:
    offer = "aes128-sha256" if name == "softether" else "3des-md5"
    gateway = gateway_by_name(name)
    result = broken(gateway, "--esp", offer)
    assert (result.code, result.finding) == (1, "ipsec.no-proposal-chosen"), told(result, gateway)
    healthy(gateway)


@pytest.mark.parametrize("moment", ["MM4", "IPCP"])
def test_interrupted(gateway: Gateway, moment: str, schema: dict[str, object]) -> None:
    """Ctrl-C: the report is written, and the gateway keeps nothing of the run."""
    result = broken(gateway, interrupt_at=moment)
    assert result.code == 130 and result.report["interrupted"] is True, told(result, gateway)
    jsonschema.validate(result.report, schema)
    if isinstance(gateway, LinuxGateway):
        assert remaining(gateway) == "", told(result, gateway)
    healthy(gateway)


def remaining(gateway: LinuxGateway) -> str:
    """ESP SAs and pppd processes that the gateway still has, given time to end them."""
    end = time.monotonic() + 6
    while True:
        left = gateway.machine.sh("ip xfrm state | grep ^src; pidof pppd; true").output.strip()
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.2)


def test_keys_are_renewed_while_connected(
    gateway_by_name: GatewayByName, schema: dict[str, object], tmp_path: Path
) -> None:
    """Both kinds, beside each other, without a packet lost; nothing is left of any of them."""
    gateway = gateway_by_name("strongswan")
    capture, keys = tmp_path / "run.pcapng", tmp_path / "keys"
    result = healthy(gateway, "--soak", "5s", "--capture", str(capture), "--keys-out", str(keys))
    jsonschema.validate(result.report, schema)
    told = [o for o in result.report["observations"] if o["kind"] == "rekey"]
    assert [(o["what"], o["outcome"]) for o in told] == [("ipsec", "renewed"), ("ike", "renewed")]
    assert max(o["stall"] for o in told) < 1.0, told
    assert len((keys / "ikev1_decryption_table").read_text().split()) == 2
    again = analyze(capture, "--keys", keys)
    assert (again.outcome, again.codes) == ("healthy", []), again.text
    assert isinstance(gateway, LinuxGateway)
    assert remaining(gateway) == "", told


@pytest.mark.parametrize("name", LINUX)
def test_certificates(gateway_by_name: GatewayByName, name: str, tmp_path: Path) -> None:
    gateway = gateway_by_name(
        name,
        GatewayConfig(
            ike_auth="certificate",
            certificates=pki.for_gateway(pki.gateway()),
            local_id=pki.GATEWAY_NAME if name == "strongswan" else None,
        ),
    )
    options = certificate_options(tmp_path)
    result = healthy(gateway, *options)
    assert re.search(r"certificate|RSA", json.dumps(result.report["layers"]), re.I)
    refused = broken(gateway, *certificate_options(tmp_path / "other", issuer="Another CA"))
    assert (refused.code, refused.layer) == (1, "auth"), told(refused, gateway)
    healthy(gateway, *options)


def certificate_options(folder: Path, issuer: str = "Lab CA") -> list[str]:
    folder.mkdir(exist_ok=True)
    own = pki.client(issuer=issuer)
    files = {"cert": own.pem, "key": own.key_pem, "ca": pki.authority().pem}
    for name, text in files.items():
        (folder / f"{name}.pem").write_text(text)
    return [w for name in files for w in (f"--{name}", str(folder / f"{name}.pem"))]
