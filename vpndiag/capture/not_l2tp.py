"""What is between two hosts on UDP 1701 and is no L2TP: QUIC, RTP or DNS of a program that was
given this port. Half of it or more has another version in its header, or bits that are reserved."""

from __future__ import annotations

from vpndiag.capture.material import L2tpTrack, Material
from vpndiag.capture.tally import Tally

NAME = "udp-1701"
"""Of the tally."""
_RESERVED = {1: 0x0FF0, 2: 0x34F0, 3: 0x37F0, 9: 0x0FF0}
"""By version, the bits that are sent as 0: L2F (RFC 2341 section 4.2), L2TP (RFC 2661 section 3.1)
and L2TPv3 (RFC 3931 section 4.1.2)."""
_T, _L_AND_S = 0x8000, 0x4800


def leave_out(material: Material) -> Tally | None:
    """Forget such packets. The count of them; None: there are none."""
    gone = [track for track in material.l2tp if not track.inside_esp and _strange(track)]
    if not gone:
        return None
    numbers = {id(track) for track in gone}
    material.l2tp = [track for track in material.l2tp if id(track) not in numbers]
    tally = Tally()
    for track in gone:
        firsts = [(m.time_ns, m.frames[0]) for m in track.messages[:1]]
        firsts += [(d.first_ns, d.first_frame) for d in track.data.values()]
        began = min(firsts)
        if not tally.packets or began < (tally.first_ns, tally.first_frame):
            tally.first_ns, tally.first_frame = began
        tally.packets += len(track.messages) + _data(track)
    return tally


def _strange(track: L2tpTrack) -> bool:
    first = track.messages[0].data if track.messages else b""
    if _proper(first) and first[1:2] not in (b"\x01", b"\x09"):  # L2F, with and without C
        return False
    data = _data(track)
    proper = sum(_proper(m.data) for m in track.messages) + data
    return 2 * proper <= len(track.messages) + data


def _data(track: L2tpTrack) -> int:
    """Data messages."""
    return sum(d.packets for d in track.data.values())


def _proper(data: bytes) -> bool:
    """Whether a header may be one of L2TP or its relatives, as far as it was recorded."""
    if len(data) < 2:
        return True
    flags = data[0] << 8 | data[1]
    version = flags & 15
    if flags & _RESERVED.get(version, 0xFFFF):
        return False
    return version in (1, 9) or not flags & _T or flags & _L_AND_S == _L_AND_S
