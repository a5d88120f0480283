"""The questions that a run asks beside the tunnel, and how long it waits for their answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vpndiag.probes.outside import (
    MainModeProbe,
    SideProbe,
    Waits,
    aggressive_probe,
    ikev2_probe,
)
from vpndiag.probes.patience import CAP, TRIES, Patience
from vpndiag.protocols.ike.algorithms import AuthMethod
from vpndiag.protocols.ike.config import DEFAULT_VENDOR_IDS
from vpndiag.protocols.ike.profiles import BROAD
from vpndiag.tunnel.options import Flow, Packet, TunnelOptions
from vpndiag.tunnel.recorder import Recorder

RandomBytes = Callable[[int], bytes]

PROBE_EVERY = 0.55
PROBE_TRIES, PROBE_TRIES_LOSSY = 6, 26
PROBES_END = 4.8
"""Questions on the side are repeated until then, as long as nothing at all was heard; while the
gateway answers others, as often as the loss so far asks for."""


class Questions:
    """``primary``: message 1 of a run without credentials; ``natt``: UDP 4500 asked afresh."""

    def __init__(
        self,
        options: TunnelOptions,
        recorder: Recorder,
        random_bytes: RandomBytes,
        patience: Patience,
        began: float,
    ) -> None:
        self.primary: MainModeProbe | None = None
        self.natt: MainModeProbe | None = None
        self.began = began
        self._options = options
        self._recorder = recorder
        self._random = random_bytes
        self._patience = patience
        self._probes: list[SideProbe] = []
        self._tries: dict[str, int] = {}
        self._now = began

    @property
    def all_done(self) -> bool:
        """Every question beside the primary one is answered or given up."""
        return all(p.done for p in self._probes)

    def answered(self, name: str) -> bool:
        return any(p.answered for p in self._probes if p.name == name)

    @property
    def ikev2_alone(self) -> bool:
        """The gateway has answered IKEv2, and no question of IKEv1."""
        answered = [p.name for p in self._all() if p.answered]
        return bool(answered) and all(name.startswith("ikev2") for name in answered)

    def _all(self) -> list[SideProbe]:
        return [*([self.primary] if self.primary else []), *self._probes]

    # --- asking -------------------------------------------------------------------------------

    def ask_primary(self, now: float) -> None:
        """Message 1 to UDP 500, in place of a tunnel."""
        self.primary = MainModeProbe(
            "primary", self._options, self._recorder, self._random, waits=self._primary_waits
        )
        self.primary.start(now)

    def ask_natt(self, now: float) -> None:
        """A fresh message 1 to UDP 4500, once."""
        if self.natt is not None:
            return
        self.natt = MainModeProbe(
            "natt",
            self._options,
            self._recorder,
            self._random,
            natt=True,
            waits=self._natt_waits,
        )
        self._probes.append(self.natt)
        self.natt.start(now)

    def ask(self, name: str, now: float) -> None:
        """``ikev2``, ``ikev2-natt``, ``aggressive``, ``again``, ``other-method`` or
        ``other-offer``, once each."""
        if any(p.name == name for p in self._probes):
            return
        probe = self._make(name)
        if probe is not None:
            self._probes.append(probe)
            probe.start(now)

    def settle(self, *names: str) -> None:
        """These need no answer any more, and are not repeated."""
        for probe in self._probes:
            if probe.name in names:
                probe.done = True

    def _make(self, name: str) -> SideProbe | None:
        o = self._options
        common = (self._recorder, self._random)
        if name == "ikev2":
            return ikev2_probe(o, *common, self._waits(name))
        if name == "ikev2-natt":
            return ikev2_probe(o, *common, self._waits(name), natt=True)
        if name == "aggressive":
            return aggressive_probe(o, *common, self._waits(name))
        if name == "again":
            return MainModeProbe(name, o, *common, waits=self._natt_waits)
        if name == "other-method":
            other = AuthMethod.PSK if o.with_certificate else AuthMethod.RSA_SIG
            transforms = tuple(replace(x, auth_method=other) for x in o.offered_ike())
            waits = self._waits(name)
            return MainModeProbe(name, o, *common, transforms=transforms, waits=waits)
        without_vids = not set(o.vendor_ids) & set(DEFAULT_VENDOR_IDS)
        if o.custom_ike or without_vids:
            ours = o.offered_ike() if without_vids else BROAD.ike_transforms(o.auth_method)
            return MainModeProbe(
                name, o, *common, transforms=ours, vendor_ids=DEFAULT_VENDOR_IDS,
                waits=self._waits(name),
            )  # fmt: skip
        return None

    def _waits(self, name: str) -> Waits:
        """How often a question on the side is asked: see :data:`PROBES_END`."""

        def wait(tries: int) -> float | None:
            self._tries[name] = tries
            if not self._patience.heard:
                left = self.began + PROBES_END - self._now
                return PROBE_EVERY if tries <= 2 or left >= PROBE_EVERY else None
            enough = PROBE_TRIES_LOSSY if self._patience.lossy else PROBE_TRIES
            return PROBE_EVERY if tries <= enough else None

        return wait

    def _primary_waits(self, tries: int) -> float | None:
        return self._patience("MM2", tries)

    def _natt_waits(self, tries: int) -> float | None:
        if self._patience.heard and not self.ikev2_alone:
            return CAP if tries <= TRIES else None
        left = self.began + PROBES_END - self._now
        return PROBE_EVERY if tries <= 2 or left >= PROBE_EVERY else None

    # --- packets and time ---------------------------------------------------------------------

    def receive(
        self, message: bytes, flow: Flow, source: tuple[str, int], frame: int, now: float
    ) -> None:
        """An IKE message; those whose cookie is not of a question here are ignored."""
        for probe in self._all():
            if probe.cookie != message[:8]:
                continue
            probe.receive(message, flow, source, frame, now)
            if probe.answered:
                self._patience.heard = True
                if self._tries.pop(probe.name, 1) > 1:
                    self._patience.lossy = True

    def knows(self, cookie: bytes) -> bool:
        return any(p.cookie == cookie for p in self._all())

    def pump(self, now: float) -> list[Packet]:
        """What is to be sent now."""
        self._now = now
        return [packet for probe in self._all() for packet in probe.pump(now)]

    def get_timer(self) -> float | None:
        timers = [probe.get_timer() for probe in self._all()]
        return min((t for t in timers if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for probe in self._all():
            timer = probe.get_timer()
            if timer is not None and timer <= now:
                probe.handle_timer(now)
