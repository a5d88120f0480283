"""Quick mode: ESP SA pairs under an IKE SA (RFC 2409 section 5.5), and starting one.

Both roles can start one and answer one (``exchange_quick_answer.py``), several at a time; each has
its message id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from vpndiag.protocols.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.algorithms import EncapsulationMode
from vpndiag.protocols.ike.config import UDP, IkeConfig, InitiatorConfig
from vpndiag.protocols.ike.constants import ExchangeType, ProtocolId
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.protocols.ike.engine import Flight, IkeEngine, IkeState, Inbound, RandomBytes
from vpndiag.protocols.ike.events import (
    ChildSa,
    DropReason,
    Failed,
    FailureCode,
    NotifyReceived,
    Protection,
    QuickModeEstablished,
    TimedOut,
    Trust,
)
from vpndiag.protocols.ike.message import PayloadChain, encode_payloads
from vpndiag.protocols.ike.natt import ip_address
from vpndiag.protocols.ike.payloads import (
    HashPayload,
    IdPayload,
    KePayload,
    NatOaPayload,
    NoncePayload,
    NotificationPayload,
    Payload,
    SaPayload,
)
from vpndiag.protocols.ike.quick_state import (
    QuickMode,
    QuickState,
    make_child,
    nonce_of,
)
from vpndiag.protocols.ike.retransmit import Due, Retransmitter
from vpndiag.protocols.ike.transforms import EspTransform, esp_sa

MAX_REPEATS = 32
"""Times QM3 is sent again of our own accord."""
MAX_CHILDREN = 64
"""ESP SA pairs remembered for their deletion."""


class QuickModes(IkeEngine):
    """The engine's quick modes, and the child SAs that came of them."""

    def __init__(self, config: IkeConfig, random_bytes: RandomBytes) -> None:
        super().__init__(config, random_bytes)
        self._quick: OrderedDict[int, QuickMode] = OrderedDict()
        self._children: OrderedDict[bytes, ChildSa] = OrderedDict()

    @property
    def children(self) -> tuple[ChildSa, ...]:
        """ESP SA pairs that were established and not deleted, oldest first."""
        return tuple(self._children.values())

    def has_quick_mode(self, message_id: int) -> bool:
        """Whether this quick mode was begun."""
        return message_id in self._quick

    # --- the table --------------------------------------------------------------------------

    def _quick_table(
        self,
    ) -> dict[QuickState, Callable[[QuickMode, Inbound, PayloadChain], bool]]:
        return {
            QuickState.QM1_SENT: self._on_qm2,
            QuickState.DONE: self._on_connected,
        }

    def _quick_mode(self, inbound: Inbound) -> None:
        message_id = inbound.message.header.message_id
        quick = self._quick.get(message_id)
        chain = self._open(inbound)
        if chain is None:
            self._report(inbound, "QM", (), Protection.UNDECRYPTABLE)
            self._drop(inbound, DropReason.UNDECRYPTABLE, "quick mode message")
            return
        if quick is None:
            self._on_qm1(inbound, chain)
            return
        handler = self._quick_table().get(quick.state)
        if handler is None:
            self._drop(inbound, DropReason.UNEXPECTED, f"quick mode is {quick.state}")
        else:
            handler(quick, inbound, chain)

    def _on_qm1(self, inbound: Inbound, chain: PayloadChain) -> None:
        raise NotImplementedError

    def _hash_fits(self, inbound: Inbound, name: str, chain: PayloadChain, expected: bytes) -> bool:
        """Whether the message begins with the expected HASH; reports it either way."""
        first = chain.payloads[0]
        good = isinstance(first, HashPayload) and first.data == expected
        self._report(
            inbound, name, chain.payloads, Protection.DECRYPTED if good else Protection.BAD_HASH
        )
        if not good:
            self._drop(inbound, DropReason.BAD_HASH, name)
        return good

    # --- initiating -------------------------------------------------------------------------

    def start_quick_mode(self, now: float, offer: IkeConfig | None = None) -> int:
        """Send QM1; returns the message id. ``offer`` replaces the configuration for this quick
        mode (other transforms, another PFS group).

        :raises LocalProtocolError: there is no IKE SA, or too many quick modes are under way.
        """
        if self.state is not IkeState.ESTABLISHED:
            raise LocalProtocolError("quick mode needs an established IKE SA")
        config = offer or self._config
        if self._pending() >= config.max_quick_modes:
            raise LocalProtocolError("too many quick modes at a time")
        assert self._local is not None and self._remote is not None
        message_id = self._new_message_id()
        quick = QuickMode(
            message_id,
            True,
            QuickState.QM1_SENT,
            Retransmitter(config.schedule, config.patience),
            self._new_spi(),
            ni=self._random(config.nonce_size),
        )
        dialled = self._remote[0]
        if isinstance(config, InitiatorConfig) and config.dialled is not None:
            dialled = config.dialled
        local, remote = ip_address(self._local[0]), ip_address(dialled)
        quick.local_id = IdPayload.of_address(local, UDP, config.local_port)
        quick.remote_id = IdPayload.of_address(remote, UDP, config.remote_port)
        mode = self._encapsulation_mode(config)
        quick.offered = tuple(
            replace(
                transform,
                encapsulation_mode=mode,
                pfs_group=config.pfs_group,
                life_seconds=config.life_seconds,
                life_kb=config.life_kilobytes,
            )
            for transform in config.esp_transforms
        )
        payloads: list[Payload] = [esp_sa(quick.offered, quick.spi_in), NoncePayload(quick.ni)]
        if config.pfs_group is not None:
            quick.pair = KeyPair.generate(config.pfs_group, self._random)
            payloads.append(KePayload(quick.pair.public))
        payloads += (quick.local_id, quick.remote_id)
        if mode.is_udp and self._main.dialect is not None:
            draft = self._main.dialect.draft
            payloads.append(NatOaPayload.of_address(local, draft))
            if not draft:
                # RFC 3947 section 5.2: both original addresses, the initiator's first
                payloads.append(NatOaPayload.of_address(remote, draft))
        digest = self._keys.quick_hash_1(message_id, encode_payloads(payloads))
        self._add(quick)
        self._send_quick(quick, "QM1", (HashPayload(digest), *payloads))
        quick.timer.start("QM2", now)
        return message_id

    def repeat_connection(self) -> bool:
        """Send the last QM3 again: an initiator whose packets on the new SA stay unanswered cannot
        know whether QM3 arrived, and not every responder repeats QM2. False: there is none, or it
        was repeated often enough."""
        for quick in reversed(self._quick.values()):
            flight = quick.flight
            if (
                quick.initiated
                and quick.state is QuickState.DONE
                and flight is not None
                and flight.resends < MAX_REPEATS
                and self.state is IkeState.ESTABLISHED
            ):
                flight.resends += 1
                self._transmit(flight, True)
                return True
        return False

    def _encapsulation_mode(self, config: IkeConfig) -> EncapsulationMode:
        if isinstance(config, InitiatorConfig) and config.encapsulation is not None:
            return config.encapsulation
        if self._main.encapsulate and self._main.dialect is not None:
            return self._main.dialect.transport_mode
        return EncapsulationMode.TRANSPORT

    def _on_qm2(self, quick: QuickMode, inbound: Inbound, chain: PayloadChain) -> bool:
        expected = self._keys.quick_hash_2(quick.message_id, quick.ni, chain.after_first)
        if not self._hash_fits(inbound, "QM2", chain, expected):
            return False
        self._accept(inbound)
        # From here on the message is proven: what is wrong with it ends the quick mode.
        try:
            transform, spi_out = self._read_choice(quick, chain)
            quick.nr = nonce_of(chain)
            shared = self._pfs_secret(quick, chain)
        except RemoteProtocolError as error:
            self._remember(inbound, None)
            self._quick_failed(quick, "QM2", FailureCode.BAD_CHOICE, str(error))
            return False
        quick.nat_oa = chain.all(NatOaPayload)
        ids = chain.all(IdPayload)
        if len(ids) >= 2:
            quick.local_id, quick.remote_id = ids[0], ids[1]
        digest = self._keys.quick_hash_3(quick.message_id, quick.ni, quick.nr)
        flight = self._send_quick(quick, "QM3", (HashPayload(digest),))
        self._remember(inbound, flight)
        quick.timer.stop()
        self._established(quick, transform, spi_out, shared)
        return True

    def _read_choice(self, quick: QuickMode, chain: PayloadChain) -> tuple[EspTransform, bytes]:
        answer = chain.first(SaPayload)
        if answer is None or len(answer.proposals) != 1:
            raise DecodeError("the answer is not one proposal")
        proposal = answer.proposals[0]
        if len(proposal.transforms) != 1 or proposal.protocol != ProtocolId.ESP:
            raise DecodeError("the answer is not one ESP transform")
        if len(proposal.spi) != 4 or proposal.spi == bytes(4):
            raise DecodeError("the responder's SPI is not usable")
        transform = EspTransform.from_transform(proposal.transforms[0])
        if not any(transform.same_algorithms(candidate) for candidate in quick.offered):
            raise DecodeError("the transform was not offered")
        return transform, proposal.spi

    def _pfs_secret(self, quick: QuickMode, chain: PayloadChain) -> bytes:
        if quick.pair is None:
            return b""
        public = chain.first(KePayload)
        if public is None:
            raise DecodeError("KE payload missing although PFS was agreed")
        return quick.pair.shared_secret(public.data)

    # --- both -------------------------------------------------------------------------------

    def _on_connected(self, quick: QuickMode, inbound: Inbound, chain: PayloadChain) -> bool:
        """A fourth message: CONNECTED of a responder that had set the commit bit."""
        expected = self._keys.informational_hash(quick.message_id, chain.after_first)
        if not self._hash_fits(inbound, "QM4", chain, expected):
            return False
        self._accept(inbound)
        self._remember(inbound, None)
        for notification in chain.all(NotificationPayload):
            self._emit(NotifyReceived(notification, Trust.AUTHENTICATED, 2, quick.message_id))
        return True

    def _send_quick(self, quick: QuickMode, name: str, payloads: Sequence[Payload]) -> Flight:
        quick.flight = self._send(
            name, ExchangeType.QUICK_MODE, payloads, message_id=quick.message_id
        )
        return quick.flight

    def _established(
        self,
        quick: QuickMode,
        transform: EspTransform,
        spi_out: bytes,
        shared: bytes,
    ) -> None:
        quick.state = QuickState.DONE
        quick.child = make_child(self._keys, quick, transform, spi_out, shared)
        self._register(quick.child)

    def _register(self, child: ChildSa) -> None:
        self._children[child.spi_in] = child
        while len(self._children) > MAX_CHILDREN:
            self._children.popitem(last=False)
        self._emit(QuickModeEstablished(child))

    def _quick_failed(
        self,
        quick: QuickMode,
        stage: str,
        code: FailureCode,
        detail: str,
        notify_type: int | None = None,
    ) -> None:
        quick.state = QuickState.FAILED
        quick.timer.stop()
        self._emit(Failed(stage, code, detail, quick.message_id, notify_type))

    def _add(self, quick: QuickMode) -> None:
        self._quick[quick.message_id] = quick
        if len(self._quick) > 2 * self._config.max_quick_modes:
            finished = next((q for q in self._quick.values() if not q.timer.running), None)
            if finished is not None and finished is not quick:
                del self._quick[finished.message_id]

    def _pending(self) -> int:
        return sum(quick.timer.running for quick in self._quick.values())

    def _new_spi(self) -> bytes:
        """Random, above the reserved 0 to 255 (RFC 4303 section 2.1)."""
        for _ in range(64):
            spi = self._random(4)
            if spi[:3] != bytes(3) and spi not in self._children:
                return spi
        raise LocalProtocolError("the source of randomness repeats itself")

    # --- timers -----------------------------------------------------------------------------

    def _deadlines(self) -> list[float | None]:
        return [
            *super()._deadlines(),
            *(quick.timer.deadline for quick in self._quick.values()),
        ]

    def _is_current(self, flight: Flight) -> bool:
        return super()._is_current(flight) or any(
            flight is quick.flight for quick in self._quick.values()
        )

    def handle_timer(self, now: float) -> None:
        super().handle_timer(now)
        for quick in list(self._quick.values()):
            due = quick.timer.poll(now)
            if due is Due.RESEND and quick.flight is not None and self._repeats(quick):
                self._transmit(quick.flight, True)
            elif due is Due.GIVE_UP:
                quick.state = QuickState.FAILED
                self._emit(TimedOut(quick.timer.waiting_for, quick.timer.tries, quick.message_id))

    def _repeats(self, quick: QuickMode) -> bool:
        """An unanswered QM1 is repeated; whether QM2 is, is the responder's choice."""
        return quick.initiated

    def _end(self, state: IkeState) -> None:
        super()._end(state)
        for quick in self._quick.values():
            quick.timer.stop()
