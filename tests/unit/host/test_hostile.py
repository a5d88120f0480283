"""Whatever a system tool prints: parsers give what they understand, and never raise."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.host import linux_samples, test_macos, test_networks, test_windows
from tests.unit.host.recorded import Recorded
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.host import (
    bsd,
    iproute,
    linuxvpn,
    networks,
    phonebook,
    powershell,
    procnet,
    resolvers,
    scutil,
    windows,
)
from vpndiag.host.look import look
from vpndiag.observations import HostScope


def _windows(text: str) -> None:
    told = powershell.parts(text)
    windows.interfaces(told.get("addresses"))
    windows.routes(told.get("routes"))


PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "ip addr": (iproute.addresses, linux_samples.OUTPUTS["ip -j addr show"]),
    "ip route": (iproute.routes, linux_samples.OUTPUTS["ip -j route show"]),
    "ip rule": (iproute.policy, linux_samples.OUTPUTS["ip -j rule show"]),
    "ss": (iproute.udp_sockets, linux_samples.SS),
    "/proc/net/route": (procnet.routes, test_networks.PROC_ROUTE),
    "if_inet6": (lambda text: procnet.interfaces("", text), test_networks.IF_INET6),
    "resolv.conf": (resolvers.resolv_conf, "nameserver 10.0.0.1\nsearch x\n"),
    "resolvectl": (lambda text: resolvers.resolved(text, text, text), linux_samples.RESOLVED_DNS),
    "nmcli": (linuxvpn.split_terse, linux_samples.NM_LIST),
    "ifconfig": (bsd.interfaces, test_macos.IFCONFIG),
    "netstat -rn": (bsd.routes, test_macos.NETSTAT),
    "netstat -anv": (lambda text: bsd.udp_sockets(text, {}), test_macos.UDP_OLD),
    "ps": (bsd.processes, test_macos.PS),
    "scutil list": (scutil.services, test_macos.LIST),
    "scutil status": (scutil.dictionary, test_macos.STATUS),
    "scutil dns": (resolvers.scutil_dns, test_macos.DNS),
    "route print": (networks.route_print, test_networks.ROUTE_PRINT_GERMAN),
    "powershell": (_windows, json.dumps(test_windows.answer())),
    "phone book": (phonebook.entries, test_windows.PHONE_BOOK),
}
every_parser = pytest.mark.parametrize("name", PARSERS)


@every_parser
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_read(name: str, text: str) -> None:
    PARSERS[name][0](text)


@every_parser
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_damaged_output_is_read(name: str, data: st.DataObject) -> None:
    parse, text = PARSERS[name]
    parse(_damaged(text, data))


def _damaged(text: str, data: st.DataObject) -> str:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.text(max_size=6)) + text[end:]
    return text


SYSTEMS = {
    "Linux": {**linux_samples.OUTPUTS},
    "macOS": {**test_macos.OUTPUTS},
    "Windows": {test_windows.COMMAND: json.dumps(test_windows.answer())},
}


@pytest.mark.parametrize("system", SYSTEMS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_output_is_judged(system: str, data: st.DataObject) -> None:
    outputs = dict(SYSTEMS[system])
    chosen = data.draw(st.sampled_from(sorted(outputs)))
    outputs[chosen] = _damaged(outputs[chosen], data)
    machine = Recorded(outputs, linux_samples.FILES, sources={"": "10.99.1.1"})
    scope = HostScope(
        t=0.0, system=system, gateway="203.0.113.5", internal_networks=("10.20.0.0/16",),  # type: ignore[arg-type]
        expected_dns=("10.99.0.53",), expected_addresses=("10.99.0.0/16",),
    )  # fmt: skip
    assert diagnose(look(scope, machine)).verdict.headline.isprintable()
