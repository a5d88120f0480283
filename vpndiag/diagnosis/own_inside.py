"""The system's VPN that is up: its address, routes, MTU and resolvers. Rungs ``address`` to
``dns``; also what of a profile would overlap before it is up."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from vpndiag.diagnosis import inside
from vpndiag.diagnosis.own import OwnVpn
from vpndiag.diagnosis.ruling import Ruling, evidence, finding, not_reached, rule
from vpndiag.observations import HostInterface, HostWay, Resolver
from vpndiag.observations.addresses import address_kind
from vpndiag.report.model import Finding, Severity

LEAST_OVERHEAD = 66
"""Bytes that L2TP/IPsec adds at least: IP 20, ESP 8 with an 8-byte vector, 2 of trailer and a
12-byte check (RFC 4303, RFC 2451), UDP 8, L2TP 6 and PPP 2 (RFC 2661 section 3.1)."""


def address(own: OwnVpn) -> Ruling:
    vpn = own.vpn
    if vpn is None:
        return not_reached("address", "the VPN is not up")
    if not vpn.addresses:
        return rule("address", "inconclusive", summary=f"{vpn.name} has no address", seen=[vpn])
    taken = "" if vpn.type == "l2tp" else " (a PPP interface, taken for the VPN)"
    peer = f", gateway {vpn.peer}" if vpn.peer else ""
    return rule(
        "address",
        "passed",
        summary=f"{_plain(vpn.addresses[0])} on {vpn.name}{peer}{taken}",
        seen=[vpn],
    )


def _plain(interface: str) -> str:
    return interface.partition("/")[0]


def routes(own: OwnVpn) -> Ruling:
    vpn = own.vpn
    if vpn is None:
        found = _overlaps(own, None)
        if found:
            return rule("routes", "passed", *found, summary=found[0].detail.rstrip("."))
        return not_reached("routes", "the VPN is not up")
    overlapping = _overlaps(own, vpn)
    found = [*_gateway(own, vpn), *overlapping, *_not_routed(own, vpn, bool(overlapping)),
             *_default(own, vpn), *_unexpected(own, vpn)]  # fmt: skip
    found.sort(key=lambda f: f.severity != "error")
    failed = any(f.severity == "error" for f in found)
    seen = [vpn, *([own.routes] if own.routes else []), *own.of(HostWay)]
    return rule(
        "routes",
        "failed" if failed else "passed",
        *found,
        summary=found[0].detail.rstrip(".") if found else _tunnelling(own, vpn),
        seen=seen,
        facts=_facts(own, vpn),
    )


def _through(own: OwnVpn, vpn: HostInterface) -> list[str]:
    """Networks that are routed into the VPN, without its own ends."""
    ends = {_plain(a) for a in vpn.addresses} | {vpn.peer}
    return [
        r.destination for r in (own.routes.routes if own.routes else ())
        if r.interface == vpn.name and _plain(r.destination) not in ends
        and not r.destination.endswith("/128")
    ]  # fmt: skip


def _full(own: OwnVpn, vpn: HostInterface) -> bool | None:
    """All traffic goes into the VPN; None: not told."""
    ways = own.ways("internet")
    if not ways or not ways[0].source:
        return None
    return _into(ways[0], vpn)


def _into(way: HostWay, vpn: HostInterface) -> bool:
    return way.interface == vpn.name or way.source in {_plain(a) for a in vpn.addresses}


def _tunnelling(own: OwnVpn, vpn: HostInterface) -> str:
    full = _full(own, vpn)
    if full:
        return f"all traffic goes through {vpn.name} (full tunnelling)"
    nets = [n for n in _through(own, vpn) if ip_network(n).prefixlen > 0]
    if nets:
        more = f" and {len(nets) - 3} more" if len(nets) > 3 else ""
        return f"{', '.join(nets[:3])}{more} through {vpn.name} (split tunnelling)"
    return "what goes through the VPN is not told here"


def _facts(own: OwnVpn, vpn: HostInterface) -> dict[str, str]:
    facts: dict[str, str] = {}
    table = own.routes
    if table is not None and not table.known:
        facts["routes"] = "cannot be told here"
    for number, route in enumerate(
        [r for r in (table.routes if table else ()) if r.destination == "0.0.0.0/0"][:4], 1
    ):
        metric = "" if route.metric is None else f", metric {route.metric}"
        via = f" via {route.via}" if route.via else ""
        facts[f"default route {number}"] = f"{route.interface}{via}{metric}"
    nets = _through(own, vpn)
    if nets:
        facts["into the VPN"] = ", ".join(nets[:8])
    for way in own.ways("gateway"):
        facts["way to the gateway"] = f"{way.target} by {way.interface or way.source or 'no route'}"
    return facts


def _gateway(own: OwnVpn, vpn: HostInterface) -> list[Finding]:
    """The encrypted packets themselves would go into the tunnel."""
    for way in own.ways("gateway"):
        if way.source and _into(way, vpn):
            policy = own.routes is not None and own.routes.policy
            return [
                finding(
                    "routes.gateway-in-tunnel",
                    evidence(f"packets to the gateway {way.target} would leave by {vpn.name}, "
                             f"from {way.source}", way),
                    detail=f"The route to the VPN server {way.target} leads into the VPN itself "
                    f"({vpn.name}).",
                    confidence="medium" if policy else "high",
                )
            ]  # fmt: skip
    return _no_way_past(own, vpn)


def _no_way_past(own: OwnVpn, vpn: HostInterface) -> list[Finding]:
    """The gateway's address is not told, but everything goes into the VPN and no route leads past
    it: so the gateway is reached through it too, unless it is next door."""
    table = own.routes
    if own.ways("gateway") or table is None or not table.known or table.policy:
        return []
    past = [r for r in table.routes if r.interface != vpn.name and r.via
            and ip_network(r.destination).prefixlen > 1]  # fmt: skip
    if past or not _full(own, vpn):
        return []
    return [
        finding(
            "routes.gateway-in-tunnel",
            evidence(f"all traffic goes into {vpn.name}, and no route leads past it", table),
            detail=f"All traffic goes into the VPN ({vpn.name}), and there is no route to the VPN "
            "server past it.",
            severity="warning",
            confidence="medium",
        )
    ]


def _overlaps(own: OwnVpn, vpn: HostInterface | None) -> list[Finding]:
    scope = own.scope
    strong: Severity = "error" if vpn is not None else "warning"
    what: list[tuple[str, str, Severity]] = [
        *((n, f"the internal network {n}", strong) for n in scope.internal_networks),
        *((h, f"the internal host {h}", strong) for h in scope.internal_hosts),
        *((d, f"the DNS server {d}", strong) for d in _servers(own)),
    ]
    if vpn is not None:
        what += [(_plain(a), f"the VPN's address {_plain(a)}", "warning") for a in vpn.addresses
                 if not a.startswith("fe80")]  # fmt: skip
        if vpn.peer:
            what.append((vpn.peer, f"the gateway's inside address {vpn.peer}", "warning"))
    hits = [
        (f"{label} lies in this computer's own network {ip_interface(net).network} ({link.name})",
         severity, link)
        for link, net in own.networks
        for target, label, severity in what
        if inside.overlap(target, net)
    ]  # fmt: skip
    # A route of the VPN that is more specific than the local network wins: no harm is done.
    if not hits or (vpn is not None and not _harmed(own, vpn)):
        return []
    hits.sort(key=lambda hit: hit[1] != "error")
    first = hits[0][0]
    return [
        finding(
            "routes.overlap",
            *(evidence(text, link) for text, _, link in hits[:8]),
            detail=f"{first[0].upper()}{first[1:]}: traffic for it stays at home.",
            severity=hits[0][1],
            confidence="high" if hits[0][1] == "error" else "medium",
        )
    ]


def _harmed(own: OwnVpn, vpn: HostInterface) -> bool:
    ways = [*own.ways("internal"), *own.ways("dns")]
    return not ways or any(not _into(way, vpn) for way in ways)


def _not_routed(own: OwnVpn, vpn: HostInterface, overlapping: bool) -> list[Finding]:
    """Internal networks, hosts and DNS servers that are reached past the VPN, or not at all."""
    local = [net for _, net in own.networks] if overlapping else []
    past = [
        w for w in [*own.ways("internal"), *own.ways("dns")]
        if not _into(w, vpn) and not any(inside.overlap(w.target, net) for net in local)
        and (w.role == "internal" or address_kind(w.target) in ("private", "cgnat"))
    ]  # fmt: skip
    if past:
        w = past[0]
        by = f"goes out by {w.interface or w.source}" if w.source else "has no route"
        label = "The internal network" if "/" in w.wanted else "The internal host"
        label = "The DNS server" if w.role == "dns" else label
        return [
            finding(
                "routes.not-routed",
                *(evidence(f"{x.wanted or x.target}: by {x.interface or x.source or 'no route'}, "
                           f"not by {vpn.name}", x) for x in past[:8]),
                detail=f"{label} {w.wanted or w.target} {by}, not into the VPN.",
                confidence="certain",
            )
        ]  # fmt: skip
    known = own.routes is not None and own.routes.known
    if known and _full(own, vpn) is False and not _through(own, vpn) and not own.ways("internal"):
        return [
            finding(
                "routes.not-routed",
                evidence(f"no route but that to the gateway's end leads into {vpn.name}",
                         *([own.routes] if own.routes else [])),
                detail=f"Nothing but the VPN server itself is reached through {vpn.name}.",
                severity="warning",
                confidence="high",
            )
        ]  # fmt: skip
    return []


def _default(own: OwnVpn, vpn: HostInterface) -> list[Finding]:
    """The connection is meant to take all traffic, and does not."""
    connection = own.connected
    if connection is None or connection.full_tunnel != "yes" or _full(own, vpn) is not False:
        return []
    way = own.ways("internet")[0]
    return [
        finding(
            "routes.default-elsewhere",
            evidence(f'"{connection.name}" is set to take all traffic', connection),
            evidence(f"traffic to the Internet leaves by {way.interface or way.source}", way),
            detail=f"All traffic should go through the VPN, but it leaves by "
            f"{way.interface or way.source}: another default route wins.",
            severity="warning",
            confidence="high",
        )
    ]


def _unexpected(own: OwnVpn, vpn: HostInterface) -> list[Finding]:
    expected = own.scope.expected_addresses
    mine = [_plain(a) for a in vpn.addresses if ip_address(_plain(a)).version == 4]
    if not expected or not mine or any(inside.within(a, expected) for a in mine):
        return []
    return [
        finding(
            "routes.unexpected-address",
            evidence(f"{vpn.name} has {mine[0]}; the profile expects {', '.join(expected)}", vpn),
            detail=f"The assigned address {mine[0]} is not in the expected range.",
            severity="warning",
            confidence="certain",
        )
    ]


def mtu(own: OwnVpn) -> Ruling:
    vpn = own.vpn
    if vpn is None:
        return not_reached("mtu", "the VPN is not up")
    if not vpn.mtu:
        return not_reached("mtu", "the system does not tell it here")
    lines = {i.name: i for i in own.of(HostInterface) if i.type == "network" and i.up != "no"}
    outside = [lines[w.interface] for w in [*own.ways("gateway"), *own.ways("internet")]
               if w.interface in lines]  # fmt: skip
    line = outside[0] if outside else next(
        (i for i in lines.values() if i.mtu and i.addresses), None
    )  # fmt: skip
    if line is None or not line.mtu or vpn.mtu <= line.mtu - LEAST_OVERHEAD:
        return rule("mtu", "passed", summary=f"{vpn.name} has MTU {vpn.mtu}", seen=[vpn])
    most = line.mtu - LEAST_OVERHEAD
    too_large = finding(
        "mtu.interface-too-large",
        evidence(f"{vpn.name} has MTU {vpn.mtu}", vpn),
        evidence(f"{line.name}, which carries it, has MTU {line.mtu}", line),
        detail=f"{vpn.name} has MTU {vpn.mtu}; at most {most} fits into {line.name}'s {line.mtu} "
        "once it is encrypted.",
        severity="warning",
    )
    return rule("mtu", "passed", too_large, summary=too_large.detail.rstrip("."), seen=[vpn])


def _servers(own: OwnVpn) -> tuple[str, ...]:
    """The VPN's DNS servers: the profile's, or those that it assigned."""
    pushed = own.resolvers.pushed if own.resolvers else ()
    return own.scope.expected_dns or pushed


def dns(own: OwnVpn) -> Ruling:
    asked = own.resolvers
    if own.vpn is None:
        return not_reached("dns", "the VPN is not up")
    if asked is None or not asked.known:
        return not_reached("dns", "the system does not tell its resolvers here")
    wanted = _servers(own)
    facts = {"asked in this order": "; ".join(map(_shown, asked.resolvers[:8])) or "nobody"}
    if not wanted:
        reason = "the VPN's DNS servers are not known here; a profile can name them (expected_dns)"
        return rule("dns", "not_reached", reason=reason, facts=facts)
    used = [r for r in asked.resolvers if r.address in wanted]
    stub = [r for r in asked.resolvers if address_kind(r.address) == "loopback"]
    if not used and stub:
        reason = (
            f"a resolver on this computer ({stub[0].address}) is asked; whom it asks is not told"
        )
        return rule("dns", "not_reached", reason=reason, facts=facts)
    found: list[Finding] = []
    if not used:
        found.append(
            finding(
                "dns.not-used",
                evidence(f"the VPN's DNS: {', '.join(wanted)}; asked are "
                         f"{', '.join(r.address for r in asked.resolvers) or 'none'} "
                         f"({asked.source})", asked),
                detail=f"The VPN's DNS server {wanted[0]} is not asked by this computer.",
                confidence="high",
            )
        )  # fmt: skip
    elif all(r.last for r in used):
        found.append(
            finding(
                "dns.asked-last",
                evidence(f"asked in this order: {', '.join(map(_shown, asked.resolvers[:8]))} "
                         f"({asked.source})", asked),
                detail=f"The VPN's DNS server {used[0].address} is asked after "
                f"{asked.resolvers[0].address}.",
                severity="warning",
                confidence="medium",
            )
        )  # fmt: skip
    summary = found[0].detail.rstrip(".") if found else f"{_shown(used[0])} is asked"
    status = "failed" if not used else "passed"
    return rule("dns", status, *found, summary=summary, seen=[asked], facts=facts)  # type: ignore[arg-type]


def _shown(resolver: Resolver) -> str:
    link = f" ({resolver.interface})" if resolver.interface else ""
    only = [d for d in resolver.domains if d]
    domains = f" for {', '.join(only[:3])} only" if only else ""
    return f"{resolver.address}{link}{domains}"
