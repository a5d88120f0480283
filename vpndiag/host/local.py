"""The local machine: system, privileges, and the addresses that packets would leave from.

Socket tricks instead of a dependency: what a platform does not tell without one is None, never a
guess.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
from typing import Literal

from vpndiag.records import record


@record(frozen=True, slots=True)
class System:
    name: str
    version: str
    administrator: bool


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
