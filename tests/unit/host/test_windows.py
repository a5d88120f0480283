"""Windows' own VPN, from recorded output: what is seen, and what is made of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from tests.unit.host.recorded import Recorded
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.host import phonebook, powershell
from vpndiag.host.look import look
from vpndiag.observations import (
    HostConnection,
    HostInterface,
    HostResolvers,
    HostScope,
    HostService,
    HostSetting,
    HostUnknown,
    Observation,
    Resolver,
)
from vpndiag.report.model import Diagnosis

COMMAND = f"powershell -NoProfile -NonInteractive -Command {powershell.SCRIPT}"
PBK = r"C:\Users\alice.person\AppData\Roaming\Microsoft\Network\Connections\Pbk\rasphone.pbk"
PHONE_BOOK = """\
[Office]
Encoding=1
PBVersion=8
Type=2
AutoLogon=0
VpnStrategy=3
DataEncryption=8
PreSharedKey=do-not-read-this
CustomAuthKey=0
AuthRestrictions=544
IpPrioritizeRemote=1
IpSecFlags=1
NETCOMPONENTS=
ms_msclient=1

MEDIA=rastapi
Port=VPN2-0
Device=WAN Miniport (L2TP)

DEVICE=vpn
PhoneNumber=vpn.example.com
AreaCode=

