"""IPsec SAs and the ESP packets that used them."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Direction, Observation
from vpndiag.records import record


@record(frozen=True, slots=True, kw_only=True)
class IpsecSa(Observation):
    """Quick mode agreed on an SA pair (or keys for one were given)."""

    kind: Literal["ipsec-sa"] = "ipsec-sa"
    spi_in: str
    """SPI of packets from gateway to client, ``0x`` and eight hex digits."""
    spi_out: str
    transform: str
    mode: str
    """``transport`` or ``tunnel``."""
    udp_encapsulated: bool
    pfs_group: int | None = None
    weak: tuple[str, ...] = ()
    rekey: bool = False
    client_port: int | None = None
    """UDP port of the client in the negotiated selector; 0: any."""
    gateway_port: int | None = None


@record(frozen=True, slots=True, kw_only=True)
class EspFlow(Observation):
    """All ESP packets of one SPI: counted, not kept. ``t`` is the time of the first one."""

    kind: Literal["esp-flow"] = "esp-flow"
    direction: Direction
    spi: str
    udp_encapsulated: bool
    packets: int
    bytes: int
    last_t: float
    verified: int | None = None
    """Packets whose integrity check passed; None: not checked (no keys)."""
    bad_integrity: int | None = None
    truncated_to_96: int | None = None
    """Packets under HMAC-SHA2-256 that verify only when the check value is cut to 96 bits."""
    replayed: int = 0
    copies: int = 0
    """Of these, seen within 10 ms of the first: recorded twice, if all packets are."""
    missing: int = 0
    """Sequence numbers skipped and never seen."""
    out_of_order: int = 0
    late_by: int = 0
    """By how many numbers a packet was overtaken at most."""
    replayed_frames: tuple[int, ...] = ()
    """Frames of the first that are repeats."""
    late_frames: tuple[int, ...] = ()
    gap_frames: tuple[int, ...] = ()
    """Frames that show a gap: numbers before theirs are missing."""
    last_frames: tuple[int, ...] = ()
    """Frames of the last packets."""
    longest_silence: float = 0.0
    silence_from: float = 0.0
    sizes: tuple[int, ...] = ()
    """ESP packet sizes in bytes of the first packets, in order."""
    times: tuple[float, ...] = ()
    """Their times."""
    largest: int | None = None
    """Bytes of the largest packet; None: not counted."""
    lowest: int | None = None
    """Lowest sequence number: 1 where the SA was made just then; None: not told."""
    client_port: int = 0
    """The client's UDP port, as seen where the capture was made; 0: no UDP, or not told."""
