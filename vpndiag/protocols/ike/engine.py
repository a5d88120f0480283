"""What both roles share: the message pump, repeats, timers, encryption and message ids.

One engine is one IKE SA with one peer. It does no I/O: the owner passes datagrams and the time in,
and takes datagrams, events and the next deadline out.

A message that cannot be proven to come from the peer never changes the state; it is reported. Only
a well-formed answer that fits the state table, or a protected message whose hash verifies, does.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256

from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike import fragment
from vpndiag.protocols.ike.config import VID_FRAGMENTATION, IkeConfig
from vpndiag.protocols.ike.constants import AuthMethod, ExchangeType, HeaderFlag, PayloadType
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
    TimedOut,
    Trust,
)
from vpndiag.protocols.ike.exchange_main import MainMode
from vpndiag.protocols.ike.keys import Phase1Keys
from vpndiag.protocols.ike.message import (
    Header,
    Message,
    PayloadChain,
    decode,
    decode_payloads,
    encode_payloads,
)
from vpndiag.protocols.ike.natt import Address, ip_address
from vpndiag.protocols.ike.payloads import FragmentPayload, IdPayload, Payload
from vpndiag.protocols.ike.retransmit import Due, Retransmitter

RandomBytes = Callable[[int], bytes]

MAX_EVENTS = 4096
"""Events nobody took yet; beyond it new reports of dropped datagrams are not kept."""
MAX_SEEN = 256
"""Received messages remembered to recognise repeats."""
MAX_RESENDS = 32
"""Times one of our messages is sent again because the peer repeated its own."""
MAX_EARLY = 4
"""Quick mode and informational messages kept because they overtook the end of phase 1."""
MAX_MESSAGE_IDS = 4096


class IkeState(StrEnum):
    """Progress of phase 1, named after our own last message."""

    IDLE = "idle"
    MM1_SENT = "mm1-sent"
    MM2_SENT = "mm2-sent"
    MM3_SENT = "mm3-sent"
    MM4_SENT = "mm4-sent"
    MM5_SENT = "mm5-sent"
    ESTABLISHED = "established"
    DELETED = "deleted"
    FAILED = "failed"


class Kind(StrEnum):
    """Main mode messages as they can be told apart on the wire."""

    SA = "sa"
    KE = "ke"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A datagram to send. ``natt``: from the UDP 4500 flow, with the non-ESP marker in front.

    ``remote`` is where a responder's peer was last heard. An initiator's is None: its owner knows
    which two ports of the gateway the two flows belong to.
    """

    data: bytes
    natt: bool
    remote: Address | None = None


@dataclass(slots=True)
class Flight:
    """A message of ours that may have to be sent again, byte for byte."""

    name: str
    message: Message
    payloads: tuple[Payload, ...]
    data: bytes
    pieces: tuple[bytes, ...]
    natt: bool
    resends: int = 0


@dataclass(slots=True)
class Inbound:
    """A received message on its way through the engine."""

    message: Message
    data: bytes
    natt: bool
    local: Address
    remote: Address
    now: float
    digest: bytes = field(default=b"")