[Modem]
Type=1
DEVICE=modem
PhoneNumber=5551234
"""


def answer(**changed: Any) -> dict[str, Any]:
    """What the script prints on a computer whose VPN is up; parts in ``changed`` differ."""
    parts: dict[str, Any] = {
        "addresses": [
            {"alias": "Wi-Fi", "address": "192.168.1.7", "length": 24},
            {"alias": "Wi-Fi", "address": "fe80::1c2%12", "length": 64},
            {"alias": "Office", "address": "10.99.1.1", "length": 32},
            {"alias": "Loopback Pseudo-Interface 1", "address": "127.0.0.1", "length": 8},
        ],
        "interfaces": [
            {"alias": "Wi-Fi", "mtu": 1500, "metric": 45, "state": "Connected"},
            {"alias": "Office", "mtu": 1400, "metric": 25, "state": "Connected"},
            {"alias": "Loopback Pseudo-Interface 1", "mtu": 4294967295, "metric": 75,
             "state": "Connected"},
            {"alias": "Ethernet", "mtu": 1500, "metric": 5, "state": "Disconnected"},
        ],
        "routes": [
            {"destination": "0.0.0.0/0", "via": "0.0.0.0", "alias": "Office", "metric": 26},
            {"destination": "0.0.0.0/0", "via": "192.168.1.1", "alias": "Wi-Fi", "metric": 4275},
            {"destination": "203.0.113.5/32", "via": "192.168.1.1", "alias": "Wi-Fi",
             "metric": 4251},
            {"destination": "192.168.1.0/24", "via": "0.0.0.0", "alias": "Wi-Fi", "metric": 4501},
        ],
        "dns": [
            {"alias": "Wi-Fi", "servers": ["192.168.1.1"]},
            {"alias": "Office", "servers": ["10.99.0.53"]},
            {"alias": "Ethernet", "servers": ["fec0:0:0:ffff::1"]},
        ],
        "services": [
            {"name": "IKEEXT", "state": "Running", "start": "Manual"},
            {"name": "PolicyAgent", "state": "Stopped", "start": "Manual"},
            {"name": "RasMan", "state": "Running", "start": "Automatic"},
        ],
        "policyagent": [{"AssumeUDPEncapsulationContextOnSendRule": 2}],
        "rasman": [{"ProhibitIpSec": None}],
        "connections": [
            {"name": "Office", "server": "vpn.example.com", "type": "L2tp",
             "login": ["MsChapv2"], "ipsec": "Psk", "split": False, "status": "Connected"},
        ],
        "udp": [
            {"port": 500, "address": "0.0.0.0", "program": "svchost"},
            {"port": 4500, "address": "::", "program": "svchost"},
            {"port": 1701, "address": "0.0.0.0", "program": "System"},
        ],
        "events": None,
    }  # fmt: skip
    return {**parts, **changed}


def idle(**changed: Any) -> dict[str, Any]:
    """The same while the VPN is not up."""
    up = answer()
    quiet = {
        part: [row for row in up[part] if row["alias"] != "Office"]
        for part in ("addresses", "interfaces", "routes", "dns")
    }
    connection = {**up["connections"][0], "status": "Disconnected"}
    return {**up, **quiet, "connections": [connection], **changed}


def seen(parts: object, /, *, book: str = "", sources: dict[str, str] | None = None,
         **scope: object) -> list[Observation]:  # fmt: skip
    machine = Recorded(
        {COMMAND: json.dumps(parts)},
        {PBK: book} if book else {},
        sources=sources or {"": "10.99.1.1"},
        environment={"APPDATA": r"C:\Users\alice.person\AppData\Roaming"},
    )
    return look(HostScope(t=0.0, system="Windows", **scope), machine)  # type: ignore[arg-type]


def judged(parts: object, /, **rest: Any) -> Diagnosis:
    return diagnose(seen(parts, **rest))


def one(observations: list[Observation], kind: type) -> list:  # type: ignore[type-arg]
    return [o for o in observations if type(o) is kind]


FAILED = [{"id": 20227, "at": "2026-03-01T08:00:00Z", "name": "Office", "error": "809"}]


def test_a_vpn_that_is_up_is_seen() -> None:
    found = seen(answer())
    links = {i.name: i for i in one(found, HostInterface)}
    assert (links["Office"].type, links["Office"].mtu) == ("l2tp", 1400)
    assert links["Loopback Pseudo-Interface 1"].mtu == 0
    connection = one(found, HostConnection)[0]
    assert (connection.type, connection.ipsec_auth, connection.login_methods) == (
        "L2TP", "psk", ("MsChapv2",)
    )  # fmt: skip
    servers = one(found, HostResolvers)[0]
    assert servers.resolvers == (
        Resolver("10.99.0.53", "Office"),
        Resolver("192.168.1.1", "Wi-Fi", last=True),
    )


def test_a_vpn_that_is_up_and_right_is_healthy() -> None:
    result = judged(answer(), gateway="vpn.example.com", internal_networks=("10.20.0.0/16",))
    assert result.verdict.outcome == "healthy" and not result.findings
    facts = {layer.id: layer for layer in result.layers}["routes"].facts
    assert facts["default route 1"] == "Office, metric 26"
    assert facts["default route 2"] == "Wi-Fi via 192.168.1.1, metric 4275"


def test_services_that_start_when_they_are_needed_are_no_fault() -> None:
    result = judged(idle())
    assert result.verdict.outcome == "inconclusive" and not result.findings
    assert [s.name for s in one(seen(idle()), HostService)] == ["IKEEXT", "PolicyAgent", "RasMan"]


@pytest.mark.parametrize(
    ("part", "rows", "code", "layer"),
    [
        ("services", [{"name": "IKEEXT", "state": "Stopped", "start": "Disabled"}],
         "ike.no-service", "ike"),
        ("services", [{"name": "IKEEXT", "state": "Running", "start": "Automatic"},
                      {"name": "PolicyAgent", "state": "Stopped", "start": "Disabled"}],
         "ipsec.no-service", "ipsec"),
        ("rasman", [{"ProhibitIpSec": 1}], "ipsec.prohibited", "ipsec"),
        ("udp", [{"port": 500, "address": "0.0.0.0", "program": "ncprwsnt"}],
         "path.port-taken", "path"),
    ],
)  # fmt: skip
def test_what_breaks_l2tp(part: str, rows: object, code: str, layer: str) -> None:
    result = judged(idle(**{part: rows}))
    assert (result.verdict.outcome, result.verdict.finding, result.verdict.layer) == (
        "failed", code, layer
    )  # fmt: skip


def test_the_nat_setting_is_a_note_and_after_error_809_a_warning() -> None:
    unset = {"policyagent": [{"AssumeUDPEncapsulationContextOnSendRule": None}]}
    note = judged(idle(**unset))
    assert [(f.code, f.severity) for f in note.findings] == [("ipsec.nat-setting", "info")]
    warned = judged(idle(**unset, events=FAILED))
    assert [(f.code, f.severity) for f in warned.findings] == [("ipsec.nat-setting", "warning")]
    assert "failed with error 809" in warned.verdict.headline
    assert "vpndiag explain 809" in warned.verdict.headline


def test_a_later_success_makes_the_last_failure_old() -> None:
    later = [{"id": 20225, "at": "2026-03-01T09:00:00Z", "name": "Office", "error": ""}, *FAILED]
    assert one(seen(idle(events=later)), HostConnection)[0].error == ""


def test_an_error_that_means_one_thing_is_that_finding() -> None:
    wrong = [{**FAILED[0], "error": "691"}]
    result = judged(idle(events=wrong))
    assert result.verdict.finding == "login.wrong-password"
    assert result.verdict.confidence == "medium"


def test_the_phone_book_is_read_without_secrets() -> None:
    entries = phonebook.entries(PHONE_BOOK)
    assert [e.name for e in entries] == ["Office"]
    assert (entries[0].type, entries[0].preshared_key, entries[0].full_tunnel) == (
        "L2TP", True, True
    )  # fmt: skip
    found = seen({}, book=PHONE_BOOK)
    connection = one(found, HostConnection)[0]
    assert (connection.type, connection.server, connection.full_tunnel) == (
        "L2TP", "vpn.example.com", "yes"
    )  # fmt: skip
    text = json.dumps([asdict(o) for o in found])
    assert "do-not-read-this" not in text and "alice" not in text


def test_arrays_that_powershell_5_wraps_are_read_all_the_same() -> None:
    def wrapped(value: Any) -> Any:
        if isinstance(value, list):
            return {"value": [wrapped(item) for item in value], "Count": len(value)}
        return {k: wrapped(v) for k, v in value.items()} if isinstance(value, dict) else value

    odd = {name: wrapped(part) for name, part in answer().items()}
    assert seen(odd) == seen(answer())


def test_the_script_asks_for_no_key_and_no_user() -> None:
    assert '"' not in powershell.SCRIPT
    for word in ("L2tpPsk", "UserName", "Properties[1]", "Message", "Password"):
        assert word not in powershell.SCRIPT


def test_without_powershell_everything_is_cannot_tell_and_nothing_failed() -> None:
    found = seen({}, book=PHONE_BOOK)
    assert {o.what for o in one(found, HostUnknown)} >= {"services", "routes", "resolvers"}
    assert {s.state for s in one(found, HostSetting)} == {"cannot-tell"}
    result = diagnose(found)
    assert result.verdict.outcome == "inconclusive" and not result.findings


def test_a_connection_of_another_type_to_the_gateway_is_told() -> None:
    other = {**answer()["connections"][0], "type": "Ikev2", "status": "Disconnected"}
    result = judged(idle(connections=[other]), gateway="VPN.example.com.")
    assert [f.code for f in result.findings] == ["l2tp.other-type"]


def test_split_tunnelling_past_the_internal_network() -> None:
    routes = [r for r in answer()["routes"] if r["alias"] != "Office"]
    result = judged(
        answer(routes=routes), sources={"10.99.0.53": "10.99.1.1", "": "192.168.1.7"},
        internal_networks=("10.20.0.0/16",),
    )  # fmt: skip
    assert result.verdict.finding == "routes.not-routed"


def test_the_local_resolver_before_the_vpn_s() -> None:
    metrics = [{**r, "metric": 90} if r["alias"] == "Office" else r
               for r in answer()["interfaces"]]  # fmt: skip
    assert [f.code for f in judged(answer(interfaces=metrics)).findings] == ["dns.asked-last"]


def test_no_vpn_at_all_is_not_applicable() -> None:
    assert judged(idle(connections=[])).verdict.outcome == "not_applicable"


@pytest.mark.parametrize(
    "junk",
    [[], 7, {"routes": 7}, {"dns": [{"servers": "x"}]}, {"services": [None, 3, "x"]},
     {"connections": [{"name": 7, "login": [1]}], "events": [{}]},
     {"addresses": {"alias": "Wi-Fi", "address": "999", "length": "x"}}],
)  # fmt: skip
def test_other_output_than_expected_raises_nothing(junk: object) -> None:
    judged(junk, gateway="203.0.113.5")


def test_what_is_no_json_is_nothing() -> None:
    for text in ("", "{", "[" * 99_999, "null", "\ufeff{}"):
        assert powershell.parts(text) == {}
