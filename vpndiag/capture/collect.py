"""From the packets of capture files to tracks (:mod:`vpndiag.capture.material`)."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.capture.carried import inner_packet, l2tp_data, ppp_kind
from vpndiag.capture.decrypt import EspDecryptor, Inner
from vpndiag.capture.keys import Keys
from vpndiag.capture.material import (
    DataCount,
    End,
    FlowTrack,
    Hosts,
    IkeTrack,
    L2tpTrack,
    Material,
    Message,
    PppTrack,
    hosts,
)
from vpndiag.capture.packets import (
    Datagram,
    EspPacket,
    IcmpError,
    Incomplete,
    Kept,
    PppPacket,
)
from vpndiag.capture.pieces import Scanned
from vpndiag.capture.ports import LEAST_HEADER
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.share import Share
from vpndiag.capture.tally import Tally

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

    def read(self, scan: Prefilter | Scanned) -> None:
        """All of one file."""
        datagram = self._datagram
        for packet in scan:
            if isinstance(packet, Datagram):
                datagram(packet)
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

    def _frames(self, frames: tuple[int, ...]) -> tuple[int, ...]:
        offset = self._offset
        return tuple(f + offset for f in frames) if offset else frames

    def _datagram(self, d: Datagram) -> None:
        kind = d.kind
        if self._share is not None and kind != "dns" and not self._share.has(d.src, d.dst):
            if kind == "l2tp":
                self._of_others(d)
            return
        if kind == "ike" or kind == "ike-natt":
            self._ike_message(d, kind == "ike-natt")
        elif kind == "l2tp":
            self._l2tp_packet(
                (d.src, d.sport), (d.dst, d.dport), d.payload, d.time_ns, d.frames, 0, d.missing
            )
        elif kind == "dns":
            if d.sport == 53 and len(self.material.dns) < MAX_DNS and self._room():
                self.material.dns.append(replace(d, frames=self._frames(d.frames)))
        elif len(d.payload) >= LEAST_HEADER and (d.payload[:8], hosts(d.src, d.dst)) in self._ike:
            self._ike_message(d, False)
        elif len(self.material.odd) < MAX_ICMP:
            self.material.odd.append(replace(d, frames=self._frames(d.frames)))

    def _of_others(self, d: Datagram) -> None:
        """L2TP that is in another share: questions inside it may be answered in this one."""
        carried = l2tp_data(d.payload)
        if carried is not None and ppp_kind(carried[2]) != "control":
            end, frame = (d.src, d.sport), d.frames[-1] + self._offset
            packet = inner_packet(carried[2])
            if packet is not None:
                self.material.inside.feed(packet, len(packet) + d.missing, d.time_ns, frame, end, 0)

    def _ike_message(self, d: Datagram, marker: bool) -> None:
        data = d.payload[4:] if marker else d.payload
        if len(data) < LEAST_HEADER:
            if len(self.material.odd) < MAX_ICMP:
                self.material.odd.append(replace(d, frames=self._frames(d.frames)))
            return
        pair = hosts(d.src, d.dst)
        key = (data[:8], pair)
        track = self._ike.get(key)
        if track is None:
            if len(self._ike) >= MAX_TRACKS:
                self.material.left_out += 1
                return
            track = self._ike[key] = IkeTrack(data[:8], pair)
            self.material.ike.append(track)
        track.last_ns = max(track.last_ns, d.time_ns)
        if len(track.messages) >= MAX_MESSAGES or not self._room():
            track.left_out += 1
            return
        track.messages.append(
            Message(
                self._frames(d.frames),
                d.time_ns,
                (d.src, d.sport),
                (d.dst, d.dport),
                data,
                marker,
                d.missing,
                ttl=d.ttl,
            )
        )

    def _esp_packet(self, packet: EspPacket) -> None:
        inner = self._esp.open(packet)
        if inner is None:
            return
        udp = inner.udp
        if udp is not None and 1701 in (udp.source_port, udp.destination_port):
            self._l2tp_packet(
                (packet.src, udp.source_port),
                (packet.dst, udp.destination_port),
                udp.payload,
                packet.time_ns,
                (packet.frame,),
                inner_spi(packet),
                0,
            )
        elif inner.next_header == 4:
            self._tunnelled(packet, inner)

    def _tunnelled(self, packet: EspPacket, inner: Inner) -> None:
        """Tunnel mode: L2TP may be in the IP packet inside (RFC 3193 allows transport only)."""
        data = inner.payload
        if len(data) < 28 or data[0] >> 4 != 4 or data[9] != 17:
            return
        start = (data[0] & 15) * 4
        ports = [int.from_bytes(data[start + i : start + i + 2], "big") for i in (0, 2)]
        if 1701 in ports and len(data) >= start + 8:
            self._l2tp_packet(
                (packet.src, ports[0]),
                (packet.dst, ports[1]),
                data[start + 8 :],
                packet.time_ns,
                (packet.frame,),
                inner_spi(packet),
                0,
            )

    def _l2tp_packet(
        self,
        src: End,
        dst: End,
        data: bytes,
        time_ns: int,
        frames: tuple[int, ...],
        spi: int,
        missing: int,
    ) -> None:
        pair, inside = hosts(src[0], dst[0]), spi != 0
        track = self._l2tp.get((pair, inside))
        if track is None:
            if len(self._l2tp) >= MAX_TRACKS:
                self.material.left_out += 1
                return
            track = self._l2tp[pair, inside] = L2tpTrack(pair, inside)
            self.material.l2tp.append(track)
        number = frames[-1] + self._offset
        carried = l2tp_data(data)
        if carried is not None:
            tunnel, session, ppp = carried
            kind = ppp_kind(ppp)
            if kind != "control":
                echo = kind == "echo"
                key = src[0], tunnel, session, echo
                count = track.data.get(key)
                if count is None:
                    if len(track.data) >= MAX_TRACKS:
                        return
                    count = track.data[key] = DataCount(
                        src[0], inside_esp=inside, tunnel=tunnel, session=session
                    )
                count.add(time_ns, len(data) + missing, number)
                count.echoes += echo
                self._inner_ip(pair, src, dst, ppp, time_ns, number, spi, missing)
                return
        if len(track.messages) >= 500_000 or not self._room():
            track.left_out += 1
            return
        track.messages.append(
            Message(self._frames(frames), time_ns, src, dst, data, False, missing, spi)
        )

    def _inner_ip(
        self,
        pair: Hosts,
        src: End,
        dst: End,
        ppp: bytes,
        time_ns: int,
        frame: int,
        spi: int,
        missing: int,
    ) -> None:
        """Users' IP packets: questions and answers, and headers for judging which sizes pass."""
        packet = inner_packet(ppp)
        if packet is None:
            return
        self.material.inside.feed(packet, len(packet) + missing, time_ns, frame, src, spi)
        kept = self.material.inner.setdefault(pair, [])
        if len(kept) < MAX_INNER and len(packet) >= 28 and packet[9] in (1, 6):
            kept.append(
                Message(
                    (frame,), time_ns, src, dst, packet[:64], False, max(0, len(packet) - 64), spi
                )
            )

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


def inner_spi(packet: EspPacket) -> int:
    return int.from_bytes(packet.payload[:4], "big")
