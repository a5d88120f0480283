"""The attempts on a PPP link that was captured bare, and who sent what in them.

Such a capture often does not say which side sent a packet: :mod:`vpndiag.capture.ppp_inferred`
tells. The side that is asked to prove itself is called the client.
"""

from __future__ import annotations

from dataclasses import field

from vpndiag.capture.material import PppTrack
from vpndiag.capture.packets import PppPacket
from vpndiag.capture.ppp_inferred import inferred
from vpndiag.capture.ppp_roles import LCP as LCP
from vpndiag.capture.ppp_roles import REQUEST, TERMINATE, TERMINATE_ACK, client_vote
from vpndiag.protocols.ppp.protocols import PPPOE
from vpndiag.records import record


@record(slots=True)
class PppRound:
    """One attempt on a link: from LCP's first request to the next round. ``sent`` tells for each
    packet whether the client sent it."""

    client: str
    gateway: str
    packets: list[PppPacket] = field(default_factory=list)
    sent: list[bool] = field(default_factory=list)
    begun: bool = True
    end_ns: int = 0

    @property
    def first_ns(self) -> int:
        return self.packets[0].time_ns

    @property
    def last_ns(self) -> int:
        return self.packets[-1].time_ns


def rounds(track: PppTrack) -> list[PppRound]:
    """The attempts on one link, directions told."""
    packets = track.packets
    if not packets:
        return []
    sides = _given(packets)
    if sides is None:
        sides = inferred(packets)
    client_side = _client(packets, sides)
    sent = [side == client_side for side in sides]
    names = _names(track, packets, sent)
    return _split(packets, sent, names)


def _given(packets: list[PppPacket]) -> list[int] | None:
    """Sides as the capture tells them: MAC addresses or direction."""
    if all(p.src for p in packets):
        one = min(min(p.src, p.dst) for p in packets)
        return [int(p.src != one) for p in packets]
    if all(p.outgoing is not None for p in packets):
        return [0 if p.outgoing else 1 for p in packets]
    return None


def _client(packets: list[PppPacket], sides: list[int]) -> int:
    """The side that proves itself, else the one that asks for an address, else the first."""
    votes = [0, 0]
    for p, side in zip(packets, sides, strict=True):
        vote = client_vote(p.protocol, p.payload)
        votes[side if vote > 0 else 1 - side] += abs(vote)
    if votes[0] == votes[1]:
        return sides[0]
    return int(votes[1] > votes[0])


def _names(track: PppTrack, packets: list[PppPacket], sent: list[bool]) -> tuple[str, str]:
    for p, by_client in zip(packets, sent, strict=True):
        if p.src:
            return (p.src, p.dst) if by_client else (p.dst, p.src)
    return "PPP client", "PPP server"


def _split(packets: list[PppPacket], sent: list[bool], names: tuple[str, str]) -> list[PppRound]:
    """A new round begins with LCP's first request after the link was terminated or silent."""
    found: list[PppRound] = []
    current: PppRound | None = None
    over = False
    for p, by_client in zip(packets, sent, strict=True):
        code = p.payload[0] if p.payload else 0
        fresh = p.protocol == LCP and code == REQUEST
        if current is None or (fresh and over):
            if current is not None:
                current.end_ns = p.time_ns
            current = PppRound(*names, begun=fresh)
            found.append(current)
            over = False
        current.packets.append(p)
        current.sent.append(by_client)
        if p.protocol == PPPOE or (p.protocol == LCP and code in (TERMINATE, TERMINATE_ACK)):
            over = True
    return found
