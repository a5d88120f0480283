"""Answers to L2TP requests that come from another address than was asked: two tracks by their
hosts, one conversation by the tunnel ID that the client chose (RFC 2661 section 3.1)."""

from __future__ import annotations

from vpndiag.capture.l2tp_ids import TUNNEL, assigned, header_ids
from vpndiag.capture.material import L2tpTrack, Material
from vpndiag.capture.packets import End
from vpndiag.protocols.l2tp.constants import MessageType

_SCCRQ = int(MessageType.SCCRQ)  # members of an enumeration are slow to compare


def join(material: Material) -> None:
    """Move such answers to the request's track, marked; a client that waits for the address that it
    asked never sees them."""
    asked: dict[tuple[str, int], tuple[L2tpTrack, End]] = {}
    clear = [t for t in material.l2tp if not t.inside_esp]
    for track in clear:
        for m in [m for m in track.messages if m.control == _SCCRQ]:
            asked.setdefault((m.src[0], assigned(m.data, TUNNEL)), (track, m.dst))
    for track in filter(_answers_only, clear):
        first = track.messages[0]
        known = asked.get((first.dst[0], header_ids(first.data)[0]))
        if known is None or known[0] is track:
            continue
        home, gateway = known
        if any(m.src[0] == gateway[0] for m in home.messages):
            continue  # the one that was asked answers as well
        for m in track.messages:
            m.other_source = f"{m.src[0]}:{m.src[1]}"
            m.src = (gateway[0], m.src[1])
        home.messages = sorted(home.messages + track.messages, key=lambda m: m.frames[-1])
        track.messages = []
    material.l2tp = [t for t in material.l2tp if t.messages or t.data]


def lone(material: Material) -> int:
    """How many answers there are to a request that is not here."""
    return sum(_answers_only(t) for t in material.l2tp if not t.inside_esp)


def _answers_only(track: L2tpTrack) -> bool:
    if track.data or len({m.src[0] for m in track.messages}) != 1:
        return False
    return track.messages[0].control in (MessageType.SCCRP, MessageType.StopCCN)
