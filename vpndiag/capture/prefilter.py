"""One pass over a capture that keeps what tells the story and counts the rest.

Kept (see :mod:`vpndiag.capture.packets`): UDP 500, 4500, 1701 and 53, IKE on any other port, ICMP
errors about our kinds of packet, PPP control packets, datagrams that lack fragments. ESP is
counted per SPI in :class:`EspFlows`. All else goes into tallies."""

from __future__ import annotations

from collections.abc import Iterator

from vpndiag.capture import ip
from vpndiag.capture.bare_ppp import ppp_packet
from vpndiag.capture.errors import Note, Unsupported
from vpndiag.capture.files import CaptureFile
from vpndiag.capture.flow_table import EspFlows
from vpndiag.capture.flow_values import FlowKey, Sample
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.frame import Frame
from vpndiag.capture.layout import Layout
from vpndiag.capture.link import ETH_IP4, ETH_IP6, ETH_PPP, network, supported
from vpndiag.capture.overlays import PORTS, in_gre, in_udp
from vpndiag.capture.packets import (
    EspPacket,
    Kept,
    Message,
)
from vpndiag.capture.ports import Ports
from vpndiag.capture.quotes import icmp_error
from vpndiag.capture.reassembly import Reassembler
from vpndiag.capture.share import Share
from vpndiag.capture.tally import MAX_ENDS, Tally
from vpndiag.capture.ways import Ways

_MAX_DEPTH = 3
_REASSEMBLED = frozenset((ip.UDP, ip.ESP, ip.AH, ip.GRE, ip.ICMP, ip.ICMP6, ip.L2TP3))


