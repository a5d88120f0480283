"""Control packets of a PPP link that was recorded bare."""

from __future__ import annotations

from vpndiag.capture.bare_ppp import ppp_packet
from vpndiag.capture.frame import Frame

LCP = b"\xc0\x21"


def test_a_frame_without_pppoe_is_no_padt_whatever_it_ends_with() -> None:
    data = b"\xff\x03" + LCP + b"\x09\x01\x00\x08\x11\xa7\x00\x00"
    packet = ppp_packet(Frame(1, 0, 0, 9, data, len(data)), 2)
    assert packet is not None and (packet.protocol, packet.payload) == (0xC021, data[4:])
