"""One quick mode under way, and the ESP SA pair that comes of it (RFC 2409 section 5.5)."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ike.algorithms import EncapsulationMode
from vpndiag.protocols.ike.constants import ProtocolId
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
)
from vpndiag.protocols.ike.retransmit import Retransmitter
from vpndiag.protocols.ike.transforms import EspTransform
from vpndiag.records import record


class QuickState(StrEnum):
    QM1_SENT = "qm1-sent"
    QM2_SENT = "qm2-sent"
    DONE = "done"
    FAILED = "failed"


@record(slots=True)
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
) -> ChildSa:
    enc, auth = transform.enc_key_size, transform.auth_key_size

    def keymat(spi: bytes) -> bytes:
        return keys.keymat(ProtocolId.ESP, spi, quick.ni, quick.nr, enc + auth, shared)

    key_in, key_out = keymat(quick.spi_in), keymat(spi_out)
    oa = [payload.address for payload in quick.nat_oa]
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
