"""What an IKE engine tells its owner, in the order it happened.

The same events are the observability feed: every message sent and received is in them with its
payloads in clear, together with what it proved. Secrets are kept out of ``repr``.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from vpndiag.protocols.ike.algorithms import AuthMethod, EncapsulationMode
from vpndiag.protocols.ike.certificates import ChainReport
from vpndiag.protocols.ike.message import Message
from vpndiag.protocols.ike.natt import Address, NatDialect
from vpndiag.protocols.ike.payloads import IdPayload, NotificationPayload, Payload
from vpndiag.protocols.ike.payloads.identity import IPAddress
from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform
from vpndiag.records import record


class Protection(StrEnum):
    """What the cryptography said about a received message."""

    CLEAR = "clear"
    DECRYPTED = "decrypted"
    UNDECRYPTABLE = "undecryptable"
    BAD_HASH = "bad-hash"


class Trust(StrEnum):
    """How far a notification can be believed. Only AUTHENTICATED ones change the state."""

    CLEAR = "clear"
    AUTHENTICATED = "authenticated"
    UNAUTHENTICATED = "unauthenticated"
    """Decrypted, but without a HASH payload that verifies."""
    UNDECRYPTABLE = "undecryptable"


class DropReason(StrEnum):
    """Why a datagram had no effect."""

    MALFORMED = "malformed"
    WRONG_COOKIE = "wrong-cookie"
    WRONG_MESSAGE_ID = "wrong-message-id"
    WRONG_VERSION = "wrong-version"
    UNEXPECTED = "unexpected"
    DUPLICATE = "duplicate"
    UNDECRYPTABLE = "undecryptable"
    BAD_HASH = "bad-hash"
    NO_NAT_TRAVERSAL = "no-nat-traversal"
    NO_PROPOSAL = "no-proposal"
    EXCHANGE = "unsupported-exchange"
    LIMIT = "limit"


class FailureCode(StrEnum):
    """Why phase 1 or a quick mode ended without an SA."""

    REFUSED_BY_PEER = "refused-by-peer"
    """An authenticated error notification; its number is in ``notify_type``."""
    BAD_CHOICE = "bad-choice"
    """The peer answered with a proposal that was not offered."""
    BAD_KEY_EXCHANGE = "bad-key-exchange"
    MALFORMED = "malformed"
    WRONG_HASH = "wrong-hash"
    WRONG_SIGNATURE = "wrong-signature"
    BAD_CERTIFICATE = "bad-certificate"
    BAD_IDENTITY = "bad-identity"
    NO_PROPOSAL = "no-proposal"
    """Responder: nothing acceptable was offered."""
    NO_KEY = "no-key"
    """There is no pre-shared key or certificate of ours for what was agreed."""
    UNSUPPORTED = "unsupported"
    """The peer chose what we offered, but the engine cannot speak it (offers made as a probe)."""
    PFS_REQUIRED = "pfs-required"
    PFS_REFUSED = "pfs-refused"
    DELETED_BY_PEER = "deleted-by-peer"


class IkeEvent:
    """Base of all events."""

    __slots__ = ()


@record(frozen=True, slots=True)
class MessageSent(IkeEvent):
    """``payloads`` are in clear, also for an encrypted ``message``. ``data`` has no marker."""

    name: str
    message: Message
    payloads: tuple[Payload, ...]
    data: bytes
    natt: bool
    retransmission: bool


@record(frozen=True, slots=True)
class MessageReceived(IkeEvent):
    """``repeat``: byte for byte a message that was received before. ``payloads`` are in clear,
    and empty when the message could not be decrypted."""

    name: str
    message: Message
    payloads: tuple[Payload, ...]
    data: bytes
    natt: bool
    repeat: bool
    protection: Protection
    remote: Address


@record(frozen=True, slots=True)
class Dropped(IkeEvent):
    """A datagram without effect. ``detail`` is ours, never peer text."""

    reason: DropReason
    detail: str
    data: bytes
    natt: bool
    remote: Address


@record(frozen=True, slots=True)
class ProposalChosen(IkeEvent):
    """The phase 1 transform both sides agreed on; ``number`` is its transform number."""

    transform: IkeTransform
    number: int


@record(frozen=True, slots=True)
class NatDetected(IkeEvent):
    """The outcome of NAT-D, also when there is none. ``forced``: we falsified our own hash."""

    local_behind_nat: bool
    remote_behind_nat: bool
    dialect: NatDialect
    forced: bool


@record(frozen=True, slots=True)
class PeerVendorIds(IkeEvent):
    """The vendor ids of one of the messages 1, 2 and 4, in order."""

    vendor_ids: tuple[bytes, ...]


@record(frozen=True, slots=True)
class PeerIdentity(IkeEvent):
    """The ID payload of MM5 or MM6; not proven yet."""

    identity: IdPayload


@record(frozen=True, slots=True)
class PeerCertificate(IkeEvent):
    """The verdict on the peer's certificate chain."""

    report: ChainReport