class IkeEngine:
    """Base of :class:`~.initiator.IkeInitiator` and :class:`~.responder.IkeResponder`."""

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

    # --- the owner's side -------------------------------------------------------------------

    @property
    def initiator_cookie(self) -> bytes:
        return self._main.initiator_cookie

    @property
    def responder_cookie(self) -> bytes:
        """Eight zero bytes until it is known."""
        return self._main.responder_cookie

    @property
    def remote(self) -> Address | None:
        """Where the peer was last heard."""
        return self._remote

    @property
    def keys_for_wireshark(self) -> tuple[bytes, bytes] | None:
        """Initiator cookie and phase 1 cipher key, as Wireshark's IKEv1 decryption table wants
        them; None before they exist."""
        if self._main.keys is None:
            return None
        return self._main.initiator_cookie, self._main.keys.cipher_key

    def datagrams_to_send(self, now: float) -> list[Outgoing]:
        """Everything that is to be sent now, in order."""
        out = list(self._out)
        self._out.clear()
        return out

    def next_event(self) -> IkeEvent | None:
        return self._events.popleft() if self._events else None

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called."""
        deadlines = [deadline for deadline in self._deadlines() if deadline is not None]
        return min(deadlines, default=None)

    def handle_timer(self, now: float) -> None:
        """Repeat or give up what is due. Calling it early does nothing."""
        due = self._timer.poll(now)
        if due is Due.RESEND and self._last is not None:
            self._transmit(self._last, True)
        elif due is Due.GIVE_UP:
            self._emit(TimedOut(self._timer.waiting_for, self._timer.tries))
            self._main_timed_out()

    def receive_datagram(
        self, data: bytes, natt: bool, local: Address, remote: Address, now: float
    ) -> None:
        """One ISAKMP message as it came, without the non-ESP marker.

        ``local`` is the address the datagram was sent to, never a wildcard: NAT detection, our
        identity and the quick mode selectors are made of it. Never raises for anything the peer
        may have sent.
        """
        self._receive(data, natt, local, remote, now, reassembled=False)

    # --- receiving --------------------------------------------------------------------------

    def _receive(
        self,
        data: bytes,
        natt: bool,
        local: Address,
        remote: Address,
        now: float,
        *,
        reassembled: bool,
    ) -> None:
        def drop(reason: DropReason, detail: str) -> None:
            self._emit(Dropped(reason, detail, data, natt, remote))

        try:
            message = decode(data)
        except RemoteProtocolError as error:
            version = data[17] >> 4 if len(data) > 17 else 1
            wrong_version = version not in (1, 2)
            drop(DropReason.WRONG_VERSION if wrong_version else DropReason.MALFORMED, str(error))
            return
        header = message.header
        if message.is_ikev2:
            matches = header.initiator_cookie == self.initiator_cookie != bytes(8)
            self._emit(PeerIsIkev2(message.v2_notify_types, matches))
            drop(DropReason.WRONG_VERSION, "IKEv2")
            return
        inbound = Inbound(message, data, natt, local, remote, now, sha256(data).digest())
        if inbound.digest in self._answers:
            self._repeated(inbound)
            return
        if not self._cookies_fit(message):
            drop(DropReason.WRONG_COOKIE, "cookies are not those of this IKE SA")
            return
        if message.first(FragmentPayload) is not None:
            if reassembled:
                drop(DropReason.MALFORMED, "a fragment inside a fragment")
                return
            try:
                whole = self._reassembler.add(message)
            except RemoteProtocolError as error:
                drop(DropReason.MALFORMED, str(error))
                return
            if whole is not None:
                self._receive(whole, natt, local, remote, now, reassembled=True)
            return
        try:
            self._dispatch(inbound)
        except RemoteProtocolError as error:
            drop(DropReason.MALFORMED, str(error))

    def _cookies_fit(self, message: Message) -> bool:
        """The responder cookie may be zero or new in the answer to MM1, and in clear
        notifications of peers that keep no state."""
        header = message.header
        if header.initiator_cookie != self.initiator_cookie:
            return False
        if self.responder_cookie == bytes(8):
            return True
        if header.responder_cookie == self.responder_cookie:
            return True
        return header.exchange == ExchangeType.INFORMATIONAL and not header.encrypted

    def _dispatch(self, inbound: Inbound) -> None:
        header = inbound.message.header
        exchange = header.exchange
        if exchange == ExchangeType.MAIN_MODE:
            if header.message_id:
                self._drop(inbound, DropReason.WRONG_MESSAGE_ID, "main mode has message id 0")
            else:
                self._main_mode(inbound)
        elif exchange == ExchangeType.INFORMATIONAL:
            self._informational(inbound)
        elif exchange == ExchangeType.QUICK_MODE:
            if header.message_id == 0:
                self._drop(inbound, DropReason.WRONG_MESSAGE_ID, "quick mode with message id 0")
            elif inbound.message.ciphertext is None:
                self._drop(inbound, DropReason.UNEXPECTED, "quick mode in clear")
            elif self._phase_one_pending():
                self._keep_for_later(inbound)
            elif self.state is not IkeState.ESTABLISHED:
                self._drop(inbound, DropReason.UNEXPECTED, "quick mode without an IKE SA")
            else:
                self._quick_mode(inbound)
        elif exchange == ExchangeType.AGGRESSIVE_MODE:
            self._emit(PeerAnsweredAggressive())
            self._drop(inbound, DropReason.EXCHANGE, "aggressive mode")
        else:
            self._drop(inbound, DropReason.EXCHANGE, f"exchange type {exchange}")

    def _main_mode(self, inbound: Inbound) -> None:
        message = inbound.message
        if message.ciphertext is not None:
            kind = Kind.ENCRYPTED
        elif any(p.payload_type == PayloadType.SA for p in message.payloads):
            kind = Kind.SA
        elif any(p.payload_type == PayloadType.KE for p in message.payloads):
            kind = Kind.KE
        else:
            self._drop(inbound, DropReason.UNEXPECTED, "neither SA nor KE payload")
            return
        handler = self._main_table().get((self.state, kind))
        if handler is None:
            self._drop(inbound, DropReason.UNEXPECTED, f"{kind} message in state {self.state}")
            return
        handler(inbound)
        if self.state is IkeState.ESTABLISHED and self._early:
            early, self._early = self._early, []
            for waiting in early:
                self._receive(
                    waiting.data,
                    waiting.natt,
                    waiting.local,
                    waiting.remote,
                    inbound.now,
                    reassembled=True,
                )

    def _phase_one_pending(self) -> bool:
        return self.state in (IkeState.MM4_SENT, IkeState.MM5_SENT)

    def _keep_for_later(self, inbound: Inbound) -> None:
        if len(self._early) >= MAX_EARLY:
            self._drop(inbound, DropReason.LIMIT, "phase 1 is not complete yet")
        elif all(inbound.digest != other.digest for other in self._early):
            self._early.append(inbound)

    # --- to be filled in by roles and exchanges ---------------------------------------------

    def _main_table(self) -> dict[tuple[IkeState, Kind], Callable[[Inbound], None]]:
        raise NotImplementedError

    def _informational(self, inbound: Inbound) -> None:
        raise NotImplementedError

    def _quick_mode(self, inbound: Inbound) -> None:
        raise NotImplementedError

    def _main_timed_out(self) -> None:
        self._end(IkeState.FAILED)

    def _deadlines(self) -> list[float | None]:
        return [self._timer.deadline]

    def _is_current(self, flight: Flight) -> bool:
        """Whether repeating this message still makes sense."""
        return flight is self._last

    # --- repeats ----------------------------------------------------------------------------

    def _remember(self, inbound: Inbound, answer: Flight | None) -> None:
        """From now on ``inbound`` is a repeat, and ``answer`` is what we say to it."""
        self._answers[inbound.digest] = answer
        while len(self._answers) > MAX_SEEN:
            self._answers.popitem(last=False)

    def _repeated(self, inbound: Inbound) -> None:
        message = inbound.message
        protection = Protection.CLEAR if message.ciphertext is None else Protection.DECRYPTED
        self._report(inbound, "repeat", (), protection, repeat=True)
        flight = self._answers[inbound.digest]
        if (
            flight is not None
            and flight.resends < MAX_RESENDS
            and self.state not in (IkeState.DELETED, IkeState.FAILED)
            and self._is_current(flight)
        ):
            flight.resends += 1
            self._transmit(flight, True)

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
