"""What a capture without any L2TP/IPsec shows instead, in words: where it may have been made, and
what would be needed. A second look at its first packets; nothing of it is kept."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

from vpndiag.capture import ip
from vpndiag.capture.errors import CaptureError
from vpndiag.capture.files import open_capture
from vpndiag.capture.link import ETH_IP4, ETH_IP6, network
from vpndiag.observations.addresses import address_kind

LOOKED_AT = 5_000
"""Frames."""
_POINT = 101
_POINT_TO_POINT = frozenset((0, 9, 12, 14, 50, _POINT, 108, 166, 204, 228, 229))
"""Link types without a link-layer address: what tunnel adapters have."""
_NDISWAN = (b"\x20\x52\x45\x43\x56", b"\x20\x53\x45\x4e\x44")
"""``RECV`` and ``SEND``: what Windows' dial-up adapters have in place of MAC addresses."""
_KINDS = {ip.TCP: "TCP", ip.UDP: "UDP", ip.ICMP: "ICMP", ip.ICMP6: "ICMPv6"}
_INSIDE = ("private", "cgnat")


def described(path: Path) -> str:
    """One or two sentences; empty when there are no IP packets to speak of, or the file cannot be
    read twice."""
    ends: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    links: set[int] = set()
    try:
        if not path.is_file():
            return ""
        with open_capture(path) as capture:
            for frame in islice(capture, LOOKED_AT):
                inner = network(frame.linktype, frame.data)
                if inner is None or inner[0] not in (ETH_IP4, ETH_IP6):
                    continue
                packet = ip.parse_ip(frame.data, inner[1])
                if packet is None:
                    continue
                links.add(_POINT if frame.data[:5] in _NDISWAN else frame.linktype)
                kinds[_KINDS.get(packet.protocol, f"IP protocol {packet.protocol}")] += 1
                # In order: of two that are equal the first is named, each time.
                ends.update(dict.fromkeys((ip.address(packet.src), ip.address(packet.dst)), 1))
    except (CaptureError, OSError):
        return ""
    packets = sum(kinds.values())
    if not packets:
        return ""
    names = ", ".join(f"{name} ({count})" for name, count in kinds.most_common(4))
    own, most = ends.most_common(1)[0]
    text = f"It holds other IP traffic: {names}."
    if most < 0.9 * packets or packets < 3:
        return text
    text = f"It holds other IP traffic: {names}; nearly all of it to or from {own}."
    if links <= _POINT_TO_POINT and address_kind(own) in _INSIDE:
        text += (
            f" This may be the VPN's own adapter, with the address {own} that the VPN assigned: it "
            "shows only what is inside, after everything that can fail. Record on the interface "
            "that has the Internet connection (Wi-Fi, Ethernet, mobile), from before the attempt "
            "on; see docs/captures.md."
        )
    return text
