"""The sending half of an IKE engine: messages, events, and what phase 1 tells the owner.

:class:`Outlet` holds the state that :class:`~.engine.IkeEngine` and the exchanges work on.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import replace

from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike import fragment
from vpndiag.protocols.ike.algorithms import AuthMethod
from vpndiag.protocols.ike.certificates import subject_dn
from vpndiag.protocols.ike.config import VID_FRAGMENTATION, IkeConfig
from vpndiag.protocols.ike.constants import ExchangeType, HeaderFlag, IdType, PayloadType
from vpndiag.protocols.ike.events import (
    DeleteReceived,
    Dropped,
    DropReason,
    Failed,
    FailureCode,
    IkeEvent,
    MessageReceived,
    MessageSent,
    NatDetected,
    NotifyReceived,
    PeerAnsweredAggressive,
    PeerAuthenticated,
    PeerIdentity,
    PeerIsIkev2,
    PhaseOneEstablished,
    Protection,
    Rejected,
    SecretMismatch,
    Trust,
)
from vpndiag.protocols.ike.exchange_main import MainMode
from vpndiag.protocols.ike.flow import (
    MAX_EVENTS,
    MAX_MESSAGE_IDS,
    Flight,
    IkeState,
    Inbound,
    Outgoing,
    RandomBytes,
)
from vpndiag.protocols.ike.keys import Phase1Keys
from vpndiag.protocols.ike.message import (
    Header,
    Message,
    PayloadChain,
    decode_payloads,
    encode_payloads,
)
from vpndiag.protocols.ike.natt import Address, ip_address
from vpndiag.protocols.ike.payloads import IdPayload, Payload
from vpndiag.protocols.ike.retransmit import Retransmitter


class Outlet:
    """State of one IKE SA and the ways out of it; the base of :class:`~.engine.IkeEngine`."""

    _is_initiator: bool

    def __init__(self, config: IkeConfig, random_bytes: RandomBytes) -> None:
        self.state = IkeState.IDLE
        self._config = config
        self._random = random_bytes
        self._main = MainMode(initiator=self._is_initiator)
        self._out: deque[Outgoing] = deque()
        self._events: deque[IkeEvent] = deque()
        self._timer = Retransmitter(config.schedule, config.patience)
        self._last: Flight | None = None
        self._answers: OrderedDict[bytes, Flight | None] = OrderedDict()
        self._message_ids: OrderedDict[int, None] = OrderedDict()
        self._early: list[Inbound] = []
        self._reassembler = fragment.Reassembler()
        self._natt = False
        self._remote: Address | None = None
        self._local: Address | None = None

    @property
    def initiator_cookie(self) -> bytes:
        return self._main.initiator_cookie

    @property
    def responder_cookie(self) -> bytes:
        """Eight zero bytes until it is known."""
        return self._main.responder_cookie

    # --- sending ----------------------------------------------------------------------------

    def _send(
        self,
        name: str,
        exchange: int,
        payloads: Sequence[Payload],
        *,
        message_id: int = 0,
        protect: bool = True,
        natt: bool | None = None,
    ) -> Flight:
        """Send a message, encrypted with the running IV of its message id or in clear."""
        header = Header(
            self.initiator_cookie,
            self.responder_cookie,
            exchange,
            message_id=message_id,
        )
        cipher = self._main.cipher
        if protect:
            if cipher is None:
                raise LocalProtocolError("there are no keys yet")
            header = replace(
                header, flags=HeaderFlag.ENCRYPTION, next_payload=payloads[0].payload_type
            )
            ciphertext = cipher.encrypt(message_id, encode_payloads(payloads))
            message = Message(header, ciphertext=ciphertext)
        else:
            message = Message(header, tuple(payloads))
        data = message.encode()
        # The header of the event's message is complete, as a receiver would see it.
        message = replace(message, header=Header.decode(data))
        flight = Flight(
            name,
            message,
            tuple(payloads),
            data,
            self._pieces(message, data),
            self._natt if natt is None else natt,
        )
        self._transmit(flight, False)
        return flight

    def _pieces(self, message: Message, data: bytes) -> tuple[bytes, ...]:
        size = self._config.fragment_size
        if not size or len(data) <= size or not self._peer_fragments():
            return (data,)
        return fragment.split(data, message.header, 1, size)

    def _peer_fragments(self) -> bool:
        prefix = VID_FRAGMENTATION[:16]
        return any(vid.startswith(prefix) for vid in self._main.peer_vendor_ids) and any(
            vid.startswith(prefix) for vid in self._config.vendor_ids
        )

    def _transmit(self, flight: Flight, retransmission: bool) -> None:
        remote = None if self._is_initiator else self._remote
        self._out.extend(Outgoing(piece, flight.natt, remote) for piece in flight.pieces)
        self._emit(
            MessageSent(
                flight.name,
                flight.message,
                flight.payloads,
                flight.data,
                flight.natt,
                retransmission,
            )
        )

    def _send_main(
        self, name: str, payloads: Sequence[Payload], *, protect: bool = False
    ) -> Flight:
        """Send a message of main mode and make it the one that is repeated."""
        self._last = self._send(name, ExchangeType.MAIN_MODE, payloads, protect=protect)
        return self._last

    def _new_message_id(self) -> int:
        """Random, not zero, never used before in this IKE SA (RFC 2408 section 3.1)."""
        for _ in range(64):
            message_id = int.from_bytes(self._random(4), "big")
            if message_id and message_id not in self._message_ids:
                self._note_message_id(message_id)
                return message_id
        raise LocalProtocolError("the source of randomness repeats itself")

    def _note_message_id(self, message_id: int) -> None:
        self._message_ids[message_id] = None
        while len(self._message_ids) > MAX_MESSAGE_IDS:
            self._message_ids.popitem(last=False)

    # --- decrypting -------------------------------------------------------------------------

    def _open(self, inbound: Inbound) -> PayloadChain | None:
        """The decrypted payloads, or None when our keys or the running IV do not fit.

        The running IV does not move until :meth:`_accept`.
        """
        cipher, ciphertext = self._main.cipher, inbound.message.ciphertext
        header = inbound.message.header
        if cipher is None or ciphertext is None or header.next_payload == PayloadType.NONE:
            return None
        try:
            return decode_payloads(
                header.next_payload, cipher.decrypt(header.message_id, ciphertext)
            )
        except RemoteProtocolError:
            return None

    def _accept(self, inbound: Inbound) -> None:
        """The message was proven good: advance the IV, answer to where it came from."""
        if self._main.cipher is not None and inbound.message.ciphertext is not None:
            self._main.cipher.accept(inbound.message.header.message_id, inbound.message.ciphertext)
        self._remote, self._local = inbound.remote, inbound.local

    # --- phase 1 ----------------------------------------------------------------------------

    def _new_cookie(self) -> bytes:
        """Eight random bytes, not all zero."""
        for _ in range(64):
            cookie = self._random(8)
            if cookie != bytes(8):
                return cookie
        raise LocalProtocolError("the source of randomness repeats itself")

    def _our_identity(self, inbound: Inbound) -> IdPayload:
        if self._config.identity is not None:
            return self._config.identity
        credentials = self._config.credentials
        if credentials is not None and self._main.chosen.auth_method == AuthMethod.RSA_SIG:
            # An identity that is not in the certificate is refused; this one always is (RFC 4945
            # section 3.1.5), an address seldom.
            return IdPayload(IdType.DER_ASN1_DN, subject_dn(credentials.chain[0]))
        return IdPayload.of_address(ip_address(inbound.local[0]))

    def _report_nat(self) -> None:
        nat = self._main.nat
        if nat is not None:
            self._emit(
                NatDetected(nat.local_behind_nat, nat.remote_behind_nat, nat.dialect, nat.forced)
            )

    def _peer_named(self, identity: IdPayload) -> None:
        self._main.peer_identity = identity
        self._emit(PeerIdentity(identity))

    def _phase_one_established(self, identity: IdPayload) -> None:
        self.state = IkeState.ESTABLISHED
        self._timer.stop()
        method = self._main.chosen.auth_method
        self._emit(PeerAuthenticated(AuthMethod(method), identity))
        self._emit(PhaseOneEstablished(*self._main.cookies, self._main.chosen, identity))

    # --- reporting --------------------------------------------------------------------------

    @property
    def _keys(self) -> Phase1Keys:
        assert self._main.keys is not None
        return self._main.keys

    def _emit(self, event: IkeEvent) -> None:
        if len(self._events) < MAX_EVENTS or not _anyone_can_cause(event):
            self._events.append(event)

    def _report(
        self,
        inbound: Inbound,
        name: str,
        payloads: Sequence[Payload],
        protection: Protection,
        repeat: bool = False,
    ) -> None:
        self._emit(
            MessageReceived(
                name,
                inbound.message,
                tuple(payloads),
                inbound.data,
                inbound.natt,
                repeat,
                protection,
                inbound.remote,
            )
        )

    def _drop(self, inbound: Inbound, reason: DropReason, detail: str) -> None:
        self._emit(Dropped(reason, detail, inbound.data, inbound.natt, inbound.remote))

    def _reject(self, stage: str, code: FailureCode, detail: str, message_id: int = 0) -> None:
        """Report a message that does not belong; the state stays."""
        self._emit(Rejected(stage, code, detail, message_id))

    def _fail(
        self, stage: str, code: FailureCode, detail: str, notify_type: int | None = None
    ) -> None:
        """Phase 1 is over without an IKE SA."""
        self._emit(Failed(stage, code, detail, 0, notify_type))
        self._end(IkeState.FAILED)

    def _end(self, state: IkeState) -> None:
        self.state = state
        self._timer.stop()
        self._early.clear()


def _anyone_can_cause(event: IkeEvent) -> bool:
    if isinstance(event, NotifyReceived | DeleteReceived):
        return event.trust is not Trust.AUTHENTICATED
    return isinstance(
        event,
        Dropped
        | MessageReceived
        | MessageSent
        | Rejected
        | PeerIsIkev2
        | PeerAnsweredAggressive
        | SecretMismatch,
    )
