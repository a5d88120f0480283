"""Main mode: what its messages say and prove (RFC 2409 sections 5.1 and 5.4).

The state tables are in :mod:`~.initiator` and :mod:`~.responder`; this is the part that is the
same, or the mirror image, in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ike import natt
from vpndiag.protocols.ike.algorithms import AuthMethod
from vpndiag.protocols.ike.ciphers import CipherSpec
from vpndiag.protocols.ike.constants import KEY_IKE, ProtocolId
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.protocols.ike.keys import (
    CipherState,
    Phase1Keys,
    phase1_iv,
    skeyid_psk,
    skeyid_signature,
)
from vpndiag.protocols.ike.message import Message
from vpndiag.protocols.ike.natt import Address, NatDialect, NatState
from vpndiag.protocols.ike.payloads import (
    IdPayload,
    KePayload,
    NatDPayload,
    NoncePayload,
    Proposal,
    SaPayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.transforms import IkeTransform, ike_sa
from vpndiag.records import record

MAX_VENDOR_IDS = 64
MIN_NONCE, MAX_NONCE = 8, 256
"""RFC 2409 section 5."""


@record(slots=True)
class MainMode:
    """Everything that one phase 1 has learned so far; ``our`` and ``their`` depend on the role."""

    initiator: bool
    initiator_cookie: bytes = bytes(8)
    responder_cookie: bytes = bytes(8)
    sai_b: bytes = b""
    transform: IkeTransform | None = None
    pair: KeyPair | None = None
    our_nonce: bytes = field(default=b"", repr=False)
    their_public: bytes = b""
    their_nonce: bytes = field(default=b"", repr=False)
    keys: Phase1Keys | None = None
    cipher: CipherState | None = None
    dialect: NatDialect | None = None
    nat: NatState | None = None
    peer_vendor_ids: tuple[bytes, ...] = ()
    peer_identity: IdPayload | None = None

    @property
    def cookies(self) -> tuple[bytes, bytes]:
        return self.initiator_cookie, self.responder_cookie

    @property
    def chosen(self) -> IkeTransform:
        assert self.transform is not None
        return self.transform

    @property
    def encapsulate(self) -> bool:
        return self.nat is not None and self.nat.encapsulate

    def _publics(self) -> tuple[bytes, bytes]:
        """g^xi and g^xr."""
        assert self.pair is not None
        ours, theirs = self.pair.public, self.their_public
        return (ours, theirs) if self.initiator else (theirs, ours)

    def derive(self, psk: bytes | None) -> None:
        """SKEYID, the keys and the first IV, once both KE and nonces are known.

        :raises RemoteProtocolError: the peer's public value is not usable.
        """
        assert self.pair is not None
        transform = self.chosen
        shared = self.pair.shared_secret(self.their_public)
        ours, theirs = self.our_nonce, self.their_nonce
        ni, nr = (ours, theirs) if self.initiator else (theirs, ours)
        if transform.auth_method == AuthMethod.PSK:
            skeyid = skeyid_psk(transform.hash, psk or b"", ni, nr)
        else:
            skeyid = skeyid_signature(transform.hash, ni, nr, shared)
        spec = CipherSpec.of(transform.encryption, transform.key_length)
        self.keys = Phase1Keys.derive(transform.hash, spec, skeyid, shared, *self.cookies)
        self.cipher = CipherState(
            transform.hash,
            spec,
            self.keys.cipher_key,
            phase1_iv(transform.hash, spec, *self._publics()),
        )

    def auth_hash(self, by_initiator: bool, identity_body: bytes) -> bytes:
        """HASH_I or HASH_R over the given ID payload body."""
        assert self.keys is not None
        make = self.keys.hash_i if by_initiator else self.keys.hash_r
        return make(*self._publics(), *self.cookies, self.sai_b, identity_body)

    def nat_d(self, local: Address, remote: Address, force: bool) -> tuple[NatDPayload, ...]:
        """Our NAT-D payloads; none when there is no common dialect."""
        if self.dialect is None:
            return ()
        return natt.make_nat_d(
            self.chosen.hash,
            self.cookies,
            local=local,
            remote=remote,
            dialect=self.dialect,
            force=force,
        )

    def learn_nat_d(self, message: Message, local: Address, remote: Address, force: bool) -> None:
        """Judge the peer's NAT-D payloads of MM3 or MM4."""
        if self.dialect is None:
            return
        self.nat = natt.judge_nat_d(
            self.chosen.hash,
            self.cookies,
            message.all(NatDPayload),
            local=local,
            remote=remote,
            dialect=self.dialect,
            force=force,
        )

    def learn_vendor_ids(self, message: Message) -> tuple[bytes, ...]:
        """Keep the vendor ids of the message, up to :data:`MAX_VENDOR_IDS` in all."""
        new = tuple(p.vendor_id for p in message.all(VendorIdPayload))
        self.peer_vendor_ids = (*self.peer_vendor_ids, *new)[:MAX_VENDOR_IDS]
        return new


def offer(transforms: Sequence[IkeTransform], life_seconds: int) -> SaPayload:
    """The SA payload of MM1. A transform without a lifetime gets ``life_seconds``: Libreswan
    takes a missing one for zero."""
    return ike_sa(
        [t if t.life_seconds else replace(t, life_seconds=life_seconds) for t in transforms]
    )


def read_choice(
    answer: SaPayload, offered: Sequence[IkeTransform]
) -> tuple[IkeTransform, int] | None:
    """The transform a responder chose and its number; None if it was not one of ours.

    :raises DecodeError: not exactly one proposal with one transform.
    """
    if len(answer.proposals) != 1 or len(answer.proposals[0].transforms) != 1:
        raise DecodeError("the answer is not one proposal with one transform")
    transform = answer.proposals[0].transforms[0]
    chosen = IkeTransform.from_transform(transform)
    # Numbers are not always echoed, the suite is what counts.
    if any(chosen.same_algorithms(candidate) for candidate in offered):
        return chosen, transform.number
    return None


def choose(
    offer_: SaPayload, acceptable: Sequence[IkeTransform]
) -> tuple[SaPayload, IkeTransform, int] | None:
    """The initiator's first transform that is acceptable, and the SA payload that says so."""
    for proposal in offer_.proposals:
        if proposal.protocol != ProtocolId.ISAKMP:
            continue
        for transform in proposal.transforms:
            if transform.transform_id != KEY_IKE:
                continue
            candidate = IkeTransform.from_transform(transform)
            if any(candidate.same_algorithms(ours) for ours in acceptable):
                answer = SaPayload(
                    (Proposal(proposal.number, proposal.protocol, proposal.spi, (transform,)),)
                )
                return answer, candidate, transform.number
    return None


def read_key_exchange(message: Message) -> tuple[bytes, bytes]:
    """Public value and nonce of MM3 or MM4.

    :raises DecodeError: one is missing or the nonce has a forbidden size.
    """
    public, nonce = message.first(KePayload), message.first(NoncePayload)
    if public is None or nonce is None:
        raise DecodeError("KE or nonce payload missing")
    if not MIN_NONCE <= len(nonce.data) <= MAX_NONCE:
        raise DecodeError(f"nonce of {len(nonce.data)} bytes")
    return public.data, nonce.data
