"""What macOS' ``scutil --nc`` prints about VPN connections."""

from __future__ import annotations

import re

from vpndiag.host.facts import MAX_ROWS
from vpndiag.records import record

_SERVICE = re.compile(
    r'^\s*(\*?)\s*\((\w[\w ]{0,30})\)\s+([0-9A-Fa-f-]{36})\s+(.*?)\s*"(.*)"\s*(?:\[([^\]]*)\])?\s*$'
)
_PAIR = re.compile(r"^\s*([\w .\-]{1,64}?)\s*:\s*(.*?)\s*$")
_MAX_DEPTH = 8


@record(frozen=True, slots=True)
class Service:
    """A connection: ``kind`` is ``L2TP``, ``IPSec``, ``PPTP`` or an app's identifier."""

    identifier: str
    name: str
    kind: str
    status: str
    """``Connected``, ``Connecting``, ``Disconnected``, ``Disconnecting`` or ``Invalid``."""
    enabled: bool


def services(text: str) -> list[Service]:
    """``scutil --nc list``."""
    found = []
    for line in text.splitlines():
        if match := _SERVICE.match(line):
            enabled, status, identifier, display, name, label = match.groups()
            kind = (label or display).split(":")[-1].split("-->")[-1].strip()
            found.append(Service(identifier, name, kind, status.strip(), bool(enabled)))
    return found[:MAX_ROWS]


def dictionary(text: str) -> dict[str, str]:
    """The dictionaries that ``scutil --nc show`` and ``status`` print, flat:
    ``IPv4.InterfaceName``, ``IPv4.Addresses.0``, ``PPP.LastCause``."""
    found: dict[str, str] = {}
    path: list[str] = []
    for line in text.splitlines()[:2000]:
        if line.strip() == "}":
            path = path[:-1]
        elif line.rstrip().endswith("{"):
            name = re.split(r"\s*[:<]", line.strip(), maxsplit=1)[0].strip()
            if len(path) >= _MAX_DEPTH:
                return found
            path.append(name)
        elif path and (match := _PAIR.match(line)):
            # "Extended Status" is the name of the whole in one of the two commands.
            key = ".".join([p for p in path if p != "Extended Status"] + [match[1]])
            found.setdefault(key, match[2])
    return found