@record(frozen=True, slots=True)
class PeerAuthenticated(IkeEvent):
    method: AuthMethod
    identity: IdPayload


@record(frozen=True, slots=True)
class PhaseOneEstablished(IkeEvent):
    initiator_cookie: bytes
    responder_cookie: bytes
    transform: IkeTransform
    peer_identity: IdPayload


@record(frozen=True, slots=True)
class ChildSa:
    """A pair of ESP SAs. SPIs are 4 bytes, ``in`` is the one that we chose and receive on.

    ``peer_lifetime_*`` is what a RESPONDER-LIFETIME notification shortened it to.
    """

    message_id: int
    initiated: bool
    spi_in: bytes
    spi_out: bytes
    transform: EspTransform
    mode: EncapsulationMode
    enc_key_in: bytes = field(repr=False)
    auth_key_in: bytes = field(repr=False)
    enc_key_out: bytes = field(repr=False)
    auth_key_out: bytes = field(repr=False)
    local_id: IdPayload | None
    remote_id: IdPayload | None
    nat_oa_initiator: IPAddress | None
    nat_oa_responder: IPAddress | None
    life_seconds: int | None
    life_kilobytes: int | None
    pfs_group: int | None = None


@record(frozen=True, slots=True)
class QuickModeEstablished(IkeEvent):
    child: ChildSa


@record(frozen=True, slots=True)
class NotifyReceived(IkeEvent):
    """A notification. ``phase`` is 1 or 2: by its protocol and the state it met.

    ``message_id`` is the one of the quick mode that it ended, or of the message it came in.
    An undecryptable one has no notification: ``notification`` is None.
    """

    notification: NotificationPayload | None
    trust: Trust
    phase: int
    message_id: int


@record(frozen=True, slots=True)
class DeleteReceived(IkeEvent):
    protocol: int
    spis: tuple[bytes, ...]
    trust: Trust


@record(frozen=True, slots=True)
class TimedOut(IkeEvent):
    """No answer. ``waiting_for`` is MM2, MM3 (responder), MM4, MM5, MM6, QM2, QM3, DPD-ACK."""

    waiting_for: str
    tries: int
    message_id: int = 0


@record(frozen=True, slots=True)
class DpdReceived(IkeEvent):
    """R-U-THERE from the peer; it has been answered."""

    sequence: int


@record(frozen=True, slots=True)
class DpdAcknowledged(IkeEvent):
    """R-U-THERE-ACK to ours."""

    sequence: int


@record(frozen=True, slots=True)
class SecretMismatch(IkeEvent):
    """Responder: MM5 does not decrypt with the keys made from our pre-shared key."""

    detail: str


@record(frozen=True, slots=True)
class Failed(IkeEvent):
    """``stage`` is the message that was waited for or processed: MM2, MM4, MM6, QM1, QM2..."""

    stage: str
    code: FailureCode
    detail: str
    message_id: int = 0
    notify_type: int | None = None


@record(frozen=True, slots=True)
class Rejected(IkeEvent):
    """A message with our cookies that cannot be right. It had no effect, since anyone on the path
    could have made it: the exchange goes on, and ends in :class:`TimedOut` if it was the peer."""

    stage: str
    code: FailureCode
    detail: str
    message_id: int = 0


@record(frozen=True, slots=True)
class PeerIsIkev2(IkeEvent):
    """The answer has major version 2; ``notify_types`` are those it carries in clear."""

    notify_types: tuple[int, ...]
    matches: bool
    """Whether it carries our initiator cookie."""


@record(frozen=True, slots=True)
class PeerAnsweredAggressive(IkeEvent):
    """A message of aggressive mode came where main mode was spoken."""


@record(frozen=True, slots=True)
class Deleted(IkeEvent):
    """The IKE SA is gone; ``by_peer`` tells who deleted it."""

    by_peer: bool
