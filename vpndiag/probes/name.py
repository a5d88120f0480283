"""The gateway's name: what each resolver says about A and AAAA, and what the system says.

Search suffixes are applied to names without a dot only; for dotted names they are left to the
operating system, which knows its own rules, and is asked whenever DNS gave no address: names from
a hosts file, mDNS, NetBIOS or LLMNR come from there.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from vpndiag.observations.network import NameAnswer, NameOutcome

if TYPE_CHECKING:
    pass

from vpndiag.probes.host_name import ascii_name, literal
from vpndiag.probes.resolvers import TYPES, Clock, Lookup, RRType, configuration

SYSTEM_AFTER = 1.5
"""Seconds of silence after which the operating system is asked as well."""
MAX_SUFFIXES = 3


def addresses_to_try(
    answers: Iterable[NameAnswer], *, prefer: Literal["ipv4", "ipv6"] = "ipv4"
) -> list[str]:
    """Every address once, the preferred family first, in the order of the answers.

    IPv4 leads because L2TP/IPsec gateways rarely serve IPv6, whatever their AAAA record says.
    DNS answers come before those of the system.
    """
    ordered = sorted(answers, key=lambda a: a.resolver == "system")
    found = dict.fromkeys(address for answer in ordered for address in answer.addresses)
    first = ":" if prefer == "ipv6" else "."
    return sorted(found, key=lambda address: (":" if ":" in address else ".") != first)


async def look_up(
    name: str,
    *,
    resolvers: list[str] | None = None,
    timeout: float = 4.0,
    now: Clock,
    ask_system: bool | None = None,
    getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
) -> list[NameAnswer]:
    """Ask for A and AAAA of ``name``; one row for each question and resolver, A before AAAA.

    ``resolvers``: addresses, with ``:port`` or ``[v6]:port`` where it is not 53; None: the
    system's configuration. ``ask_system``: whether the operating system is asked when DNS gives no
    address; by default where no resolvers were named. An IP literal gives no rows, an illegal name
    two rows ``invalid``. Takes no more than ``timeout`` seconds. Rows' ``t`` is ``now()`` when the
    row was finished. Raises nothing but ValueError, for a resolver that is no address.
    """
    if literal(name) is not None:
        return []
    try:
        asked = ascii_name(name)
    except ValueError as error:
        detail = str(error)
        return [
            NameAnswer(
                t=now(),
                name=name[:255],
                rrtype=rrtype,
                resolver="",
                outcome="invalid",
                detail=detail,
            )
            for rrtype in TYPES
        ]
    servers, suffixes = configuration(resolvers)
    if ask_system is None:
        ask_system = resolvers is None
    candidates = [asked]
    if "." not in asked:
        candidates = [f"{asked}.{suffix}" for suffix in suffixes[:MAX_SUFFIXES]] + [asked]
    deadline = now() + timeout
    question = Lookup(servers, candidates, deadline, now)
    tasks = [asyncio.ensure_future(question.ask(rrtype)) for rrtype in TYPES]
    system: asyncio.Future[list[NameAnswer]] | None = None
    try:
        if ask_system:
            await asyncio.wait(tasks, timeout=SYSTEM_AFTER)
            if not _any_address(tasks):
                system = asyncio.ensure_future(system_answers(asked, deadline, now, getaddrinfo))
        rows = [row for part in await asyncio.gather(*tasks) for row in part]
        if system is not None:
            found = await system
            # When DNS has an address after all, the system's word adds nothing.
            if not any(row.addresses for row in rows):
                rows += found
        return rows
    finally:
        for task in (*tasks, system):
            if task is not None:
                task.cancel()


def _any_address(tasks: Sequence[asyncio.Future[list[NameAnswer]]]) -> bool:
    return any(row.addresses for task in tasks if task.done() for row in task.result())


async def system_answers(
    name: str, deadline: float, now: Clock, getaddrinfo: Callable[..., Any]
) -> list[NameAnswer]:
    """getaddrinfo in a daemon thread: it cannot be cancelled and may sit in it for half a minute,
    which a thread of the loop's pool would make the program wait for at its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Any] | OSError] = loop.create_future()
    begun = now()

    def settle(result: list[Any] | OSError) -> None:
        if not future.done():
            future.set_result(result)

    def work() -> None:
        result: list[Any] | OSError
        try:
            result = getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        except OSError as error:
            result = error
        except UnicodeError:
            result = OSError("the system does not take this name")
        try:
            loop.call_soon_threadsafe(settle, result)
        except RuntimeError:
            return  # the loop is closed, nobody waits any more

    threading.Thread(target=work, name="vpndiag-getaddrinfo", daemon=True).start()
    found: dict[RRType, list[str]] = {"A": [], "AAAA": []}
    outcome: NameOutcome = "no-data"
    detail = ""
    try:
        async with asyncio.timeout(max(0.0, deadline - now())):
            result = await future
    except TimeoutError:
        outcome, detail = "timeout", f"no answer in {now() - begun:.1f} s"
    else:
        if isinstance(result, OSError):
            outcome, detail = _system_error(result)
        else:
            for entry in result:
                if entry[0] in (socket.AF_INET, socket.AF_INET6):
                    rrtype: RRType = "A" if entry[0] == socket.AF_INET else "AAAA"
                    found[rrtype].append(str(entry[4][0]))
    return [
        NameAnswer(
            t=now(),
            name=name,
            rrtype=rrtype,
            resolver="system",
            outcome="answered" if found[rrtype] else outcome,
            addresses=tuple(dict.fromkeys(found[rrtype])),
            seconds=now() - begun,
            detail=detail,
        )
        for rrtype in TYPES
    ]


def _system_error(error: OSError) -> tuple[NameOutcome, str]:
    text = error.strerror or str(error)
    no_data = (getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None), 11004)
    if error.errno in (socket.EAI_NONAME, 11001):
        return "nxdomain", text
    if error.errno in no_data:
        return "no-data", text
    return "error", text
