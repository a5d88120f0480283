"""The gateway's name: what each resolver says about A and AAAA, and what the system says.

Every configured name server is asked as in Happy Eyeballs: the next one when the one before has
failed or kept silent for 0.8 s, the earlier ones still being listened to. The first conclusive
answer (addresses, NXDOMAIN or NODATA) ends a question. Each server that was asked gets a row, so
a dead first resolver shows without costing more than that delay.

Search suffixes are applied to names without a dot only; for dotted names they are left to the
operating system, which knows its own rules, and is asked whenever DNS gave no address: names from
a hosts file, mDNS, NetBIOS or LLMNR come from there.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vpndiag.observations.network import NameAnswer, NameOutcome

if TYPE_CHECKING:
    import dns.message

RRType = Literal["A", "AAAA"]
Clock = Callable[[], float]

NEXT_SERVER_AFTER = 0.8
RETRY_AFTER = 1.6
SYSTEM_AFTER = 1.5
"""Seconds of silence after which the operating system is asked as well."""
MAX_SERVERS = 6
MAX_SUFFIXES = 3
CONCLUSIVE: frozenset[str] = frozenset({"answered", "nxdomain", "no-data"})


def literal(name: str) -> str | None:
    """The IP address that ``name`` is, without brackets, scope id kept; None for a real name."""
    text = name.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def ascii_name(name: str) -> str:
    """The name as DNS is asked for it (A-labels). Raises ValueError with a text for the user."""
    text = name.strip()
    if not text or text == ".":
        raise ValueError("the name is empty")
    if "://" in text:
        raise ValueError("this is a URL; the server's name alone is wanted")
    if any(character in text for character in "/?#@\\"):
        raise ValueError("a server name has no '/', '?', '#', '@' or backslash")
    if ":" in text or "[" in text or "]" in text:
        raise ValueError("neither an IPv6 address nor a name; a port cannot be given here")
    if any(character.isspace() for character in text):
        raise ValueError("a server name has no spaces")
    if not text.isprintable():
        raise ValueError("the name holds control or invisible characters")
    if not text.isascii():
        text = _idna(text)
    for label in text.removesuffix(".").split("."):
        if not label:
            raise ValueError("two dots in a row, or a dot at the start")
        if len(label) > 63:
            raise ValueError(f"a label of {len(label)} characters; 63 is the limit")
        if not all(c.isalnum() or c in "-_" for c in label):
            raise ValueError("characters that a host name cannot have")
        if label[0] == "-" or label[-1] == "-":
            raise ValueError("a label starts or ends with a hyphen")
    if len(text.removesuffix(".")) > 253:
        raise ValueError("longer than 253 characters")
    if text.removesuffix(".").rpartition(".")[2].isdecimal():
        raise ValueError("looks like an IPv4 address but is none")
    return text.lower()


def _idna(text: str) -> str:
    """IDNA 2008 where the ``idna`` package is installed, else Python's IDNA 2003."""
    try:
        module: Any = importlib.import_module("idna")
    except ImportError:
        module = None
    try:
        if module is not None:
            return bytes(module.encode(text, uts46=True)).decode("ascii")
        return text.lower().encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("not a valid internationalised name") from error


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


@dataclass(frozen=True, slots=True)
class Server:
    """A name server; ``shown`` is how it was written."""

    address: str
    port: int
    shown: str


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


TYPES: tuple[RRType, ...] = ("A", "AAAA")


def _any_address(tasks: Sequence[asyncio.Future[list[NameAnswer]]]) -> bool:
    return any(row.addresses for task in tasks if task.done() for row in task.result())


class Lookup:
    """Questions to these servers, all to be answered by ``deadline``."""

    def __init__(
        self, servers: list[Server], candidates: list[str], deadline: float, now: Clock
    ) -> None:
        self.servers, self.candidates = servers, candidates
        self.deadline, self.now = deadline, now

    async def ask(self, rrtype: RRType) -> list[NameAnswer]:
        """All candidate names in turn until one has an address."""
        rows: list[NameAnswer] = []
        for name in self.candidates:
            if self.deadline - self.now() <= 0:
                break
            rows += await self._race(name, rrtype)
            if rows and (rows[-1].addresses or not any(r.outcome in CONCLUSIVE for r in rows)):
                break
        return rows

    async def _race(self, name: str, rrtype: RRType) -> list[NameAnswer]:
        started: dict[asyncio.Task[NameAnswer], tuple[Server, float]] = {}
        waiting = list(self.servers)
        done: list[NameAnswer] = []
        try:
            while waiting or any(not task.done() for task in started):
                if waiting:
                    server = waiting.pop(0)
                    task = asyncio.ensure_future(self.one(name, rrtype, server))
                    started[task] = (server, self.now())
                patience = NEXT_SERVER_AFTER if waiting else self.deadline - self.now()
                until = min(self.now() + patience, self.deadline)
                while pending := [task for task in started if not task.done()]:
                    left = until - self.now()
                    if left <= 0:
                        break
                    await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                    if any(task.done() and _good(task) for task in started):
                        break
                    if waiting and all(task.done() for task in started):
                        break
                if any(task.done() and _good(task) for task in started):
                    break
                if self.deadline - self.now() <= 0:
                    break
        finally:
            rows: list[NameAnswer] = []
            for task, (server, begun) in started.items():
                if task.done() and not task.cancelled():
                    rows.append(task.result())
                    continue
                task.cancel()
                elapsed = self.now() - begun
                rows.append(
                    NameAnswer(
                        t=self.now(),
                        name=name,
                        rrtype=rrtype,
                        resolver=server.shown,
                        outcome="timeout",
                        seconds=elapsed,
                        detail=f"no answer in {elapsed:.1f} s",
                    )
                )
            # The conclusive row last: it is the one that decided.
            done = sorted(rows, key=lambda row: row.outcome in CONCLUSIVE)
        return done

    async def one(self, name: str, rrtype: RRType, server: Server) -> NameAnswer:
        """One server; asked twice, since a datagram may be lost or a spoofed answer be garbage."""
        begun = self.now()
        outcome: NameOutcome = "timeout"
        detail = ""
        for last in (False, True):
            left = self.deadline - self.now()
            if left <= 0:
                break
            wait = left if last else min(RETRY_AFTER, left)
            reply = await _exchange(name, rrtype, server, wait)
            if not isinstance(reply, tuple):
                return _read(reply, name, rrtype, server, begun, self.now)
            outcome, detail = reply
        elapsed = self.now() - begun
        if outcome == "timeout":
            detail = f"no answer in {elapsed:.1f} s"
        return NameAnswer(
            t=self.now(),
            name=name,
            rrtype=rrtype,
            resolver=server.shown,
            outcome=outcome,
            seconds=elapsed,
            detail=detail,
        )


