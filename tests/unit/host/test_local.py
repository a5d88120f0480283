"""Facts about the local machine."""

from __future__ import annotations

import socket
from pathlib import Path

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


def test_a_taken_port_is_seen_by_binding() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        state = local.udp_port_state(port)
        assert state.bind_error in ("EADDRINUSE", "EACCES")
        assert state.bound_by in (None, ("127.0.0.1",))
    assert local.udp_port_state(port).bind_error is None


def test_proc_is_read_and_its_absence_is_not_taken_for_free(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address st\n"
    (tmp_path / "udp").write_text(head + "  1: 0100007F:11940 junk\n  2: 00000000:FFF1 0 07\nx\n")
    assert local.udp_port_state(0xFFF1, proc=tmp_path).bound_by == ("0.0.0.0",)
    assert local.udp_port_state(0xFFF2, proc=tmp_path).bound_by == ()
    assert local.udp_port_state(0xFFF2, proc=tmp_path / "none").bound_by is None


def test_what_ip_prints_becomes_addresses_and_networks() -> None:
    text = (
        b'[{"ifname":"eth0","addr_info":[{"local":"192.168.1.7","prefixlen":24},'
        b'{"local":"fe80::2","prefixlen":64},{"prefixlen":3}]},{}]'
    )
    assert local.parse_ip_addr(text) == (
        local.LocalAddress("eth0", "192.168.1.7", "192.168.1.0/24"),
        local.LocalAddress("eth0", "fe80::2", "fe80::/64"),
    )


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"7", b'[{"addr_info":[{"local":"x"}]}]'])
def test_other_output_is_cannot_tell(text: bytes) -> None:
    assert local.parse_ip_addr(text) is None


def test_the_system_has_a_name() -> None:
    assert local.system().name
    assert [state.port for state in local.vpn_ports()] == [500, 4500, 1701]
