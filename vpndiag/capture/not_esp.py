"""What is between other hosts on UDP 4500 and is no ESP: QUIC, RTP or STUN of a program that was
given this port. ESP of one SPI counts up from packet to packet (RFC 4303 section 2.2)."""

from __future__ import annotations

from collections import defaultdict

from vpndiag.capture.material import FlowTrack, Hosts, Material
from vpndiag.capture.tally import Tally

NAME = "udp-4500"
"""Of the tally."""
SERVICES = range(1, 500)
"""Ports that no IPsec peer has, and no NAT gives to one: a DNS resolver's, a web server's."""
ENOUGH = 16
"""Packets between two hosts from which on it can be told."""
_FEW = 4
_WILD, _EACH = 1 << 24, 10_000
"""No recorder misses so many numbers in all, and for each packet that it kept."""


def leave_out(material: Material) -> None:
    """Count such packets and forget them, where two hosts speak no IKE."""
    known = {track.hosts for track in material.ike}
    strange: dict[Hosts, list[FlowTrack]] = defaultdict(list)
    for flow in material.flows:
        if flow.udp and flow.hosts not in known:
            strange[flow.hosts].append(flow)
    gone: set[int] = set()
    for flows in strange.values():
        packets = sum(f.packets for f in flows)
        uneven = packets >= ENOUGH and 2 * sum(f.packets for f in flows if _counts_up(f)) < packets
        for f in flows:
            if uneven or f.src[1] in SERVICES or f.dst[1] in SERVICES:
                gone.add(id(f))
                _tally(material, f)
    if gone:
        material.flows = [f for f in material.flows if id(f) not in gone]


def _counts_up(flow: FlowTrack) -> bool:
    if any(p.short for p in flow.parts):
        return True  # the numbers were not recorded
    lowest, highest = min(p.lowest for p in flow.parts), max(p.highest for p in flow.parts)
    ahead = highest - lowest
    wild = ahead > _WILD and ahead > _EACH * flow.packets
    backward = sum(p.late + p.stale - p.misfiled for p in flow.parts)
    return flow.packets >= _FEW and ahead > 0 and not wild and 2 * backward <= flow.packets


def _tally(material: Material, flow: FlowTrack) -> None:
    tally = material.tallies.setdefault(NAME, Tally(first_ns=flow.first_ns))
    first = flow.parts[0].first[0].frame + flow.offsets[0]
    if not tally.packets or first < tally.first_frame:
        tally.first_frame, tally.first_ns = first, flow.first_ns
    tally.packets += flow.packets
    tally.bytes += sum(p.bytes for p in flow.parts)
    tally.last_ns = max(tally.last_ns, flow.last_ns)
