"""The inside of one attempt's tunnel, from users' packets, as a live run observes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_address, ip_network

from vpndiag.capture import inside_apps, inside_echo, inside_names
from vpndiag.capture.asked import Asked
from vpndiag.capture.attempt import Attempt
from vpndiag.capture.inside_log import End, InsideIndex
from vpndiag.capture.inside_part import Part, dotted
from vpndiag.observations import (
    InsideName,
    InsidePing,
    InsideScope,
    InsideTraffic,
    Observation,
    PppMessage,
)
from vpndiag.observe.inside import dhcp_answer

DEFAULT_MRU = 1500
MAX_ADDRESSES = 32
HOME = 24
"""Bits of a home network's prefix: its mask is in no packet."""
_NONE = ("", "0.0.0.0")


def inside(
    attempt: Attempt,
    index: InsideIndex,
    asked: Asked | None,
    ppp: Sequence[PppMessage],
    t: Callable[[int], float],
) -> list[Observation]:
    """Empty where no address was assigned, or where one direction cannot be read: then silence
    says nothing. ``asked`` None: nobody said what matters."""
    if asked is None and index.empty:
        return []
    scope = _scope(ppp, asked, _outer(attempt))
    if scope is None or not _readable(attempt):
        return []
    spis = {f.spi: attempt.sent(f) for f in attempt.flows}

    def by_client(source: End) -> bool | None:
        if attempt.client == attempt.gateway:  # told by ports, and by who began
            return source == attempt.clear[0].src if attempt.clear else None
        return {attempt.client: True, attempt.gateway: False}.get(source[0])

    part = Part(index, scope, asked, spis, by_client, t, attempt.first_ns, attempt.last_ns)
    flows = part.own(index.flows)
    plain, sized, traced = inside_echo.echoes(part)
    names = inside_names.names(part, flows)
    pings = inside_echo.pings(part, plain)
    found: list[Observation] = [scope, *names, *_dhcp(part)]
    if asked is None:
        traffic = _traffic(part)
        found += [traffic] if traffic is not None else []
        found += pings[:MAX_ADDRESSES]
    else:
        found += _asked_pings(part, asked, pings, names)
        alive = {p.target for p in pings if p.alive}
        found += inside_echo.sizes(part, sized, alive)
    found += inside_echo.traces(part, traced, flows)[:MAX_ADDRESSES]
    found += inside_apps.apps(part, flows, names)
    return found


def _readable(attempt: Attempt) -> bool:
    """Whether both directions of ESP could be read wherever there was any."""
    return all(f.stats is not None and (f.stats.verified or f.stats.truncated or
               f.stats.transform == "NULL") for f in attempt.flows)  # fmt: skip


def _outer(attempt: Attempt) -> str:
    """The client's address, where it is private and the gateway is not its neighbour."""
    try:
        client, gateway = ip_address(attempt.client), ip_address(attempt.gateway)
    except ValueError:
        return ""
    home = ip_network(f"{client}/{HOME}", strict=False) if client.version == 4 else None
    return str(client) if home is not None and client.is_private and gateway not in home else ""


def _scope(ppp: Sequence[PppMessage], asked: Asked | None, outer: str) -> InsideScope | None:
    """What IPCP and LCP agreed on; None: no address."""
    acks = {(m.protocol, m.direction): m for m in ppp if m.code == "Configure-Ack"}
    ours, theirs = acks.get(("IPCP", "in")), acks.get(("IPCP", "out"))
    if ours is None or theirs is None:
        return None
    options, peer = dict(ours.options), dict(theirs.options).get("IP-Address", "")
    address = options.get("IP-Address", "")
    if address in _NONE:
        return None
    dns = [options.get(name, "") for name in ("Primary-DNS", "Secondary-DNS")]
    apps = asked.apps if asked is not None else ()
    return InsideScope(
        t=max(ours.t, theirs.t),
        frames=(*ours.frames, *theirs.frames),
        address=address,
        peer="" if peer in _NONE else peer,
        dns=tuple(dict.fromkeys(d for d in dns if d not in _NONE)),
        mru_out=_mru(acks.get(("LCP", "out"))),
        mru_in=_mru(acks.get(("LCP", "in"))),
        internal_names=asked.names if asked is not None else (),
        internal_hosts=asked.hosts if asked is not None else (),
        internal_domain=asked.domain if asked is not None else "",
        apps=tuple(a.text for a in apps),
        watched=asked is None,
        outer=outer if asked is None else "",
    )


def _mru(ack: PppMessage | None) -> int:
    text = dict(ack.options).get("MRU", "") if ack is not None else ""
    return int(text) if text.isascii() and text.isdigit() else DEFAULT_MRU


def _asked_pings(
    part: Part, asked: Asked, pings: list[InsidePing], names: list[InsideName]
) -> list[InsidePing]:
    """Pings of what a run pings: the gateway, DNS servers and hosts that were asked for."""
    hosts = {a for h in asked.hosts for a in inside_apps.addresses_of(h, names)}
    return [p for p in pings if p.role != "host" or p.target in hosts]


def _dhcp(part: Part) -> list[Observation]:
    acks = part.own(part.index.acks, out=False)[:1]
    return [dhcp_answer(part.t(a.first_ns), dotted(a.server), a.options) for a in acks]


def _traffic(part: Part) -> InsideTraffic | None:
    """Whom users' packets asked, and who sent anything to them."""
    out = part.own(part.index.pairs)
    back = part.own(part.index.pairs, out=False)
    asked = {dotted(p.target): p for p in out if _is_host(p.target, part)}
    answered = {dotted(p.sender): p for p in back}
    if not out and not back:
        return None
    beyond = [a for a in answered if a != part.scope.peer]
    asking = list(asked.values())
    return InsideTraffic(
        t=part.t(min(p.first_ns for p in (*out, *back))),
        frames=tuple(sorted(p.frame for p in asking)[:8]),
        last_t=part.t(max((p.last_ns for p in asking), default=part.until_ns)),
        sent=sum(p.packets for p in asking),
        received=sum(p.packets for p in back),
        asked=tuple(a for a, p in asked.items() if p.packets > 1)[:MAX_ADDRESSES],
        answered=tuple(beyond)[:MAX_ADDRESSES],
        peer_answered=part.scope.peer in answered,
    )


def _is_host(address: bytes, part: Part) -> bool:
    """One host behind the gateway: no group, no broadcast, not the gateway."""
    number = IPv4Address(address)
    return not (
        number.is_multicast
        or number.is_unspecified
        or number.is_loopback
        or address[3] == 255
        or str(number) in (part.scope.peer, part.scope.address)
    )
