"""Name servers: which there are, and one question to all of them as in Happy Eyeballs.

The next server is asked when the one before has failed or kept silent for 0.8 s, the earlier ones
still being listened to. The first conclusive answer (addresses, NXDOMAIN or NODATA) ends a
question. Each server that was asked gets a row, so a dead first resolver shows without costing
more than that delay.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from vpndiag.observations.network import NameAnswer, NameOutcome
from vpndiag.records import record

if TYPE_CHECKING:
    import dns.message

from vpndiag.probes.host_name import literal

RRType = Literal["A", "AAAA"]
Clock = Callable[[], float]

TYPES: tuple[RRType, ...] = ("A", "AAAA")
NEXT_SERVER_AFTER = 0.8
RETRY_AFTER = 1.6
MAX_SERVERS = 6
CONCLUSIVE: frozenset[str] = frozenset({"answered", "nxdomain", "no-data"})


@record(frozen=True, slots=True)
class Server:
    """A name server; ``shown`` is how it was written."""

    address: str
    port: int
    shown: str


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
        asked: set[asyncio.Task[dns.message.Message | tuple[NameOutcome, str]]] = set()
        try:
            for last in (False, True):
                left = self.deadline - self.now()
                if left <= 0:
                    break
                # The first question stays open: a slow resolver may answer it still.
                asked.add(asyncio.ensure_future(_exchange(name, rrtype, server, left)))
                until = self.now() + (left if last else min(RETRY_AFTER, left))
                while asked and (left := until - self.now()) > 0:
                    done, asked = await asyncio.wait(
                        asked, timeout=left, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        reply = task.result()
                        if not isinstance(reply, tuple):
                            return _read(reply, name, rrtype, server, begun, self.now)
                        outcome, detail = reply
        finally:
            for task in asked:
                task.cancel()
        elapsed = self.now() - begun
        if outcome == "timeout" and not detail:
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
        return "timeout", f"cannot reach the resolver: {error.strerror or error}"
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
