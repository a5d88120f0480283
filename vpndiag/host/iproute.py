"""What iproute2's ``ip -j`` and ``ss`` print (Linux)."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from vpndiag.host.facts import MAX_ROWS, Interface, network_of
from vpndiag.observations import Route

_USER = re.compile(r'\("([^"]{1,64})",pid=\d+')


def _rows(text: str) -> list[dict[str, Any]] | None:
    """The list of objects that ``ip -j`` prints; None when it is not that."""
    try:
        rows = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    return rows[:MAX_ROWS]


def addresses(text: str) -> list[Interface] | None:
    """``ip -j addr show``."""
    rows = _rows(text)
    if rows is None:
        return None
    found = []
    for row in rows:
        name = row.get("ifname")
        if not isinstance(name, str):
            continue
        flags = row.get("flags", ())
        mtu = row.get("mtu")
        link = Interface(
            name,
            up="UP" in flags if isinstance(flags, list) else None,
            mtu=mtu if isinstance(mtu, int) else 0,
            link=str(row.get("link_type", "")),
        )
        infos = row.get("addr_info", ())
        for entry in infos if isinstance(infos, list) else ():
            _address(link, entry)
        found.append(link)
    return found


def _address(link: Interface, entry: object) -> None:
    if not isinstance(entry, dict) or "local" not in entry:
        return
    try:
        face = ipaddress.ip_interface(f"{entry['local']}/{entry.get('prefixlen')}")
        link.addresses.append(str(face))
        if "address" in entry:  # the other end of a point-to-point link
            link.peer = str(ipaddress.ip_address(str(entry["address"])))
    except ValueError:
        return


def routes(text: str, *, ipv6: bool = False) -> list[Route] | None:
    """``ip -j route show`` and ``ip -j -6 route show``. Routes that refuse are left out."""
    rows = _rows(text)
    if rows is None:
        return None
    found = []
    for row in rows:
        dst, dev = row.get("dst"), row.get("dev")
        if not isinstance(dst, str) or not isinstance(dev, str) or row.get("type"):
            continue
        destination = network_of(("::/0" if ipv6 else "0.0.0.0/0") if dst == "default" else dst)
        if destination is None:
            continue
        metric = row.get("metric", 0)
        via = row.get("gateway", "")
        found.append(
            Route(destination, dev, via if isinstance(via, str) else "",
                  metric if isinstance(metric, int) else None)
        )  # fmt: skip
    return found


def policy(text: str) -> bool:
    """``ip -j rule show``: whether other tables than the usual three are asked."""
    usual = {"local", "main", "default"}
    return any(str(row.get("table", "main")) not in usual for row in _rows(text) or ())


def udp_sockets(text: str) -> dict[int, tuple[list[str], list[str]]]:
    """``ss -H -l -u -n -p``: by port the local addresses and, where told, the programs."""
    found: dict[int, tuple[list[str], list[str]]] = {}
    for line in text.splitlines():
        words = line.split(None, 5)
        if len(words) < 5:
            continue
        address, _, port = words[3].rpartition(":")
        if not port.isdecimal():
            continue
        addresses, programs = found.setdefault(int(port), ([], []))
        addresses.append(address.strip("[]").partition("%")[0] or "0.0.0.0")
        programs += _USER.findall(words[5] if len(words) > 5 else "")
    return found
