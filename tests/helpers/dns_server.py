"""A DNS server on loopback whose behaviour is a table, for tests of look-ups."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


@dataclass
class Zone:
    """``records``: (name, "A"/"AAAA"/"CNAME") to values. ``behaviour``: name to ``silence``,
    ``servfail``, ``refused``, ``formerr``, ``garbage``, ``wrong-id``, ``truncated`` or
    ``drop-first`` or ``slow-first`` (0.4 s late, and nothing more); "*" stands for every name.
    Names that are nowhere get NXDOMAIN."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    behaviour: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    """Name, type and whether over TCP, of every query."""

    def respond(self, wire: bytes, *, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(True).lower()
        rrtype = question.rdtype.name
        how = self.behaviour.get(name, self.behaviour.get("*", ""))
        first = (name, rrtype, tcp) not in self.asked
        self.asked.append((name, rrtype, tcp))
        dropped = (how == "drop-first" and first) or (how == "slow-first" and not first)
        if how == "silence" or dropped:
            return None
        if how == "garbage":
            return wire[:2] + b"\x81\x80\xff\xff\xff"
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if how in ("servfail", "refused", "formerr"):
            response.set_rcode(dns.rcode.from_text(how.upper()))
            return response.to_wire()
        if how == "truncated" and not tcp:
            response.flags |= dns.flags.TC
            return response.to_wire()
        owner = name
        for _ in range(8):
            target = self.records.get((owner, "CNAME"))
            if target is None:
                break
            response.answer.append(dns.rrset.from_text(owner + ".", 60, "IN", "CNAME", *target))
            owner = target[0].removesuffix(".").lower()
        values = self.records.get((owner, rrtype))
        if values:
            response.answer.append(dns.rrset.from_text(owner + ".", 300, "IN", rrtype, *values))
        elif not any(known == owner for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if how == "wrong-id":
            response.id ^= 0xFFFF
        return response.to_wire()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = self.zone.respond(data, tcp=False)
        late = self.zone.behaviour.get(self.zone.asked[-1][0]) == "slow-first"
        if reply is not None and late:
            asyncio.get_running_loop().call_later(0.4, self.transport.sendto, reply, addr)
        elif reply is not None:
            self.transport.sendto(reply, addr)


@asynccontextmanager
async def dns_server(zone: Zone) -> AsyncIterator[str]:
    """Serve ``zone`` over UDP and TCP; yields ``127.0.0.1:port``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        reply = zone.respond(await reader.readexactly(size), tcp=True)
        if reply is not None:
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
        writer.close()

    tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = tcp.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(zone), local_addr=("127.0.0.1", port))
    try:
        yield f"127.0.0.1:{port}"
    finally:
        udp.close()
        tcp.close()
