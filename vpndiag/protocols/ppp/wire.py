"""The frames of one link, and what is told of them: every packet becomes an event."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp import describe
from vpndiag.protocols.ppp.events import Dropped, LinkEvent, PacketReceived, PacketSent
from vpndiag.protocols.ppp.frame import encode_frame
from vpndiag.protocols.ppp.packet import ControlPacket, encode_packet

_MEMORY = 16
"""Packets each way that a repeat is told by."""


class Wire:
    """``silent``: nothing but IP leaves any more, and nobody is told of it. ``repeated``: we had to
    send something again."""

    def __init__(self) -> None:
        self.silent = False
        self.repeated = False
        self._frames: list[bytes] = []
        self._events: deque[LinkEvent] = deque()
        self._sent: deque[tuple[int, bytes]] = deque(maxlen=_MEMORY)
        self._received: deque[tuple[int, bytes]] = deque(maxlen=_MEMORY)

    def send(self, protocol: int, payload: bytes) -> None:
        """Queue the payload of a control or authentication packet."""
        if self.silent:
            return
        frame = encode_frame(protocol, payload)
        self._frames.append(frame)
        key = (protocol, payload)
        repeat = key in self._sent
        self.repeated = self.repeated or repeat
        self._sent.append(key)
        packet = describe.decode_any(protocol, payload)
        secret = describe.carries_password(protocol, payload)
        self.tell(PacketSent(protocol, packet, frame, repeat, secret))

    def send_packet(self, protocol: int, packet: ControlPacket) -> None:
        self.send(protocol, encode_packet(packet))

    def send_packets(self, protocol: int, packets: Iterable[ControlPacket]) -> None:
        for packet in packets:
            self.send_packet(protocol, packet)

    def send_ip(self, protocol: int, packet: bytes) -> None:
        """Queue an IP packet, of which nothing is told."""
        self._frames.append(encode_frame(protocol, packet))

    def received(self, protocol: int, payload: bytes, frame: bytes) -> None:
        """Tell of a packet of anything but IP, whether it decodes or not."""
        try:
            packet = describe.decode_any(protocol, payload)
        except DecodeError:
            packet = None
        key = (protocol, payload)
        repeat = key in self._received
        self._received.append(key)
        secret = describe.carries_password(protocol, payload)
        self.tell(PacketReceived(protocol, packet, frame, repeat, secret))

    def tell(self, event: LinkEvent) -> None:
        self._events.append(event)

    def drop(self, reason: str) -> None:
        """Tell that what has come is not acted on."""
        self.tell(Dropped(reason))

    def take_frames(self) -> list[bytes]:
        """The frames queued since the last call, in order."""
        frames, self._frames = self._frames, []
        return frames

    def next_event(self) -> LinkEvent | None:
        return self._events.popleft() if self._events else None
