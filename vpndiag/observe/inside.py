"""Answers inside the tunnel as observations: DNS and DHCP, whoever asked."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from vpndiag.observations.inside import InsideDhcp
from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.inner.dhcp import parse_routes
from vpndiag.report.text import visible

MAX_RECORDS = 16
_MOST = 0.9


def lost_first(asked: Sequence[tuple[float, float | None]]) -> int:
    """Echo requests, (seconds when sent, seconds to the answer or None), that were lost while the
    link came up. Those before the first that was answered; and where some packets take longer than
    others, ours that opened the link may have come that much later."""
    trips = sorted([trip for _, trip in asked if trip is not None])
    if not trips:
        return 0
    apart = trips[int(_MOST * (len(trips) - 1))] - trips[0]
    first = min(sent for sent, trip in asked if trip is not None)
    until = max(first, min(sent for sent, _ in asked) + apart)
    return sum([trip is None and sent < until for sent, trip in asked])


def dns_result(message: object, rrtype: str) -> dict[str, object]:
    """Outcome and records of a DNS response."""
    import dns.message
    import dns.rcode
    import dns.rdatatype

    assert isinstance(message, dns.message.Message)
    rcode = message.rcode()
    by_code = {
        dns.rcode.NXDOMAIN: "nxdomain",
        dns.rcode.SERVFAIL: "servfail",
        dns.rcode.REFUSED: "refused",
    }
    if rcode != dns.rcode.NOERROR:
        name = dns.rcode.to_text(rcode)
        return {"outcome": by_code.get(rcode, "error"), "detail": name}
    wanted = dns.rdatatype.from_text(rrtype)
    texts = [
        visible(item.to_text(), 120)
        for rrset in message.answer
        if rrset.rdtype == wanted
        for item in rrset
    ][:MAX_RECORDS]
    if not texts:
        return {"outcome": "no-data"}
    key = "addresses" if rrtype in ("A", "AAAA") else "records"
    return {"outcome": "answered", key: tuple(sorted(texts))}


def dhcp_answer(t: float, server: str, options: dict[int, bytes]) -> InsideDhcp:
    """What a DHCPACK of ``server`` with these options tells."""
    routes: list[str] = []
    for code in (121, 249):
        try:
            routes += parse_routes(options.get(code, b""))
        except DecodeError:
            continue
    return InsideDhcp(
        t=t,
        server=server,
        mask=(_addresses(options.get(1, b"")) or ("",))[0],
        routers=_addresses(options.get(3, b"")),
        dns=_addresses(options.get(6, b"")),
        domain=visible(options.get(15, b"").rstrip(b"\0"), 100),
        search=_search(options.get(119, b"")),
        routes=tuple(dict.fromkeys(routes)),
    )


def _addresses(data: bytes) -> tuple[str, ...]:
    whole = len(data) // 4 * 4
    return tuple(str(IPv4Address(data[i : i + 4])) for i in range(0, min(whole, 64), 4))


def _search(data: bytes) -> tuple[str, ...]:
    """Domain search list (RFC 3397); empty when it does not decode."""
    import dns.exception
    import dns.name

    names: list[str] = []
    at = 0
    try:
        while at < len(data) and len(names) < 16:
            name, used = dns.name.from_wire(data, at)
            names.append(visible(name.to_text(omit_final_dot=True), 100))
            at += used
    except (dns.exception.DNSException, ValueError, IndexError):
        return tuple(names)
    return tuple(names)
