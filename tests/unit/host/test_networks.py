"""This computer's networks on every system: what a VPN's addresses are compared with."""

from __future__ import annotations

import json
import sys

import pytest

from tests.unit.host import linux_samples, test_macos
from tests.unit.host.recorded import Recorded
from vpndiag.host.look import system
from vpndiag.host.machine import Machine
from vpndiag.host.networks import local_networks, route_print
from vpndiag.observations import Route

PROC_ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
eth0\t000010AC\tFE01A8C0\t0003\t0\t0\t0\t0000F0FF\t0\t0\t0
"""
IF_INET6 = """\
fd000000000000000000000000000002 02 40 00 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""
ROUTE_PRINT_GERMAN = """\
===========================================================================
Schnittstellenliste
 12...00 00 5e 00 53 01 ......Intel(R) Wi-Fi 6
===========================================================================

IPv4-Routentabelle
===========================================================================
Aktive Routen:
     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik
          0.0.0.0          0.0.0.0      192.168.1.1      192.168.1.7     35
         10.0.0.0        255.0.0.0    192.168.1.254      192.168.1.7     36
        127.0.0.0        255.0.0.0   Auf Verbindung         127.0.0.1    331
      192.168.1.0    255.255.255.0   Auf Verbindung       192.168.1.7    291
      192.168.1.7  255.255.255.255   Auf Verbindung       192.168.1.7    291
        224.0.0.0        240.0.0.0   Auf Verbindung         127.0.0.1    331
===========================================================================
St\ufffdndige Routen:
  Netzwerkadresse          Netzmaske  Gatewayadresse  Metrik
       172.16.0.0        255.240.0.0    192.168.1.254       1
===========================================================================
"""


def test_linux_tells_connected_networks_and_those_behind_a_router() -> None:
    routed = {"dst": "10.0.0.0/8", "gateway": "192.168.1.254", "dev": "wlp2s0", "flags": []}
    machine = linux_samples.down(routes=json.dumps([*linux_samples.ROUTES, routed]))
    assert local_networks(machine, "Linux") == (
        "lo 127.0.0.0/8",
        "wlp2s0 192.168.1.0/24",
        "wlp2s0 fe80::/64",
        "wlp2s0 via 192.168.1.254 10.0.0.0/8",
    )


@pytest.mark.skipif(sys.byteorder == "big", reason="the sample is of a little-endian machine")
def test_linux_without_iproute2_reads_proc() -> None:
    machine = Recorded({}, {"/proc/net/route": PROC_ROUTE, "/proc/net/if_inet6": IF_INET6})
    assert local_networks(machine, "Linux") == (
        "eth0 192.168.1.0/24",
        "eth0 fd00::/64",
        "lo ::1/128",
        "eth0 via 192.168.1.254 172.16.0.0/12",
    )
    assert local_networks(Recorded(), "Linux") is None


def test_macos_tells_them_by_ifconfig_and_netstat() -> None:
    found = local_networks(Recorded(test_macos.OUTPUTS), "macOS") or ()
    assert "en0 192.168.1.0/24" in found
    assert "en0 via 192.168.1.254 172.16.0.0/12" in found
    assert local_networks(Recorded(), "macOS") is None


def test_windows_tells_them_in_any_language() -> None:
    machine = Recorded({"route print -4": ROUTE_PRINT_GERMAN})
    assert local_networks(machine, "Windows") == (
        "192.168.1.7 via 192.168.1.254 10.0.0.0/8",
        "192.168.1.7 192.168.1.0/24",
    )
    assert local_networks(Recorded(), "Windows") is None
    assert route_print(ROUTE_PRINT_GERMAN)[0] == Route(
        "0.0.0.0/0", "192.168.1.7", "192.168.1.1", 35
    )


def test_another_system_is_cannot_tell() -> None:
    assert local_networks(Recorded(), "other") is None


def test_half_of_the_internet_is_no_network_of_a_place() -> None:
    half = {"dst": "128.0.0.0/1", "gateway": "192.168.1.1", "dev": "wlp2s0", "flags": []}
    found = local_networks(linux_samples.down(routes=json.dumps([half])), "Linux")
    assert not any("128.0.0.0" in text for text in found or ())


@pytest.mark.skipif(system() == "other", reason="not a known system")
def test_this_computer_has_networks() -> None:
    assert any(
        text.startswith("lo") or "." in text for text in local_networks(Machine(), system()) or ()
    )
