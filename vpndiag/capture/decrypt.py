"""Opening IKE and ESP packets of a capture with keys that were given.

A wrong key never raises: what it does not open is told to be ``undecryptable``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import field

from vpndiag.capture.keys import Keys
from vpndiag.capture.packets import EspPacket
from vpndiag.observations.ike import Protection
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.esp.replay import Order
from vpndiag.protocols.esp.sa import NEXT_HEADER_UDP, EspSa, Opened
from vpndiag.protocols.esp.suites import Integrity
from vpndiag.protocols.esp.transport import UdpDatagram, guess_null, parse_udp
from vpndiag.protocols.esp.truncation import verifies_as
from vpndiag.protocols.ike.ciphers import CipherSpec
from vpndiag.protocols.ike.constants import ExchangeType, PayloadType, ProtocolId
from vpndiag.protocols.ike.keys import CipherState
from vpndiag.protocols.ike.message import Message, decode_payloads
from vpndiag.protocols.ike.payloads import KePayload, Payload, SaPayload
from vpndiag.protocols.ike.transforms import IkeTransform
from vpndiag.records import record


class IkeDecryptor:
    """One IKE SA. Give it every message, in order.

    The hashes inside cannot be checked, since Wireshark's table holds the cipher key and not
    SKEYID_a; what decrypts to a whole chain of fitting payloads counts as read with the right key.
    """

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = keys
        self._public: dict[bool, bytes] = {}
        self._transform: IkeTransform | None = None
        self._states: list[CipherState] | None = None
        self._proven = False

    def open(
        self, message: Message, from_initiator: bool
    ) -> tuple[tuple[Payload, ...] | None, Protection | None]:
        """(payloads, protection) for the observer; (None, None): as it stands."""
        header = message.header
        if header.major != 1:
            return None, None
        if message.ciphertext is None:
            self._learn(message, from_initiator)
            return None, None
        if not self._keys:
            return None, None
        states = self._ready()
        if not states:
            return None, None
        for state in states:
            try:
                plain = state.decrypt(header.message_id, message.ciphertext)
                chain = decode_payloads(header.next_payload, plain)
            except ProtocolError:
                continue
            if not _sane(header.exchange, chain.payloads, len(chain.padding), state.spec):
                continue
            state.accept(header.message_id, message.ciphertext)
            self._states, self._proven = [state], True
            return chain.payloads, "decrypted"
        # A key that has opened messages of this SA is right: the message is what is strange. One
        # that has opened none may be another SA's.
        return None, "undecryptable" if self._proven else None

    def _learn(self, message: Message, from_initiator: bool) -> None:
        if message.header.exchange not in (
            ExchangeType.MAIN_MODE,
            ExchangeType.AGGRESSIVE_MODE,
        ):
            return
        exchange = message.first(KePayload)
        if exchange is not None:
            self._public.setdefault(from_initiator, exchange.body)
        offer = message.first(SaPayload)
        if offer is not None and not from_initiator and self._transform is None:
            for proposal in offer.proposals:
                if proposal.protocol == ProtocolId.ISAKMP and proposal.transforms:
                    self._transform = IkeTransform.from_transform(proposal.transforms[0])
                    return

    def _ready(self) -> list[CipherState]:
        if self._states is None and self._transform is not None and len(self._public) == 2:
            self._states = []
            for key in self._keys:
                try:
                    spec = CipherSpec.of(self._transform.encryption, self._transform.key_length)
                    self._states.append(
                        CipherState.from_public_values(
                            self._transform.hash, spec, key, self._public[True], self._public[False]
                        )
                    )
                except ProtocolError:
                    continue
        return self._states or []


_FIRST = {
    ExchangeType.MAIN_MODE: (PayloadType.ID, PayloadType.CERT, PayloadType.HASH),
    ExchangeType.AGGRESSIVE_MODE: (PayloadType.HASH, PayloadType.SIG, PayloadType.CERT),
    ExchangeType.QUICK_MODE: (PayloadType.HASH,),
    ExchangeType.INFORMATIONAL: (PayloadType.HASH,),
    ExchangeType.TRANSACTION: (PayloadType.HASH,),
}


def _sane(exchange: int, payloads: tuple[Payload, ...], padding: int, spec: CipherSpec) -> bool:
    """Whether these payloads can stand in this exchange (RFC 2409 sections 5.1 to 5.7). Some
    senders pad a block more than is needed."""
    if not payloads or padding > 2 * spec.block_size:
        return False
    first = _FIRST.get(ExchangeType(exchange)) if exchange in _KNOWN else None
    return first is None or payloads[0].payload_type in first


_KNOWN = frozenset(int(e) for e in ExchangeType)


@record(slots=True)
class EspStats:
    """What opening the packets of one flow showed."""

    verified: int = 0
    bad: int = 0
    truncated: int = 0
    """Verified only with HMAC-SHA2-256 cut to 96 bits where the key says 128."""
    transform: str = ""


@record(frozen=True, slots=True)
class Inner:
    """What an ESP packet carried."""

    next_header: int
    payload: bytes
    udp: UdpDatagram | None


FlowId = tuple[str, int, str, int, int]
"""Source, port, destination, port, SPI."""
_MAX_STATES = 4096


@record(slots=True)
class _Flow:
    candidates: list[EspSa] = field(default_factory=list)
    settled: bool = False
    null: bool = False
    """Told to be NULL encryption without a key."""
    null_tried: int = 0
    stats: EspStats = field(default_factory=EspStats)


class EspDecryptor:
    """All ESP flows of a capture."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._flows: OrderedDict[FlowId, _Flow] = OrderedDict()

    def stats(self, flow: FlowId) -> EspStats | None:
        """None when nothing could be checked."""
        found = self._flows.get(flow)
        if found is None or not (found.candidates or found.null):
            return None
        return found.stats

    def open(self, packet: EspPacket) -> Inner | None:
        """What is inside, or None. Counts."""
        if len(packet.payload) < 8:
            return None
        spi = int.from_bytes(packet.payload[:4], "big")
        flow_id = (packet.src, packet.sport, packet.dst, packet.dport, spi)
        flow = self._flows.get(flow_id)
        if flow is None:
            flow = self._flows[flow_id] = _Flow(self._candidates(spi))
            if len(self._flows) > _MAX_STATES:
                self._flows.popitem(last=False)
        if packet.missing:
            return None
        if flow.candidates:
            return self._try(flow, packet.payload)
        return self._null(flow, packet.payload)

    def _candidates(self, spi: int) -> list[EspSa]:
        found: list[EspSa] = []
        for key in self._keys.esp.get(spi, ()):
            # Addresses are not compared: behind a NAT a key file has those of the other side.
            try:
                found.append(
                    EspSa(spi, key.suite, key.encryption_key, key.integrity_key, capture=True)
                )
            except ProtocolError:
                continue
        return found

    def _try(self, flow: _Flow, data: bytes) -> Inner | None:
        stats = flow.stats
        for sa in flow.candidates:
            opened = None
            truncated = False
            try:
                opened = sa.open(data)
            except ProtocolError:
                if sa.suite.integrity is Integrity.HMAC_SHA2_256_128 and verifies_as(
                    sa, data, Integrity.HMAC_SHA2_256_96
                ):
                    truncated = True
                    opened = _open_short(sa, data)
            if opened is None:
                continue
            if not flow.settled:
                flow.candidates, flow.settled = [sa], True
                stats.transform = sa.suite.name
            stats.verified += not truncated
            stats.truncated += truncated
            if opened.check.order is Order.DUPLICATE:
                return None  # its receiver throws it away (RFC 4303 section 3.4.3)
            return _inner(opened.next_header, opened.payload)
        stats.bad += 1
        return None

    def _null(self, flow: _Flow, data: bytes) -> Inner | None:
        if not flow.null and flow.null_tried >= 32:
            return None
        flow.null_tried += 1
        guess = guess_null(data, any_port=flow.null)
        if guess is None:
            return None
        flow.null = True
        flow.stats.transform = "NULL"
        return Inner(NEXT_HEADER_UDP, b"", guess.datagram)


def _open_short(sa: EspSa, data: bytes) -> Opened | None:
    try:
        short = EspSa(
            sa.spi,
            sa.suite.with_integrity(Integrity.HMAC_SHA2_256_96),
            sa.encryption_key,
            sa.integrity_key,
            capture=True,
        )
        return short.open(data)
    except ProtocolError:
        return None


def _inner(next_header: int, payload: bytes) -> Inner:
    udp = None
    if next_header == NEXT_HEADER_UDP:
        try:
            udp = parse_udp(payload)
        except ProtocolError:
            udp = None
    return Inner(next_header, payload, udp)
