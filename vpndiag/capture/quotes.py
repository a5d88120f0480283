"""ICMP errors, and the packets that they quote."""

from __future__ import annotations

from vpndiag.capture import ip
from vpndiag.capture.packets import IcmpError, Quote

_QUOTED = frozenset((ip.UDP, ip.ESP, ip.AH, ip.GRE, ip.L2TP3))


def icmp_error(number: int, time_ns: int, data: bytes, packet: ip.Packet) -> IcmpError | None:
    """The error in an ICMP packet of either version; None: no error, or of no packet of ours."""
    start, end = packet.start, packet.end
    six = packet.protocol == ip.ICMP6
    kind = data[start] if end >= start + 8 else 255
    if kind not in ((1, 2, 3, 4) if six else (3, 4, 5, 11, 12)):
        return None
    quote = _quote(data[:end], start + 8)
    if quote is None or quote.protocol not in _QUOTED:
        return None
    code, mtu = data[start + 1], 0
    if six and kind == 2:
        mtu = int.from_bytes(data[start + 4 : start + 8], "big")
    elif not six and (kind, code) == (3, 4):
        mtu = data[start + 6] << 8 | data[start + 7]
    src, dst = ip.address(packet.src), ip.address(packet.dst)
    version = 6 if six else 4
    return IcmpError(number, time_ns, src, dst, version, kind, code, mtu, quote)


def _quote(data: bytes, at: int) -> Quote | None:
    inner = ip.parse_ip(data, at)
    if inner is None:
        return None
    start, end = inner.start, inner.end
    sport = dport = 0
    spi: int | None = None
    if not inner.offset:
        if inner.protocol == ip.UDP and end >= start + 8:
            sport = data[start] << 8 | data[start + 1]
            dport = data[start + 2] << 8 | data[start + 3]
            start += 8
            if 4500 in (sport, dport) and end >= start + 4:
                spi = int.from_bytes(data[start : start + 4], "big") or None
        elif inner.protocol == ip.ESP and end >= start + 4:
            spi = int.from_bytes(data[start : start + 4], "big")
    return Quote(
        ip.address(inner.src),
        ip.address(inner.dst),
        inner.protocol,
        sport,
        dport,
        spi,
        inner.ident,
        data[start:end],
    )
