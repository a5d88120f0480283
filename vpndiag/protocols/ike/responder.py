"""The responder of an IKE SA, with the habits (good and bad) of real gateways as configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vpndiag.protocols.errors import RemoteProtocolError
from vpndiag.protocols.ike import natt
from vpndiag.protocols.ike.algorithms import AuthMethod, EncapsulationMode
from vpndiag.protocols.ike.authentication import (
    ProofError,
    certificate_requests,
    check_proof,
    make_proof,
)
from vpndiag.protocols.ike.config import PfsPolicy, Refusal, ResponderConfig, WrongPsk
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType, ProtocolId
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.protocols.ike.engine import Flight, IkeState, Inbound, Kind, RandomBytes
from vpndiag.protocols.ike.events import (
    DropReason,
    FailureCode,
    NotifyReceived,
    PeerCertificate,
    PeerVendorIds,
    ProposalChosen,
    Protection,
    SecretMismatch,
    Trust,
)
from vpndiag.protocols.ike.exchange_info import Informational
from vpndiag.protocols.ike.exchange_main import choose, read_key_exchange
from vpndiag.protocols.ike.message import Message
from vpndiag.protocols.ike.natt import choose_dialect
from vpndiag.protocols.ike.payloads import (
    DeletePayload,
    HashPayload,
    KePayload,
    NoncePayload,
    NotificationPayload,
    Payload,
    Proposal,
    SaPayload,
    SignaturePayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.quick_state import QuickMode
from vpndiag.protocols.ike.retransmit import Retransmitter, Schedule
from vpndiag.protocols.ike.transforms import EspTransform

_DIALECT_VIDS = frozenset(dialect.vendor_id for dialect in natt.DIALECTS)


class IkeResponder(Informational):
    """One IKE SA that a peer starts.

    ``config.transforms`` is what is acceptable; the initiator's first acceptable one is chosen.
    An MM1 that is refused leaves the engine idle.
    """

    _is_initiator = False

    def __init__(self, config: ResponderConfig, random_bytes: RandomBytes) -> None:
        super().__init__(config, random_bytes)
        self._responder_config = config
        self._repeating = False

    def _main_table(self) -> dict[tuple[IkeState, Kind], Callable[[Inbound], None]]:
        return {
            (IkeState.IDLE, Kind.SA): self._on_mm1,
            (IkeState.MM2_SENT, Kind.KE): self._on_mm3,
            (IkeState.MM4_SENT, Kind.ENCRYPTED): self._on_mm5,
        }

    def _cookies_fit(self, message: Message) -> bool:
        header = message.header
        if self.state is IkeState.IDLE:
            return header.initiator_cookie != bytes(8) == header.responder_cookie
        return super()._cookies_fit(message)

    def _on_mm1(self, inbound: Inbound) -> None:
        message, main, config = inbound.message, self._main, self._responder_config
        self._report(inbound, "MM1", message.payloads, Protection.CLEAR)
        offered = message.first(SaPayload)
        assert offered is not None  # or it would be of another kind
        theirs = {p.vendor_id for p in message.all(VendorIdPayload)}
        dialect = choose_dialect(config.vendor_ids, theirs)
        if config.require_natt_vid and dialect is None:
            self._drop(inbound, DropReason.NO_NAT_TRAVERSAL, "no NAT traversal vendor id")
            return
        choice = choose(offered, config.transforms)
        if choice is None:
            self._refuse(inbound, FailureCode.NO_PROPOSAL, "no acceptable proposal")
            return
        answer, transform, number = choice
        if transform.auth_method == AuthMethod.PSK:
            if self._config.psk is None:
                self._refuse(inbound, FailureCode.NO_KEY, "no pre-shared key for this peer")
                return
        elif transform.auth_method != AuthMethod.RSA_SIG or config.credentials is None:
            self._refuse(inbound, FailureCode.NO_KEY, "no certificate of ours")
            return
        main.initiator_cookie = message.header.initiator_cookie
        main.responder_cookie = self._new_cookie()
        main.sai_b = offered.body
        main.transform, main.dialect = transform, dialect
        vendor_ids = main.learn_vendor_ids(message)
        self._accept(inbound)
        self._natt = inbound.natt
        self._emit(PeerVendorIds(vendor_ids))
        self._emit(ProposalChosen(transform, number))
        # NAT traversal is answered, not announced (RFC 3947 section 3.1).
        ours = [vid for vid in config.vendor_ids if vid not in _DIALECT_VIDS or vid in theirs]
        flight = self._send_main("MM2", (answer, *(VendorIdPayload(vid) for vid in ours)))
        self._remember(inbound, flight)
        self.state = IkeState.MM2_SENT
        self._wait_for("MM3", inbound.now)

    def _refuse(self, inbound: Inbound, code: FailureCode, detail: str) -> None:
        self._reject("MM1", code, detail)
        if self._responder_config.refusal is Refusal.SILENT:
            return
        self._remote = inbound.remote
        self._natt = inbound.natt
        self._main.initiator_cookie = inbound.message.header.initiator_cookie
        self._main.responder_cookie = self._new_cookie()
        self._send(
            "NOTIFY",
            ExchangeType.INFORMATIONAL,
            (NotificationPayload(NotifyType.NO_PROPOSAL_CHOSEN, ProtocolId.ISAKMP),),
            message_id=self._new_message_id(),
            protect=False,
        )
        self._main.initiator_cookie = self._main.responder_cookie = bytes(8)

    def _on_mm3(self, inbound: Inbound) -> None:
        message, main, config = inbound.message, self._main, self._responder_config
        self._report(inbound, "MM3", message.payloads, Protection.CLEAR)
        pair = KeyPair.generate(main.chosen.group, self._random)
        main.pair, main.our_nonce = pair, self._random(config.nonce_size)
        try:
            main.their_public, main.their_nonce = read_key_exchange(message)
            main.derive(self._config.psk)
        except RemoteProtocolError as error:
            self._reject("MM3", FailureCode.BAD_KEY_EXCHANGE, str(error))
            return
        main.learn_nat_d(message, inbound.local, inbound.remote, False)
        # Where the initiator shows a NAT, nobody has to claim another.
        force = config.force_encapsulation and not main.encapsulate
        if force:
            main.learn_nat_d(message, inbound.local, inbound.remote, True)
        self._accept(inbound)
        self._report_nat()
        payloads: list[Payload] = [KePayload(pair.public), NoncePayload(main.our_nonce)]
        if main.chosen.auth_method != AuthMethod.PSK:
            payloads += certificate_requests(config)
        if main.nat is not None:
            payloads += main.nat_d(inbound.local, inbound.remote, force)
        self._remember(inbound, self._send_main("MM4", payloads))
        self.state = IkeState.MM4_SENT
        self._wait_for("MM5", inbound.now)

    def _on_mm5(self, inbound: Inbound) -> None:
        main, config = self._main, self._responder_config
        chain = self._open(inbound)
        if chain is None:
            self._report(inbound, "MM5", (), Protection.UNDECRYPTABLE)
            self._wrong_psk(inbound)
            return
        try:
            peer, report = check_proof(main, config, chain)
        except ProofError as error:
            self._report(inbound, "MM5", chain.payloads, Protection.BAD_HASH)
            self._reject("MM5", error.code, str(error))
            if main.chosen.auth_method == AuthMethod.PSK:
                # Garbage may decode by chance: it is still the wrong key.
                self._wrong_psk(inbound)
            return
        self._report(inbound, "MM5", chain.payloads, Protection.DECRYPTED)
        if config.refuse_peer is not None:
            self._turn_away(inbound, config.refuse_peer)
            return
        self._accept(inbound)
        self._natt = inbound.natt
        self._peer_named(peer)
        if report is not None:
            self._emit(PeerCertificate(report))
            if config.require_trusted and not report.ok:
                self._send_notify(NotifyType.AUTHENTICATION_FAILED, ProtocolId.ISAKMP)
                self._fail("MM5", FailureCode.BAD_CERTIFICATE, f"certificate: {report.status}")
                return
        if config.check_peer is not None and not config.check_peer(peer):
            self._send_notify(NotifyType.INVALID_ID_INFORMATION, ProtocolId.ISAKMP)
            self._fail("MM5", FailureCode.BAD_IDENTITY, "the peer's identity is not acceptable")
            return
        for notification in chain.all(NotificationPayload):
            self._emit(NotifyReceived(notification, Trust.AUTHENTICATED, 1, 0))
        identity = self._our_identity(inbound)
        proof = list(make_proof(main, config, identity))
        if config.false_proof:
            proof = [_spoilt(p) for p in proof]
        flight = self._send_main("MM6", (identity, *proof), protect=True)
        self._remember(inbound, flight)
        self._phase_one_established(peer)

    def _turn_away(self, inbound: Inbound, answer: NotifyType | str) -> None:
        """Refuse a peer that proved itself. A repeat of its MM5 gets the same answer; the half-open
        SA expires by itself."""
        self._reject("MM5", FailureCode.BAD_IDENTITY, "the peer is not welcome")
        self._accept(inbound)
        self._natt = inbound.natt
        if isinstance(answer, NotifyType):
            flight = self._send_notify(answer, ProtocolId.ISAKMP)
        else:
            flight = self._send_delete()
        self._last = flight
        self._remember(inbound, flight)

    def _wrong_psk(self, inbound: Inbound) -> None:
        """MM5 does not decrypt: nearly always another pre-shared key, and never a reason to
        change the state, since anyone can send garbage."""
        self._emit(SecretMismatch("MM5 does not decrypt with our keys"))
        behaviour = self._responder_config.wrong_psk
        if behaviour is WrongPsk.ENCRYPTED_NOTIFY:
            self._send_notify(NotifyType.PAYLOAD_MALFORMED, ProtocolId.ISAKMP)
        elif behaviour is WrongPsk.CLEAR_NOTIFY:
            self._send_clear_notify(NotifyType.PAYLOAD_MALFORMED)
        elif not self._repeating:
            self._timer = Retransmitter(self._config.schedule, self._config.patience)
            self._timer.start("MM5", inbound.now)
            self._repeating = True

    # --- quick mode -------------------------------------------------------------------------

    def _quick_policy(
        self, quick: QuickMode, has_key_exchange: bool
    ) -> tuple[NotifyType, FailureCode, str] | None:
        config = self._responder_config
        if config.refuse_quick_mode is not None:
            forced = config.refuse_quick_mode
            answer = forced if isinstance(forced, NotifyType) else NotifyType.NO_PROPOSAL_CHOSEN
            return answer, FailureCode.NO_PROPOSAL, "quick modes are refused"
        if config.refuse_renewal is not None and self.children:
            return config.refuse_renewal, FailureCode.NO_PROPOSAL, "renewals are refused"
        if config.check_ids is not None and (
            quick.remote_id is None
            or quick.local_id is None
            or not config.check_ids(quick.remote_id, quick.local_id)
        ):
            return (
                NotifyType.INVALID_ID_INFORMATION,
                FailureCode.BAD_IDENTITY,
                "quick mode identities are not acceptable",
            )
        if config.pfs is PfsPolicy.REQUIRE and not has_key_exchange:
            return NotifyType.NO_PROPOSAL_CHOSEN, FailureCode.PFS_REQUIRED, "PFS is required"
        if config.pfs is PfsPolicy.REFUSE and has_key_exchange:
            return NotifyType.NO_PROPOSAL_CHOSEN, FailureCode.PFS_REFUSED, "PFS is not wanted"
        return None

    def _choose_esp(self, offer: SaPayload) -> tuple[Proposal, EspTransform] | None:
        odd = self._responder_config.choose_esp
        if odd is None:
            return super()._choose_esp(offer)
        return replace(offer.proposals[0], transforms=(odd.to_transform(1),)), odd

    def _refuse_quick_mode(self, notify_type: NotifyType, spi: bytes, now: float) -> Flight:
        if self._responder_config.refuse_quick_mode == "delete":
            return self._send_delete()
        return super()._refuse_quick_mode(notify_type, spi, now)

    def _send_delete(self) -> Flight:
        """Say that the IKE SA is deleted, and keep it: repeats get the same answer."""
        cookies = self.initiator_cookie + self.responder_cookie
        return self._send_info("DELETE", (DeletePayload(ProtocolId.ISAKMP, (cookies,)),))

    def _acceptable_mode(self, mode: int) -> bool:
        if mode == EncapsulationMode.TRANSPORT and not self._responder_config.allow_plain_transport:
            return False
        return super()._acceptable_mode(mode)

    def _repeats(self, quick: QuickMode) -> bool:
        """QM2 too: the initiator takes the SA for agreed once it has sent QM3, and has no way to
        know that QM3 was lost."""
        return True

    # --- timers -----------------------------------------------------------------------------

    def _wait_for(self, name: str, now: float) -> None:
        """Wait for the initiator, repeating our message meanwhile only if so configured."""
        config = self._responder_config
        self._repeating = config.repeat_responses
        if self._repeating:
            self._timer = Retransmitter(config.schedule, config.patience)
        else:
            wait = config.half_open_timeout
            self._timer = Retransmitter(Schedule(initial=wait, cap=wait, tries=1))
        self._timer.start(name, now)


def _spoilt(payload: Payload) -> Payload:
    """A proof that is wrong; other payloads as they are."""
    if isinstance(payload, HashPayload):
        return HashPayload(bytes(x ^ 0xFF for x in payload.data))
    if isinstance(payload, SignaturePayload):
        return SignaturePayload(bytes(x ^ 0xFF for x in payload.data))
    return payload
