"""One quick mode under way, and the ESP SA pair that comes of it (RFC 2409 section 5.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from vpndiag.protocols.errors import DecodeError, RemoteProtocolError
from vpndiag.protocols.ike.attributes import decode_attributes
from vpndiag.protocols.ike.constants import (
    EncapsulationMode,
    LifeType,
    NotifyType,
    Phase2Attribute,
    ProtocolId,
)
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.protocols.ike.engine import Flight
from vpndiag.protocols.ike.events import (
    ChildSa,
)
from vpndiag.protocols.ike.exchange_main import MAX_NONCE, MIN_NONCE
from vpndiag.protocols.ike.keys import Phase1Keys
from vpndiag.protocols.ike.message import PayloadChain
from vpndiag.protocols.ike.payloads import (
    IdPayload,
    NatOaPayload,
    NoncePayload,
    NotificationPayload,
)
from vpndiag.protocols.ike.retransmit import Retransmitter
from vpndiag.protocols.ike.transforms import EspTransform
from vpndiag.protocols.wire import Reader


class QuickState(StrEnum):
    QM1_SENT = "qm1-sent"
    QM2_SENT = "qm2-sent"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class QuickMode:
    """One quick mode. ``ni`` and ``nr`` are the bodies of the nonces."""

    message_id: int
    initiated: bool
    state: QuickState
    timer: Retransmitter
    spi_in: bytes
    ni: bytes = field(default=b"", repr=False)
    nr: bytes = field(default=b"", repr=False)
    offered: tuple[EspTransform, ...] = ()
    pair: KeyPair | None = None
    local_id: IdPayload | None = None
    remote_id: IdPayload | None = None
    nat_oa: tuple[NatOaPayload, ...] = ()
    flight: Flight | None = None
    child: ChildSa | None = None


def make_child(
    keys: Phase1Keys,
    quick: QuickMode,
    transform: EspTransform,
    spi_out: bytes,
    shared: bytes,
    chain: PayloadChain,
) -> ChildSa:
    enc, auth = transform.enc_key_size, transform.auth_key_size

    def keymat(spi: bytes) -> bytes:
        return keys.keymat(ProtocolId.ESP, spi, quick.ni, quick.nr, enc + auth, shared)

    key_in, key_out = keymat(quick.spi_in), keymat(spi_out)
    oa = [payload.address for payload in quick.nat_oa]
    seconds, kilobytes = responder_lifetime(chain)
    return ChildSa(
        message_id=quick.message_id,
        initiated=quick.initiated,
        spi_in=quick.spi_in,
        spi_out=spi_out,
        transform=transform,
        mode=EncapsulationMode(transform.encapsulation_mode),
        enc_key_in=key_in[:enc],
        auth_key_in=key_in[enc:],
        enc_key_out=key_out[:enc],
        auth_key_out=key_out[enc:],
        local_id=quick.local_id,
        remote_id=quick.remote_id,
        nat_oa_initiator=oa[0] if oa else None,
        nat_oa_responder=oa[1] if len(oa) > 1 else None,
        life_seconds=transform.life_seconds,
        life_kilobytes=transform.life_kb,
        peer_life_seconds=seconds,
        peer_life_kilobytes=kilobytes,
        pfs_group=transform.pfs_group,
    )


def same_algorithms(offered: EspTransform, ours: EspTransform) -> bool:
    """Equal but for mode, PFS and lifetimes. AES without a key length has 128 bits."""
    return (
        offered.cipher == ours.cipher
        and offered.auth == ours.auth
        and (offered.key_length or 128) == (ours.key_length or 128)
    )


def nonce_of(chain: PayloadChain) -> bytes:
    nonce = chain.first(NoncePayload)
    if nonce is None or not MIN_NONCE <= len(nonce.data) <= MAX_NONCE:
        raise DecodeError("nonce missing or of a forbidden size")
    return nonce.data


def responder_lifetime(chain: PayloadChain) -> tuple[int | None, int | None]:
    """Seconds and kilobytes of a RESPONDER-LIFETIME notification (RFC 2407 section 4.6.3.1)."""
    seconds = kilobytes = None
    for notification in chain.all(NotificationPayload):
        if notification.notify_type != NotifyType.RESPONDER_LIFETIME:
            continue
        try:
            attributes = decode_attributes(Reader(notification.data))
        except RemoteProtocolError:
            continue
        kind = 0
        for attribute in attributes:
            if attribute.type == Phase2Attribute.LIFE_TYPE:
                kind = attribute.int_value
            elif attribute.type == Phase2Attribute.LIFE_DURATION and attribute.int_value < 1 << 32:
                if kind == LifeType.SECONDS:
                    seconds = attribute.int_value
                elif kind == LifeType.KILOBYTES:
                    kilobytes = attribute.int_value
    return seconds, kilobytes
