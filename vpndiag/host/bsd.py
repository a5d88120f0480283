"""What macOS' ``ifconfig``, ``netstat`` and ``ps`` print."""

from __future__ import annotations

import ipaddress
import re

from vpndiag.host.facts import MAX_ROWS, Interface, is_address, network_of
from vpndiag.observations import Route

_HEAD = re.compile(r"^([A-Za-z][\w.-]{0,30}): flags=[0-9a-f]+<([^>]*)>(?:.*?\bmtu (\d+))?")
_PREFIX = re.compile(r"prefixlen (\d+)")
_NETMASK = re.compile(r"netmask (0x[0-9a-f]{8}|[\d.]+)")


def interfaces(text: str) -> list[Interface]:
    """``ifconfig -a``. The mask of a point-to-point link means nothing: its address is a /32."""
    found: list[Interface] = []
    for line in text.splitlines():
        if match := _HEAD.match(line):
            flags = match[2].split(",")
            link = "ppp" if match[1].startswith("ppp") else ""
            link = "loopback" if "LOOPBACK" in flags else link
            found.append(Interface(match[1], "UP" in flags, int(match[3] or 0), link))
        elif found and line[:1].isspace():
            _address(found[-1], line)
    return found[:MAX_ROWS]


def _address(link: Interface, line: str) -> None:
    words = line.split()
    if len(words) < 2 or words[0] not in ("inet", "inet6"):
        return
    address = words[1].partition("%")[0]
    length: str | int
    if "-->" in words[:-1]:
        peer = words[words.index("-->") + 1].partition("%")[0]
        link.peer = peer if is_address(peer) and not link.peer else link.peer
        length = 128 if ":" in address else 32
    elif match := _PREFIX.search(line):
        length = match[1]
    elif match := _NETMASK.search(line):
        mask = match[1]
        length = str(ipaddress.IPv4Address(int(mask, 16))) if mask.startswith("0x") else mask
    else:
        return
    try:
        link.addresses.append(str(ipaddress.ip_interface(f"{address}/{length}")))
    except ValueError:
        return


def routes(text: str) -> list[Route]:
    """``netstat -rn``. Scoped routes (flag ``I``) serve only programs that ask for their interface
    and are left out; of several default routes without it the first is in force."""
    found: list[Route] = []
    column = 3
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["Destination", "Gateway"] and "Netif" in words:
            column = words.index("Netif")
            continue
        if len(words) <= column or "I" in words[2] or "R" in words[2]:
            continue
        destination = _destination(words[0], six=":" in words[1] or ":" in words[0])
        if destination is None:
            continue
        via = words[1].partition("%")[0]
        found.append(Route(destination, words[column], via if is_address(via) else ""))
    return found[: MAX_ROWS * 4]


def _destination(text: str, *, six: bool) -> str | None:
    """``default``, ``10``, ``192.168.1``, ``172.16/12``, ``fe80::%en0/64``: zero bytes at the end
    are left out, and without a length it is that of the bytes written."""
    if text == "default":
        return "::/0" if six else "0.0.0.0/0"
    address, slash, length = text.partition("/")
    address = address.partition("%")[0]
    if ":" not in address:
        parts = address.split(".")
        if not slash:
            length = str(8 * len(parts))
        address = ".".join(parts + ["0"] * (4 - len(parts)))
    return network_of(f"{address}/{length}" if length else address)


_PROCESS = re.compile(r"^([^\s:]{1,64}):(\d+)$")


def udp_sockets(text: str, names: dict[int, str]) -> dict[int, tuple[list[str], list[str]]]:
    """``netstat -anv -p udp``: by port the local addresses and the programs. Newer systems print
    ``process:pid``, older ones ``pid`` (``names``: of :func:`processes`)."""
    found: dict[int, tuple[list[str], list[str]]] = {}
    pid_at: int | None = None
    for line in text.splitlines():
        words = line.split()
        if "(state)" in words:
            tail = words[words.index("(state)") + 1 :]
            pid_at = 5 + tail.index("pid") if "pid" in tail else None
            continue
        if len(words) < 5 or not words[0].startswith("udp"):
            continue
        address, _, port = words[3].rpartition(".")
        if not port.isdecimal():
            continue
        addresses, programs = found.setdefault(int(port), ([], []))
        addresses.append("0.0.0.0" if address == "*" else address.partition("%")[0])
        process = next((m for m in map(_PROCESS.match, words[5:]) if m), None)
        if process:
            programs.append(process[1])
        elif pid_at is not None and len(words) > pid_at and words[pid_at].isdecimal():
            pid = int(words[pid_at])
            programs += [names[pid]] if pid in names else []
    return found


def processes(text: str) -> dict[int, str]:
    """``ps -axc -o pid=,comm=``."""
    found = {}
    for line in text.splitlines()[:8192]:
        pid, _, name = line.strip().partition(" ")
        if pid.isdecimal() and pid.isascii() and name.strip():
            found[int(pid)] = name.strip()[:64]
    return found
