"""What a tunnel is told before it starts."""

from __future__ import annotations

from dataclasses import field
from enum import Enum

from vpndiag.protocols.ike.algorithms import AuthMethod
from vpndiag.protocols.ike.config import DEFAULT_VENDOR_IDS, RsaCredentials
from vpndiag.protocols.ike.profiles import BROAD
from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform
from vpndiag.records import record


class Flow(Enum):
    """The local sockets of a run, by what they are for. Two flows may share a local port."""

    IKE = "ike"
    """Towards UDP 500."""
    NATT = "natt"
    """Towards UDP 4500: IKE with the non-ESP marker, and ESP."""
    L2TP = "l2tp"
    """Towards UDP 1701 in the clear."""
    ESP = "esp"
    """IP protocol 50, where this user may send it."""


GATEWAY_PORTS = {Flow.IKE: 500, Flow.NATT: 4500, Flow.L2TP: 1701, Flow.ESP: 0}


@record(frozen=True, slots=True)
class Packet:
    """A UDP payload to send (or, on :attr:`Flow.ESP`, an ESP packet)."""

    flow: Flow
    data: bytes
    port: int = 0
    """The gateway's, where it is another than the flow's."""


@record(frozen=True, slots=True, kw_only=True)
class TunnelOptions:
    """``gateway`` and ``local`` are IP literals; ``local`` is the address the kernel uses towards
    the gateway. Ports are those of the flows (0: not known). Secrets are not in the repr."""

    gateway: str
    gateway_name: str = ""
    local: str
    port_ike: int = 0
    port_natt: int = 0
    gateway_ports: dict[Flow, int] = field(default_factory=lambda: dict(GATEWAY_PORTS))
    psk: bytes | None = field(default=None, repr=False)
    credentials: RsaCredentials | None = field(default=None, repr=False)
    trust_anchors: tuple[bytes, ...] = ()
    expected_name: str | None = None
    verify_time: float = 0.0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    auth_methods: tuple[str, ...] = ()
    """Names of PPP authentication methods, best first; empty: all that we can do."""
    l2tp_secret: bytes | None = field(default=None, repr=False)
    plain_l2tp: bool = False
    ike_transforms: tuple[IkeTransform, ...] = ()
    esp_transforms: tuple[EspTransform, ...] = ()
    custom_ike: bool = False
    """The phase 1 proposals were chosen by the user: if they fail, try ours as well."""
    custom_esp: bool = False
    vendor_ids: tuple[bytes, ...] = DEFAULT_VENDOR_IDS
    pfs_group: int | None = None
    plain_esp_possible: bool = False
    mru: int = 1400
    host_name: str = "vpndiag"

    @property
    def with_certificate(self) -> bool:
        return self.credentials is not None

    @property
    def can_authenticate(self) -> bool:
        return self.psk is not None or self.credentials is not None

    @property
    def force_encapsulation(self) -> bool:
        """Claim a NAT unless this user may send protocol 50 itself."""
        return not self.plain_esp_possible

    @property
    def auth_method(self) -> AuthMethod:
        return AuthMethod.RSA_SIG if self.with_certificate else AuthMethod.PSK

    def offered_ike(self) -> tuple[IkeTransform, ...]:
        """Phase 1 transforms in order."""
        return self.ike_transforms or BROAD.ike_transforms(self.auth_method)

    def offered_esp(self) -> tuple[EspTransform, ...]:
        """ESP transforms in order."""
        return self.esp_transforms or BROAD.esp_transforms()
