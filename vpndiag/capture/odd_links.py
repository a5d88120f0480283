"""Link types beyond our own reader (802.11, Bluetooth, USB and so on), through Scapy.

Slow per packet and 0.4 s to import, so it is loaded only when a capture has such frames.
"""

from __future__ import annotations

from typing import Any

from vpndiag.capture.link import ETH_IP4, ETH_IP6, Inner

_reader: Any = None


def _layers() -> Any:
    """Scapy's table of link types; None where Scapy is not installed or does not load."""
    global _reader
    if _reader is None:
        try:
            import scapy.layers.all  # noqa: F401
            from scapy.config import conf
        except Exception:  # an optional package that is broken must not end an analysis
            _reader = False
        else:
            conf.verb = 0
            _reader = conf.l2types
    return _reader or None


def network(linktype: int, data: bytes) -> Inner | None:
    """(Ethernet type, offset) of the IP packet in a frame; None when Scapy finds none. Never
    raises on any ``data``."""
    table = _layers()
    layer = table.num2layer.get(linktype) if table is not None else None
    if layer is None:
        return None
    try:
        packet = layer(data)
        for name, kind in (("IP", ETH_IP4), ("IPv6", ETH_IP6)):
            found = packet.getlayer(name)
            if found is not None and found.original:
                at = data.find(found.original)
                return (kind, at) if at >= 0 else None
    except Exception:  # Scapy's dissectors raise whatever they like on hostile bytes
        return None
    return None
