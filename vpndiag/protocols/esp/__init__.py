"""ESP: security associations, transport mode, UDP encapsulation (RFC 4303, RFC 3948)."""

from vpndiag.protocols.esp.replay import Order, ReplayWindow, SequenceCheck
from vpndiag.protocols.esp.sa import EspHeader, EspPair, EspSa, Opened, read_header
from vpndiag.protocols.esp.suites import Cipher, EspSuite, Integrity
from vpndiag.protocols.esp.transport import UdpDatagram, build_udp, guess_null, parse_udp
from vpndiag.protocols.esp.truncation import peer_truncation
from vpndiag.protocols.esp.udp import KEEPALIVE, Demultiplexed, Kind, demultiplex, with_marker

__all__ = [
    "KEEPALIVE",
    "Cipher",
    "Demultiplexed",
    "EspHeader",
    "EspPair",
    "EspSa",
    "EspSuite",
    "Integrity",
    "Kind",
    "Opened",
    "Order",
    "ReplayWindow",
    "SequenceCheck",
    "UdpDatagram",
    "build_udp",
    "demultiplex",
    "guess_null",
    "parse_udp",
    "peer_truncation",
    "read_header",
    "with_marker",
]
