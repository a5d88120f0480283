"""What both roles share: the message pump, repeats, timers, encryption and message ids.

One engine is one IKE SA with one peer. It does no I/O: the owner passes datagrams and the time in,
and takes datagrams, events and the next deadline out.

A message that cannot be proven to come from the peer never changes the state; it is reported. Only
a well-formed answer that fits the state table, or a protected message whose hash verifies, does.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from vpndiag.protocols.errors import RemoteProtocolError
from vpndiag.protocols.ike.constants import ExchangeType, PayloadType
from vpndiag.protocols.ike.events import (
    Dropped,
    DropReason,
    IkeEvent,
    PeerAnsweredAggressive,
    PeerIsIkev2,
    Protection,
    TimedOut,
)
from vpndiag.protocols.ike.flow import (
    MAX_EARLY,
    MAX_RESENDS,
    MAX_SEEN,
    Flight,
    IkeState,
    Inbound,
    Kind,
    Outgoing,
    RandomBytes,
)
from vpndiag.protocols.ike.message import (
    Message,
    decode,
)
from vpndiag.protocols.ike.natt import Address
from vpndiag.protocols.ike.outlet import Outlet
from vpndiag.protocols.ike.payloads import FragmentPayload
from vpndiag.protocols.ike.retransmit import Due

__all__ = [
    "Flight",
    "IkeEngine",
    "IkeState",
    "Inbound",
    "Kind",
    "Outgoing",
    "RandomBytes",
]


class IkeEngine(Outlet):
    """Base of :class:`~.initiator.IkeInitiator` and :class:`~.responder.IkeResponder`."""

    # --- the owner's side -------------------------------------------------------------------

    @property
    def remote(self) -> Address | None:
        """Where the peer was last heard."""
        return self._remote

    @property
    def floated(self) -> bool:
        """What we send goes to port 4500, with the marker (RFC 3947 section 4)."""
        return self._natt

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
