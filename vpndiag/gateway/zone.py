"""The DNS zone inside, answered with dnspython."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpndiag.gateway.config import Zone

_TTL = 60


def answer_query(zone: Zone, query: bytes) -> bytes | None:
    """The answer to one DNS message; None where none is due (not a query, not DNS).

    Names outside of the zone are refused, but for the servers of the root.
    """
    # dnspython costs start-up time that a gateway without DNS traffic need not pay.
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.rcode
    import dns.rdatatype
    import dns.rrset

    try:
        message = dns.message.from_wire(query)
        if message.flags & dns.flags.QR or len(message.question) != 1:
            return None
        response = dns.message.make_response(message, recursion_available=False)
        question = message.question[0]
        name, kind = question.name, question.rdtype
        origin = dns.name.from_text(zone.name)
        if name == dns.name.root and kind == dns.rdatatype.NS:
            # As a resolver answers it; clients ask this to see whether there is one.
            response.answer.append(dns.rrset.from_text(name, _TTL, "IN", "NS", f"ns.{zone.name}"))
            return response.to_wire()
        if not name.is_subdomain(origin):
            response.set_rcode(dns.rcode.REFUSED)
            return response.to_wire()
        response.flags |= dns.flags.AA
        hosts = {dns.name.from_text(h, origin): a for h, a in zone.hosts.items()}
        services = {dns.name.from_text(s, origin): v for s, v in zone.services.items()}
        soa = f"ns.{zone.name} admin.{zone.name} 1 3600 600 86400 60"
        found = None
        if name == origin and kind == dns.rdatatype.SOA:
            found = dns.rrset.from_text(name, _TTL, "IN", "SOA", soa)
        elif name in hosts and kind == dns.rdatatype.A:
            found = dns.rrset.from_text(name, _TTL, "IN", "A", str(hosts[name]))
        elif name in services and kind == dns.rdatatype.SRV:
            priority, weight, port, host = services[name]
            target = dns.name.from_text(host, origin).to_text()
            found = dns.rrset.from_text(
                name, _TTL, "IN", "SRV", f"{priority} {weight} {port} {target}"
            )
        if found is not None:
            response.answer.append(found)
        else:
            response.authority.append(dns.rrset.from_text(origin, _TTL, "IN", "SOA", soa))
            known = {origin, *hosts, *services}
            if not any(n.is_subdomain(name) for n in known):
                response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire(max_size=1232)
    except (dns.exception.DNSException, ValueError):
        return None
