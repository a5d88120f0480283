"""Answering quick mode: QM1 is judged, QM2 sent, and QM3 makes the SA pair usable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vpndiag.protocols.errors import DecodeError, RemoteProtocolError
from vpndiag.protocols.ike.algorithms import EncapsulationMode
from vpndiag.protocols.ike.constants import NotifyType, ProtocolId
from vpndiag.protocols.ike.dh import SUPPORTED_GROUPS, KeyPair
from vpndiag.protocols.ike.engine import Flight, Inbound
from vpndiag.protocols.ike.events import (
    DropReason,
    Failed,
    FailureCode,
    Protection,
)
from vpndiag.protocols.ike.exchange_quick import QuickModes
from vpndiag.protocols.ike.message import PayloadChain, encode_payloads
from vpndiag.protocols.ike.natt import ip_address
from vpndiag.protocols.ike.payloads import (
    HashPayload,
    IdPayload,
    KePayload,
    NatOaPayload,
    NoncePayload,
    Payload,
    Proposal,
    SaPayload,
)
from vpndiag.protocols.ike.quick_state import (
    QuickMode,
    QuickState,
    make_child,
    nonce_of,
    same_algorithms,
)
from vpndiag.protocols.ike.retransmit import Retransmitter
from vpndiag.protocols.ike.transforms import EspTransform


class QuickAnswers(QuickModes):
    """Quick modes of either side."""

    def _quick_table(
        self,
    ) -> dict[QuickState, Callable[[QuickMode, Inbound, PayloadChain], bool]]:
        return {**super()._quick_table(), QuickState.QM2_SENT: self._on_qm3}

    def _on_qm1(self, inbound: Inbound, chain: PayloadChain) -> None:
        message_id = inbound.message.header.message_id
        expected = self._keys.quick_hash_1(message_id, chain.after_first)
        first = chain.payloads[0]
        if not isinstance(first, HashPayload) or first.data != expected:
            self._report(inbound, "QM", chain.payloads, Protection.BAD_HASH)
            self._drop(
                inbound, DropReason.WRONG_MESSAGE_ID, "no such quick mode, and not a new one"
            )
            return
        self._report(inbound, "QM1", chain.payloads, Protection.DECRYPTED)
        if message_id in self._message_ids:
            self._drop(inbound, DropReason.WRONG_MESSAGE_ID, "message id was used before")
            return
        if self._pending() >= self._config.max_quick_modes:
            self._drop(inbound, DropReason.LIMIT, "too many quick modes at a time")
            return
        self._note_message_id(message_id)
        self._accept(inbound)
        self._remember(inbound, None)
        quick = QuickMode(
            message_id,
            False,
            QuickState.QM2_SENT,
            Retransmitter(self._config.schedule, self._config.patience),
            self._new_spi(),
        )
        try:
            refusal = self._answer(quick, inbound, chain)
        except RemoteProtocolError as error:
            refusal = (NotifyType.PAYLOAD_MALFORMED, FailureCode.MALFORMED, str(error))
        if refusal is not None:
            notify_type, code, detail = refusal
            sa = chain.first(SaPayload)
            spi = sa.proposals[0].spi if sa is not None and sa.proposals else b""
            self._remember(inbound, self._refuse_quick_mode(notify_type, spi, inbound.now))
            self._emit(Failed("QM1", code, detail, message_id, notify_type))

    def _answer(
        self, quick: QuickMode, inbound: Inbound, chain: PayloadChain
    ) -> tuple[NotifyType, FailureCode, str] | None:
        """Send QM2, or say why not."""
        offer = chain.first(SaPayload)
        if offer is None:
            raise DecodeError("SA payload missing")
        quick.ni = nonce_of(chain)
        ids = chain.all(IdPayload)
        if len(ids) >= 2:
            quick.remote_id, quick.local_id = ids[0], ids[1]
        public = chain.first(KePayload)
        forced = self._quick_policy(quick, public is not None)
        if forced is not None:
            return forced
        chosen = self._choose_esp(offer)
        if chosen is None:
            return NotifyType.NO_PROPOSAL_CHOSEN, FailureCode.NO_PROPOSAL, "no acceptable proposal"
        proposal, transform = chosen
        shared = b""
        if transform.pfs_group is not None:
            if public is None:
                raise DecodeError("KE payload missing although a group was offered")
            quick.pair = KeyPair.generate(transform.pfs_group, self._random)
            shared = quick.pair.shared_secret(public.data)
        quick.nr = self._random(self._config.nonce_size)
        answer = SaPayload((replace(proposal, spi=quick.spi_in),))
        payloads: list[Payload] = [answer, NoncePayload(quick.nr)]
        if quick.pair is not None:
            payloads.append(KePayload(quick.pair.public))
        payloads += ids[:2]
        quick.nat_oa = chain.all(NatOaPayload)
        dialect = self._main.dialect
        if EncapsulationMode(transform.encapsulation_mode).is_udp and dialect is not None:
            theirs, ours = ip_address(inbound.remote[0]), ip_address(inbound.local[0])
            if not dialect.draft:
                payloads.append(NatOaPayload.of_address(theirs))
            payloads.append(NatOaPayload.of_address(ours, dialect.draft))
        digest = self._keys.quick_hash_2(quick.message_id, quick.ni, encode_payloads(payloads))
        self._add(quick)
        flight = self._send_quick(quick, "QM2", (HashPayload(digest), *payloads))
        self._remember(inbound, flight)
        quick.timer.start("QM3", inbound.now)
        # The SA pair is complete but not used until QM3 proves that QM2 arrived.
        quick.child = make_child(self._keys, quick, transform, proposal.spi, shared)
        return None

    def _quick_policy(
        self, quick: QuickMode, has_key_exchange: bool
    ) -> tuple[NotifyType, FailureCode, str] | None:
        """A reason to refuse that does not depend on the proposals."""
        return None

    def _acceptable_mode(self, mode: int) -> bool:
        """Encapsulation modes that fit what NAT detection found."""
        try:
            known = EncapsulationMode(mode)
        except ValueError:
            return False
        return known.is_transport and known.is_udp == self._main.encapsulate

    def _choose_esp(self, offer: SaPayload) -> tuple[Proposal, EspTransform] | None:
        """The initiator's first acceptable transform, in a proposal of its own."""
        numbers = [proposal.number for proposal in offer.proposals]
        for proposal in offer.proposals:
            # Equal numbers mean AH and ESP together, which L2TP does not use.
            if proposal.protocol != ProtocolId.ESP or numbers.count(proposal.number) != 1:
                continue
            if len(proposal.spi) != 4 or proposal.spi == bytes(4):
                continue
            for raw in proposal.transforms:
                transform = EspTransform.from_transform(raw)
                if (
                    self._acceptable_mode(transform.encapsulation_mode)
                    and (transform.pfs_group is None or transform.pfs_group in SUPPORTED_GROUPS)
                    and any(
                        same_algorithms(transform, ours) for ours in self._config.esp_transforms
                    )
                ):
                    return replace(proposal, transforms=(raw,)), transform
        return None

    def _refuse_quick_mode(self, notify_type: NotifyType, spi: bytes, now: float) -> Flight:
        raise NotImplementedError

    def _on_qm3(self, quick: QuickMode, inbound: Inbound, chain: PayloadChain) -> bool:
        expected = self._keys.quick_hash_3(quick.message_id, quick.ni, quick.nr)
        if not self._hash_fits(inbound, "QM3", chain, expected):
            return False
        self._accept(inbound)
        self._remember(inbound, None)
        quick.timer.stop()
        quick.state = QuickState.DONE
        assert quick.child is not None
        self._register(quick.child)
        return True
