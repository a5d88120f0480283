"""What the client sends and receives in ESP: L2TP datagrams, on SA pairs that are renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vpndiag.protocols.errors import IntegrityError, RemoteProtocolError
from vpndiag.protocols.esp import transport
from vpndiag.protocols.esp.pairs import EspPairs
from vpndiag.protocols.esp.sa import EspPair, EspSa, Opened
from vpndiag.protocols.esp.suites import Integrity
from vpndiag.protocols.esp.transport import UdpDatagram
from vpndiag.protocols.esp.truncation import peer_truncation
from vpndiag.protocols.ike.algorithms import EncapsulationMode
from vpndiag.protocols.ike.events import ChildSa
from vpndiag.tunnel.options import Flow, TunnelOptions
from vpndiag.tunnel.recorder import Recorder
from vpndiag.tunnel.suites import pair_of

WINDOW = 1024
"""Late packets that are still taken: what a long or restless way puts in another order is to be
seen and not to be thrown away (RFC 4303 section 3.4.3 asks for 32 at least)."""
_UDP = 17
_PLAIN = (EncapsulationMode.TRANSPORT, EncapsulationMode.TUNNEL)


class EspChannel:
    """``send`` puts a packet on the wire and gives its frame number."""

    def __init__(
        self,
        options: TunnelOptions,
        recorder: Recorder,
        random_bytes: Callable[[int], bytes],
        send: Callable[[Flow, bytes, float], int],
    ) -> None:
        self.child: ChildSa | None = None
        """What the newest pair was made of."""
        self.came = False
        """A packet came and verified."""
        self.proven = False
        """One came on the newest pair: the peer has it too."""
        self._options = options
        self._recorder = recorder
        self._random = random_bytes
        self._send = send
        self._pairs = EspPairs()
        self._send_cut = False

    @property
    def newest(self) -> EspPair | None:
        """The pair that packets are sent on."""
        return self._pairs.newest

    @property
    def udp(self) -> bool:
        """ESP goes in UDP."""
        return self.child is not None and self.child.mode not in _PLAIN

    def add(self, child: ChildSa) -> None:
        """Send on this pair from now on; what comes in on older ones is taken as before.

        :raises LocalProtocolError: an algorithm that we do not have.
        """
        self._pairs.add(pair_of(child, self._random, WINDOW))
        self.child = child
        self.proven = False

    def keep(self, children: Iterable[ChildSa]) -> None:
        """The pairs of all other children are gone."""
        self._pairs.keep(int.from_bytes(child.spi_in, "big") for child in children)

    # --- receiving --------------------------------------------------------------------------

    def receive(self, packet: bytes, flow: Flow, frame: int, now: float) -> UdpDatagram | None:
        """The datagram in an ESP packet. None: of an SA that is not ours, wrong, or no news."""
        pair = self._pairs.of(packet)
        if pair is None:
            return None
        udp = flow is Flow.NATT
        sa = pair.inbound
        try:
            opened = sa.open(packet)
        except IntegrityError:
            cut = self._try_truncation(pair, packet)
            if cut is None:
                self._recorder.esp(now, "in", sa.spi, packet, frame, udp=udp, verified=False)
                return None
            opened = cut
        except RemoteProtocolError:
            self._recorder.esp(now, "in", sa.spi, packet, frame, udp=udp, verified=False)
            return None
        fresh = opened.check.fresh
        self._recorder.esp(
            now, "in", sa.spi, packet, frame, udp=udp, verified=True, replayed=not fresh,
            truncated=sa.suite.integrity is Integrity.HMAC_SHA2_256_96,
        )  # fmt: skip
        self.came = True
        self.proven = self.proven or pair is self.newest
        if not fresh or opened.next_header != _UDP:
            return None
        try:
            return transport.parse_udp(opened.payload)
        except RemoteProtocolError:
            return None

    @staticmethod
    def _try_truncation(pair: EspPair, packet: bytes) -> Opened | None:
        other = peer_truncation(pair.inbound, packet)
        if other is None:
            return None
        pair.inbound.switch_integrity(other)
        if pair.outbound.suite.integrity is not other:
            pair.outbound.switch_integrity(other)
        try:
            return pair.inbound.open(packet)
        except RemoteProtocolError:
            return None

    # --- sending ----------------------------------------------------------------------------

    def try_truncation(self) -> bool:
        """From now on send everything a second time with HMAC-SHA2-256 cut to 96 bits: a peer takes
        the one that verifies. False where another algorithm is in use."""
        pair = self.newest
        if pair is None or pair.outbound.suite.integrity is not Integrity.HMAC_SHA2_256_128:
            return False
        self._send_cut = True
        return True

    def restore_truncation(self) -> None:
        """Only the 128 bits of RFC 4868 again."""
        self._send_cut = False

    def protect(self, payload: bytes, now: float) -> int | None:
        """Send an L2TP datagram; the frame number, None if there is no SA to send it on."""
        pair = self.newest
        if pair is None:
            return None
        udp = transport.l2tp_datagram(payload, self._options.local, self._options.gateway)
        sa = pair.outbound
        frame = self._seal(sa, udp, now)
        if self._send_cut and sa.suite.integrity is Integrity.HMAC_SHA2_256_128:
            sa.switch_integrity(Integrity.HMAC_SHA2_256_96)
            self._seal(sa, udp, now)
            sa.switch_integrity(Integrity.HMAC_SHA2_256_128)
        return frame

    def _seal(self, sa: EspSa, udp: bytes, now: float) -> int:
        packet = sa.seal(udp)
        frame = self._send(Flow.NATT if self.udp else Flow.ESP, packet, now)
        self._recorder.esp(now, "out", sa.spi, packet, frame, udp=self.udp)
        return frame
