"""Resolvers and their order: resolv.conf, ``resolvectl``, ``scutil --dns``."""

from __future__ import annotations

import re

from vpndiag.host.facts import MAX_ROWS, is_address
from vpndiag.observations import Resolver

_LINK = re.compile(r"^\s*(?:Link \d+ \(([^)]{1,64})\)|(Global)):\s*(.*)$")


def resolv_conf(text: str) -> list[Resolver]:
    """Servers of a ``resolv.conf``: each is asked only when those before it are silent (glibc, at
    most three)."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and is_address(words[1]):
            servers.append(words[1])
    return [Resolver(s, last=i > 0) for i, s in enumerate(dict.fromkeys(servers[:3]))]


def by_link(text: str) -> dict[str, list[str]]:
    """``resolvectl dns``, ``domain`` or ``default-route``: words by link (``""``: global)."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        match = _LINK.match(line)
        if match:
            found[match[1] or ""] = match[3].split()
    return found


def resolved(dns: str, domain: str, default_route: str) -> list[Resolver]:
    """systemd-resolved: a link with the routing domain ``~.`` is asked before all others; links
    that are no default route are asked for their own domains only; the rest at once."""
    servers, domains, default = by_link(dns), by_link(domain), by_link(default_route)
    first: list[Resolver] = []
    then: list[Resolver] = []
    only: list[Resolver] = []
    for link, addresses in servers.items():
        mine = domains.get(link, [])
        for text in addresses:
            address = text.partition("#")[0].partition("%")[0]
            if not is_address(address):
                continue
            if "~." in mine:
                first.append(Resolver(address, link))
            elif link and default.get(link, ["yes"])[:1] == ["no"]:
                only.append(Resolver(address, link, tuple(d.lstrip("~") for d in mine) or ("",)))
            else:
                then.append(Resolver(address, link))
    if first:
        then = [Resolver(r.address, r.interface, last=True) for r in then]
    return [*first, *then, *only][:MAX_ROWS]


_RESOLVER = re.compile(r"^resolver #\d+")
_FIELD = re.compile(r"^\s+([a-z_ ]+?)(?:\[\d+\])?\s*:\s*(.*)$")
_IF = re.compile(r"\d+ \(([^)]{1,64})\)")


def scutil_dns(text: str) -> list[Resolver]:
    """``scutil --dns``, its first part (the scoped one is for programs that name an interface).
    The first resolver is for all names; supplemental ones with a domain only for that."""
    found: list[Resolver] = []
    blocks: list[dict[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("DNS configuration (for scoped"):
            break
        if _RESOLVER.match(line):
            blocks.append({})
        elif blocks and (match := _FIELD.match(line)):
            blocks[-1].setdefault(match[1].strip(), []).append(match[2].strip())
    for number, block in enumerate(blocks[:MAX_ROWS]):
        link = _IF.search(" ".join(block.get("if_index", ())))
        domains = tuple(block.get("domain", ()))
        for address in block.get("nameserver", ()):
            if is_address(address):
                last = number > 0 and not domains
                found.append(Resolver(address, link[1] if link else "", domains, last=last))
    return found[:MAX_ROWS]
