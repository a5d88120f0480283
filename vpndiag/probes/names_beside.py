"""Beside the run: what the other resolvers say about the gateway's name, and what those outside say
about names of inside.

The run takes the first conclusive answer and goes on; here every resolver is heard: those of the
system and those that were named, and the operating system itself (hosts file, search suffixes,
mDNS), as every program asks it. Nothing of this holds the run up, and a resolver that keeps silent
does not hold up the report for longer than :data:`PATIENCE`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any

from vpndiag.observations.network import LocalRoutes, NameAnswer
from vpndiag.probes.aside import Beside
from vpndiag.probes.host_name import ascii_name, literal
from vpndiag.probes.name import MAX_SUFFIXES, system_answers
from vpndiag.probes.resolvers import CONCLUSIVE, TYPES, Lookup, RRType, Server, configuration
from vpndiag.records import record

PATIENCE = 1.2
"""Seconds that a resolver is given."""
MAX_NAMES = 12
"""Internal names that are asked outside."""
MAX_SERVERS = 6
NOWHERE = "invalid"
"""A top-level domain that never exists (RFC 6761 section 6.4)."""

Rows = list[NameAnswer]
_Role = Any


@record(frozen=True, slots=True, kw_only=True)
class CompareNames:
    """The aside: asks every resolver that the run did not need. ``resolvers``: those named by the
    user; those of the system are asked as well."""

    resolvers: tuple[str, ...] = ()
    getaddrinfo: Callable[..., Any] = socket.getaddrinfo

    async def __call__(self, beside: Beside) -> None:
        name = beside.options.gateway_name
        if not name or literal(name) is not None:
            return
        self._routes(beside)
        await _prepare()
        names = beside.names
        asked = _asked(name, names)
        known = {(a.resolver, a.rrtype) for a in names if a.outcome in CONCLUSIVE}
        servers, suffixes = await asyncio.to_thread(_servers, self.resolvers)
        deadline = beside.t() + PATIENCE
        look = Lookup(servers, [asked], deadline, beside.t)
        questions: list[Coroutine[Any, Any, Rows]] = [
            _one(look, asked, rrtype, server, "compared")
            for server in servers
            for rrtype in TYPES
            if (server.shown, rrtype) not in known
        ]
        nowhere = f"vpndiag-{os.urandom(6).hex()}.{NOWHERE}"
        questions += [_one(look, nowhere, "A", server, "nonexistent") for server in servers]
        if not any(a.resolver == "system" for a in names):
            questions.append(self._system(name, deadline, beside))
        if any(a.resolver == "system" and a.addresses for a in names) and "." in asked:
            # DNS does not know it and the system does: by a suffix?
            questions += [
                _one(look, f"{asked}.{suffix}", "A", server, "compared")
                for suffix in suffixes[:MAX_SUFFIXES]
                for server in servers[:2]
            ]
        for row in await _all(questions):
            beside.add(row)

    async def _system(self, name: str, deadline: float, beside: Beside) -> Rows:
        rows = await system_answers(name, deadline, beside.t, self.getaddrinfo)
        return [replace(row, role="compared") for row in rows]

    def _routes(self, beside: Beside) -> None:
        from vpndiag.host.local import default_addresses

        found = default_addresses()
        ipv4, ipv6 = (found[family] is not None for family in ("ipv4", "ipv6"))
        beside.add(LocalRoutes(t=beside.t(), ipv4=ipv4, ipv6=ipv6))


@record(frozen=True, slots=True, kw_only=True)
class OutsideNames:
    """The aside: asks the resolvers outside the tunnel for names of inside, as every client does
    that is not connected, or whose split tunnel leaves its resolver alone.

    That tells those resolvers the names; it is left out on demand (``--no-outside-names``).
    """

    names: tuple[str, ...]
    resolvers: tuple[str, ...] = ()

    async def __call__(self, beside: Beside) -> None:
        names = _host_names(self.names)
        if not names:
            return
        await _prepare()
        servers, _suffixes = await asyncio.to_thread(configuration, list(self.resolvers) or None)
        deadline = beside.t() + PATIENCE
        look = Lookup(servers, [], deadline, beside.t)
        # Of several resolvers the first that says anything is believed by every client.
        for row in await _all([_first(look, name, rrtype) for name in names for rrtype in TYPES]):
            beside.add(row)


async def _first(look: Lookup, name: str, rrtype: RRType) -> Rows:
    for server in look.servers[:2]:
        row = await look.one(name, rrtype, server)
        if row.outcome in CONCLUSIVE:
            return [replace(row, role="internal")]
    return []


async def _one(look: Lookup, name: str, rrtype: RRType, server: Server, role: _Role) -> Rows:
    return [replace(await look.one(name, rrtype, server), role=role)]


async def _all(questions: Sequence[Coroutine[Any, Any, Rows]]) -> Rows:
    """All rows, in the order of the questions."""
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return [row for part in await asyncio.gather(*tasks) for row in part]
    finally:
        for task in tasks:
            task.cancel()


async def _prepare() -> None:
    """dnspython takes a tenth of a second to load, which the run must not wait for."""
    for module in ("dns.asyncquery", "dns.resolver", "dns.rdtypes.IN.A", "dns.rdtypes.IN.AAAA"):
        await asyncio.to_thread(importlib.import_module, module)


def _servers(named: Iterable[str]) -> tuple[list[Server], list[str]]:
    """Those of the system first, then the named ones; the search suffixes."""
    servers, suffixes = configuration(None)
    more, _none = configuration(list(named))
    known = {(s.address, s.port) for s in more}
    kept = [s for s in servers if (s.address, s.port) not in known]
    return (more + kept)[:MAX_SERVERS], suffixes


def _asked(name: str, answers: Sequence[NameAnswer]) -> str:
    """The name in the form that gave the address (a suffix may have been added)."""
    for answer in answers:
        if answer.addresses and answer.resolver != "system":
            return answer.name
    return ascii_name(name)


def _host_names(names: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for text in names:
        if literal(text) is not None or text.startswith("_") or "." not in text.strip("."):
            continue
        try:
            found[ascii_name(text)] = None
        except ValueError:
            continue
    return list(found)[:MAX_NAMES]


__all__ = ["CompareNames", "OutsideNames"]
