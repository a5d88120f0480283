"""Which IKE SAs between two addresses are of one client.

Two clients behind one NAT have different UDP ports at the same time, and so different ``lane``
numbers. One client has several ports as well: it moves to UDP 4500, and a NAT may forget it.
"""

from __future__ import annotations

from vpndiag.capture.attempt import SECOND
from vpndiag.capture.material import FlowTrack
from vpndiag.capture.packets import End
from vpndiag.capture.sketch import Sketch, other_kind

SERVER_PORTS = (500, 4500, 1701)


def _component_of(sketches: list[Sketch]) -> list[list[Sketch]]:
    """SAs that share an end of the initiator's host: surely of one client."""
    groups: list[tuple[set[End], list[Sketch]]] = []
    for s in sketches:
        ends = set(s.ends)
        merged: tuple[set[End], list[Sketch]] = (ends, [s])
        rest = []
        for group in groups:
            if group[0] & merged[0]:
                merged = (group[0] | merged[0], group[1] + merged[1])
            else:
                rest.append(group)
        groups = [*rest, merged]
    found = [sorted(group, key=lambda s: s.first_ns) for _, group in groups]
    return sorted(found, key=lambda g: g[0].first_ns)


def lanes_of(sketches: list[Sketch], flows: list[FlowTrack]) -> list[list[Sketch]]:
    """One list for each client: components that are busy at the same time, or of another make, are
    different ones."""
    if len({e for s in sketches for e in s.ends}) <= 1:
        return [sketches] if sketches else []
    lanes: list[list[Sketch]] = []
    for component in _component_of(sketches):
        home = next((lane for lane in lanes if _back(component, lane)), None)
        if home is not None:
            home += component
            home.sort(key=lambda s: s.first_ns)
            continue
        for lane in lanes:
            if (
                lane[0].initiator[0] == component[0].initiator[0]
                and not _at_once(component, lane, flows)
                and not other_kind(lane[0], component[0])
            ):
                lane += component
                lane.sort(key=lambda s: s.first_ns)
                break
        else:
            lanes.append(component)
    return lanes


def _at_once(one: list[Sketch], two: list[Sketch], flows: list[FlowTrack]) -> bool:
    """Whether both are busy at the same time, beyond message 2; or one is, while the other repeats
    message 1: a client that has gone on does not, and one that begins anew has left off."""
    spans = [
        [(*_span(s, flows), s.deep) for s in each if s.deep or _insists(s)] for each in (one, two)
    ]
    return any(
        (a[2] or b[2]) and a[0] + slack < b[1] and b[0] + slack < a[1]
        for a in spans[0]
        for b in spans[1]
        for slack in (0 if a[2] and b[2] else SECOND,)
    )


def _insists(s: Sketch) -> bool:
    """Message 1 of main mode, again and again, not answered."""
    return (
        s.opening
        and s.version == 1
        and s.last_ns - s.first_ns >= 2 * SECOND
        and all(s.sent)
        and len(s.sent) >= 3
    )


def _back(component: list[Sketch], lane: list[Sketch]) -> bool:
    """Whether these are SAs that the gateway began with the client of ``lane``, whose session was
    up: gateways begin no sessions, they renew keys, or try to get back a client that is gone. One
    that fails at the proof is told for itself."""
    first, client = component[0], lane[0].initiator[0]
    return (
        first.initiator[0] != client
        and first.initiator[0] == lane[0].responder
        and all(s.opening and (not s.deep or s.established_ns is not None) for s in component)
        and any(s.established_ns is not None and s.established_ns < first.first_ns for s in lane)
        and first.track.messages[0].dst in client_ends(lane)
    )


def client_ends(lane: list[Sketch]) -> set[End]:
    client = lane[0].initiator[0]
    return {e for s in lane if s.initiator[0] == client for e in own_ends(s)}


def called(s: Sketch) -> bool:
    """Whether a gateway began this SA with a client behind a NAT: it goes from UDP 4500 to a port
    that only a NAT makes (RFC 3947 section 4)."""
    first = s.track.messages[0]
    to = first.dst[1]
    return s.opening and first.marker and s.initiator[1] == 4500 and to not in SERVER_PORTS


def own_ends(s: Sketch) -> set[End]:
    """UDP ends of the client."""
    return {s.track.messages[0].dst} if called(s) else s.ends


def _span(s: Sketch, flows: list[FlowTrack]) -> tuple[int, int]:
    """From when to when an SA, or ESP between the same ends, was in use."""
    ends = own_ends(s)
    last = s.last_ns
    for flow in flows:
        if flow.udp and (flow.src in ends or flow.dst in ends) and flow.first_ns >= s.first_ns:
            last = max(last, flow.last_ns)
    return s.first_ns, last