def _good(task: asyncio.Task[NameAnswer]) -> bool:
    return task.result().outcome in CONCLUSIVE


async def _exchange(
    name: str, rrtype: RRType, server: Server, wait: float
) -> dns.message.Message | tuple[NameOutcome, str]:
    import dns.asyncquery
    import dns.exception
    import dns.message
    import dns.query

    # No EDNS: address records fit, truncation has TCP, and old forwarders choke on OPT.
    try:
        query = dns.message.make_query(name, rrtype, use_edns=False)
        async with asyncio.timeout(wait):
            reply, _used_tcp = await dns.asyncquery.udp_with_fallback(
                query, server.address, timeout=wait, port=server.port, ignore_unexpected=True
            )
    except (dns.exception.Timeout, TimeoutError):
        return "timeout", ""
    except dns.query.BadResponse:
        return "error", "an answer to another question"
    except (dns.exception.DNSException, EOFError, ValueError, struct.error):
        return "error", "an answer that does not decode"
    except OSError as error:
        return "error", f"cannot reach the resolver: {error.strerror or error}"
    return reply


def _read(
    reply: dns.message.Message,
    name: str,
    rrtype: RRType,
    server: Server,
    begun: float,
    now: Clock,
) -> NameAnswer:
    import dns.exception
    import dns.message
    import dns.rcode

    outcome: NameOutcome = "error"
    addresses: tuple[str, ...] = ()
    cnames: tuple[str, ...] = ()
    ttl: int | None = None
    code, detail = reply.rcode(), ""
    if code in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) and isinstance(
        reply, dns.message.QueryMessage
    ):
        try:
            chain = reply.resolve_chaining()
        except dns.exception.DNSException as error:
            detail = f"a contradictory answer ({type(error).__name__})"
        else:
            cnames = tuple(rrset[0].target.to_text(True) for rrset in chain.cnames)
            ttl = int(chain.minimum_ttl)
            if chain.answer is not None:
                addresses = tuple(str(record.address) for record in chain.answer)[:32]
            if code == dns.rcode.NXDOMAIN:
                outcome = "nxdomain"
            else:
                outcome = "answered" if addresses else "no-data"
    elif code == dns.rcode.SERVFAIL:
        outcome = "servfail"
    elif code == dns.rcode.REFUSED:
        outcome = "refused"
    else:
        detail = f"response code {dns.rcode.to_text(code)}"
    return NameAnswer(
        t=now(),
        name=name,
        rrtype=rrtype,
        resolver=server.shown,
        outcome=outcome,
        addresses=addresses,
        cnames=cnames,
        ttl=ttl,
        seconds=now() - begun,
        detail=detail,
    )


def configuration(resolvers: list[str] | None) -> tuple[list[Server], list[str]]:
    """The servers to ask and the search suffixes; None: those of this system.

    :raises ValueError: a resolver that is no address.
    """
    if resolvers is not None:
        return [_server(text) for text in resolvers[:MAX_SERVERS]], []
    import dns.exception
    import dns.resolver

    try:
        # dnspython reads resolv.conf, and the registry or WMI on Windows
        system = dns.resolver.Resolver(configure=True)
    except (dns.exception.DNSException, OSError):
        return [], []
    servers: list[Server] = []
    for text in dict.fromkeys(str(entry) for entry in system.nameservers):
        if literal(text) is not None and len(servers) < MAX_SERVERS:
            servers.append(Server(text, system.nameserver_ports.get(text, system.port), text))
    suffixes = [suffix.to_text(True) for suffix in system.search]
    if not suffixes and len(system.domain.labels) > 1:
        suffixes = [system.domain.to_text(True)]
    return servers, [suffix for suffix in suffixes if suffix]


def _server(text: str) -> Server:
    """``1.2.3.4``, ``1.2.3.4:5353``, ``2001:db8::1`` or ``[2001:db8::1]:5353``."""
    plain = literal(text)
    if plain is not None:
        return Server(plain, 53, plain)
    host, colon, port = text.rpartition(":")
    address = literal(host)
    if not colon or address is None or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not the address of a resolver")
    return Server(address, int(port), text)


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
