"""The local machine: system, privileges, UDP ports in use, addresses and networks.

Socket tricks and /proc instead of a dependency: what a platform does not tell without one is
None ("cannot tell here"), never a guess.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class System:
    name: str
    version: str
    administrator: bool


@dataclass(frozen=True, slots=True)
class PortState:
    """A UDP port here. ``bound_by``: local addresses it is bound on, None: cannot tell here.
    ``bind_error``: errno name from trying to bind it, None where that worked."""

    port: int
    bound_by: tuple[str, ...] | None
    bind_error: str | None


@dataclass(frozen=True, slots=True)
class LocalAddress:
    interface: str
    address: str
    network: str
    """In CIDR notation."""


def system() -> System:
    name = {"darwin": "macOS", "win32": "Windows", "linux": "Linux"}.get(
        sys.platform, platform.system()
    )
    version = platform.mac_ver()[0] if sys.platform == "darwin" else platform.release()
    return System(name, version, is_administrator())


def is_administrator() -> bool:
    if sys.platform == "win32":
        import ctypes

        try:
            return bool(ctypes.windll.shell32.IsUserAnAdmin())
        except (AttributeError, OSError):
            return False
    return os.geteuid() == 0


def udp_port_state(port: int, *, proc: Path = Path("/proc/net")) -> PortState:
    """Whether ``port`` is taken, by looking and by binding it for a moment on the wildcard."""
    error: str | None = None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            if sys.platform == "win32":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            sock.bind(("0.0.0.0", port))
        except OSError as failure:
            name = errno.errorcode.get(failure.errno or 0, f"E{failure.errno}")
            error = name.removeprefix("WSA")
    return PortState(port, _bound_by(port, proc), error)


def vpn_ports() -> tuple[PortState, ...]:
    """UDP 500, 4500 and 1701: taken means that another IPsec or L2TP client runs here."""
    return tuple(udp_port_state(port) for port in (500, 4500, 1701))


def _bound_by(port: int, proc: Path) -> tuple[str, ...] | None:
    found: list[str] = []
    read = False
    for name in ("udp", "udp6"):
        try:
            lines = (proc / name).read_text("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        read = True
        for line in lines:
            fields = line.split()
            try:
                address, _, number = fields[1].partition(":")
                if int(number, 16) == port:
                    found.append(_proc_address(address))
            except (IndexError, ValueError):
                continue
    return tuple(dict.fromkeys(found)) if read else None


def _proc_address(text: str) -> str:
    """/proc/net/udp writes addresses as 32-bit words in the machine's byte order."""
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return str(ipaddress.ip_address(raw))


def default_addresses() -> dict[Literal["ipv4", "ipv6"], str | None]:
    """The address that packets to the Internet would leave from; nothing is sent."""
    return {
        "ipv4": _source_towards(socket.AF_INET, "192.0.2.1"),
        "ipv6": _source_towards(socket.AF_INET6, "2001:db8::1"),
    }


def _source_towards(family: int, address: str) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
            return str(sock.getsockname()[0])
    except OSError:
        return None


def local_addresses() -> tuple[LocalAddress, ...] | None:
    """All addresses with their networks; None: cannot tell here (other than Linux with ``ip``)."""
    program = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
    if not sys.platform.startswith("linux") or program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-j", "addr", "show"], capture_output=True, timeout=2, check=False
        )
        return parse_ip_addr(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.SubprocessError):
        return None


def parse_ip_addr(output: bytes) -> tuple[LocalAddress, ...] | None:
    """What ``ip -j addr show`` printed; None when it is not that."""
    found: list[LocalAddress] = []
    try:
        for link in json.loads(output):
            for entry in link.get("addr_info", ()):
                if "local" not in entry:
                    continue
                face = ipaddress.ip_interface(f"{entry['local']}/{entry['prefixlen']}")
                found.append(LocalAddress(str(link["ifname"]), str(face.ip), str(face.network)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return tuple(found)
