"""The informational exchange: notifications, deletion and dead peer detection.

RFC 2409 section 5.7, RFC 2408 sections 3.14 and 3.15, RFC 3706. Whatever comes in clear, or does
not verify, is reported and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike.config import IkeConfig
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType, ProtocolId
from vpndiag.protocols.ike.engine import Flight, IkeState, Inbound, RandomBytes
from vpndiag.protocols.ike.events import (
    Deleted,
    DeleteReceived,
    DpdAcknowledged,
    DpdReceived,
    FailureCode,
    NotifyReceived,
    Protection,
    TimedOut,
    Trust,
)
from vpndiag.protocols.ike.exchange_quick_answer import QuickAnswers
from vpndiag.protocols.ike.message import PayloadChain, encode_payloads
from vpndiag.protocols.ike.payloads import (
    DeletePayload,
    HashPayload,
    NotificationPayload,
    Payload,
)
from vpndiag.protocols.ike.quick_state import QuickMode
from vpndiag.protocols.ike.retransmit import Due, Retransmitter
from vpndiag.protocols.wire import u32


class Informational(QuickAnswers):
    """Everything both roles can do beside main mode."""

    def __init__(self, config: IkeConfig, random_bytes: RandomBytes) -> None:
        super().__init__(config, random_bytes)
        self._dpd = Retransmitter(config.schedule, config.patience)
        self._dpd_sequence: int | None = None
        self._dpd_flight: Flight | None = None

    # --- sending ----------------------------------------------------------------------------

    def delete(self, now: float) -> None:
        """Delete the ESP SAs, then the IKE SA, and tell the peer if phase 1 got as far as MM6.

        Before that the two sides have no IV in common for it. Messages are sent once: nobody
        answers them. Calling it again does nothing.
        """
        if self.state is IkeState.DELETED:
            return
        if self._main.peer_identity is not None:
            spis = tuple(child.spi_in for child in self._children.values())
            if spis:
                self._send_info("DELETE", (DeletePayload(ProtocolId.ESP, spis),))
            self._children.clear()
            cookies = self.initiator_cookie + self.responder_cookie
            self._send_info("DELETE", (DeletePayload(ProtocolId.ISAKMP, (cookies,)),))
        self._end(IkeState.DELETED)
        self._emit(Deleted(by_peer=False))

    def delete_child(self, spi_in: bytes, now: float) -> None:
        """Delete one ESP SA pair.

        :raises LocalProtocolError: there is none with this inbound SPI.
        """
        if self._children.pop(spi_in, None) is None:
            raise LocalProtocolError("no such ESP SA")
        self._send_info("DELETE", (DeletePayload(ProtocolId.ESP, (spi_in,)),))

    def send_dpd(self, now: float) -> int:
        """Send R-U-THERE; returns its sequence number.

        :raises LocalProtocolError: there is no IKE SA.
        """
        if self.state is not IkeState.ESTABLISHED:
            raise LocalProtocolError("dead peer detection needs an established IKE SA")
        if self._dpd_sequence is None:
            # RFC 3706 section 6.2: random, with the top bit clear
            self._dpd_sequence = int.from_bytes(self._random(4), "big") & 0x7FFFFFFF
        else:
            self._dpd_sequence = (self._dpd_sequence + 1) & 0xFFFFFFFF
        self._dpd_flight = self._send_info(
            "R-U-THERE", (self._dpd_payload(NotifyType.R_U_THERE, self._dpd_sequence),)
        )
        self._dpd.start("DPD-ACK", now)
        return self._dpd_sequence

    def _dpd_payload(self, notify_type: NotifyType, sequence: int) -> NotificationPayload:
        return NotificationPayload(
            notify_type,
            ProtocolId.ISAKMP,
            self.initiator_cookie + self.responder_cookie,
            u32(sequence),
        )

    def _send_info(self, name: str, payloads: Sequence[Payload]) -> Flight:
        """Send an Informational with HASH(1), in a message id of its own."""
        message_id = self._new_message_id()
        digest = self._keys.informational_hash(message_id, encode_payloads(payloads))
        return self._send(
            name,
            ExchangeType.INFORMATIONAL,
            (HashPayload(digest), *payloads),
            message_id=message_id,
        )

    def _send_clear_notify(self, notify_type: NotifyType) -> Flight:
        cookies = self.initiator_cookie + self.responder_cookie
        return self._send(
            "NOTIFY",
            ExchangeType.INFORMATIONAL,
            (NotificationPayload(notify_type, ProtocolId.ISAKMP, cookies),),
            message_id=self._new_message_id(),
            protect=False,
        )

    def _send_notify(self, notify_type: NotifyType, protocol: int, spi: bytes = b"") -> Flight:
        return self._send_info("NOTIFY", (NotificationPayload(notify_type, protocol, spi),))

    def _refuse_quick_mode(self, notify_type: NotifyType, spi: bytes, now: float) -> Flight:
        return self._send_notify(notify_type, ProtocolId.ESP, spi if len(spi) == 4 else b"")

    def _is_current(self, flight: Flight) -> bool:
        """An answer that is an Informational is due as long as it is asked for."""
        informational = flight.message.header.exchange == ExchangeType.INFORMATIONAL
        return informational or super()._is_current(flight)

    # --- receiving --------------------------------------------------------------------------

    def _informational(self, inbound: Inbound) -> None:
        message = inbound.message
        if message.ciphertext is None:
            self._report(inbound, "INFO", message.payloads, Protection.CLEAR)
            self._announce(message.payloads, Trust.CLEAR, message.header.message_id)
            return
        message_id = message.header.message_id
        phase = 2 if self.state is IkeState.ESTABLISHED else 1
        chain = self._open(inbound)
        if chain is None:
            self._report(inbound, "INFO", (), Protection.UNDECRYPTABLE)
            self._emit(NotifyReceived(None, Trust.UNDECRYPTABLE, phase, message_id))
            return
        expected = self._keys.informational_hash(message_id, chain.after_first)
        first = chain.payloads[0]
        if isinstance(first, HashPayload) and first.data == expected:
            self._report(inbound, "INFO", chain.payloads, Protection.DECRYPTED)
            self._authenticated(inbound, chain, message_id)
        else:
            # Unproven messages are not remembered: a flood would push out those that matter.
            wrong = isinstance(first, HashPayload)
            protection = Protection.BAD_HASH if wrong else Protection.DECRYPTED
            self._report(inbound, "INFO", chain.payloads, protection)
            self._announce(chain.payloads, Trust.UNAUTHENTICATED, message_id)

    def _announce(self, payloads: Sequence[Payload], trust: Trust, message_id: int) -> None:
        for payload in payloads:
            if isinstance(payload, NotificationPayload):
                phase = 1 if payload.protocol in (0, ProtocolId.ISAKMP) else 2
                self._emit(NotifyReceived(payload, trust, phase, message_id))
            elif isinstance(payload, DeletePayload):
                self._emit(DeleteReceived(payload.protocol, payload.spis, trust))

    def _authenticated(self, inbound: Inbound, chain: PayloadChain, message_id: int) -> None:
        self._accept(inbound)
        self._note_message_id(message_id)
        answer: Flight | None = None
        for payload in chain.payloads:
            if isinstance(payload, NotificationPayload):
                answer = self._notified(payload, message_id) or answer
            elif isinstance(payload, DeletePayload):
                self._deleted(payload)
        self._remember(inbound, answer)

    def _notified(self, payload: NotificationPayload, message_id: int) -> Flight | None:
        """An authenticated notification; returns our answer to it, if one is due."""
        sequence = int.from_bytes(payload.data, "big") if len(payload.data) == 4 else None
        if payload.notify_type == NotifyType.R_U_THERE and sequence is not None:
            if self.state is not IkeState.ESTABLISHED:
                return None
            self._emit(DpdReceived(sequence))
            return self._send_info(
                "R-U-THERE-ACK", (self._dpd_payload(NotifyType.R_U_THERE_ACK, sequence),)
            )
        if payload.notify_type == NotifyType.R_U_THERE_ACK and sequence is not None:
            if self._dpd.running and sequence == self._dpd_sequence:
                self._dpd.stop()
                self._emit(DpdAcknowledged(sequence))
            return None
        quick = self._meant_quick_mode(payload) if payload.is_error else None
        self._emit(
            NotifyReceived(
                payload,
                Trust.AUTHENTICATED,
                2 if quick is not None or payload.protocol == ProtocolId.ESP else 1,
                quick.message_id if quick is not None else message_id,
            )
        )
        if quick is not None:
            stage = "QM2" if quick.initiated else "QM3"
            self._quick_failed(
                quick, stage, FailureCode.REFUSED_BY_PEER, payload.name, payload.notify_type
            )
        elif payload.is_error and self._phase_one_pending():
            self._fail(
                self._timer.waiting_for or "MM6",
                FailureCode.REFUSED_BY_PEER,
                payload.name,
                payload.notify_type,
            )
        return None

    def _meant_quick_mode(self, payload: NotificationPayload) -> QuickMode | None:
        """The unanswered quick mode that an error notification is about.

        Its SPI may be ours, theirs, both cookies or missing. One that fits decides; if none does,
        it is taken to be about the newest that we started: the peer refuses before it chose an SPI.
        Cookies of another IKE SA (SoftEther refuses a message 1 under the SA that it has already)
        are about that one.
        """
        if len(payload.spi) == 16 and payload.spi[:8] not in (self.initiator_cookie, bytes(8)):
            return None
        waiting = [quick for quick in self._quick.values() if quick.timer.running]
        for quick in waiting:
            theirs = quick.child.spi_out if quick.child is not None else None
            if payload.spi in (quick.spi_in, theirs):
                return quick
        return next((quick for quick in reversed(waiting) if quick.initiated), None)

    def _deleted(self, payload: DeletePayload) -> None:
        self._emit(DeleteReceived(payload.protocol, payload.spis, Trust.AUTHENTICATED))
        if payload.protocol == ProtocolId.ESP:
            # The peer names its own inbound SPIs, our outbound ones; strongSwan that failed to
            # install an SA names ours.
            for spi_in, child in list(self._children.items()):
                if child.spi_out in payload.spis or spi_in in payload.spis:
                    del self._children[spi_in]
        elif payload.protocol == ProtocolId.ISAKMP:
            cookies = self.initiator_cookie + self.responder_cookie
            if payload.spis and cookies not in payload.spis:
                return
            if self.state is IkeState.ESTABLISHED:
                self._end(IkeState.DELETED)
                self._emit(Deleted(by_peer=True))
            elif self._phase_one_pending():
                self._fail(
                    self._timer.waiting_for or "MM6",
                    FailureCode.DELETED_BY_PEER,
                    "the peer deleted the IKE SA",
                )

    # --- timers -----------------------------------------------------------------------------

    def _deadlines(self) -> list[float | None]:
        return [*super()._deadlines(), self._dpd.deadline]

    def handle_timer(self, now: float) -> None:
        super().handle_timer(now)
        due = self._dpd.poll(now)
        if due is Due.RESEND and self._dpd_flight is not None:
            self._transmit(self._dpd_flight, True)
        elif due is Due.GIVE_UP:
            self._emit(TimedOut(self._dpd.waiting_for, self._dpd.tries))

    def _end(self, state: IkeState) -> None:
        super()._end(state)
        self._dpd.stop()
