"""What an IKE engine is told before it starts. All of it is data, nothing is read later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import StrEnum
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from vpndiag.protocols.ike import natt, vendor_ids
from vpndiag.protocols.ike.algorithms import EncapsulationMode
from vpndiag.protocols.ike.constants import NotifyType
from vpndiag.protocols.ike.payloads import IdPayload
from vpndiag.protocols.ike.retransmit import Patience, Schedule
from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform
from vpndiag.records import record

VID_DPD = vendor_ids.DPD
VID_FRAGMENTATION = vendor_ids.FRAGMENTATION

NATT_VENDOR_IDS = tuple(dialect.vendor_id for dialect in natt.DIALECTS)
DEFAULT_VENDOR_IDS = (*NATT_VENDOR_IDS, VID_DPD, VID_FRAGMENTATION)

UDP = 17
L2TP_PORT = 1701


IdentityCheck = Callable[[IdPayload], bool]


@record(frozen=True, slots=True)
class RsaCredentials:
    """Our certificate: ``chain`` is DER, the leaf first; ``key`` belongs to the leaf."""

    key: RSAPrivateKey = field(repr=False)
    chain: tuple[bytes, ...]


@record(frozen=True, slots=True, kw_only=True)
class IkeConfig:
    """Common to both roles.

    ``transforms`` and ``esp_transforms`` are in order of preference; encapsulation mode, PFS group
    and lifetimes of the latter are filled in here. ``identity`` None stands for
    our own address. ``trust_anchors`` are DER certificates; ``expected_name`` is the name or
    address that the peer's certificate must carry (None: any), judged at ``verify_time`` (POSIX
    seconds). ``fragment_size``: messages above it are sent as IKE fragments to a peer that
    announced them; 0 never.
    """

    transforms: tuple[IkeTransform, ...]
    esp_transforms: tuple[EspTransform, ...]
    vendor_ids: tuple[bytes, ...] = DEFAULT_VENDOR_IDS
    identity: IdPayload | None = None
    psk: bytes | None = field(default=None, repr=False)
    credentials: RsaCredentials | None = None
    trust_anchors: tuple[bytes, ...] = ()
    expected_name: str | None = None
    verify_time: float = 0.0
    require_trusted: bool = True
    """False: a certificate with problems is reported and then accepted."""
    force_encapsulation: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    patience: Patience | None = None
    nonce_size: int = 32
    fragment_size: int = 0
    check_peer: IdentityCheck | None = field(default=None, repr=False)
    """Whether the peer's proven identity is acceptable; None accepts any."""
    local_port: int = L2TP_PORT
    remote_port: int = L2TP_PORT
    """Ports of the quick mode identities, protocol UDP."""
    pfs_group: int | None = None
    """Group of a quick mode that we start."""
    ike_life_seconds: int = 28_800
    """For transforms that bring no lifetime."""
    life_seconds: int = 3600
    life_kilobytes: int = 250_000
    """Lifetimes of the ESP SAs, always sent: a missing one is zero to Libreswan."""
    max_quick_modes: int = 16


@record(frozen=True, slots=True, kw_only=True)
class InitiatorConfig(IkeConfig):
    """``dialled`` is the address the responder's quick mode identity names, if it is not the one
    that answers. ``encapsulation`` None lets NAT detection decide."""

    auto_quick: bool = False
    initial_contact: bool = True
    dialled: str | None = None
    encapsulation: EncapsulationMode | None = None
    accept_peer_quick_mode: bool = True
    """Whether quick modes started by the responder are answered or refused."""


class Refusal(StrEnum):
    """How a responder refuses phase 1 proposals."""

    NOTIFY = "notify"
    SILENT = "silent"


class WrongPsk(StrEnum):
    """What a responder does with an MM5 that it cannot decrypt."""

    SILENT_RETRANSMIT_MM4 = "silent-retransmit-mm4"
    """SoftEther (every 2 s), Libreswan (0.5 s doubling)."""
    ENCRYPTED_NOTIFY = "encrypted-notify"
    """strongSwan: an Informational that the initiator cannot decrypt, port 500."""
    CLEAR_NOTIFY = "clear-notify"


class PfsPolicy(StrEnum):
    """What a responder makes of a KE payload in quick mode."""

    ACCEPT = "accept"
    REQUIRE = "require"
    REFUSE = "refuse"


IdCheck = Callable[[IdPayload, IdPayload], bool]
"""``check(IDci, IDcr)``: whether the selectors of a quick mode are acceptable."""


@record(frozen=True, slots=True, kw_only=True)
class ResponderConfig(IkeConfig):
    """``schedule`` is used for MM4 of ``SILENT_RETRANSMIT_MM4`` and, with ``repeat_responses``,
    for every message of ours that an answer is due to."""

    refusal: Refusal = Refusal.NOTIFY
    require_natt_vid: bool = False
    wrong_psk: WrongPsk = WrongPsk.ENCRYPTED_NOTIFY
    repeat_responses: bool = False
    pfs: PfsPolicy = PfsPolicy.ACCEPT
    check_ids: IdCheck | None = None
    allow_plain_transport: bool = True
    """False: only UDP-encapsulated transport mode is accepted, as SoftEther does."""
    refuse_quick_mode: NotifyType | Literal["delete"] | None = None
    """Refuse every quick mode with this notification; ``"delete"``: with a Delete of the IKE SA."""
    choose_esp: EspTransform | None = None
    """Answer every quick mode with this, whatever is offered."""
    refuse_renewal: NotifyType | None = None
    """Refuse quick modes with this once there is an SA pair."""
    refuse_peer: NotifyType | Literal["delete"] | None = None
    """Answer a right MM5 with this error instead of MM6, as for an identity that is not welcome;
    ``"delete"``: with a Delete of the IKE SA."""
    false_proof: bool = False
    """Send a wrong HASH_R or SIG_R."""
    half_open_timeout: float = 30.0
    """Seconds until an unfinished phase 1 is given up."""
