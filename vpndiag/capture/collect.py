"""From the packets of capture files to tracks (:mod:`vpndiag.capture.material`)."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.capture.carried import inner_packet, l2tp_data, ppp_kind
from vpndiag.capture.decrypt import EspDecryptor, Inner
from vpndiag.capture.keys import Keys
from vpndiag.capture.l2tp_ids import message_type
from vpndiag.capture.material import (
    DataCount,
    FlowTrack,
    Hosts,
    IkeTrack,
    L2tpTrack,
    Material,
    PppTrack,
    hosts,
)
from vpndiag.capture.packets import (
    End,
    EspPacket,
    IcmpError,
    Incomplete,
    Kept,
    Message,
    PppPacket,
)
from vpndiag.capture.pieces import Scanned
from vpndiag.capture.ports import LEAST_HEADER, first_l2tp_answer
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.share import Share
from vpndiag.capture.tally import Tally
from vpndiag.protocols.esp.transport import UdpDatagram

MAX_TRACKS = 100_000
MAX_MESSAGES = 2_000
"""Messages kept of one IKE SA, tunnel or link; dead peer detection may go on for days."""
MAX_KEPT = 2_000_000
MAX_DNS = 4_096
MAX_ICMP = 4_096
MAX_INNER = 4_096


class Collector:
    """Give it one file after another to read, then take :attr:`material`."""

    def __init__(self, keys: Keys | None = None, share: Share | None = None) -> None:
        """``share``: only what is in it is collected, and users' data inside, whosever it is."""
        self.material = Material()
        self._share = share
        self._esp = EspDecryptor(keys or Keys())
        self._offset = 0
        self._ike: dict[tuple[bytes, Hosts], IkeTrack] = {}
        self._l2tp: dict[tuple[Hosts, bool], L2tpTrack] = {}
        self._ppp: dict[tuple[str, str, int], PppTrack] = {}
        self._flows: dict[tuple[str, int, str, int, int], FlowTrack] = {}
        self._kept = 0
        self._far: set[frozenset[End]] = set()
        """Ends inside ESP, neither of them port 1701, between which there is L2TP."""

    def read(self, scan: Prefilter | Scanned) -> None:
        """All of one file."""
        message = self._message
        for packet in scan:
            if isinstance(packet, Message):
                message(packet)
            else:
                self._other(packet)
        self.end_file(scan)

    def _other(self, packet: Kept) -> None:
        if isinstance(packet, EspPacket):
            self._esp_packet(packet)
        elif isinstance(packet, PppPacket):
            self._ppp_packet(packet)
        elif isinstance(packet, IcmpError):
            if len(self.material.icmp) < MAX_ICMP:
                self.material.icmp.append(self._moved(packet))
        elif isinstance(packet, Incomplete) and len(self.material.incomplete) < MAX_ICMP:
            frames = tuple(f + self._offset for f in packet.frames)
            self.material.incomplete.append(replace(packet, frames=frames))

    def _moved(self, error: IcmpError) -> IcmpError:
        return replace(error, frame=error.frame + self._offset) if self._offset else error

    def end_file(self, scan: Prefilter | Scanned) -> None:
        """Take over the counters of a file that was read to its end."""
        material = self.material
        if scan.first_ns is not None:
            material.first_ns = (
                scan.first_ns
                if material.first_ns is None
                else min(material.first_ns, scan.first_ns)
            )
            material.last_ns = max(material.last_ns, scan.last_ns or 0)
        for flow in scan.flows:
            key = flow.key
            if self._share is not None and not self._share.has(key.src, key.dst):
                continue
            flow_id = (key.src, key.sport, key.dst, key.dport, key.spi)
            track = self._flows.get(flow_id)
            if track is None:
                track = self._flows[flow_id] = FlowTrack(
                    (key.src, key.sport), (key.dst, key.dport), key.spi
                )
                material.flows.append(track)
            track.parts.append(flow)
            track.offsets.append(self._offset)
            track.stats = self._esp.stats(flow_id)
        for name, tally in scan.tallies.items():
            self._merge(name, tally)
        self._offset += scan.frames
        material.frames = self._offset

    def _merge(self, name: str, tally: Tally) -> None:
        known = self.material.tallies.get(name)
        if known is None:
            self.material.tallies[name] = tally.moved(self._offset)
        else:
            known.append(tally, self._offset)

    def _room(self) -> bool:
        if self._kept >= MAX_KEPT:
            self.material.left_out += 1
            return False
        self._kept += 1
        return True

    def _message(self, m: Message) -> None:
        kind = m.kind
        if self._offset:
            m.frames = tuple([f + self._offset for f in m.frames])
        if kind == "l2tp":
            self._l2tp_message(m)
        elif kind == "ike" or kind == "ike-natt":
            self._ike_message(m)
        elif kind == "dns":
            if m.src[1] == 53 and len(self.material.dns) < MAX_DNS and self._room():
                self.material.dns.append(m)
        elif len(m.data) >= LEAST_HEADER and (m.data[:8], _hosts_of(m)) in self._ike:
            self._ike_message(m)
        else:
            self._odd(m)

    def _mine(self, m: Message) -> bool:
        """Whether it is in the share; asked for the first one of a track."""
        return self._share is None or self._share.has(m.src[0], m.dst[0])

    def _odd(self, m: Message) -> None:
        if len(self.material.odd) < MAX_ICMP and self._mine(m):
            self.material.odd.append(m)

    def _ike_message(self, m: Message) -> None:
        marker = m.kind == "ike-natt"
        data = m.data[4:] if marker else m.data
        if len(data) < LEAST_HEADER:
            self._odd(m)
            return
        pair = _hosts_of(m)
        key = (data[:8], pair)
        track = self._ike.get(key)
        if track is None:
            if not self._mine(m):
                return
            if len(self._ike) >= MAX_TRACKS:
                self.material.left_out += 1
                return
            track = self._ike[key] = IkeTrack(data[:8], pair)
            self.material.ike.append(track)
        track.last_ns = max(track.last_ns, m.time_ns)
        if len(track.messages) >= MAX_MESSAGES or not self._room():
            track.left_out += 1
            return
        m.data, m.marker = data, marker
        track.messages.append(m)

    def _esp_packet(self, packet: EspPacket) -> None:
        inner = self._esp.open(packet)
        if inner is None:
            return
        udp = inner.udp
        if udp is not None and self._is_l2tp(packet, udp):
            self._inner_l2tp(packet, udp.source_port, udp.destination_port, udp.payload)
        elif inner.next_header == 4:
            self._tunnelled(packet, inner)

    def _is_l2tp(self, packet: EspPacket, udp: UdpDatagram) -> bool:
        """By its port, or those of an LNS that answered from one of its own (RFC 2661 section
        8.1)."""
        if 1701 in (udp.source_port, udp.destination_port):
            return True
        ends = frozenset(((packet.src, udp.source_port), (packet.dst, udp.destination_port)))
        if first_l2tp_answer(udp.payload, len(udp.payload)) and len(self._far) < MAX_TRACKS:
            self._far.add(ends)
        return ends in self._far

    def _tunnelled(self, packet: EspPacket, inner: Inner) -> None:
        """Tunnel mode: L2TP may be in the IP packet inside (RFC 3193 allows transport only)."""
        data = inner.payload
        if len(data) < 28 or data[0] >> 4 != 4 or data[9] != 17:
            return
        start = (data[0] & 15) * 4
        sport, dport = (int.from_bytes(data[start + i : start + i + 2], "big") for i in (0, 2))
        if 1701 in (sport, dport) and len(data) >= start + 8:
            self._inner_l2tp(packet, sport, dport, data[start + 8 :])

    def _inner_l2tp(self, packet: EspPacket, sport: int, dport: int, data: bytes) -> None:
        """L2TP that was inside an ESP packet."""
        src, dst = (packet.src, sport), (packet.dst, dport)
        frames = (packet.frame + self._offset,)
        self._l2tp_message(Message(frames, packet.time_ns, src, dst, data, spi=inner_spi(packet)))

    def _l2tp_message(self, m: Message) -> None:
        pair, inside, data = _hosts_of(m), m.spi != 0, m.data
        track = self._l2tp.get((pair, inside))
        if track is None:
            if not self._mine(m):
                self._of_others(m)
                return
            if len(self._l2tp) >= MAX_TRACKS:
                self.material.left_out += 1
                return
            track = self._l2tp[pair, inside] = L2tpTrack(pair, inside)
            self.material.l2tp.append(track)
        carried = l2tp_data(data)
        if carried is not None:
            tunnel, session, ppp = carried
            kind = ppp_kind(ppp)
            if kind != "control":
                echo = kind == "echo"
                key = m.src[0], tunnel, session, echo
                count = track.data.get(key)
                if count is None:
                    if len(track.data) >= MAX_TRACKS:
                        return
                    count = track.data[key] = DataCount(
                        m.src[0], inside_esp=inside, tunnel=tunnel, session=session
                    )
                count.add(m.time_ns, len(data) + m.missing, m.frame)
                count.echoes += echo
                self._inner_ip(pair, m, ppp)
                return
        if len(track.messages) >= 500_000 or not self._room():
            track.left_out += 1
            return
        if carried is None:
            m.control = message_type(data)
        track.messages.append(m)

    def _of_others(self, m: Message) -> None:
        """L2TP that is in another share: questions inside it may be answered in this one."""
        carried = l2tp_data(m.data)
        if carried is not None and ppp_kind(carried[2]) != "control":
            self._feed(m, inner_packet(carried[2]))

    def _feed(self, m: Message, packet: bytes | None) -> None:
        if packet is not None:
            size = len(packet) + m.missing
            self.material.inside.feed(packet, size, m.time_ns, m.frame, m.src, m.spi)

    def _inner_ip(self, pair: Hosts, m: Message, ppp: bytes) -> None:
        """Users' IP packets: questions and answers, and headers for judging which sizes pass."""
        packet = inner_packet(ppp)
        if packet is None:
            return
        self._feed(m, packet)
        kept = self.material.inner.setdefault(pair, [])
        if len(kept) < MAX_INNER and len(packet) >= 28 and packet[9] in (1, 6):
            m.frames, m.data, m.missing = (m.frame,), packet[:64], max(0, len(packet) - 64)
            kept.append(m)

    def _ppp_packet(self, packet: PppPacket) -> None:
        if self._share is not None and self._share.start:
            return  # nearly always one link: it is in the first share
        one, two = hosts(packet.src, packet.dst)
        key = (one, two, packet.session)
        track = self._ppp.get(key)
        if track is None:
            if len(self._ppp) >= MAX_TRACKS:
                self.material.left_out += 1
                return
            track = self._ppp[key] = PppTrack(key)
            self.material.ppp.append(track)
        if len(track.packets) >= 200_000 or not self._room():
            track.left_out += 1
            return
        if self._offset:
            packet = replace(packet, frame=packet.frame + self._offset)
        track.packets.append(packet)


def _hosts_of(m: Message) -> Hosts:
    return hosts(m.src[0], m.dst[0])


def inner_spi(packet: EspPacket) -> int:
    return int.from_bytes(packet.payload[:4], "big")
