"""What the prefilter hands on: the few packets that tell the story, addresses as text."""

from __future__ import annotations

from vpndiag.records import record

End = tuple[str, int]
"""Address and UDP port."""


@record(slots=True)
class Message:
    """What a UDP datagram carries. ``frames`` are all that it came in (several when in IP
    fragments); ``missing`` bytes of ``data`` were not captured; ``kind``:

    ``ike``        an ISAKMP message (any version), no marker before it
    ``ike-natt``   an ISAKMP message behind the four zero bytes of RFC 3948
    ``l2tp``       UDP 1701
    ``dns``        UDP 53
    ``other``      on one of our ports, but not in the shape of what belongs there

    The prefilter leaves the zero bytes in ``data``; in a track ``marker`` stands for them."""

    frames: tuple[int, ...]
    time_ns: int
    src: End
    dst: End
    data: bytes
    marker: bool = False
    missing: int = 0
    ttl: int = 0
    kind: str = ""
    spi: int = 0
    """Of the ESP packet that it came in; 0: in the clear."""
    control: int = 0
    """Type of an L2TP control message (:func:`~vpndiag.capture.l2tp_ids.message_type`), else 0."""
    other_source: str = ""
    """Set when it came from another address than the one asked."""

    @property
    def frame(self) -> int:
        """The last frame, with which it was complete."""
        return self.frames[-1]

    @property
    def time(self) -> float:
        return self.time_ns / 1e9


@record(slots=True)
class EspPacket:
    """An ESP packet kept for decryption: ``payload`` starts with SPI and sequence number.
    ``sport`` and ``dport`` are 0 for IP protocol 50."""

    frame: int
    time_ns: int
    src: str
    sport: int
    dst: str
    dport: int
    payload: bytes
    missing: int


@record(frozen=True, slots=True)
class Quote:
    """The packet inside an ICMP error. ``ident`` is its IP identification; ``spi`` for ESP, with
    ports too when it was UDP-encapsulated; ``payload`` what was quoted behind the transport
    header."""

    src: str
    dst: str
    protocol: int
    sport: int
    dport: int
    spi: int | None
    ident: int
    payload: bytes


@record(frozen=True, slots=True)
class IcmpError:
    """``src`` sent it about ``quote``. ``version`` 4 or 6 tells how to read ``type`` and
    ``code``; ``mtu`` is the next hop's, 0 when it was not told."""

    frame: int
    time_ns: int
    src: str
    dst: str
    version: int
    type: int
    code: int
    mtu: int
    quote: Quote


@record(frozen=True, slots=True)
class PppPacket:
    """A PPP packet that was captured bare (PPP link type) or in PPPoE: ``protocol`` and what
    follows. ``src`` and ``dst`` are MAC addresses, or "" where the link has none; ``session``
    PPPoE's, else 0; ``outgoing`` as the capture tells, else None."""

    frame: int
    time_ns: int
    protocol: int
    payload: bytes
    src: str
    dst: str
    session: int
    outgoing: bool | None


@record(frozen=True, slots=True)
class Incomplete:
    """A datagram of which fragments are missing: ``missing`` lists (from, to) byte ranges of the IP
    payload, ``to`` None when the end is unknown. Ports are None unless the first fragment is there;
    ``head`` is that one's data (with the UDP header). ``why`` is ``timeout``, ``end`` or
    ``crowded``."""

    src: str
    dst: str
    protocol: int
    ident: int
    frames: tuple[int, ...]
    first_ns: int
    last_ns: int
    missing: tuple[tuple[int, int | None], ...]
    sport: int | None
    dport: int | None
    head: bytes
    why: str


Kept = Message | EspPacket | IcmpError | PppPacket | Incomplete
