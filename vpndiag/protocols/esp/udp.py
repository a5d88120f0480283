"""IKE, ESP and keepalives on one UDP port (RFC 3948, section 2)."""

from __future__ import annotations

from enum import Enum

from vpndiag.records import record

NON_ESP_MARKER = bytes(4)
KEEPALIVE = b"\xff"
PORT = 4500


class Kind(Enum):
    """What a datagram on port 4500 is."""

    IKE = "ike"
    KEEPALIVE = "keepalive"
    ESP = "esp"
    TOO_SHORT = "too-short"


@record(frozen=True, slots=True)
class Demultiplexed:
    """``body`` is the IKE message without the marker, the ESP packet, or the datagram as it was."""

    kind: Kind
    body: bytes


def demultiplex(datagram: bytes) -> Demultiplexed:
    """Classify one datagram of UDP port 4500. Never raises.

    Four zero bytes are the non-ESP marker, a single 0xFF is a keepalive, anything else with an ESP
    header (8 bytes) is ESP, the rest is too short to be any of them.
    """
    if datagram[:4] == NON_ESP_MARKER:
        return Demultiplexed(Kind.IKE, datagram[4:])
    if datagram == KEEPALIVE:
        return Demultiplexed(Kind.KEEPALIVE, datagram)
    if len(datagram) < 8:
        return Demultiplexed(Kind.TOO_SHORT, datagram)
    return Demultiplexed(Kind.ESP, datagram)


def with_marker(message: bytes) -> bytes:
    """An IKE message as it goes to port 4500."""
    return NON_ESP_MARKER + message
