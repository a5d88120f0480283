"""One IKE SA of a client, the ESP SA pairs under it, and what they carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vpndiag.gateway.config import IKE_PORT, L2TP_PORT, NATT_PORT, GatewayConfig
from vpndiag.gateway.path import message_name
from vpndiag.gateway.site import Address, Site
from vpndiag.gateway.upkeep import Upkeep
from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.esp import transport
from vpndiag.protocols.esp.pairs import EspPairs
from vpndiag.protocols.esp.suites import Integrity
from vpndiag.protocols.esp.udp import with_marker
from vpndiag.protocols.ike import events
from vpndiag.protocols.ike.config import ResponderConfig
from vpndiag.protocols.ike.constants import NotifyType
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.payloads import IdPayload
from vpndiag.protocols.ike.responder import IkeResponder
from vpndiag.tunnel.suites import pair_of

Deliver = Callable[["Association", bytes, float], None]
"""Takes an L2TP datagram that came out of ESP."""

_UDP = 17


class Association:
    """Lives as long as the IKE SA or an ESP SA pair of it."""

    def __init__(
        self, site: Site, remote: Address, deliver: Deliver, now: float, *, refused: bool = False
    ) -> None:
        self._site = site
        self._deliver = deliver
        config = responder_config(site)
        if refused:
            config = replace(config, transforms=())
        self.ike = IkeResponder(config, site.random)
        self.began = now
        self.heard = now
        self.remote = remote
        """Where IKE was heard last."""
        self.esp_remote: Address | None = None
        """Where ESP in UDP goes to: the source of the newest packet that verified, since a NAT may
        change the mapping at any time (RFC 3947 section 5.2.2)."""
        self.pairs = EspPairs()
        self._upkeep = Upkeep(site, self.ike, self.pairs)
        self.established = False
        self.initial_contact = False
        """Set when the client said that it knows of no other SA; the owner takes it back."""

    @property
    def alive(self) -> bool:
        if self.ike.state in (IkeState.IDLE, IkeState.DELETED, IkeState.FAILED):
            return bool(self.pairs)
        return True

    # --- IKE ----------------------------------------------------------------------------------

    def receive_ike(self, message: bytes, natt: bool, remote: Address, now: float) -> None:
        """A message without marker."""
        port = NATT_PORT if natt else IKE_PORT
        deaf = self._site.faults.renewal == "ipsec-ignored" and bool(self.ike.children)
        known = self.ike.has_quick_mode(int.from_bytes(message[20:24], "big"))
        if deaf and not known and message_name(message) == "QM1":
            self._upkeep.expire(now)
            return
        self.remote = remote
        self.ike.receive_datagram(message, natt, self._site.local(port), remote, now)
        self.pump(now)

    def pump(self, now: float) -> None:
        """Send what IKE wants to send and act on what happened."""
        busy = True
        while busy:
            busy = False
            while (event := self.ike.next_event()) is not None:
                busy = True
                self._event(event, now)
            for out in self.ike.datagrams_to_send(now):
                busy = True
                port = NATT_PORT if out.natt else IKE_PORT
                data = with_marker(out.data) if out.natt else out.data
                self._site.send(port, out.remote or self.remote, data)

    def _event(self, event: events.IkeEvent, now: float) -> None:
        match event:
            case events.MessageReceived(protection=events.Protection.DECRYPTED) if not event.repeat:
                self.heard = now
            case events.PhaseOneEstablished():
                self.established = True
                self.esp_remote = self.remote
            case events.NotifyReceived(trust=events.Trust.AUTHENTICATED):
                note = event.notification
                if note is not None and note.notify_type == NotifyType.INITIAL_CONTACT:
                    self.initial_contact = True
            case events.QuickModeEstablished():
                self._add(event.child)
                self._upkeep.added(event.child, now)
            case events.DeleteReceived(trust=events.Trust.AUTHENTICATED):
                self._forget_deleted()

    def _add(self, child: events.ChildSa) -> None:
        try:
            pair = pair_of(child, self._site.random)
        except LocalProtocolError:
            return
        if (
            self._site.faults.truncate_sha2
            and pair.inbound.suite.integrity is Integrity.HMAC_SHA2_256_128
        ):
            pair.inbound.switch_integrity(Integrity.HMAC_SHA2_256_96)
            pair.outbound.switch_integrity(Integrity.HMAC_SHA2_256_96)
        self.pairs.add(pair)
        if self._site.faults.deaf_after == "quick-mode":
            self._site.deaf = True

    def _forget_deleted(self) -> None:
        self.pairs.keep(int.from_bytes(child.spi_in, "big") for child in self.ike.children)

    def get_timer(self) -> float | None:
        times = [self.ike.get_timer(), self._upkeep.get_timer()]
        return min((t for t in times if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        upkeep = self._upkeep.get_timer()
        if upkeep is not None and upkeep <= now:
            self._upkeep.handle_timer(now)
            self.pump(now)
        due = self.ike.get_timer()
        if due is not None and due <= now:
            self.ike.handle_timer(now)
            self.pump(now)

    # --- ESP ----------------------------------------------------------------------------------

    def receive_esp(self, packet: bytes, remote: Address, now: float) -> None:
        """An ESP packet with one of our SPIs."""
        pair = self.pairs.of(packet)
        if pair is None or self._upkeep.deaf(now):
            return
        try:
            opened = pair.inbound.open(packet)
        except RemoteProtocolError:
            return
        if not opened.check.fresh:
            return
        self.heard = now
        self.esp_remote = remote
        if opened.next_header != _UDP:
            return
        try:
            datagram = transport.parse_udp(opened.payload)
        except RemoteProtocolError:
            return
        if datagram.destination_port == L2TP_PORT:
            self._deliver(self, datagram.payload, now)

    def hang_up(self, now: float) -> None:
        """Delete all SAs."""
        self.ike.delete(now)
        self.pairs.clear()
        self.pump(now)

    def send_l2tp(self, datagram: bytes) -> None:
        """As the carrier of an L2TP tunnel."""
        pair = self.pairs.newest
        if pair is None or self.esp_remote is None:
            return
        udp = transport.l2tp_datagram(datagram, self._site.config.address, self.esp_remote[0])
        if self._site.faults.swap_esp:
            sent = pair.outbound.sent
            pair.outbound.sent += 1 if not sent else 2 if sent % 2 else -2
        packet = pair.outbound.seal(udp)
        if self._site.faults.corrupt_esp:
            packet = packet[:-1] + bytes((packet[-1] ^ 0x55,))
        for _ in range(self._site.faults.repeat_esp):
            self._site.send(NATT_PORT, self.esp_remote, packet)


def responder_config(site: Site) -> ResponderConfig:
    """The IKE engine's part of the gateway's configuration."""
    config: GatewayConfig = site.config
    methods = [t.auth_method for t in config.ike_transforms]
    return ResponderConfig(
        transforms=config.ike_transforms,
        esp_transforms=tuple(replace(t, pfs_group=None) for t in config.esp_transforms),
        vendor_ids=config.vendor_ids,
        psk=config.psk if any(methods) else None,
        credentials=config.credentials,
        trust_anchors=config.trust_anchors,
        verify_time=config.verify_time,
        schedule=config.schedule,
        refusal=config.refusal,
        wrong_psk=config.wrong_psk,
        require_natt_vid=config.require_natt_vid,
        pfs=config.pfs,
        check_ids=_check(config.selectors_ok),
        force_encapsulation=True,  # there are only UDP sockets here
        allow_plain_transport=False,
        refuse_quick_mode=(
            "delete" if site.faults.hang_up == "phase-1" else config.refuse_quick_mode
        ),
        choose_esp=config.choose_esp,
        refuse_renewal=(
            NotifyType.NO_PROPOSAL_CHOSEN if site.faults.renewal == "ipsec-refused" else None
        ),
        refuse_peer=site.faults.after_mm5,
        false_proof=site.faults.false_proof,
        repeat_responses=False,
    )


def _check(fine: bool) -> Callable[[IdPayload, IdPayload], bool]:
    """Only L2TP may be protected (RFC 3193)."""

    def check(initiator: IdPayload, responder: IdPayload) -> bool:
        return fine and responder.protocol in (0, _UDP) and responder.port in (0, L2TP_PORT)

    return check
