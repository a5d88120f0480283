"""Facts about the local machine."""

from __future__ import annotations

import pytest

from vpndiag.host import local
from vpndiag.observations.addresses import address_kind


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.1", "public"),
        ("100.64.0.1", "cgnat"),
        ("100.127.255.255", "cgnat"),
        ("100.128.0.1", "public"),
        ("169.254.1.1", "link-local"),
        ("127.0.0.53", "loopback"),
        ("192.0.2.1", "documentation"),
        ("198.18.0.1", "benchmark"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("255.255.255.255", "reserved"),
        ("2606:4700::1111", "public"),
        ("fd00::1", "private"),
        ("fe80::1%eth0", "link-local"),
        ("::1", "loopback"),
        ("2001:db8::1", "documentation"),
        ("64:ff9b::c000:201", "nat64"),
        ("::ffff:10.0.0.1", "private"),
        ("vpn.example.com", "invalid"),
    ],
)
def test_address_kinds(address: str, kind: str) -> None:
    assert address_kind(address) == kind


def test_the_system_has_a_name() -> None:
    assert local.system().name
