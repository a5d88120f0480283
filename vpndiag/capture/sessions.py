"""From tracks to sessions: one client, one gateway, one connection attempt.

What makes a new attempt: a new IKE SA (a new initiator cookie) of the same client after the
attempt before had ended or was silent. What does not: a retransmission (same cookie); a rekey
(the ESP of the attempt goes on while the new SA is made); IKE SAs that never get beyond message 2
and overlap an attempt (probes, other proposals). Which IKE SAs are of one client is told in
:mod:`~vpndiag.capture.lanes`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from vpndiag.capture.attempt import SECOND, SLACK, Attempt
from vpndiag.capture.calls import by_call
from vpndiag.capture.l2tp_attempts import clear, put_inside
from vpndiag.capture.lanes import SERVER_PORTS, called, client_ends, lanes_of, own_ends
from vpndiag.capture.material import (
    FlowTrack,
    Hosts,
    Material,
)
from vpndiag.capture.outer_mtu import is_sized, is_sized_head
from vpndiag.capture.ppp_sides import rounds
from vpndiag.capture.sketch import INFORMATIONAL, Sketch, sketch

PROBE = 5 * SECOND
"""A question beside a session that is up is given up sooner than this; an attempt is not."""


def sessions(material: Material, *, whole: bool = True) -> list[Attempt]:
    """All attempts, in order of their first packet. ``whole`` False: this is a share of a capture,
    so that what is alone here (:func:`strays`) may not be so in the capture."""
    by_hosts: dict[Hosts, list[Sketch]] = defaultdict(list)
    sized = [track for track in material.ike if is_sized(track)]
    apart = {id(track) for track in sized}
    flows: dict[Hosts, list[FlowTrack]] = defaultdict(list)
    for flow in material.flows:
        flows[flow.hosts].append(flow)
    for track in material.ike:
        if id(track) not in apart:
            by_hosts[track.hosts].append(sketch(track, flows.get(track.hosts, ())))
    found: list[Attempt] = []
    ipsec: dict[Hosts, list[Attempt]] = {}
    for pair in dict.fromkeys((*by_hosts, *flows)):
        made = _ipsec(by_hosts.get(pair, []), flows.get(pair, []))
        ipsec[pair] = made
        found += _placed(made, *_first_of(by_hosts.get(pair, []), flows.get(pair, [])))
    if whole:
        found = _adopt(found)
    for tunnel in material.l2tp:
        if tunnel.inside_esp:
            put_inside(tunnel, ipsec.get(tunnel.hosts, []))
        else:
            frames = [m.frames[-1] for m in tunnel.messages[:1]]
            first = min([*frames, *(d.first_frame for d in tunnel.data.values())])
            found += _placed(clear(tunnel, ipsec.get(tunnel.hosts, [])), 2, first)
    found = [call for attempt in found for call in by_call(attempt)]
    for link in material.ppp:
        for part in rounds(link):
            attempt = Attempt(part.client, part.gateway, ppp=part, begun=part.begun)
            found += _placed([attempt], 3, link.packets[0].frame)
    for attempt in found:
        attempt.span = attempt.first_ns, attempt.last_ns
    found.sort(key=lambda a: a.first_ns)
    _ends(found, material.last_ns)
    _errors(found, material)
    for track in sized:
        home = _at([a for a in found if a.key[0] == track.hosts], track.first_ns)
        if home is not None:
            home.sized.append(track)
    return found


def _placed(attempts: list[Attempt], kind: int, frame: int) -> list[Attempt]:
    for attempt in attempts:
        attempt.place = kind, frame
    return attempts


def _first_of(sketches: list[Sketch], flows: list[FlowTrack]) -> tuple[int, int]:
    if sketches:
        return 0, min(s.track.messages[0].frames[-1] for s in sketches)
    return 1, min(f.parts[0].first[0].frame + f.offsets[0] for f in flows)


def _ipsec(sketches: list[Sketch], flows: list[FlowTrack]) -> list[Attempt]:
    sketches.sort(key=lambda s: s.first_ns)
    notices = [s for s in sketches if s.notice]
    if len(notices) < len(sketches):
        # A gateway that has forgotten an SA may answer with cookies of its own making.
        sketches = [s for s in sketches if not s.notice]
    else:
        notices = []
    neighbours = _of_neighbours(sketches, flows)
    flows = [f for f in flows if f not in neighbours]
    lanes = lanes_of(sketches, flows)
    found: list[Attempt] = []
    left = list(flows)
    for number, lane in enumerate(lanes):
        mine = _flows_of(lane, flows) if len(lanes) > 1 else flows
        attempts = _attempts(lane, mine, number)
        _assign(attempts, [f for f in left if f in mine])
        found += attempts
        taken = {id(f) for a in attempts for f in a.flows}
        left = [f for f in left if id(f) not in taken]
    if left:
        # Of several clients here each has its own: this is of yet another.
        found.append(_flows_only(left, lane=len(lanes) if len(lanes) > 1 else 0))
    if neighbours:
        found.append(_flows_only(neighbours, lane=len(lanes) + (len(lanes) > 1 and bool(left))))
    for notice in notices:
        home = _at([a for a in found if a.ike], notice.first_ns)
        if home is not None:
            home.ike.append(notice)
    return found


def strays(found: Iterable[Attempt]) -> tuple[list[Attempt], list[Attempt]]:
    """IPsec attempts that came up and have no ESP, and ESP of which no IKE was seen."""
    bare = [a for a in found if a.ike and not a.flows and a.established_ns is not None]
    return bare, [a for a in found if a.flows and not a.ike]


def _adopt(found: list[Attempt]) -> list[Attempt]:
    """ESP between two hosts that no IKE was seen of, beside exactly one IPsec attempt that came up
    and has no ESP: its SAs are between other addresses than its IKE."""
    bare, orphans = strays(found)
    if len(bare) != 1 or len(orphans) != 1:
        return found
    home, orphan = bare[0], orphans[0]
    if orphan.first_ns < (home.established_ns or 0):
        return found
    home.flows = orphan.flows
    return [a for a in found if a is not orphan]


def _of_neighbours(sketches: list[Sketch], flows: list[FlowTrack]) -> list[FlowTrack]:
    """ESP in UDP that was going on already when the first IKE SA here was begun, or that is never
    answered, at another port than that one's: of another client behind the same address. A NAT
    keeps one port for all that a client sends to UDP 4500 (RFC 3948 section 2.2). And ESP without
    UDP that was going on already: of another tunnel, since IKE behind a marker means ESP in UDP."""
    begun = [s for s in sketches if s.opening and not called(s)]
    if not begun or not any(m.marker for s in sketches for m in s.track.messages):
        return []
    start, ends = min(s.first_ns for s in begun), {e for s in sketches for e in own_ends(s)}
    known = {f.spi for f in flows if f.src in ends or f.dst in ends}
    sources = {f.src for f in flows}
    return [
        f
        for f in flows
        if (f.first_ns < start or (f.udp and f.dst not in sources))
        and f.spi not in known
        and f.src not in ends and f.dst not in ends
    ]  # fmt: skip


def _flows_only(flows: list[FlowTrack], lane: int = 0) -> Attempt:
    """ESP whose IKE the capture does not show. The client is the side with an odd port, else the
    one that is seen to send first."""
    first = min(flows, key=lambda f: f.first_ns)
    client, gateway = first.src, first.dst
    if first.udp and first.src[1] in SERVER_PORTS and first.dst[1] not in SERVER_PORTS:
        client, gateway = gateway, client
    return Attempt(client[0], gateway[0], lane, begun=False, flows=flows)


def _flows_of(lane: list[Sketch], flows: list[FlowTrack]) -> list[FlowTrack]:
    """The flows of one client of several behind one address: by its ports, and by SPI when it has
    another port in the meantime (the NAT forgot it)."""
    ends = client_ends(lane)
    mine = [f for f in flows if f.src in ends or f.dst in ends]
    spis = {(f.spi, f.dst) for f in mine} | {(f.spi, f.src) for f in mine}
    return [f for f in flows if f in mine or (f.spi, f.dst) in spis or (f.spi, f.src) in spis]


def _attempts(lane: list[Sketch], flows: list[FlowTrack], number: int) -> list[Attempt]:
    found: list[Attempt] = []
    current: Attempt | None = None
    last = 0
    openings = [s for s in lane if s.opening]
    first_opening = min((s.first_ns for s in openings), default=None)
    before = [f for f in flows if first_opening is not None and f.first_ns < first_opening]
    for s in lane:
        if current is None and s.opening and before and _alive(before, s.first_ns):
            # A session that is older than the capture renews its keys.
            current = Attempt(*_sides(s), number, begun=False)
            found.append(current)
        elif current is None or not _belongs(current, s, last, flows):
            current = Attempt(*_sides(s), number, begun=s.opening and not called(s))
            found.append(current)
            last = 0
        current.ike.append(s)
        last = max(last, s.last_ns)
    return found


def _sides(s: Sketch) -> tuple[str, str]:
    """Client and gateway."""
    one, two = s.initiator[0], s.responder
    return (two, one) if called(s) else (one, two)


def _alive(flows: list[FlowTrack], at: int) -> bool:
    return any(f.first_ns < at < f.last_ns for f in flows)


def _belongs(current: Attempt, s: Sketch, last: int, flows: list[FlowTrack]) -> bool:
    """Whether an IKE SA is part of the attempt before it."""
    established = current.established_ns
    if established is not None and s.initiator[0] == current.gateway != current.client:
        return True
    if not s.opening:
        # Its beginning is not in the capture: an older SA that is still used beside the attempt.
        return s.first_ns <= last + SLACK or established is not None
    start = current.ike[0].first_ns
    if established is not None or not current.begun:
        mine = [f for f in flows if f.first_ns >= start - SECOND or not current.begun]
        short = s.first_ns <= last + SLACK and s.last_ns - s.first_ns < PROBE
        probe = not s.deep and (short or s.first_ns <= (established or start))
        return probe or _alive(mine, s.first_ns) or _renews(current, s, mine)
    if s.first_ns > last + SLACK:
        return False
    deep = [x for x in current.ike if x.deep]
    if not s.deep or not deep:
        return True
    return s.first_ns < max(x.last_ns for x in deep)


def _renews(current: Attempt, s: Sketch, flows: list[FlowTrack]) -> bool:
    """Whether an IKE SA is begun to renew the keys of a session in use that went both ways, and
    whose ESP is not seen any more just then: where a NAT is, a renewal begins on UDP 4500
    (RFC 3947 section 7) and another attempt on 500; and nobody had said goodbye."""
    before = [f for f in flows if f.first_ns < s.first_ns]
    if len({f.src[0] for f in before}) < 2:
        return False
    last = max(f.last_ns for f in before)
    first = s.track.messages[0]
    said = any(
        m.data[18] == INFORMATIONAL and m.time_ns >= last - SECOND
        for x in current.ike for m in x.track.messages
    )  # fmt: skip
    return s.first_ns - last <= SLACK and first.marker == before[-1].udp and not said


def _assign(attempts: list[Attempt], flows: list[FlowTrack]) -> None:
    """Give each flow to its attempt: by SPI when quick mode was read, else to the latest that had
    begun."""
    for flow in flows:
        by_spi = [a for a in attempts if any(flow.spi in s.spis for s in a.ike)]
        if by_spi:
            by_spi[-1].flows.append(flow)
            continue
        best: Attempt | None = None
        for attempt in attempts:
            older = not attempt.begun and best is None
            if older or (attempt.ike and attempt.ike[0].first_ns <= flow.first_ns + SECOND):
                best = attempt
        if best is not None:
            best.flows.append(flow)


def _ends(found: list[Attempt], last_ns: int) -> None:
    following: dict[tuple[Hosts, int, str], int] = {}
    for attempt in reversed(found):
        if attempt.ppp is not None:
            attempt.end_ns = attempt.ppp.end_ns or last_ns
            continue
        key = attempt.key
        after = following.get(key)
        attempt.end_ns = max(after if after is not None else last_ns, attempt.last_ns)
        following[key] = attempt.first_ns


def _errors(found: list[Attempt], material: Material) -> None:
    """ICMP errors and lost fragments go to the attempt whose packet they are about."""
    by_hosts: dict[Hosts, list[Attempt]] = defaultdict(list)
    for attempt in found if material.icmp or material.incomplete else ():
        by_hosts[attempt.key[0]].append(attempt)
    for error in material.icmp:
        attempts = by_hosts.get(_pair(error.quote.src, error.quote.dst), [])
        home = _at(attempts, error.time_ns)
        if home is not None:
            home.icmp.append(error)
    for lost in material.incomplete:
        if is_sized_head(lost.head):
            continue  # sent to find out just that
        home = _at(by_hosts.get(_pair(lost.src, lost.dst), []), lost.first_ns)
        if home is not None:
            home.incomplete.append(lost)


def _pair(one: str, two: str) -> Hosts:
    return (one, two) if one <= two else (two, one)


def _at(attempts: list[Attempt], time_ns: int) -> Attempt | None:
    """The attempt that was going on then."""
    best = None
    for attempt in attempts:
        if attempt.first_ns <= time_ns + SECOND:
            best = attempt
    return best
