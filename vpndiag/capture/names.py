"""Look-ups of the gateway's name that a capture shows before an attempt."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from vpndiag.capture.packets import Message
from vpndiag.observations import NameAnswer
from vpndiag.report.text import visible

if TYPE_CHECKING:
    from vpndiag.capture.attempt import Attempt

BEFORE_NS = 120_000_000_000
_MAX = 8


def answers_for(
    answers: list[Message], attempt: Attempt, until_ns: int
) -> Iterator[tuple[Message, list[NameAnswer]]]:
    """DNS answers shortly before ``until_ns`` to this client that name the gateway's address."""
    if not answers:
        return
    try:
        packed = ip_address(attempt.gateway).packed
    except ValueError:
        return
    given = 0
    for d in answers:
        if (
            until_ns - BEFORE_NS <= d.time_ns <= until_ns
            and d.dst[0] == attempt.client
            and packed in d.data
            and not d.missing
            and given < _MAX
        ):
            found = _read(d, attempt.gateway)
            if found:
                given += 1
                yield d, found


def _read(d: Message, gateway: str) -> list[NameAnswer]:
    import dns.exception
    import dns.message
    import dns.rdatatype

    try:
        message = dns.message.from_wire(d.data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError, OverflowError):
        return []
    if not message.question or message.question[0].rdtype not in (
        dns.rdatatype.A,
        dns.rdatatype.AAAA,
    ):
        return []
    rrtype: Literal["A", "AAAA"] = "A" if message.question[0].rdtype == dns.rdatatype.A else "AAAA"
    addresses: list[str] = []
    cnames: list[str] = []
    ttl = None
    for rrset in message.answer[:64]:
        for record in list(rrset)[:64]:
            if rrset.rdtype == message.question[0].rdtype:
                addresses.append(record.to_text())
                ttl = rrset.ttl if ttl is None else min(ttl, rrset.ttl)
            elif rrset.rdtype == dns.rdatatype.CNAME:
                cnames.append(visible(record.to_text(), 200))
    if gateway not in addresses:
        return []
    name = visible(message.question[0].name.to_text(omit_final_dot=True), 200)
    return [
        NameAnswer(
            t=0.0,
            name=name,
            rrtype=rrtype,
            resolver=d.src[0],
            outcome="answered",
            addresses=tuple(addresses[:32]),
            cnames=tuple(cnames[:16]),
            ttl=ttl,
        )
    ]