class Prefilter:
    """Iterate once to get the kept packets in capture order; then the counters are complete.

    ``flows``     ESP by SPI and direction
    ``tallies``   by name: ``natt-keepalive``, ``ah``, ``gre``, ``pptp-gre``, ``pptp-control``,
                  ``l2tpv3``, ``wireguard``, ``ike-tcp``, ``pppoe-discovery``, ``ppp-data``,
                  ``tcp``, ``udp``, ``icmp``, ``ip-other``, ``not-ip``, ``fragment``
    ``frames``, ``first_ns``, ``last_ns``, ``notes``   of the whole file

    ``keep_esp`` hands every ESP packet on as well, which is many times slower. ``fast`` False
    goes the slow way for all packets (to test the fast ones against). With a ``share`` most of what
    is not in it is left out. ``every_size`` as for :class:`EspFlows`."""

    def __init__(
        self,
        capture: CaptureFile,
        *,
        keep_esp: bool = False,
        fast: bool = True,
        share: Share | None = None,
        every_size: bool = False,
    ) -> None:
        self.capture = capture
        self.keep_esp = keep_esp
        self.flows = EspFlows(every_size)
        self.tallies: dict[str, Tally] = {}
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._linktype = -1
        self._fragments = Reassembler()
        self._ports = Ports()
        self._unsupported: dict[int, int] = {}
        self._out: list[Kept] = []
        fast = fast and not keep_esp
        self._ways = Ways(capture.reader, self.flows, self._out, share, fast=fast)
        self._size = 0

    @property
    def frames(self) -> int:
        """Frames read so far."""
        return self.capture.reader.number

    @property
    def odd_ports(self) -> bool:
        """Whether ESP or L2TP may be between other ports, as packets in this file say."""
        return bool(self._ports.odd or self._ports.l2tp)

    @property
    def notes(self) -> list[Note]:
        """What was wrong with the file, and link types that could not be read."""
        extra = [Unsupported(frame, link) for link, frame in self._unsupported.items()]
        return [*self.capture.notes, *extra]

    def __iter__(self) -> Iterator[Kept]:
        """:raises CaptureError: when the operating system fails to read the file on."""
        out, ways = self._out, self._ways
        frames = iter(self.capture)
        window = self.capture.reader.window
        handle = self._frame
        base = -1
        window.before_refill = self._flush
        for frame in frames:
            handle(frame)
            self.last_ns = ways.run_usual(self.last_ns)
            if out:
                ways.kept(len(out))
                yield from out
                out.clear()
            yield from ways.packets()
            if window.base != base:
                base = window.base
                self._flush()
                ways.refilled()
            ways.run_bulk()
        self._flush()
        ways.end()
        window.before_refill = None  # else what is counted here would never be let go
        out.extend(self._fragments.finish())
        yield from out
        out.clear()

    def _flush(self) -> None:
        self.last_ns = self._ways.flush(self.last_ns)

    # One frame, the slow way.

    def _frame(self, frame: Frame) -> None:
        number, time_ns, _, linktype, data, length = frame
        if self.first_ns is None:
            self.first_ns = self.last_ns = time_ns
        elif time_ns > (self.last_ns or 0):
            self.last_ns = time_ns
        self._size, self._linktype = length, linktype
        inner = network(linktype, data)
        if inner is None and not supported(linktype):
            from vpndiag.capture import odd_links  # brings Scapy along

            inner = odd_links.network(linktype, data)
        if inner is None:
            if not supported(linktype) and len(self._unsupported) < 16:
                self._unsupported.setdefault(linktype, number)
            self._tally("not-ip", number, time_ns)
        elif inner[0] in (ETH_IP4, ETH_IP6):
            self._ip(number, time_ns, data, inner[1], 0)
        elif inner[0] == ETH_PPP:
            ppp = ppp_packet(frame, inner[1])
            if ppp is not None:
                self._out.append(ppp)
            else:
                self._tally("ppp-data", number, time_ns)
        else:
            name = "pppoe-discovery" if inner[0] == 0x8863 else "not-ip"
            self._tally(name, number, time_ns)

    def _tally(
        self, name: str, number: int, time_ns: int, ends: tuple[str, int, str, int] | None = None
    ) -> None:
        tally = self.tallies.get(name)
        if tally is None:
            tally = self.tallies[name] = Tally(0, 0, number, number, time_ns)
        tally.packets += 1
        tally.bytes += self._size
        tally.last_frame, tally.last_ns = number, time_ns
        if ends is not None and len(tally.ends) < MAX_ENDS and ends not in tally.ends:
            tally.ends.append(ends)

    def _ip(self, number: int, time_ns: int, data: bytes, at: int, depth: int) -> None:
        packet = ip.parse_ip(data, at)
        if packet is None:
            self._tally("not-ip", number, time_ns)
            return
        frames: tuple[int, ...] = (number,)
        if packet.offset or packet.more:
            if packet.protocol not in _REASSEMBLED and len(packet.src) == 4:
                self._tally("ip-other", number, time_ns)
                return
            self._tally("fragment", number, time_ns)
            self._out.extend(self._fragments.expired(time_ns))
            whole = self._fragments.add(number, time_ns, packet, data)
            if whole is None:
                return
            frames, data = whole.frames, whole.payload
            packet = packet._replace(
                protocol=whole.protocol,
                start=0,
                end=len(data),
                missing=whole.missing,
                offset=0,
                more=False,
            )
            at = -1
        self._transport(frames, time_ns, data, at, packet, depth)

    def _transport(
        self,
        frames: tuple[int, ...],
        time_ns: int,
        data: bytes,
        at: int,
        packet: ip.Packet,
        depth: int,
    ) -> None:
        number, protocol = frames[-1], packet.protocol
        if packet.ah:
            self._tally("ah", number, time_ns, self._ends(packet))
        if protocol == ip.UDP:
            self._udp(frames, time_ns, data, at, packet, depth)
        elif protocol == ip.ESP:
            ends = packet.src + packet.dst
            self._esp(frames, time_ns, data, packet.start, packet, ends, 0, 0, at)
        elif protocol == ip.TCP:
            self._tcp(number, time_ns, data, packet)
        elif protocol in (ip.ICMP, ip.ICMP6):
            error = icmp_error(number, time_ns, data, packet)
            if error is not None:
                self._out.append(error)
            else:
                self._tally("icmp", number, time_ns)
        elif protocol in (ip.IPIP, ip.IP6IN) and depth < _MAX_DEPTH:
            self._ip(number, time_ns, data[: packet.end], packet.start, depth + 1)
        elif protocol == ip.GRE:
            self._gre(number, time_ns, data, packet, depth)
        elif protocol == ip.L2TP3:
            self._tally("l2tpv3", number, time_ns, self._ends(packet))
        elif protocol != ip.AH:
            self._tally("ip-other", number, time_ns)
        elif not packet.ah:
            self._tally("ah", number, time_ns, self._ends(packet))

    @staticmethod
    def _ends(packet: ip.Packet, sport: int = 0, dport: int = 0) -> tuple[str, int, str, int]:
        return ip.address(packet.src), sport, ip.address(packet.dst), dport

    def _udp(
        self,
        frames: tuple[int, ...],
        time_ns: int,
        data: bytes,
        at: int,
        packet: ip.Packet,
        depth: int,
    ) -> None:
        number, start = frames[-1], packet.start
        if packet.end < start + 8:
            self._tally("udp", number, time_ns)
            return
        sport = data[start] << 8 | data[start + 1]
        dport = data[start + 2] << 8 | data[start + 3]
        length = data[start + 4] << 8 | data[start + 5]
        room = packet.end - start + packet.missing
        # Zero or too long: left to the network card, or wrong; the IP header knows better.
        length = (length if 8 <= length <= room else room) - 8
        payload = data[start + 8 : min(packet.end, start + 8 + length)]
        kind = self._ports.kind(packet, sport, dport, payload, length)
        if self._ports.odd:
            self._ways.odd_pairs()
        if kind == "esp":
            ends = packet.src + packet.dst + data[start : start + 4]
            shorter = room - 8 - length
            self._esp(
                frames,
                time_ns,
                data,
                start + 8,
                packet._replace(
                    end=start + 8 + len(payload), missing=max(0, packet.missing - shorter)
                ),
                ends,
                sport,
                dport,
                at,
            )
        elif kind == "udp" and dport in PORTS and depth < _MAX_DEPTH:
            end = start + 8 + len(payload)
            inner = in_udp(data[:end], start + 8, dport)
            if inner is not None and inner[0] in (ETH_IP4, ETH_IP6):
                self._ip(number, time_ns, data[:end], inner[1], depth + 1)
            else:
                self._tally(kind, number, time_ns)
        elif kind in ("udp", "wireguard", "natt-keepalive"):
            ends4 = self._ends(packet, sport, dport) if kind != "udp" else None
            self._tally(kind, number, time_ns, ends4)
        else:
            self._out.append(
                Message(
                    frames,
                    time_ns,
                    (ip.address(packet.src), sport),
                    (ip.address(packet.dst), dport),
                    payload,
                    missing=length - len(payload),
                    ttl=packet.ttl,
                    kind=kind,
                )
            )

    def _esp(
        self,
        frames: tuple[int, ...],
        time_ns: int,
        data: bytes,
        start: int,
        packet: ip.Packet,
        ends: bytes,
        sport: int,
        dport: int,
        at: int,
    ) -> None:
        end = packet.end
        number, size = frames[-1], end - start + packet.missing
        if end < start + 4:
            self._tally("ip-other", number, time_ns)
            return
        spi = int.from_bytes(data[start : start + 4], "big")
        flow = self.flows.get(ends, spi)
        if flow is None:
            src, dst = ip.address(packet.src), ip.address(packet.dst)
            flow = self.flows.create(ends, spi, FlowKey(src, sport, dst, dport, spi))
            if flow is None:
                return
        whole = end >= start + 8
        sequence = int.from_bytes(data[start + 4 : start + 8], "big") if whole else 0
        self._ways.before(flow)
        flow.add(Sample(number, time_ns, size, sequence), whole=whole)
        if self.keep_esp:
            key = flow.key
            self._out.append(
                EspPacket(
                    number,
                    time_ns,
                    key.src,
                    sport,
                    key.dst,
                    dport,
                    data[start:end],
                    packet.missing,
                )
            )
        if at >= 0 and whole and self._ways.wants_votes:
            self._vote(flow, ends, at, packet, start, bool(sport or dport), data)

    def _vote(
        self,
        flow: EspFlow,
        ends: bytes,
        at: int,
        packet: ip.Packet,
        start: int,
        udp: bool,
        data: bytes,
    ) -> None:
        """A frame in a plain layout: a candidate for the quick way."""
        version = 4 if len(packet.src) == 4 else 6
        header = (20 if version == 4 else 40) + (8 if udp else 0)
        if start - at == header:
            self._ways.vote(Layout(self._linktype, at, version, udp), ends, flow, data)

    def _tcp(self, number: int, time_ns: int, data: bytes, packet: ip.Packet) -> None:
        start = packet.start
        if packet.end >= start + 4:
            sport = data[start] << 8 | data[start + 1]
            dport = data[start + 2] << 8 | data[start + 3]
            if 1723 in (sport, dport):
                self._tally("pptp-control", number, time_ns, self._ends(packet, sport, dport))
                return
            if 4500 in (sport, dport):
                self._tally("ike-tcp", number, time_ns, self._ends(packet, sport, dport))
                return
        self._tally("tcp", number, time_ns)

    def _gre(self, number: int, time_ns: int, data: bytes, packet: ip.Packet, depth: int) -> None:
        """RFC 2784 and 2890 for version 0; version 1 is PPTP's (RFC 2637 section 4.1)."""
        start, end = packet.start, packet.end
        if end < start + 4:
            self._tally("gre", number, time_ns, self._ends(packet))
            return
        flags, kind = data[start] << 8 | data[start + 1], data[start + 2] << 8 | data[start + 3]
        if flags & 7 == 1:
            self._tally("pptp-gre", number, time_ns, self._ends(packet))
            return
        self._tally("gre", number, time_ns, self._ends(packet))
        start += 4 + 4 * (bool(flags & 0xC000) + bool(flags & 0x2000) + bool(flags & 0x1000))
        if flags & 7 == 0 and depth < _MAX_DEPTH:
            inner = in_gre(data[:end], start, kind, bool(flags & 0x1000))
            if inner is not None and inner[0] in (ETH_IP4, ETH_IP6):
                self._ip(number, time_ns, data[:end], inner[1], depth + 1)


def prefilter(
    capture: CaptureFile, *, keep_esp: bool = False, fast: bool = True
) -> tuple[list[Kept], Prefilter]:
    """All kept packets at once and the finished :class:`Prefilter`: for captures known to be
    small."""
    scan = Prefilter(capture, keep_esp=keep_esp, fast=fast)
    return list(scan), scan
