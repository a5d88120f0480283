"""What moves through an IKE engine, how far it has come, and the limits of it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import StrEnum

from vpndiag.protocols.ike.message import Message
from vpndiag.protocols.ike.natt import Address
from vpndiag.protocols.ike.payloads import Payload
from vpndiag.records import record

RandomBytes = Callable[[int], bytes]

MAX_EVENTS = 4096
"""Events nobody took yet; beyond it new reports of dropped datagrams are not kept."""
MAX_SEEN = 256
"""Received messages remembered to recognise repeats."""
MAX_RESENDS = 32
"""Times one of our messages is sent again because the peer repeated its own."""
MAX_EARLY = 4
"""Quick mode messages kept because they overtook the end of phase 1."""
MAX_MESSAGE_IDS = 4096


class IkeState(StrEnum):
    """Progress of phase 1, named after our own last message."""

    IDLE = "idle"
    MM1_SENT = "mm1-sent"
    MM2_SENT = "mm2-sent"
    MM3_SENT = "mm3-sent"
    MM4_SENT = "mm4-sent"
    MM5_SENT = "mm5-sent"
    ESTABLISHED = "established"
    DELETED = "deleted"
    FAILED = "failed"


class Kind(StrEnum):
    """Main mode messages as they can be told apart on the wire."""

    SA = "sa"
    KE = "ke"
    ENCRYPTED = "encrypted"


@record(frozen=True, slots=True)
class Outgoing:
    """A datagram to send. ``natt``: from the UDP 4500 flow, with the non-ESP marker in front.

    ``remote`` is where a responder's peer was last heard. An initiator's is None: its owner knows
    which two ports of the gateway the two flows belong to.
    """

    data: bytes
    natt: bool
    remote: Address | None = None


@record(slots=True)
class Flight:
    """A message of ours that may have to be sent again, byte for byte."""

    name: str
    message: Message
    payloads: tuple[Payload, ...]
    data: bytes
    pieces: tuple[bytes, ...]
    natt: bool
    resends: int = 0


@record(slots=True)
class Inbound:
    """A received message on its way through the engine."""

    message: Message
    data: bytes
    natt: bool
    local: Address
    remote: Address
    now: float
    digest: bytes = field(default=b"")
