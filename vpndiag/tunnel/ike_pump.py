"""One IKE engine on the run's sockets, with all that passes recorded."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from vpndiag.observations import CertificateSeen, IkeEstablished, IpsecSa
from vpndiag.protocols.esp.udp import with_marker
from vpndiag.protocols.ike.algorithms import AuthMethod, EncapsulationMode
from vpndiag.protocols.ike.certificates import ChainStatus
from vpndiag.protocols.ike.constants import name_of
from vpndiag.protocols.ike.events import (
    ChildSa,
    Dropped,
    DropReason,
    IkeEvent,
    MessageReceived,
    MessageSent,
    PeerAuthenticated,
    PeerCertificate,
    PhaseOneEstablished,
    Protection,
    QuickModeEstablished,
)
from vpndiag.protocols.ike.exchange_info import Informational
from vpndiag.protocols.ike.initiator import IkeInitiator
from vpndiag.report.text import visible
from vpndiag.tunnel.options import Flow, Packet, TunnelOptions
from vpndiag.tunnel.recorder import Recorder

_TUNNEL_MODES = (EncapsulationMode.TUNNEL, EncapsulationMode.UDP_TUNNEL,
                 EncapsulationMode.UDP_TUNNEL_DRAFT)  # fmt: skip
_ENCAPSULATED = (EncapsulationMode.UDP_TRANSPORT, EncapsulationMode.UDP_TRANSPORT_DRAFT,
                 EncapsulationMode.UDP_TUNNEL, EncapsulationMode.UDP_TUNNEL_DRAFT)  # fmt: skip
_PROBLEMS = {
    ChainStatus.OK: "",
    ChainStatus.MALFORMED: "unreadable",
    ChainStatus.NO_CERTIFICATE: "unreadable",
}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class IkePump:
    """``only_natt``: everything goes to port 4500, message 1 included (a probe of that port)."""

    def __init__(
        self,
        engine: Informational,
        options: TunnelOptions,
        recorder: Recorder,
        *,
        only_natt: bool = False,
    ) -> None:
        self.engine = engine
        self.only_natt = only_natt
        self.events: deque[IkeEvent] = deque()
        self._options = options
        self._recorder = recorder
        self._sent: dict[bytes, int] = {}
        self._queued: list[MessageSent] = []
        self._frame_in: tuple[int, ...] = ()
        self._method = ""
        self.renewal = False
        """IPsec SAs agreed here take the place of older ones."""

    @property
    def cookie(self) -> bytes:
        return self.engine.initiator_cookie

    @property
    def began(self) -> bool:
        """The IKE SA was begun by us."""
        return isinstance(self.engine, IkeInitiator)

    @property
    def uses_natt(self) -> bool:
        """The IKE SA has moved to port 4500."""
        return self.only_natt or self.engine.floated

    def receive(
        self, message: bytes, flow: Flow, source: tuple[str, int], frame: int, now: float
    ) -> None:
        """A message without marker that carries our cookie."""
        natt = flow is Flow.NATT
        self._frame_in = (frame,)
        self.engine.receive_datagram(message, natt, self._local(flow), source, now)
        self._drain(now)

    def pump(self, now: float) -> list[Packet]:
        """What is to be sent now, numbered and observed."""
        packets: list[Packet] = []
        for out in self.engine.datagrams_to_send(now):
            flow = Flow.NATT if out.natt or self.only_natt else Flow.IKE
            data = with_marker(out.data) if flow is Flow.NATT else out.data
            number = self._recorder.packet(
                now, flow, "out", self._local(flow), self._gateway(flow), data
            )
            self._sent[out.data] = number
            packets.append(Packet(flow, data))
        self._drain(now)
        for event in self._queued:
            self._record(event, now)
            self.events.append(event)
        self._queued.clear()
        self._sent.clear()
        return packets

    def handle_timer(self, now: float) -> None:
        self.engine.handle_timer(now)
        # Events of what is sent now are drained with the datagrams, to know their frame numbers.

    def _local(self, flow: Flow) -> tuple[str, int]:
        port = self._options.port_natt if flow is Flow.NATT else self._options.port_ike
        return self._options.local, port

    def _gateway(self, flow: Flow) -> tuple[str, int]:
        return self._options.gateway, self._options.gateway_ports[flow]

    def _drain(self, now: float) -> None:
        while (event := self.engine.next_event()) is not None:
            if isinstance(event, MessageSent):
                # Queued, not sent: that is for pump(), which knows the frame number.
                self._queued.append(event)
            else:
                self._record(event, now)
                self.events.append(event)

    def _record(self, event: IkeEvent, now: float) -> None:
        t = self._recorder.t(now)
        match event:
            case MessageSent():
                flow = Flow.NATT if event.natt or self.only_natt else Flow.IKE
                number = self._sent.get(event.data)
                self._recorder.add(
                    self._recorder.ike.observe(
                        event.data,
                        t=t,
                        frames=(number,) if number else (),
                        direction="out",
                        source=self._local(flow),
                        destination=self._gateway(flow),
                        marker=flow is Flow.NATT,
                        payloads=event.payloads,
                        protection="decrypted" if event.message.header.encrypted else "clear",
                    )
                )
            case MessageReceived():
                self._received(event, t)
            case Dropped(reason=DropReason.MALFORMED):
                self._recorder.add(
                    self._recorder.ike.observe(
                        event.data,
                        t=t,
                        frames=self._frame_in,
                        direction="in",
                        source=event.remote,
                        destination=self._local(Flow.NATT if event.natt else Flow.IKE),
                        marker=event.natt,
                    )
                )
            case PeerCertificate():
                self._certificate(event, t)
            case PeerAuthenticated():
                self._method = name_of(AuthMethod, event.method)
            case PhaseOneEstablished():
                self._recorder.add(
                    IkeEstablished(
                        t=t,
                        frames=self._frame_in,
                        initiator_cookie=event.initiator_cookie.hex(),
                        auth_method=self._method,
                        peer_identity=visible(event.peer_identity.text, 120),
                        transform=event.transform.text,
                    )
                )
            case QuickModeEstablished():
                self._child(event.child, t)

    def _received(self, event: MessageReceived, t: float) -> None:
        flow = Flow.NATT if event.natt else Flow.IKE
        keyed = event.protection is not Protection.CLEAR
        self._recorder.add(
            self._recorder.ike.observe(
                event.data,
                t=t,
                frames=self._frame_in,
                direction="in",
                source=event.remote,
                destination=self._local(flow),
                marker=event.natt,
                payloads=event.payloads if keyed else None,
                protection=event.protection.value,
            )
        )

    def _certificate(self, event: PeerCertificate, t: float) -> None:
        report = event.report
        leaf = report.chain[0] if report.chain else None
        self._recorder.add(
            CertificateSeen(
                t=t,
                frames=self._frame_in,
                direction="in",
                subject=visible(leaf.subject, 160) if leaf else "",
                issuer=visible(leaf.issuer, 160) if leaf else "",
                not_before=_iso(leaf.not_before) if leaf else "",
                not_after=_iso(leaf.not_after) if leaf else "",
                names=tuple(visible(n, 80) for n in leaf.names[:16]) if leaf else (),
                problem=_PROBLEMS.get(report.status, report.status.value),
            )
        )

    def _child(self, child: ChildSa, t: float) -> None:
        self._recorder.add(
            IpsecSa(
                t=t,
                frames=self._frame_in,
                spi_in="0x" + child.spi_in.hex(),
                spi_out="0x" + child.spi_out.hex(),
                transform=child.transform.text,
                mode="tunnel" if child.mode in _TUNNEL_MODES else "transport",
                udp_encapsulated=child.mode in _ENCAPSULATED,
                pfs_group=child.pfs_group,
                weak=child.transform.weak,
                rekey=self.renewal,
                client_port=child.local_id.port if child.local_id else None,
                gateway_port=child.remote_id.port if child.remote_id else None,
            )
        )
