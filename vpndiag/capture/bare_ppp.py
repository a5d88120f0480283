"""PPP that was captured bare, or in PPPoE."""

from __future__ import annotations

from vpndiag.capture.frame import Frame
from vpndiag.capture.link import PADT
from vpndiag.capture.packets import PppPacket
from vpndiag.protocols.ppp.protocols import PPPOE


def ppp_packet(frame: Frame, at: int) -> PppPacket | None:
    """The control packet whose protocol field is ``at`` bytes into the frame; None: it is data."""
    data = frame.data
    if at >= 6 and data[at - 6 : at - 4] == PADT:
        return _padt(frame, at)
    short = data[at] & 1
    protocol = data[at] if short else data[at] << 8 | data[at + 1]
    if protocol < 0x8000:
        return None
    src = dst = ""
    session, end, outgoing = 0, len(data), None
    if frame.linktype in (204, 166):
        outgoing = data[0] != 0
    else:
        head = at - 2 if data[at - 2 : at] == b"\xff\x03" else at
        if head >= 6 and data[head - 6 : head - 4] == b"\x11\x00":
            session = data[head - 4] << 8 | data[head - 3]
            end = min(end, head + (data[head - 2] << 8 | data[head - 1]))
            if frame.linktype == 1:
                dst, src = data[:6].hex(":"), data[6:12].hex(":")
    payload = data[at + (1 if short else 2) : end]
    return PppPacket(frame.number, frame.time_ns, protocol, payload, src, dst, session, outgoing)


def _padt(frame: Frame, at: int) -> PppPacket:
    """The end of a PPPoE session (RFC 2516 section 5.5), with its tags ``at``."""
    data = frame.data
    src, dst = (data[6:12].hex(":"), data[:6].hex(":")) if frame.linktype == 1 else ("", "")
    session = int.from_bytes(data[at - 4 : at - 2])
    tags = data[at : at + int.from_bytes(data[at - 2 : at])]
    return PppPacket(frame.number, frame.time_ns, PPPOE, tags, src, dst, session, None)
