"""The IKE SAs of one tunnel: the one in use, the one that is to replace it, and those replaced.

An IKEv1 IPsec SA outlives the IKE SA that it was agreed under (RFC 2408 section 4.2): renewing the
keys of IKE is a new main mode beside the old one, and then a quick mode under it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from vpndiag.protocols.errors import RemoteProtocolError
from vpndiag.protocols.ike.config import InitiatorConfig, ResponderConfig
from vpndiag.protocols.ike.constants import ExchangeType
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.events import (
    ChildSa,
    IkeEvent,
    MessageReceived,
    PhaseOneEstablished,
    QuickModeEstablished,
)
from vpndiag.protocols.ike.initiator import IkeInitiator
from vpndiag.protocols.ike.message import Header
from vpndiag.protocols.ike.responder import IkeResponder
from vpndiag.protocols.ike.retransmit import Patience
from vpndiag.protocols.ike.transforms import EspTransform
from vpndiag.tunnel.ike_pump import IkePump
from vpndiag.tunnel.options import Flow, Packet, TunnelOptions
from vpndiag.tunnel.recorder import Recorder

MAX_SAS = 8
"""IKE SAs at a time; a gateway that begins more is not answered."""


class IkeSas:
    """``events`` are those of all engines, in order."""

    def __init__(
        self,
        options: TunnelOptions,
        recorder: Recorder,
        random_bytes: Callable[[int], bytes],
        patience: Patience | None,
    ) -> None:
        self._options = options
        self._recorder = recorder
        self._config = initiator_config(options, patience)
        self._random = random_bytes
        self._first = IkeInitiator(self._config, random_bytes)
        self.current = IkePump(self._first, options, recorder)
        """The newest that is established, or the first."""
        self.all: list[IkePump] = [self.current]
        self._overtaken: IkePump | None = None
        """The one that another was begun beside, until either has an IPsec SA."""
        self.keys: dict[bytes, bytes] = {}
        """Cipher keys by initiator cookie, of those that are gone as well."""
        self.events: deque[IkeEvent] = deque()

    def start(self, now: float) -> None:
        """Send the first message."""
        self._first.start(now)

    def begin_anew(self, now: float) -> None:
        """A new IKE SA beside the first, which no answer comes to. If one does come after all, the
        first is the one in use again."""
        self._overtaken = self.current
        self._first = IkeInitiator(self._config, self._random)
        self.current = IkePump(self._first, self._options, self._recorder)
        self.all.append(self.current)
        self._first.start(now)

    @property
    def children(self) -> tuple[ChildSa, ...]:
        return tuple(child for pump in self.all for child in pump.engine.children)

    @property
    def alive(self) -> bool:
        """Something can be asked: an IKE SA is established and not deleted."""
        return self.current.engine.state is IkeState.ESTABLISHED

    @property
    def renewing(self) -> bool:
        """A main mode is under way beside the current IKE SA."""
        return any(_under_way(pump) for pump in self.all if pump is not self.current)

    def knows(self, message: bytes) -> bool:
        """Whether a message is of one of these, or may begin another one."""
        return any(p.cookie == message[:8] for p in self.all) or (self.alive and _begins(message))

    def start_quick_mode(self, now: float) -> int:
        """A quick mode under the IKE SA in use; its message id.

        :raises LocalProtocolError: it is gone.
        """
        return self.current.engine.start_quick_mode(now, self._config)

    def offer(
        self, now: float, *, pfs_group: int | None, transforms: tuple[EspTransform, ...]
    ) -> None:
        """Another quick mode, after the first was refused."""
        other = replace(self._config, pfs_group=pfs_group, esp_transforms=transforms)
        self.current.engine.start_quick_mode(now, other)

    # --- messages and time ------------------------------------------------------------------

    def receive(
        self, message: bytes, flow: Flow, source: tuple[str, int], frame: int, now: float
    ) -> bool:
        """A message from the gateway without marker; False: of no IKE SA of ours."""
        pump = next((p for p in self.all if p.cookie == message[:8]), None)
        if pump is None and self.alive and _begins(message):
            pump = self._answering()
        if pump is None:
            return False
        pump.receive(message, flow, source, frame, now)
        self._collect(pump)
        if pump not in self.all and pump.engine.state is not IkeState.IDLE:
            self.all.append(pump)
        return True

    def pump(self, now: float) -> list[Packet]:
        packets: list[Packet] = []
        for pump in list(self.all):
            packets += pump.pump(now)
            self._collect(pump)
        return packets

    def _collect(self, pump: IkePump) -> None:
        while pump.events:
            event = pump.events.popleft()
            if isinstance(event, PhaseOneEstablished):
                self._prefer(pump)
            elif isinstance(event, QuickModeEstablished):
                if pump is self._overtaken:
                    self._prefer(pump)
                pump.renewal = True
            elif pump is self._overtaken and not isinstance(event, MessageReceived):
                continue  # its silence and its end are why another was begun
            self.events.append(event)
        found = pump.engine.keys_for_wireshark
        if found is not None:
            self.keys[found[0]] = found[1]

    def _prefer(self, pump: IkePump) -> None:
        """It is established."""
        if self._overtaken is not None:
            self.give_up_renewing(but=pump)
            if pump is self._overtaken:
                self._overtaken = None
        self.current = pump

    def get_timer(self) -> float | None:
        times = [pump.engine.get_timer() for pump in self.all]
        return min((t for t in times if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for pump in self.all:
            pump.handle_timer(now)

    # --- renewing ---------------------------------------------------------------------------

    def renew(self, now: float) -> None:
        """A new main mode. What went to port 4500 goes on there (RFC 3947 section 4). It does not
        say INITIAL-CONTACT, which would end the session (RFC 2407 section 4.6.3.3)."""
        config = replace(self._config, initial_contact=False)
        engine = IkeInitiator(config, self._random)
        natt = self.current.uses_natt
        pump = IkePump(engine, self._options, self._recorder, only_natt=natt)
        pump.renewal = True
        self.all.append(pump)
        engine.start(now)

    def give_up_renewing(self, but: IkePump | None = None) -> None:
        """Forget a main mode that was not completed."""
        keep = but or self.current
        self.all = [p for p in self.all if p is keep or not _under_way(p)]

    def drop_old(self, newest: ChildSa, now: float) -> None:
        """Delete the IPsec SAs older than ``newest``, and the IKE SAs that were replaced."""
        for pump in list(self.all):
            if pump is self.current:
                for child in pump.engine.children:
                    if child.spi_in != newest.spi_in:
                        pump.engine.delete_child(child.spi_in, now)
            elif not _under_way(pump) and all(
                child.spi_in != newest.spi_in for child in pump.engine.children
            ):
                pump.engine.delete(now)

    def delete(self, now: float) -> None:
        """Say goodbye under each."""
        for pump in self.all:
            pump.engine.delete(now)

    def _answering(self) -> IkePump | None:
        """The other role, for a main mode that the gateway begins."""
        if len(self.all) >= MAX_SAS:
            self.all = [p for p in self.all if p is self.current or not _over(p)]
        if len(self.all) >= MAX_SAS:
            return None
        engine = IkeResponder(_responder_config(self._options), self._random)
        pump = IkePump(engine, self._options, self._recorder)
        pump.renewal = True
        return pump


def initiator_config(o: TunnelOptions, patience: Patience | None = None) -> InitiatorConfig:
    """What a client with these options begins an IKE SA with."""
    return InitiatorConfig(
        transforms=o.offered_ike(),
        esp_transforms=o.offered_esp(),
        vendor_ids=o.vendor_ids,
        psk=o.psk,
        credentials=o.credentials,
        trust_anchors=o.trust_anchors,
        expected_name=o.expected_name,
        verify_time=o.verify_time,
        force_encapsulation=o.force_encapsulation,
        patience=patience,
        pfs_group=o.pfs_group,
        dialled=o.gateway,
        fragment_size=0,
    )


def _responder_config(o: TunnelOptions) -> ResponderConfig:
    return ResponderConfig(
        transforms=o.offered_ike(),
        esp_transforms=o.offered_esp(),
        vendor_ids=o.vendor_ids,
        psk=o.psk,
        credentials=o.credentials,
        trust_anchors=o.trust_anchors,
        expected_name=o.expected_name,
        verify_time=o.verify_time,
        force_encapsulation=o.force_encapsulation,
    )


def _under_way(pump: IkePump) -> bool:
    return pump.engine.state not in (IkeState.ESTABLISHED, IkeState.DELETED, IkeState.FAILED)


def _over(pump: IkePump) -> bool:
    return pump.engine.state in (IkeState.DELETED, IkeState.FAILED)


def _begins(message: bytes) -> bool:
    """Whether this is the first message of a main mode."""
    try:
        header = Header.decode(message)
    except RemoteProtocolError:
        return False
    return header.exchange == ExchangeType.MAIN_MODE and header.responder_cookie == bytes(8)
