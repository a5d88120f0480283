"""IKE messages (RFC 2408, 2409, 3947) as seen on the wire."""

from __future__ import annotations

from typing import Literal

from vpndiag.observations.base import Direction, Observation
from vpndiag.records import record

Protection = Literal["clear", "decrypted", "opaque", "undecryptable", "bad-hash"]
"""``clear``: not encrypted; ``decrypted``: read with the right key and, where there is one, the
hash verified; ``opaque``: encrypted and no key at hand; ``undecryptable``: the key we have does
not open it; ``bad-hash``: it opens but its HASH is wrong."""


MAX_LISTED = 40
"""Payloads, transforms and vendor IDs of one message that are kept."""
V2_FRAGMENT = "SKF"
"""The payload of IKEv2 that holds one fragment of a message (RFC 7383 section 2.5)."""
CUT_SHORT = "cut off by the capture"
"""In place of the payloads of a message that was recorded in part."""


@record(frozen=True, slots=True, kw_only=True)
class IkeNotify:
    """A Notification payload."""

    type: int
    name: str
    protocol: int = 0
    data: str = ""
    """Hex, at most 64 bytes."""


@record(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """SA lifetime; None where the message does not carry the attribute."""

    seconds: int | None = None
    kilobytes: int | None = None


@record(frozen=True, slots=True, kw_only=True)
class IkeMessage(Observation):
    """One IKE message."""

    kind: Literal["ike-message"] = "ike-message"
    direction: Direction
    port: int
    """The gateway's UDP port: 500 or 4500 (or what it is here)."""
    client_port: int = 0
    marker: bool = False
    """Sent with the non-ESP marker (RFC 3948)."""
    version: int
    """Major version, 1 or 2."""
    exchange: int
    step: str
    """``MM1``..``MM6``, ``AM1``..``AM3``, ``QM1``..``QM3``, ``INFO``, ``CONFIG`` (XAUTH, mode
    config), ``IKEv2 SA_INIT`` and so on, or ``?``."""
    message_id: int
    initiator_cookie: str
    responder_cookie: str
    initiated_by_client: bool = True
    """This exchange's first message came from the client."""
    size: int
    """Bytes of the IKE message, marker excluded."""
    protection: Protection
    repeat: bool = False
    """The same bytes (or, encrypted, the same message) were seen before in this direction."""
    payloads: tuple[str, ...] = ()
    transforms: tuple[str, ...] = ()
    """Offered or chosen transforms as text, in order."""
    weak: tuple[str, ...] = ()
    """Names of weak algorithms in a chosen transform."""
    pfs_group: int | None = None
    encapsulation_modes: tuple[int, ...] = ()
    lifetime: Lifetime | None = None
    auth_methods: tuple[int, ...] = ()
    """Authentication methods (RFC 2409 appendix A) in the offered or chosen transforms."""
    vendor_ids: tuple[str, ...] = ()
    """Hex."""
    vendors: tuple[str, ...] = ()
    """Their names, hex where unknown."""
    product: str = ""
    """The implementation that the vendor IDs point to, if any."""
    notifies: tuple[IkeNotify, ...] = ()
    deletes: tuple[str, ...] = ()
    """``ISAKMP`` (the SA of this message), ``another IKE SA 0x...`` or ``ESP 0x01234567``, each."""
    identity: str = ""
    source_translated: bool | None = None
    """NAT-D payloads compared with this packet's addresses: its source is not what the sender
    hashed (None: no NAT-D, or it cannot be told)."""
    destination_translated: bool | None = None
    source_hashed: str = ""
    """``address:port`` that the sender hashed as its own, where that is not the packet's source and
    was found among the likely ones: in message 4 one that nobody can have (the unspecified address,
    port 0), in message 6 the identity shown there."""
    other_source: str = ""
    """Set when the packet came from another address than the one asked."""


@record(frozen=True, slots=True, kw_only=True)
class IkeEstablished(Observation):
    """Phase 1 is complete: both sides proved themselves."""

    kind: Literal["ike-established"] = "ike-established"
    initiator_cookie: str
    auth_method: str = ""
    peer_identity: str = ""
    transform: str = ""


@record(frozen=True, slots=True, kw_only=True)
class CertificateSeen(Observation):
    """A certificate sent in phase 1, and how it fared against what was expected."""

    kind: Literal["certificate-seen"] = "certificate-seen"
    direction: Direction
    subject: str
    issuer: str
    not_before: str
    not_after: str
    """ISO 8601, UTC."""
    names: tuple[str, ...] = ()
    problem: str = ""
    """Empty, ``expired``, ``not-yet-valid``, ``untrusted``, ``name-mismatch``, ``bad-signature`` or
    ``unreadable``; always empty where nothing was expected (captures)."""
