"""The initiator of an IKE SA: main mode from MM1 to MM6, then whatever the owner asks for."""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.algorithms import AuthMethod
from vpndiag.protocols.ike.authentication import (
    ProofError,
    certificate_requests,
    check_proof,
    make_proof,
)
from vpndiag.protocols.ike.ciphers import CipherSpec, digest_size
from vpndiag.protocols.ike.config import InitiatorConfig
from vpndiag.protocols.ike.constants import NotifyType, ProtocolId, name_of
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.protocols.ike.engine import IkeState, Inbound, Kind, RandomBytes
from vpndiag.protocols.ike.events import (
    DropReason,
    FailureCode,
    PeerCertificate,
    PeerVendorIds,
    ProposalChosen,
    Protection,
)
from vpndiag.protocols.ike.exchange_info import Informational
from vpndiag.protocols.ike.exchange_main import offer, read_choice, read_key_exchange
from vpndiag.protocols.ike.natt import choose_dialect
from vpndiag.protocols.ike.payloads import (
    KePayload,
    NoncePayload,
    NotificationPayload,
    Payload,
    SaPayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.quick_state import QuickMode

_WRONG = {
    FailureCode.WRONG_SIGNATURE: NotifyType.INVALID_SIGNATURE,
    FailureCode.WRONG_HASH: NotifyType.INVALID_HASH_INFORMATION,
}


class IkeInitiator(Informational):
    """One IKE SA that we start.

    ``config.transforms`` are offered in their order. Call :meth:`start` once; everything after it
    follows from datagrams and time.
    """

    _is_initiator = True

    def __init__(self, config: InitiatorConfig, random_bytes: RandomBytes) -> None:
        if not config.transforms or not config.esp_transforms:
            raise LocalProtocolError("at least one transform of each phase is needed")
        super().__init__(config, random_bytes)
        self._initiator_config = config
        self._wrong_proof: tuple[Inbound, NotifyType] | None = None
        self._main.initiator_cookie = self._new_cookie()

    def start(self, now: float) -> None:
        """Send MM1.

        :raises LocalProtocolError: it was started before.
        """
        if self.state is not IkeState.IDLE:
            raise LocalProtocolError("an engine is started once")
        config = self._config
        sa = offer(config.transforms, config.ike_life_seconds)
        self._main.sai_b = sa.body
        self._send_main("MM1", (sa, *(VendorIdPayload(vid) for vid in config.vendor_ids)))
        self.state = IkeState.MM1_SENT
        self._timer.start("MM2", now)

    def _main_table(self) -> dict[tuple[IkeState, Kind], Callable[[Inbound], None]]:
        return {
            (IkeState.MM1_SENT, Kind.SA): self._on_mm2,
            (IkeState.MM3_SENT, Kind.KE): self._on_mm4,
            (IkeState.MM5_SENT, Kind.ENCRYPTED): self._on_mm6,
        }

    def _on_mm2(self, inbound: Inbound) -> None:
        message, main, config = inbound.message, self._main, self._config
        self._report(inbound, "MM2", message.payloads, Protection.CLEAR)
        answer = message.first(SaPayload)
        if answer is None or message.header.responder_cookie == bytes(8):
            self._reject("MM2", FailureCode.MALFORMED, "no SA payload or no responder cookie")
            return
        try:
            choice = read_choice(answer, config.transforms)
        except RemoteProtocolError as error:
            self._reject("MM2", FailureCode.MALFORMED, str(error))
            return
        if choice is None:
            self._reject("MM2", FailureCode.BAD_CHOICE, "the transform was not offered")
            return
        main.responder_cookie = message.header.responder_cookie
        main.transform, number = choice
        vendor_ids = main.learn_vendor_ids(message)
        main.dialect = choose_dialect(config.vendor_ids, vendor_ids)
        self._accept(inbound)
        self._emit(PeerVendorIds(vendor_ids))
        self._emit(ProposalChosen(main.transform, number))
        try:
            payloads = self._key_exchange(inbound)
        except LocalProtocolError as error:
            self._fail("MM3", FailureCode.UNSUPPORTED, str(error))
            return
        self._remember(inbound, self._send_main("MM3", payloads))
        self.state = IkeState.MM3_SENT
        self._timer.start("MM4", inbound.now)

    def _key_exchange(self, inbound: Inbound) -> list[Payload]:
        """The payloads of MM3.

        :raises LocalProtocolError: the transform was offered but cannot be spoken.
        """
        main, config = self._main, self._config
        transform = main.chosen
        if transform.auth_method not in (AuthMethod.PSK, AuthMethod.RSA_SIG):
            method = name_of(AuthMethod, transform.auth_method)
            raise LocalProtocolError(f"authentication method {method} is not supported")
        CipherSpec.of(transform.encryption, transform.key_length)
        digest_size(transform.hash)
        main.pair = KeyPair.generate(transform.group, self._random)
        main.our_nonce = self._random(config.nonce_size)
        payloads: list[Payload] = [KePayload(main.pair.public), NoncePayload(main.our_nonce)]
        if transform.auth_method != AuthMethod.PSK:
            payloads += certificate_requests(config)
        payloads += main.nat_d(inbound.local, inbound.remote, config.force_encapsulation)
        return payloads

    def _on_mm4(self, inbound: Inbound) -> None:
        message, main, config = inbound.message, self._main, self._config
        self._report(inbound, "MM4", message.payloads, Protection.CLEAR)
        try:
            main.their_public, main.their_nonce = read_key_exchange(message)
            main.derive(config.psk)
        except RemoteProtocolError as error:
            self._reject("MM4", FailureCode.BAD_KEY_EXCHANGE, str(error))
            return
        main.learn_nat_d(message, inbound.local, inbound.remote, config.force_encapsulation)
        self._accept(inbound)
        late = main.learn_vendor_ids(message)
        if late:  # Cisco says XAUTH, DPD and Unity here
            self._emit(PeerVendorIds(late))
        self._report_nat()
        if main.encapsulate and main.dialect is not None and main.dialect.floats:
            self._natt = True
        identity = self._our_identity(inbound)
        try:
            payloads: list[Payload] = [identity, *make_proof(main, config, identity)]
        except LocalProtocolError as error:
            self._fail("MM5", FailureCode.NO_KEY, str(error))
            return
        if self._initiator_config.initial_contact:
            payloads.append(
                NotificationPayload(
                    NotifyType.INITIAL_CONTACT,
                    ProtocolId.ISAKMP,
                    self.initiator_cookie + self.responder_cookie,
                )
            )
        self._remember(inbound, self._send_main("MM5", payloads, protect=True))
        self.state = IkeState.MM5_SENT
        self._timer.start("MM6", inbound.now)

    def _on_mm6(self, inbound: Inbound) -> None:
        chain = self._open(inbound)
        if chain is None:
            self._report(inbound, "MM6", (), Protection.UNDECRYPTABLE)
            self._drop(inbound, DropReason.UNDECRYPTABLE, "MM6")
            return
        try:
            identity, report = check_proof(self._main, self._config, chain)
        except ProofError as error:
            self._report(inbound, "MM6", chain.payloads, Protection.BAD_HASH)
            self._reject("MM6", error.code, str(error))
            why = _WRONG.get(error.code)
            self._wrong_proof = (inbound, why) if why is not None else None
            return
        self._report(inbound, "MM6", chain.payloads, Protection.DECRYPTED)
        self._accept(inbound)
        self._remember(inbound, None)
        self._peer_named(identity)
        if report is not None:
            self._emit(PeerCertificate(report))
            if self._config.require_trusted and not report.ok:
                self._fail("MM6", FailureCode.BAD_CERTIFICATE, f"certificate: {report.status}")
                return
        if self._config.check_peer is not None and not self._config.check_peer(identity):
            self._fail("MM6", FailureCode.BAD_IDENTITY, "the peer's identity is not acceptable")
            return
        self._last = None
        self._phase_one_established(identity)
        if self._initiator_config.auto_quick:
            self.start_quick_mode(inbound.now)

    def delete(self, now: float) -> None:
        """As of both roles; a gateway whose proof was wrong is told so (RFC 2408 sections 5.11 and
        5.12). Not before: a damaged copy may have come first."""
        wrong, self._wrong_proof = self._wrong_proof, None
        if wrong is not None and self.state is IkeState.MM5_SENT:
            message, why = wrong
            self._accept(message)  # the last message of phase 1: the IV follows from it
            self._send_notify(why, ProtocolId.ISAKMP)
        super().delete(now)

    def _quick_policy(
        self, quick: QuickMode, has_key_exchange: bool
    ) -> tuple[NotifyType, FailureCode, str] | None:
        if not self._initiator_config.accept_peer_quick_mode:
            return (
                NotifyType.NO_PROPOSAL_CHOSEN,
                FailureCode.NO_PROPOSAL,
                "quick modes of the responder are not wanted",
            )
        return None
